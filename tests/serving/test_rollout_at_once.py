"""Deploys that nobody waits for, that meet another one, or that are killed: what serves was always proven. In memory."""

from __future__ import annotations

import _thread
import contextlib
import threading
from dataclasses import replace

import pytest

from gemmactl.errors import Exit, Trouble
from gemmactl.kernel.events import Event, Stopping
from gemmactl.kernel.plan import make_plan
from gemmactl.resources.cloud import Json
from gemmactl.resources.service_rollout import Rollout
from gemmactl.result import Result
from gemmactl.serving.deploy import deploy
from gemmactl.serving.rollout import way
from tests.fakes.cloud import FakeCloud
from tests.resources.wishes import SPEC, go, stack
from tests.serving.ear import Ear, place, with_model
from tests.serving.rolling import DEAD, NEWEST, NEXT, WISH, Looking, live, pending, run, shares


@pytest.fixture
def cloud() -> FakeCloud:
    return with_model(FakeCloud())


# --- nobody waits
def test_async_writes_and_leaves_the_proof_to_the_next(cloud: FakeCloud) -> None:
    """No smoke test, no requests for the new revision, said so; the same command without --async goes on from there."""
    run(cloud)
    cloud.polls, wire = 3, Looking(cloud)
    result = run(cloud, NEXT, wire, wait=False, again="gemmactl deploy m --timeout 900")
    assert (result.exit, wire.seen, result.data["smoke"]) == (Exit.OK, [], None)
    assert shares(live(cloud))["gemma-00001-tst"] == 100
    assert result.next[-1] == "gemmactl deploy m --timeout 900"
    (operation,) = cloud.rolling
    while not cloud.run.finished(operation):
        pass
    assert pending(cloud, NEXT) == ["tested"]
    assert run(cloud, NEXT).exit is Exit.OK
    assert (live(cloud)["traffic"], len(cloud.state.revisions)) == ([NEWEST], 2)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_leaves_a_rollout_and_says_how_to_join_it(cloud: FakeCloud) -> None:
    """130, the command that joins, no request moved; that command waits for the same revision and ends it."""
    run(cloud)
    cloud.polls = 10**9

    def interrupt(name: str) -> None:
        if name == "run.finished":
            cloud.before_call = lambda _name: None
            _thread.interrupt_main()

    cloud.before_call = interrupt
    left = run(cloud, NEXT, again="gemmactl deploy m --timeout 900")
    assert (left.exit, left.problems[0].code) == (Exit.INTERRUPTED, "detached")
    assert left.problems[0].remedy.startswith("gemmactl deploy m --timeout 900 joins what is under way")
    assert (left.data["left"], shares(live(cloud))["gemma-00001-tst"]) == (["service us-central1/gemma"], 100)
    (operation,) = cloud.rolling
    cloud.rolling[operation] = (1, cloud.rolling[operation][1])

    def end(name: str) -> None:
        if name == "run.get" and operation in cloud.rolling:
            cloud.run.finished(operation)

    cloud.before_call = end
    assert run(cloud, NEXT).exit is Exit.OK
    assert (live(cloud)["traffic"], len(cloud.state.revisions)) == ([NEWEST], 2)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_after_the_start_sends_no_prompt_and_moves_nothing(cloud: FakeCloud) -> None:
    """The revision became ready in the same moment: it is left where it is, and a plan knows what it waits for."""
    run(cloud)
    wire, ear, stopping = Looking(cloud), Ear(), threading.Event()

    def interrupt(name: str) -> None:
        if name == "run.finished":
            cloud.before_call = lambda _name: None
            _thread.interrupt_main()
            assert stopping.wait(20)

    def hear(event: Event) -> None:
        if isinstance(event, Stopping):
            stopping.set()

    ear.events = hear  # type: ignore[method-assign]  # this ear listens for one thing
    cloud.before_call = interrupt
    left = deploy(NEXT, place(cloud, wire), ear, yes=True)
    assert (left.problems[0].code, wire.seen) == ("detached", [])
    assert shares(live(cloud)) == {"gemma-00001-tst": 100, "gemma-00002-tst": 0}
    assert pending(cloud, NEXT) == ["tested"]


def test_flags_that_contradict_each_other_are_refused() -> None:
    """A share and none can't both be meant."""
    with pytest.raises(Trouble) as caught:
        way(10, no_traffic=True, wait=True, again="")
    assert (caught.value.code, caught.value.exit) == ("flags-contradict", Exit.USAGE)
    assert [way(c, no_traffic=n, wait=True, again="").share for c, n in ((None, False), (10, False), (None, True))] == [
        100,
        10,
        0,
    ]


