"""Which permissions a step needs and where they are asked, on the in-memory cloud; tests/sandbox_data proves each of them."""

from __future__ import annotations

import pytest

from gemmactl.errors import Trouble
from gemmactl.kernel.plan import Op, Step
from gemmactl.resources.cloud import PolicyTarget
from gemmactl.resources.needs import Need, repository_of
from gemmactl.resources.rights import ask, needed, reading
from tests.fakes.cloud import FakeCloud
from tests.resources.test_stack_tune import wanted
from tests.resources.test_stack_tune import with_token as tuned
from tests.resources.wishes import stack, with_token


def test_every_step_of_a_deploy_has_needs() -> None:
    """No kind of either stack was forgotten: each step that makes, changes or removes something needs at least one permission."""
    for resource in (*stack(with_token()), *wanted(tuned())):
        assert needed(Step(Op.CREATE, resource), "demo-proj"), resource.address
        assert reading(resource, "demo-proj"), resource.address
        assert needed(Step(Op.KEEP, resource), "demo-proj") == ()


def test_what_can_not_be_asked_is_unknown_and_not_missing() -> None:
    """A target that refuses the question is told apart; each target is asked once for all steps."""
    cloud = FakeCloud()
    steps = [Step(Op.CREATE, resource) for resource in stack(with_token())]
    cloud.held = frozenset()
    assert {s.address for s in steps} == set(ask(steps, cloud).missing)
    assert len(cloud.calls) == len({(c.name, c.subject) for c in cloud.calls})

    def silent(name: str) -> None:
        raise Trouble("no answer", why="disabled", remedy="", facts={"status": 403})

    cloud.before_call = silent
    found = ask(steps, cloud, {"smoke": [Need(PolicyTarget("project", "demo-proj"), "run.routes.invoke")]})
    assert (found.missing, set(found.unknown)) == ({}, {s.address for s in steps} | {"smoke"})


@pytest.mark.parametrize(
    ("image", "target"),
    [
        ("us-central1-docker.pkg.dev/p/r/n:t", "projects/p/locations/us-central1/repositories/r"),
        ("europe-west4-docker.pkg.dev/a.com/p/r/x/y@sha256:0", "projects/a.com:p/locations/europe-west4/repositories/r"),
        ("docker.io/vllm/vllm-openai:v1", None),
    ],
)
def test_an_images_repository(image: str, target: str | None) -> None:
    """Tags and digests, names of several parts, domain-scoped projects; other registries have no policy here."""
    assert repository_of(image) == (PolicyTarget("repository", target) if target else None)
