"""--image: built once, by whoever, used by digest; nothing is built beside it."""

from dataclasses import replace

import pytest

from gemmactl.errors import Exit
from gemmactl.resources.service_body import lean
from gemmactl.result import Item
from gemmactl.serving import find
from gemmactl.serving.deploy import deploy, plan
from gemmactl.serving.given_image import by_digest
from gemmactl.spec import Serve, parse_model
from tests.fakes.cloud import DIGEST, FakeCloud, refusal
from tests.serving.ear import Ear, place, with_model

TEAM = "us-docker.pkg.dev/team-proj/images/serve"
WISH = Serve("demo-proj", "us-central1", parse_model("gs://weights/m"), "gemma", image=f"{TEAM}:v1")
OTHER = "sha256:" + "cd" * 32


def team(**images: str) -> FakeCloud:
    """The team's registry holds these tags."""
    cloud = with_model(FakeCloud())
    cloud.state.images = {f"{TEAM}:{tag}": digest for tag, digest in images.items()}
    return cloud


def running(cloud: FakeCloud) -> str:
    (live,) = cloud.state.services.values()
    return str(find.container(lean(live))["image"])


def test_a_tag_is_deployed_by_its_digest_and_nothing_is_built() -> None:
    """No repository, no build account, no build; a second deploy finds nothing to change."""
    cloud = team(v1=DIGEST)
    assert deploy(WISH, place(cloud), Ear(), yes=True).exit is Exit.OK
    assert running(cloud) == f"{TEAM}@{DIGEST}"
    assert (cloud.state.repositories, cloud.state.builds, len(cloud.state.accounts)) == ({}, {}, 1)
    assert plan(WISH, place(cloud), again="").data["changes"] == 0


def test_a_tag_that_moved_is_a_change_of_the_plan() -> None:
    """The new digest is in it, before anybody says yes."""
    cloud = team(v1=DIGEST)
    deploy(WISH, place(cloud), Ear(), yes=True)
    cloud.state.images[f"{TEAM}:v1"] = OTHER
    (step,) = [s for s in plan(WISH, place(cloud), again="").data["steps"] if s["op"] == "update"]
    (field,) = step["fields"]
    assert DIGEST[7:19] in field["live"]
    assert OTHER[7:19] in field["wanted"]


@pytest.mark.parametrize(
    ("image", "want"),
    [
        (TEAM, f"{TEAM}@{DIGEST}"),
        (f"{TEAM}@{OTHER}", f"{TEAM}@{OTHER}"),
        (f"{TEAM}:gone", f"{TEAM}:gone"),
        (None, None),
    ],
)
def test_which_images_are_asked_for(image: str | None, want: str | None) -> None:
    """Tags of Artifact Registry, no tag being `latest`; a digest and a tag that is not there stay."""
    found, remarks = by_digest(replace(WISH, image=image), team(latest=DIGEST, v1=OTHER))
    assert (found.image, remarks) == (want, ())


@pytest.mark.parametrize("image", ["docker.io/vllm/vllm-openai:v1", "registry.invalid:5000/a/b", "python"])
def test_another_registrys_tag_is_not_asked_for_and_told(image: str) -> None:
    """It stays as it was named, and the plan says that a tag is deployed; a digest of such a registry is none's concern."""
    cloud = team()
    cloud.calls.clear()
    found, (remark,) = by_digest(replace(WISH, image=image), cloud)
    assert (found.image, remark.code, cloud.calls) == (image, "image-by-tag", [])
    assert by_digest(replace(WISH, image=f"docker.io/a/b@{OTHER}"), cloud)[1] == ()


def test_a_tag_that_is_gone_is_refused_before_any_change() -> None:
    """With the line that lists the tags there are. Of another project it is told: Cloud Run may see what the caller does not."""
    own = "us-docker.pkg.dev/demo-proj/images/serve"
    result = plan(replace(WISH, image=f"{own}:v1"), place(with_model(FakeCloud())), again="")
    assert result.exit is Exit.REFUSED
    (problem,) = result.problems
    assert f"gcloud artifacts docker tags list {own}" in problem.remedy
    theirs = plan(WISH, place(team(v2=DIGEST)), again="")
    assert theirs.exit is Exit.OK
    assert any(isinstance(b, Item) and b.head == f"there is no image {TEAM}:v1" for b in theirs.blocks)


def test_a_registry_that_may_not_be_asked_leaves_the_tag() -> None:
    """It is deployed as it was named, and the plan says so with the way to name it by digest."""
    cloud = team(v1=DIGEST)

    def refuse(name: str) -> None:
        if name == "repositories.digest":
            raise refusal(403, "denied", permission="artifactregistry.tags.get")

    cloud.before_call = refuse
    result = plan(WISH, place(cloud), again="")
    (found,) = [one for one in result.data["model_findings"] if one["code"] == "image-by-tag"]
    assert "gcloud artifacts docker images describe" in found["remedy"]
    assert result.exit is not Exit.REFUSED
