"""vLLM's own image by the digest that Google's mirror tells for its tag: computed here, and kept where the mirror is silent."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from gemmactl import vllm
from gemmactl.client.registry import digest
from gemmactl.client.wire import Reply
from gemmactl.errors import Exit, Trouble
from gemmactl.serving.deploy import deploy, plan
from gemmactl.serving.recall import recalled
from tests.fakes.cloud import FakeCloud
from tests.serving.ear import Answers, Ear, place, with_model
from tests.serving.test_vllm import COMPLETION, SERVICE, WISH

MANIFEST = b'{"schemaVersion": 2, "manifests": []}'
DIGEST = f"sha256:{hashlib.sha256(MANIFEST).hexdigest()}"
URL = f"https://mirror.gcr.io/v2/{vllm.REPOSITORY}/manifests/{vllm.TAG}"


@dataclass
class Registry:
    """The mirror; everything else is answered as by a service with vLLM. `tokens`: it wants one, anonymous."""

    body: bytes | None = MANIFEST
    says: str = DIGEST
    tokens: bool = False
    realm: str = "https://mirror.gcr.io/v2/token"
    asked: list[tuple[str, str]] = field(default_factory=list)
    service: Answers = field(default_factory=lambda: Answers(content=COMPLETION))

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout: float) -> Reply:
        if "run.app" in url or body is not None:
            return self.service.send(method, url, headers, body, timeout)
        self.asked.append((url, headers.get("Authorization", "")))
        if url.startswith(self.realm):
            return Reply(200, {}, b'{"token": "t"}')
        if self.tokens and not headers.get("Authorization"):
            said = f'Bearer realm="{self.realm}",service="mirror.gcr.io",scope="repository:x:pull"'
            return Reply(401, {"www-authenticate": said}, b"")
        if self.body is None:
            raise Trouble("it does not answer", why="no network", remedy="", code="network")
        return Reply(200, {"docker-content-digest": self.says}, self.body)


def image(cloud: FakeCloud) -> str:
    (container,) = cloud.state.services[SERVICE]["template"]["containers"]
    return str(container["image"])


def deployed(cloud: FakeCloud, registry: Registry) -> None:
    assert deploy(WISH, place(cloud, registry), Ear(), yes=True).exit is Exit.OK  # type: ignore[arg-type]  # a wire


def changes(cloud: FakeCloud, registry: Registry) -> int:
    return int(plan(WISH, place(cloud, registry), again="").data["changes"])  # type: ignore[arg-type]  # a wire


def test_the_tag_is_deployed_by_its_digest() -> None:
    """The revision names the digest, a second look finds nothing to change, and so does one while the mirror is silent."""
    cloud = with_model(FakeCloud())
    deployed(cloud, Registry())
    assert image(cloud) == f"{vllm.REPOSITORY}@{DIGEST}"
    assert changes(cloud, Registry()) == 0
    assert changes(cloud, Registry(body=None)) == 0
    wish = recalled(place(cloud), "gemma", cloud.state.services[SERVICE])
    assert (wish.image, wish.engine_image) == (None, f"{vllm.REPOSITORY}@{DIGEST}")


def test_a_mirror_that_is_silent_from_the_start_leaves_the_tag() -> None:
    """And the plan says so; once it answers, nothing is changed for that, and the plan says how the image is held fast."""
    cloud = with_model(FakeCloud())
    deployed(cloud, Registry(body=None))
    assert image(cloud) == vllm.IMAGE
    said = plan(WISH, place(cloud, Registry(body=None)), again="").data["model_findings"]  # type: ignore[arg-type]  # a wire
    assert [one["code"] for one in said if one["code"] == "image-by-tag"]
    later = plan(WISH, place(cloud, Registry()), again="").data  # type: ignore[arg-type]  # a wire
    (one,) = (one for one in later["model_findings"] if one["code"] == "image-by-tag")
    assert (later["changes"], one["remedy"].endswith(f"--image {vllm.REPOSITORY}@{DIGEST}")) == (0, True)


def test_a_service_with_another_tag_gets_the_digest() -> None:
    """What an earlier gemmactl deployed by its tag is another image."""
    cloud = with_model(FakeCloud())
    deployed(cloud, Registry(body=None))
    (container,) = cloud.state.services[SERVICE]["template"]["containers"]
    container["image"] = f"{vllm.REPOSITORY}:v0.1.0"
    assert changes(cloud, Registry()) == 1
    deployed(cloud, Registry())
    assert image(cloud) == f"{vllm.REPOSITORY}@{DIGEST}"


def test_an_image_of_ones_own_and_the_sandbox_ask_nobody() -> None:
    """What was named is used; nothing of a pretended cloud leaves the machine."""
    registry = Registry()
    own = replace(WISH, image="us-docker.pkg.dev/team/vllm/vllm@sha256:" + "ab" * 32)
    plan(own, place(with_model(FakeCloud()), registry), again="")  # type: ignore[arg-type]  # a wire
    plan(WISH, replace(place(with_model(FakeCloud()), registry), target="sandbox"), again="")  # type: ignore[arg-type]  # a wire
    assert registry.asked == []


@pytest.mark.parametrize(
    "lying",
    [
        {"says": "sha256:" + "00" * 32},
        {"says": ""},
        {"body": b"<html>"},
        {"tokens": True, "realm": "https://elsewhere.example/token"},
        {"tokens": True, "realm": "http://mirror.gcr.io/token"},
    ],
)
def test_a_digest_that_is_only_claimed_is_none(lying: dict[str, Any]) -> None:
    """The manifest's own hash must be what the registry says; a token is asked of the registry's own host alone."""
    registry = Registry(**lying)
    assert digest(registry, vllm.MIRROR, vllm.REPOSITORY, vllm.TAG) is None
    assert {url for url, _ in registry.asked} == {URL}


def test_a_registry_that_wants_a_token_gives_one_to_anybody() -> None:
    """The challenge's service and scope are asked for, then the manifest with the token."""
    registry = Registry(tokens=True)
    assert digest(registry, vllm.MIRROR, vllm.REPOSITORY, vllm.TAG) == DIGEST
    assert registry.asked == [
        (URL, ""),
        ("https://mirror.gcr.io/v2/token?service=mirror.gcr.io&scope=repository%3Ax%3Apull", ""),
        (URL, "Bearer t"),
    ]
