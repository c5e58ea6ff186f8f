"""A deploy that dies after any one of its calls, one whose writes fail at random, one whose grants take their time: all end
where an undisturbed one does.
"""

from __future__ import annotations

import contextlib
import random
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from gemmactl import stack
from gemmactl.kernel.apply import apply
from gemmactl.kernel.plan import make_plan
from gemmactl.kernel.resource import Clock, Resource
from gemmactl.resources.cloud import BuildInfo, PolicyTarget
from gemmactl.resources.context import BuildContext
from gemmactl.resources.local_model import LocalModel, read_folder
from gemmactl.serving.preflight import look
from gemmactl.serving.rollout import Prover, Way
from gemmactl.spec import Serve, Token, parse_model
from tests.fakes.cloud import FakeCloud, refusal
from tests.fakes.slow_grants import SlowGrants
from tests.kernel.toy import Killed, ToyClock
from tests.serving.ear import SAMPLE, Ear, place

WISH = Serve("demo-proj", "us-central1", parse_model(str(SAMPLE)), "gemma", hf_token=Token("hf_x"))
CONTEXT = BuildContext((("inference_image/Dockerfile", b"FROM scratch"),), "ab" * 32)
PASSING = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z|'(generation|observedGeneration|etag|uid|createTime|updateTime)': '?[^',}]*'?")
WRITES = re.compile(r"\.(create|create_bucket|update|update_bucket|add|add_version|enable|write|start)$")


@dataclass
class Fate:
    """Kills the process after its nth call: whoever calls after that is dead too. `calls` counts."""

    at: int
    calls: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def after(self, _name: str) -> None:
        with self.lock:
            self.calls += 1
            if self.calls == self.at:
                raise Killed

    def before(self, _name: str) -> None:
        with self.lock:
            if self.calls >= self.at:
                raise Killed


@cache
def looked() -> tuple[Serve, LocalModel]:
    """The wish after a look at its model, and the model's files."""
    return look(WISH, FakeCloud()).wish, read_folder(SAMPLE)


def wanted(cloud: FakeCloud) -> tuple[Resource, ...]:
    """The stack as deploy wishes it, the smoke test included."""
    wish, files = looked()
    return stack.serving(wish, context=CONTEXT, local=files, rollout=Prover(place(cloud), Ear()).rollout(Way()))


def deploy(cloud: FakeCloud, clock: Clock | None = None) -> None:
    outcome = apply(make_plan(wanted(cloud), cloud), cloud, clock=clock or Clock(sleep=lambda _seconds: None))
    assert outcome.ok, {address: str(trouble) for address, trouble in outcome.failed.items()}


def fresh() -> FakeCloud:
    """An empty project, in which a build takes its time."""
    cloud = FakeCloud(enforce_apis=True)
    cloud.build = BuildInfo("", "QUEUED")
    return cloud


def slow(clock: ToyClock, unit: float, last: int = 8) -> FakeCloud:
    """The same with slow grants: each kind takes its own multiple of `unit` seconds, so that each is missed in its turn.

    `last`: that of the model's.
    """

    def takes(target: PolicyTarget) -> float:
        return unit * {"repository": 3, "secret": 5}.get(target.kind, 1 if "-build-" in target.name else last)

    cloud = fresh()
    cloud.slow = SlowGrants(takes, lambda: clock.time)
    return cloud


def dying(at: int, cloud: FakeCloud | None = None, clock: Clock | None = None) -> tuple[FakeCloud, int]:
    """A cloud in which a deploy died after its nth call, and how many calls there were."""
    cloud, fate = cloud or fresh(), Fate(at)
    cloud.before_call, cloud.after_call = fate.before, fate.after
    until_dead(lambda: deploy(cloud, clock), {resource.address for resource in wanted(cloud)})
    cloud.before_call = cloud.after_call = lambda _name: None
    return cloud, fate.calls


def until_dead(act: Callable[[], None], addresses: set[str]) -> None:
    """What is killed, and with it the steps that were under way: they die at their next call."""
    with contextlib.suppress(Killed):
        act()
    for thread in threading.enumerate():
        if thread.daemon and thread.name in addresses:
            thread.join(5)


