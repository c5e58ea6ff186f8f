"""Every other way to deploy through what a plain one goes through: killed after each call, writes that fail, slow grants."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from gemmactl import stack
from gemmactl.kernel.apply import apply
from gemmactl.kernel.plan import Plan, make_plan
from gemmactl.kernel.resource import Clock
from gemmactl.serving import from_yaml
from gemmactl.serving.rollout import Prover, Way
from inference_image import api_keys
from tests.fakes.cloud import FakeCloud
from tests.kernel.toy import ToyClock
from tests.knative.sheets import codelab
from tests.resources import test_stack_tune as tune
from tests.serving import test_killed as plain
from tests.serving.ear import Ear, place
from tests.serving.test_from_yaml import with_weights
from tests.serving.test_keys import SECRET, Container

Planned = Callable[[FakeCloud], Plan]


def keyed(cloud: FakeCloud) -> Plan:
    """A service that asks for API keys, proven by a key of its own."""
    wish, files = plain.looked()
    wish = replace(wish, auth="api-key")
    here = replace(place(cloud), wire=Container(cloud), api_key="")
    rollout = Prover(here, Ear()).rollout(Way())
    return make_plan(stack.serving(wish, context=plain.CONTEXT, local=files, rollout=rollout), cloud)


def canary(cloud: FakeCloud) -> Plan:
    """A second revision with a tenth of the requests."""
    wish, files = plain.looked()
    rollout = Prover(place(cloud), Ear()).rollout(Way(share=10))
    changed = replace(wish, timeout=900)
    return make_plan(stack.serving(changed, context=plain.CONTEXT, local=files, rollout=rollout), cloud)


def written(cloud: FakeCloud) -> Plan:
    """The codelab's own YAML."""
    return from_yaml.look(codelab(), place(cloud))[1].plan


def served(cloud: FakeCloud) -> dict[str, Any]:
    """The shape, what is split and what secrets hold; how often a build was begun does not count."""
    found = plain.shape(cloud)
    # whoever dies in a proof leaves its key, which nobody knows any more and which ends by itself; no other may be there
    kept: dict[str, Any] = {name: rows[-1] for name, rows in cloud.state.versions.items()}
    if SECRET in kept:
        kept[SECRET] = [key.label for key in api_keys.read(kept[SECRET][1]) if not key.expires]
    split = [s.get("trafficStatuses") for s in cloud.state.services.values()]
    return {**found, "builds": 0, "versions": kept, "split": plain.PASSING.sub("", str(split)), "apis": sorted(cloud.state.apis)}


def begun() -> FakeCloud:
    """Where the plain deploy is done, so that a canary has something to stand beside."""
    cloud = plain.fresh()
    cloud.state = copy.deepcopy(plain.calm()[0].state)
    return cloud


@dataclass(frozen=True)
class Other:
    """One way: where it begins, what it plans, what counts of the result, and whether one of its grants can be slow."""

    fresh: Callable[[], FakeCloud]
    planned: Planned
    shape: Callable[[FakeCloud], object] = served


WAYS = {
    "api-key": Other(plain.fresh, keyed),
    "canary": Other(begun, canary),
    "from-yaml": Other(lambda: with_weights(FakeCloud()), written),
    "finetune": Other(tune.fresh, lambda cloud: tune.planned(cloud, tune.with_token()), lambda cloud: tune.shape(cloud.state)),
}


def go(way: Other, cloud: FakeCloud, clock: Clock | None = None) -> None:
    outcome = apply(way.planned(cloud), cloud, clock=clock or Clock(sleep=lambda _seconds: None))
    assert outcome.ok, {address: str(trouble) for address, trouble in outcome.failed.items()}


def killed(way: Other, at: int) -> tuple[FakeCloud, int]:
    """A cloud in which it died after its nth call, and how many calls there were."""
    cloud, fate = way.fresh(), plain.Fate(at)
    cloud.before_call, cloud.after_call = fate.before, fate.after
    plain.until_dead(lambda: go(way, cloud), {s.resource.address for s in way.planned(way.fresh()).steps})
    cloud.before_call = cloud.after_call = lambda _name: None
    return cloud, fate.calls


@pytest.mark.long
@pytest.mark.parametrize("name", ["api-key", "canary"])
def test_killed_after_every_single_call_it_resumes(name: str) -> None:
    """Nothing is made twice, no test key stays for good, the split is the wished one, and the plan after it is empty."""
    way = WAYS[name]
    calm, calls = killed(way, 10_000)
    assert calls > 20
    assert way.planned(calm).work == ()
    for at in range(1, calls + 1):
        cloud, _ = killed(way, at)
        go(way, cloud)
        assert way.shape(cloud) == way.shape(calm), f"killed after call {at}"
        assert way.planned(cloud).work == (), f"killed after call {at}"


@pytest.mark.parametrize("name", WAYS)
def test_writes_that_fail_at_random(name: str) -> None:
    """A fifth of them, by 429, 500 and 503, done or not: it converges in one go, and the plan after it is empty."""
    way, hits = WAYS[name], 0
    calm = way.fresh()
    go(way, calm)
    assert way.planned(calm).work == ()
    for seed in range(6):
        cloud, storm, time = way.fresh(), plain.Storm(seed), ToyClock()
        cloud.before_call = cloud.after_call = storm
        go(way, cloud, time.clock)
        cloud.before_call = cloud.after_call = lambda _name: None
        assert way.shape(cloud) == way.shape(calm), f"seed {seed}"
        assert way.planned(cloud).work == (), f"seed {seed}"
        hits += storm.hits
    assert hits > 0


@pytest.mark.parametrize("name", ["api-key", "finetune"])
def test_grants_that_take_their_time(name: str) -> None:
    """Two minutes and more, in which builds can't read or push and a revision can't read its secrets: it waits them out."""
    way, time = WAYS[name], ToyClock()
    calm = way.fresh()
    go(way, calm)
    cloud = way.fresh()
    cloud.slow = plain.slow(time, 30.0).slow
    go(way, cloud, time.clock)
    assert cloud.slow is not None
    assert cloud.slow.refused
    assert time.time > 60
    assert way.planned(cloud).work == ()
    assert cloud.state.policies == calm.state.policies
