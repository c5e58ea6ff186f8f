"""The executor: order, failure, limits, interruption."""

from __future__ import annotations

import _thread
import threading

import pytest

from gemmactl.errors import Trouble
from gemmactl.kernel import events as ev
from gemmactl.kernel.apply import Outcome, Patience, apply
from gemmactl.kernel.plan import Op, make_plan, make_teardown
from gemmactl.kernel.reference import Digest
from tests.kernel.toy import Grant, Image, Killed, Thing, ToyClock, ToyCloud, refusal


def run(stack, cloud, **kwargs) -> Outcome:
    return apply(make_plan(stack, cloud), cloud, **kwargs)


def test_a_failed_step_fails_alone_and_its_dependants_are_skipped():
    """What doesn't need the failed step is finished; what does is skipped and says why."""

    def broken(call, name):
        if (call, name) == ("create", "b"):
            raise Trouble("boom", why="w", remedy="r", code="boom")

    cloud, told = ToyCloud(before=broken), []
    stack = [Thing("a"), Thing("b", parents=("a",)), Thing("c", parents=("b",)), Thing("d", parents=("a",))]
    outcome = run(stack, cloud, events=told.append)
    assert set(outcome.done) == {"a", "d"}
    assert {a: t.code for a, t in outcome.failed.items()} == {"b": "boom"}
    assert outcome.skipped == ("c",)
    assert not outcome.ok
    assert [e.because for e in told if isinstance(e, ev.Skipped)] == ["needs b"]


def test_an_unforeseen_exception_is_a_failure_with_its_cause():
    """A bug in one step does not hang or kill the others, and keeps its traceback."""

    def bug(call, name):
        if (call, name) == ("create", "a"):
            raise ZeroDivisionError("x")

    outcome = run([Thing("a"), Thing("b")], ToyCloud(before=bug))
    assert outcome.done == ("b",)
    assert isinstance(outcome.failed["a"].__cause__, ZeroDivisionError)


def test_a_plan_with_a_blocked_step_does_not_start():
    """BLOCKED refuses the whole plan before any write."""
    cloud = ToyCloud({"a": {"color": "x", "place": "here", "image": None}})
    with pytest.raises(Trouble) as caught:
        run([Thing("a", place="there"), Thing("b")], cloud)
    assert int(caught.value.exit) == 4
    assert cloud.writes == []


def test_steps_with_one_lock_never_overlap():
    """Two writes of one policy wait for each other; others run beside them."""
    inside: list[str] = []
    most = 0

    def watch(call, name):
        nonlocal most
        if call == "create":
            inside.append(name)
            most = max(most, len(inside))
            threading.Event().wait(0.01)
        if call == "created":
            inside.remove(name)

    run([Thing(f"t{i}", guard="policy") for i in range(6)], ToyCloud(before=watch))
    assert most == 1


def test_independent_steps_run_side_by_side():
    """Two steps without a common need are under way at the same time: each waits for the other here."""
    meet = threading.Barrier(2, timeout=5)

    def together(call, _name):
        if call == "create":
            meet.wait()

    assert run([Thing("a"), Thing("b")], ToyCloud(before=together)).ok


def test_order_holds_through_a_step_that_is_kept():
    """A waits for C when only a B that is already there stands between them."""
    cloud = ToyCloud({"b": {"color": "x", "place": "p", "image": None}})
    run([Thing("a", parents=("b",)), Thing("b", parents=("c",)), Thing("c")], cloud)
    assert [name for call, name in cloud.calls if call == "create"] == ["c", "a"]


def test_a_reference_is_resolved_right_before_its_step():
    """The service gets the digest that the image step just made."""
    cloud = ToyCloud()
    run([Image("r/i:t"), Thing("a", image=Digest("r/i:t", "r/i:t"), parents=("r/i:t",))], cloud)
    assert cloud.things["a"]["image"] == "r/i@sha256:1"


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_finishes_what_runs_and_starts_no_more():
    """After Ctrl-C the running step ends whole, nothing new starts, and the outcome says interrupted."""

    def interrupt(call, name):
        if (call, name) == ("create", "a"):
            _thread.interrupt_main()

    cloud, told = ToyCloud(before=interrupt), []
    outcome = run([Thing("a"), Thing("b", parents=("a",))], cloud, events=told.append)
    assert outcome.interrupted
    assert outcome.done == ("a",)
    assert "a" in cloud.things
    assert "b" not in cloud.things
    assert [e.because for e in told if isinstance(e, ev.Skipped)] == ["interrupted"]
    assert [e for e in told if isinstance(e, ev.Stopping)] == [ev.Stopping(("a",))]


def test_a_step_that_hangs_is_given_up_by_name():
    """A call that never returns ends as step-timeout of that step; what needs it is skipped, the rest is done."""
    forever = threading.Event()
    time = ToyClock()

    def hang(call, name):
        if (call, name) == ("create", "a"):
            time.time += 10_000
            forever.wait(20)

    outcome = run([Thing("a"), Thing("b", parents=("a",)), Thing("c")], ToyCloud(before=hang), clock=time.clock)
    forever.set()
    assert outcome.failed["a"].code == "step-timeout"
    assert outcome.skipped == ("b",)
    assert outcome.done == ("c",)


