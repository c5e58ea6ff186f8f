"""Image names <-> resource names in Artifact Registry."""

from __future__ import annotations

import pytest

from gemmactl.errors import Trouble
from gemmactl.gcp.artifact_registry import platform_of, tag_name


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("us-central1-docker.pkg.dev/p/r/serve:1", "projects/p/locations/us-central1/repositories/r/packages/serve/tags/1"),
        ("us-docker.pkg.dev/p/r/a/b:1", "projects/p/locations/us/repositories/r/packages/a%2Fb/tags/1"),
        ("us-docker.pkg.dev/example.com/p/r/a:1", "projects/example.com:p/locations/us/repositories/r/packages/a/tags/1"),
    ],
)
def test_tags(image: str, name: str) -> None:
    """Region, project (domain-scoped too), repository and a name with slashes find their places."""
    assert tag_name(image) == name


@pytest.mark.parametrize("image", ["gcr.io/p/a:1", "us-docker.pkg.dev/p/r/a", "us-docker.pkg.dev/p/a:1"])
def test_what_is_no_tag(image: str) -> None:
    """Another registry, no tag, no repository: refused with the form."""
    with pytest.raises(Trouble):
        tag_name(image)


@pytest.mark.parametrize(
    ("said", "platform"),
    [
        ({"os": "linux", "architecture": "arm64", "variant": "v8"}, "linux/arm64"),
        ({"os": "unknown", "architecture": "unknown"}, ""),
        ({}, ""),
    ],
)
def test_the_platform_of_an_image(said: dict[str, str], platform: str) -> None:
    """Of a configuration or a line of an index; an attestation beside the images has none."""
    assert platform_of(said) == platform
