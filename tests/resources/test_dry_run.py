"""Before a service is written: validate_only with the same body, and the rules that it is known to miss."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gemmactl.errors import Exit, Trouble
from gemmactl.resources.service import Service
from gemmactl.resources.service_types import EnvVar, GcsVolume, Mount, Probe, SecretEnv, SecretVolume
from tests.fakes.cloud import FakeCloud, refusal
from tests.resources.test_service import CONTAINER, WISH, update
from tests.resources.wishes import work


@pytest.fixture
def cloud() -> FakeCloud:
    made = FakeCloud()
    WISH.create(made, work())
    made.calls.clear()
    return made


@pytest.mark.parametrize("there", [True, False])
def test_a_dry_run_comes_before_every_write(cloud: FakeCloud, there: bool) -> None:
    """The same body is validated first; what Cloud Run refuses then has begun no rollout, and its own words are told."""
    wish = replace(WISH, concurrency=9) if there else replace(WISH, name="other")
    write = (lambda: update(cloud, wish)) if there else (lambda: wish.create(cloud, work()))
    cloud.illegal = "template.timeout: The maximum allowed time is one hour."
    with pytest.raises(Trouble) as caught:
        write()
    assert (caught.value.code, caught.value.exit) == ("service-refused", Exit.REFUSED)
    assert "maximum allowed time is one hour" in caught.value.why
    assert cloud.writes == []
    cloud.illegal = ""
    cloud.calls.clear()
    write()
    assert [c.write for c in cloud.calls if c.name in ("run.create", "run.update")] == [False, True]


def test_what_a_dry_run_is_denied_keeps_its_meaning(cloud: FakeCloud) -> None:
    """A right that settles is no refusal of the service: the apply waits for it as before."""

    def denied(name: str) -> None:
        if name == "run.create":
            raise refusal(403, "Permission 'iam.serviceaccounts.actAs' denied", denied=True)

    cloud.before_call = denied
    with pytest.raises(Trouble) as caught:
        replace(WISH, name="other").create(cloud, work())
    assert (caught.value.code, caught.value.facts["denied"]) == ("denied", True)


def box(**changes: Any) -> Service:
    return replace(WISH, containers=(replace(CONTAINER, **changes),))


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (box(startup_probe=Probe("http", 8080, "/ready", timeout=5, period=2)), "timeout 5 s is longer than period 2 s"),
        (box(startup_probe=Probe("tcp", 8080, period=240, timeout=240, failures=8)), "is 1920 s, at most 1800 s"),
        (
            box(liveness_probe=Probe("http", 8080, "/health", timeout=11)),
            "liveness probe: timeout 11 s is longer than period 10 s",
        ),
        (box(env=(EnvVar("A", "1"), SecretEnv("A", "hf"))), "variable A is there twice"),
        (box(env=(SecretEnv("A", "", "1"),)), "variable A names no secret"),
        (box(env=(SecretEnv("A", "hf", ""),)), "variable A names no version"),
        (box(mounts=(Mount("m", "/mnt"), Mount("n", "/mnt/"))), "mount path /mnt is there twice"),
        (box(working_dir="app"), "container 0: working directory 'app' should be a valid unix absolute path"),
        (replace(WISH, volumes=(GcsVolume("a b", "bucket"),)), "should only have alphanumeric characters"),
        (replace(WISH, volumes=(SecretVolume("s", ""),)), "volume 's' names no secret"),
        (replace(WISH, gpu_type="nvidia-t4"), "accelerator 'nvidia-t4' is none of Cloud Run's"),
        (replace(box(startup_probe=Probe("tcp", 8080, period=100, failures=7)), gpu_type=None), "at most 600 s"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_what_validate_only_misses_is_refused_here(cloud: FakeCloud, wish: Service, words: str) -> None:
    """Each rule that the live API does not look at in a dry run: no call is made, and the field is named."""
    with pytest.raises(Trouble) as caught:
        wish.create(cloud, work())
    assert (caught.value.code, caught.value.exit) == ("service-illegal", Exit.REFUSED)
    assert words in caught.value.why
    assert cloud.calls == []