def shape(cloud: FakeCloud) -> dict[str, Any]:
    """What stands in the cloud, without times, counters and the order in which things came."""
    state = cloud.state
    return {
        "accounts": sorted(state.accounts),
        "policies": {str(t): {role: sorted(m) for role, m in roles.items()} for t, roles in state.policies.items()},
        "repositories": state.repositories,
        "images": sorted(state.images),
        "buckets": sorted(state.buckets),
        "objects": {key: (info.size, info.crc32c) for key, (info, _) in state.objects.items()},
        "versions": {name: len(versions) for name, versions in state.versions.items()},
        "builds": len(state.builds),
        "revisions": sorted(state.revisions),
        "services": PASSING.sub("", str(state.services)),
    }


ATTEMPTS = {"builds", "revisions", "services"}
"""What also counts the attempts that a slow grant refused."""


def standing(cloud: FakeCloud) -> dict[str, Any]:
    """The shape without attempts, and of the service what runs now and who gets its requests."""
    ((name, service),) = cloud.state.services.items()
    newest = service["latestReadyRevision"].rpartition("/")[2]
    template = {key: value for key, value in service["template"].items() if key != "labels"}
    targets = str(service["trafficStatuses"]).replace(newest, "newest")
    found = {key: value for key, value in shape(cloud).items() if key not in ATTEMPTS}
    return {**found, name: template, "targets": targets, "ready": service["latestCreatedRevision"].endswith(newest)}


@cache
def calm() -> tuple[FakeCloud, int]:
    """An undisturbed deploy, and how many calls it makes."""
    return dying(10_000)


def test_killed_after_every_single_call_it_resumes() -> None:
    """Each call of the whole deploy once: nothing is made twice, nothing is missing, and the plan after it is empty."""
    undisturbed, calls = calm()
    assert calls > 60
    for at in range(1, calls + 1):
        cloud, _ = dying(at)
        deploy(cloud)
        assert shape(cloud) == shape(undisturbed), f"killed after call {at}"
        assert make_plan(wanted(cloud), cloud).work == (), f"killed after call {at}"


class Storm:
    """Every fifth write fails by chance, not carried out or carried out and not answered. Gateways try reads again themselves."""

    def __init__(self, seed: int) -> None:
        self.chance, self.hits, self.lock = random.Random(seed), 0, threading.Lock()

    def __call__(self, name: str) -> None:
        with self.lock:
            if not WRITES.search(name) or self.chance.random() > 0.1:  # before and after: 19 % together
                return
            self.hits += 1
            status = self.chance.choice((429, 500, 503))
        raise refusal(status, f"{name}: a storm", passing=8)


def test_a_deploy_whose_writes_fail_at_random_converges() -> None:
    """429, 500 and 503, ten times over, with grants at once and with slow ones: the whole deploy, roll-out and smoke test
    included, in one go.
    """
    hits = 0
    for seed in range(10):
        time, storm = ToyClock(), Storm(seed)
        for cloud, same in ((fresh(), shape), (slow(time, 30.0), standing)):
            cloud.before_call = cloud.after_call = storm
            deploy(cloud, time.clock)
            cloud.before_call = cloud.after_call = lambda _name: None
            assert same(cloud) == same(calm()[0]), f"seed {seed}"
            assert make_plan(wanted(cloud), cloud).work == (), f"seed {seed}"
        hits += storm.hits
    assert hits > 40


def test_killed_while_its_grants_are_on_their_way_it_resumes() -> None:
    """Cloud Build can't read yet, nor push; the service can't read its secret, nor its model. Killed after any call and begun
    again at once, when the grants stand and nobody sees them, it waits as the undisturbed one does.
    """
    time = ToyClock()
    undisturbed, _ = dying(10_000, slow(time, 40.0, 12), time.clock)
    assert undisturbed.slow is not None
    assert time.time > 200
    told = " ".join(undisturbed.slow.refused)
    assert all(word in told for word in ("could not resolve source", "denied: Permission", "on secret", "startup probe")), told
    assert standing(undisturbed) == standing(calm()[0])
    time = ToyClock()
    brief, calls = dying(10_000, slow(time, 6.0, 12), time.clock)
    assert brief.slow is not None
    assert {text[:6] for text in brief.slow.refused} == {text[:6] for text in undisturbed.slow.refused}
    first = next(number for number, call in enumerate(brief.calls, 1) if call.name == "policies.add")
    for at in range(first, calls + 1, 2):  # a death before the first grant is the law above
        time = ToyClock()
        cloud, _ = dying(at, slow(time, 6.0, 12), time.clock)
        deploy(cloud, time.clock)
        assert standing(cloud) == standing(calm()[0]), f"killed after call {at}"
        assert make_plan(wanted(cloud), cloud).work == (), f"killed after call {at}"
