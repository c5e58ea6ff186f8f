"""Deploys through bad weather: Google's clients and the sandbox, every fifth request refused, grants that take two minutes.

The service itself, whose container would be started many times over, goes through the same in memory: test_killed.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock

import pytest

from gemmactl import stack
from gemmactl.errors import Trouble
from gemmactl.gcp.cloud import GoogleCloud, connect
from gemmactl.kernel.apply import Outcome, apply
from gemmactl.kernel.plan import make_plan
from gemmactl.kernel.resource import Clock, Resource
from gemmactl.resources import names
from gemmactl.sandbox.assembly import assemble
from gemmactl.sandbox.endpoint import Endpoint
from gemmactl.sandbox.faults import Fault
from gemmactl.sandbox.server import Server
from gemmactl.sandbox.world import World
from gemmactl.serving.preflight import look
from gemmactl.spec import Serve, Token, parse_model
from tests.fakes.cloud import FakeCloud
from tests.serving.ear import SAMPLE

WISH = Serve("gemmactl-sandbox", "us-central1", parse_model(str(SAMPLE)), "gemma", hf_token=Token("hf_x"))


class Time:
    """Everybody's clock, sandbox and tool alike: a sleep is over at once, and the time has passed."""

    def __init__(self) -> None:
        self.slept, self.begin, self._lock = 0.0, datetime.now(UTC), Lock()

    def now(self) -> datetime:
        return self.begin + timedelta(seconds=self.slept)

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept += seconds

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.slept, self.sleep)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = assemble(World(tmp_path / "home", clock=Time()))
    made.settings = replace(made.settings, pace=0.0)
    server = Server(made)
    server.start()
    yield made
    server.shutdown()
    server.server_close()
    made.close()


def open_cloud(world: World) -> GoogleCloud:
    assert isinstance(world.clock, Time)
    endpoint = Endpoint(world.base_url, world.project, world.number, secret=world.secret)
    return connect(world.project, endpoint, clock=world.clock.clock)


def storm(world: World) -> list[Fault]:
    """20 % of all requests: half of them not carried out, half carried out but the answer is lost; 429, 503 and 500."""
    each = 1 - 0.8 ** (1 / 6)
    found = [
        Fault(".", status=status, message="a storm", times=0, share=each, when=when)
        for status in ("RESOURCE_EXHAUSTED", "UNAVAILABLE", "INTERNAL")
        for when in ("before", "after")
    ]
    for fault in found:
        world.faults.add(fault)
    return found


def deployed(world: World, things: tuple[Resource, ...]) -> Outcome:
    """One deploy as a process of its own would do it."""
    cloud = open_cloud(world)
    assert isinstance(world.clock, Time)
    return apply(make_plan(things, cloud), cloud, clock=world.clock.clock)


def failures(world: World, things: tuple[Resource, ...]) -> tuple[str, ...]:
    """What a deploy could not do, or could not even look at."""
    try:
        outcome = deployed(world, things)
        return (
            () if outcome.ok else tuple(f"{address}: {trouble}" for address, trouble in outcome.failed.items()) or ("not done",)
        )
    except Trouble as trouble:
        return (str(trouble),)


def test_every_fifth_request_fails_and_grants_take_two_minutes(world: World) -> None:
    """Whatever a service stands on gets through both, or does when the same is asked again; nothing is there twice."""
    time = world.clock
    assert isinstance(time, Time)
    time.sleep(200.0)  # the caller's own rights are old
    world.settings = replace(world.settings, grant_delay=120.0)
    things = tuple(r for r in stack.serving(look(WISH, FakeCloud()).wish) if r.kind != "service")
    faults, runs = storm(world), 1
    while (told := failures(world, things)) and runs < 3:
        runs += 1
    assert told == ()
    assert sum(fault.hits for fault in faults) > 20
    assert time.slept > 200 + 120  # the grants were waited for
    world.faults.clear()
    cloud = open_cloud(world)
    assert make_plan(things, cloud).work == ()
    assert cloud.secrets.newest_version(f"projects/{world.project}/secrets/{names.token_secret('gemma', 'us-central1')}") == "1"