# --- two at once
def test_two_deploys_of_the_same_wish_end_well(cloud: FakeCloud) -> None:
    """The second comes while the first one asks: one revision, both are satisfied."""
    run(cloud)
    second: list[Result] = []
    wire = Looking(cloud, lambda: second.append(run(cloud, NEXT)))
    assert (run(cloud, NEXT, wire).exit, second[0].exit) == (Exit.OK, Exit.OK)
    assert (live(cloud)["traffic"], len(cloud.state.revisions)) == ([NEWEST], 2)


def test_a_deploy_that_was_overtaken_lets_no_untested_revision_in(cloud: FakeCloud) -> None:
    """Another wish is written while the first one asks, and its revision does not answer: the old one serves, both say so."""
    run(cloud)
    other = replace(WISH, timeout=600)
    second: list[Result] = []
    wire = Looking(cloud, lambda: second.append(run(cloud, other, DEAD)))
    first = run(cloud, NEXT, wire)
    assert (first.exit, first.problems[0].code, second[0].exit) == (Exit.FAILURE, "overtaken", Exit.GATE)
    assert shares(live(cloud)) == {"gemma-00001-tst": 100, "gemma-00003-tst": 0}
    assert live(cloud)["template"]["timeout"] == "600s"


def test_a_deploy_whose_revision_was_replaced_while_it_started_tests_nothing(cloud: FakeCloud) -> None:
    """Another wish comes while the first one waits for its start: the first sends no prompt to what is not its own."""
    run(cloud)
    second: list[Result] = []

    def other(name: str) -> None:
        if name == "run.finished":
            cloud.before_call = lambda _name: None
            second.append(run(cloud, replace(WISH, timeout=600)))

    cloud.before_call, wire = other, Looking(cloud)
    first = run(cloud, NEXT, wire)
    assert (first.problems[0].code, first.problems[0].why, wire.seen) == ("overtaken", "it changed timeout", [])
    assert (second[0].exit, shares(live(cloud))) == (Exit.OK, {"gemma-00003-tst": 100})


def test_the_later_of_two_deploys_serves(cloud: FakeCloud) -> None:
    """The same with a second one that answers: its revision has the requests, and nothing of its wish is lost."""
    run(cloud)
    other = replace(WISH, timeout=600, auth="public")
    second: list[Result] = []
    wire = Looking(cloud, lambda: second.append(run(cloud, other)))
    first = run(cloud, NEXT, wire)
    assert (first.problems[0].code, second[0].exit) == ("overtaken", Exit.OK)
    assert shares(live(cloud)) == {"gemma-00003-tst": 100}
    assert pending(cloud, other) == []


# --- killed
class Killed(BaseException):
    """The process dies here."""


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_rollout_killed_at_any_call_resumes(side: str) -> None:
    """Killed at each call of a public deploy over a running one: what serves was always proven, and the same deploy ends it."""

    def deployed(timeout: int, cloud: FakeCloud, proven: list[str]) -> None:
        def prove(body: Json, _work: object) -> None:
            proven.append(body["latestReadyRevision"].rpartition("/")[2])

        wish = replace(SPEC, timeout=timeout, auth="public")
        outcome = go(make_plan(stack(wish, rollout=Rollout(prove=prove)), cloud), cloud)
        assert outcome.ok, outcome.failed

    def attempt(at: int) -> bool:
        """Whether there was a call of that number to die at."""
        cloud, proven = with_model(FakeCloud()), ["gemma-3-4b-00001-tst"]
        deployed(60, cloud, proven)
        left = [at]

        def hook(name: str) -> None:
            left[0] -= name.startswith("run.")
            if not left[0]:
                left[0] = -1
                raise Killed

        setattr(cloud, f"{side}_call", hook)
        with contextlib.suppress(Killed):
            deployed(120, cloud, proven)
        died = left[0] < 0
        setattr(cloud, f"{side}_call", lambda _name: None)
        (body,) = cloud.state.services.values()
        assert {name for name, share in shares(body).items() if share} <= set(proven)
        deployed(120, cloud, proven)
        (body,) = cloud.state.services.values()
        assert (body["traffic"], len(cloud.state.revisions)) == ([NEWEST], 2)
        return died

    calls = 1
    while attempt(calls):
        calls += 1
    assert calls > 6
