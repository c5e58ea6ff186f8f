"""The live check of a given image's platform."""

from __future__ import annotations

from dataclasses import replace

from tests.doctor.test_checks import WISH, cloud_with, ends
from tests.fakes.cloud import DIGEST
from tests.fakes.refusal import refusal


def test_an_image_for_another_machine_is_refused_before_anything_is_made() -> None:
    """By tag or digest, with doctor's row; an index that has amd64 is fine, and so is none of Artifact Registry's."""
    image = "us-central1-docker.pkg.dev/demo-proj/team/server"
    for name in (f"{image}:v1", f"{image}@{DIGEST}"):
        cloud = cloud_with(images={f"{image}:v1": DIGEST}, platforms={name: ("linux/arm64",)})
        (found,) = ends(cloud, replace(WISH, image=name))["image platform"].findings
        assert (found.code, found.state, found.resource) == ("image-arch", "problem", name)
        assert found.title == f"{name} is for linux/arm64, and Cloud Run runs linux/amd64"
        assert "--platform linux/amd64" in found.remedy
        cloud.state.platforms[name] = ("linux/arm64", "linux/amd64")
        assert "image platform" not in ends(cloud, replace(WISH, image=name))
    assert "image platform" not in ends(cloud_with(), replace(WISH, image="docker.io/team/server:v1"))


def test_an_image_that_says_nothing_or_may_not_be_read_is_unknown() -> None:
    """Never ok."""
    image = "us-central1-docker.pkg.dev/demo-proj/team/server:v1"
    cloud = cloud_with(images={image: DIGEST}, platforms={image: ()})
    assert ends(cloud, replace(WISH, image=image))["image platform"].end == "unknown"

    def refuse(name: str) -> None:
        if name == "repositories.platforms":
            raise refusal(403, "denied")

    cloud.before_call = refuse
    verdict = ends(cloud, replace(WISH, image=image))["image platform"]
    assert (verdict.end, verdict.permission) == ("unknown", "artifactregistry.repositories.downloadArtifacts")


def test_a_digest_that_is_not_there() -> None:
    """Nothing else looks for it; a tag is the image check's."""
    image = "us-central1-docker.pkg.dev/demo-proj/team/server"
    (found,) = ends(cloud_with(), replace(WISH, image=f"{image}@{DIGEST}"))["image platform"].findings
    assert (found.code, found.commands) == ("image-missing", (f"gcloud artifacts docker tags list {image}",))
    by_tag = ends(cloud_with(), replace(WISH, image=f"{image}:v1"))
    assert "image platform" not in by_tag
    assert by_tag["image"].findings[0].code == "image-missing"