def test_a_wait_does_not_pass_its_deadline():
    """A long poll inside a step ends with step-timeout when its limit is over, not later."""
    time = ToyClock()

    class Slow(Thing):
        def create(self, cloud, work):
            while True:
                work.wait(7)

    outcome = run([Slow("a")], ToyCloud(), clock=time.clock)
    assert outcome.failed["a"].code == "step-timeout"
    assert sum(time.naps) == Thing.limit


@pytest.mark.parametrize("fresh", [True, False])
def test_a_denial_is_retried_only_after_a_grant_of_this_very_apply(fresh):
    """IAM is eventually consistent: a step that needs a binding made now is patient, one that needs an old one fails at once."""
    left = [3]

    def not_yet(call, name):
        if (call, name) == ("create", "b") and left[0]:
            left[0] -= 1
            raise refusal()

    cloud = ToyCloud({} if fresh else {"grant": {"color": "c", "place": "p", "image": None}}, before=not_yet)
    time = ToyClock()
    outcome = run([Grant("grant"), Thing("b", parents=("grant",))], cloud, clock=time.clock, patience=Patience(total=60))
    assert outcome.ok is fresh
    assert bool(time.naps) is fresh


@pytest.mark.parametrize("names", ["grant", "another"])
def test_a_denial_that_contradicts_a_grant_that_stands_is_retried(names):
    """An apply that was killed may have made it just before; a refusal that has nothing to do with it is told at once."""

    class Cure(Grant):
        def cures(self, trouble):
            return self.name in str(trouble.facts)

    left = [3]

    def not_yet(call, name):
        if (call, name) == ("create", "b") and left[0]:
            left[0] -= 1
            raise refusal(reason=names)

    cloud = ToyCloud({"grant": {"color": "c", "place": "p", "image": None}}, before=not_yet)
    time = ToyClock()
    outcome = run([Cure("grant"), Thing("b", parents=("grant",))], cloud, clock=time.clock, patience=Patience(total=60))
    assert outcome.ok is (names == "grant")
    assert bool(time.naps) is (names == "grant")


@pytest.mark.parametrize("facts", [{"denied": True}, {"status": 403}, {"denied": False}, {}])
def test_only_what_time_can_cure_is_waited_for(facts):
    """A step waits until a grant, an account or an API of this apply is seen; any other refusal is told at once."""
    left = [2]

    def refuse(call, name):
        if (call, name) == ("create", "b") and left[0]:
            left[0] -= 1
            raise Trouble("no", why="no", remedy="ask", facts=facts)

    time = ToyClock()
    outcome = run([Grant("grant"), Thing("b", parents=("grant",))], ToyCloud(before=refuse), clock=time.clock)
    assert outcome.ok is bool(facts.get("denied"))
    assert bool(time.naps) is bool(facts.get("denied"))


def test_a_read_waits_for_an_api_that_was_just_enabled():
    """The live state of a step behind a fresh API is asked for until the API has arrived."""
    left = [4]

    def disabled(call, name):
        if (call, name) == ("read", "a") and left[0]:
            left[0] -= 1
            raise refusal(reason="SERVICE_DISABLED")

    time = ToyClock()
    cloud = ToyCloud(before=disabled)
    plan = make_plan([Grant("api"), Thing("a", parents=("api",))], cloud)
    assert apply(plan, cloud, clock=time.clock).ok
    assert len(time.naps) == 3


def test_patience_ends():
    """A denial that never goes away fails with the denial itself, within the patience."""

    def never(call, name):
        if (call, name) == ("create", "b"):
            raise refusal()

    time = ToyClock()
    outcome = run(
        [Grant("grant"), Thing("b", parents=("grant",))],
        ToyCloud(before=never),
        clock=time.clock,
        patience=Patience(total=60),
    )
    assert outcome.failed["b"].code == "denied"
    assert time.time <= 60


def test_an_unknown_step_is_read_again_before_it_acts():
    """A thing that was there all along, hidden by its disabled API, is updated or kept, not made twice."""
    off = [True]

    def disabled(call, name):
        if call == "read" and name == "a" and off[0]:
            raise refusal(reason="SERVICE_DISABLED")
        if (call, name) == ("create", "api"):
            off[0] = False

    cloud = ToyCloud({"a": {"color": "red", "place": "p", "image": None}}, before=disabled)
    plan = make_plan([Thing("api"), Thing("a", color="red", parents=("api",))], cloud)
    assert apply(plan, cloud).ok
    assert ("create", "a") not in cloud.calls


def test_teardown_goes_backwards():
    """What needs a thing is removed before the thing."""
    stack = [Thing("a"), Thing("b", parents=("a",)), Thing("c", parents=("b",))]
    cloud = ToyCloud()
    run(stack, cloud)
    plan = make_teardown(stack, cloud)
    assert all(s.op is Op.DELETE for s in plan.steps)
    assert apply(plan, cloud).ok
    assert [n for c, n in cloud.calls if c == "delete"] == ["c", "b", "a"]
    assert cloud.things == {}


def test_the_end_of_the_process_is_not_swallowed():
    """Something that is no Exception leaves apply as it is."""

    def die(call, _name):
        if call == "create":
            raise Killed

    with pytest.raises(Killed):
        run([Thing("a")], ToyCloud(before=die))
