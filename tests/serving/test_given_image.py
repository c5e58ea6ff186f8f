"""--image: built once, by whoever, used by digest; nothing is built beside it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gemmactl.errors import Exit, Trouble
from gemmactl.resources import names
from gemmactl.resources.service_body import lean
from gemmactl.result import Item
from gemmactl.serving import find
from gemmactl.serving.deploy import deploy, plan
from gemmactl.serving.given_image import by_digest
from gemmactl.serving.preflight import look
from gemmactl.serving.recall import recalled
from gemmactl.spec import Serve, parse_model
from tests.checkpoint.architectures import folder
from tests.fakes.cloud import DIGEST, FakeCloud, refusal
from tests.serving.ear import Ear, place, with_model
from tests.serving.test_vllm import with_gemma4

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


OWN = "us-docker.pkg.dev/team-proj/gemmactl/serve"


@pytest.mark.parametrize(
    "more",
    [{"image": f"{OWN}@{DIGEST}"}, {"image": f"{OWN}:cafe"}, {"image": f"{TEAM}@{DIGEST}", "engine_given": True}],
    ids=["by digest", "by tag", "engine said"],
)
def test_an_image_of_ours_is_held_to_what_our_engine_can(more: dict[str, Any], tmp_path: Path) -> None:
    """By its name or by --engine gemmactl: sizes are derived as without --image, and what does not fit is refused as there."""
    cloud = with_model(FakeCloud())
    built = look(replace(WISH, image=None), cloud)
    given = look(replace(WISH, **more), cloud)
    assert replace(given.wish, image=None, engine_given=False) == built.wish
    assert given.sizing.fit == built.sizing.fit
    assert "image-engine-unknown" not in {remark.code for remark in given.remarks}
    large = replace(WISH, model=parse_model(str(folder(tmp_path / "12b", "12b"))), **more)
    with pytest.raises(Trouble) as caught:
        look(large, cloud)
    assert (caught.value.exit, caught.value.code) == (Exit.REFUSED, "model-too-large")


def test_an_image_of_ours_is_never_told_to_be_vllm(tmp_path: Path) -> None:
    """A family that takes vLLM where nobody names an engine: another command would not make the image another server."""
    cloud = with_gemma4(FakeCloud(), tmp_path / "m")
    assert look(replace(WISH, image=f"{OWN}:cafe"), cloud).wish.engine == "gemmactl"
    assert look(replace(WISH, image=None), cloud).wish.engine == "vllm"


def test_of_a_strangers_image_the_plan_says_that_nothing_is_known() -> None:
    """With the flag that says what it is; a service that runs it is not looked into for having run."""
    cloud = team(v1=DIGEST)
    here = place(cloud)
    (found,) = [one for one in plan(WISH, here, again="").data["model_findings"] if one["code"] == "image-engine-unknown"]
    assert "--engine gemmactl" in found["remedy"]
    deploy(WISH, here, Ear(), yes=True)
    (live,) = cloud.state.services.values()
    assert recalled(here, "gemma", live).stranger


@pytest.mark.parametrize(
    ("image", "ours"),
    [
        (f"{OWN}:cafe", True),
        (OWN, True),
        ("us-docker.pkg.dev/example.com/team/gemmactl/serve@sha256:00", True),
        ("us-docker.pkg.dev/team-proj/gemmactl/finetune:cafe", False),
        ("us-docker.pkg.dev/team-proj/gemmactl/serve/x:1", False),
        ("us-docker.pkg.dev/team-proj/other/serve:cafe", False),
        ("docker.io/gemmactl/serve:1", False),
    ],
)
def test_a_name_that_is_ours(image: str, *, ours: bool) -> None:
    """The repository and the image that a deploy makes, in any project."""
    assert names.serves(image) is ours
