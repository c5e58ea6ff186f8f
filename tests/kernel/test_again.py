"""A step whose call got no good answer begins again: it reads first, and ends after a while."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest

from gemmactl.errors import Trouble
from gemmactl.kernel import events as ev
from gemmactl.kernel.apply import Outcome, apply
from gemmactl.kernel.plan import make_plan
from tests.kernel.toy import Thing, ToyClock, ToyCloud


def weather(often: int) -> Trouble:
    """HTTP 503, worth that many tries."""
    return Trouble("503 from the cloud", why="w", remedy="r", code="unavailable", facts={"status": 503, "passing": often})


class Storm:
    """The first `lasts` calls of a kind fail: before they did anything, or after (`created`)."""

    def __init__(self, call: str, lasts: int, worth: int = 8) -> None:
        self.call, self.left, self.worth = call, lasts, worth

    def __call__(self, call: str, name: str) -> None:
        if call == self.call and name == "a" and self.left:
            self.left -= 1
            raise weather(self.worth)


def run(cloud: ToyCloud, *stack: Thing) -> tuple[Outcome, ToyClock, list[ev.Event]]:
    time, told = ToyClock(), []
    return apply(make_plan(stack, cloud), cloud, clock=time.clock, events=told.append), time, told


def test_a_call_that_was_not_carried_out_is_made_again() -> None:
    """Later each time, with words for whoever waits; what needs the step waits too."""
    cloud = ToyCloud(before=Storm("create", 3))
    outcome, time, told = run(cloud, Thing("a"), Thing("b", parents=("a",)))
    assert outcome.done == ("a", "b")
    assert time.naps == [1.0, 2.0, 4.0]
    assert next(e.text for e in told if isinstance(e, ev.Progress)).startswith("503 from the cloud: what was done is read again")


def test_a_call_whose_answer_was_lost_is_not_made_twice() -> None:
    """It was carried out: the step reads, finds it as wished, and is done."""
    cloud = ToyCloud(before=Storm("created", 1))
    outcome, _, _ = run(cloud, Thing("a", color="red"))
    assert outcome.ok
    assert cloud.writes == [("create", "a"), ("created", "a")]


def test_a_storm_that_does_not_end_is_told_as_it_is() -> None:
    """After as many tries as the trouble is worth."""
    cloud = ToyCloud(before=Storm("create", 99, worth=4))
    outcome, time, _ = run(cloud, Thing("a"))
    assert (outcome.failed["a"].code, len(time.naps)) == ("unavailable", 4)


@pytest.mark.parametrize("facts", [{"status": 503}, {"passing": 0}, {}])
def test_nobody_but_who_raises_it_knows_whether_it_passes(facts: dict[str, int]) -> None:
    """A status is no reason: a rollout that failed with 503 in its operation has failed."""

    def fail(call: str, _name: str) -> None:
        if call == "create":
            raise Trouble("no", why="w", remedy="r", code="no", facts=facts)

    outcome, time, _ = run(ToyCloud(before=fail), Thing("a"))
    assert (outcome.ok, time.naps) == (False, [])


@dataclass(frozen=True)
class Brief(Thing):
    """Has five seconds."""

    limit: ClassVar[float] = 5.0


def test_no_step_goes_beyond_its_limit() -> None:
    """However many tries it would be worth."""
    outcome, time, _ = run(ToyCloud(before=Storm("create", 99)), Brief("a"))
    assert outcome.failed["a"].code == "unavailable"
    assert sum(time.naps) < 5
