"""The planner: what is wanted against what is there."""

from __future__ import annotations

import threading

import pytest

from gemmactl.errors import Exit, Trouble
from gemmactl.kernel.apply import apply
from gemmactl.kernel.plan import Op, agrees, make_plan, make_teardown
from gemmactl.kernel.reference import Digest, Version, references, resolve
from tests.kernel.toy import Image, Thing, ToyCloud, refusal


def ops(plan):
    return {s.address: s.op for s in plan.steps}


def test_fifty_things_are_read_at_the_same_time():
    """Fifty reads that wait for each other all get their answer, the late reference's among them: one round in all."""
    meet = threading.Barrier(50, timeout=30)
    cloud = ToyCloud(before=lambda _call, _name: meet.wait() and None)
    cloud.digest_of = lambda _tag: meet.wait() and None  # type: ignore[method-assign]  # asked beside the reads
    things = [Thing(f"t{number}") for number in range(48)]
    plan = make_plan([*things, Thing("last", image=Digest("h/p/r/n:t", "t0"))], cloud)
    assert len(plan.work) == 49


def test_a_missing_thing_is_created_and_a_present_one_kept():
    """A thing that is not there becomes CREATE, one that meets the wishes KEEP."""
    cloud = ToyCloud({"b": {"color": "red", "place": "here", "image": None}})
    assert ops(make_plan([Thing("a"), Thing("b", color="red")], cloud)) == {"a": Op.CREATE, "b": Op.KEEP}


def test_none_is_no_opinion():
    """A field without a wish never makes a difference, whatever the server filled in."""
    cloud = ToyCloud({"a": {"color": "server's default", "place": "there", "image": "x"}})
    assert ops(make_plan([Thing("a")], cloud)) == {"a": Op.KEEP}


def test_a_difference_is_named_field_by_field():
    """An UPDATE says which field, what it is and what it will be."""
    cloud = ToyCloud({"a": {"color": "red", "place": "here", "image": None}})
    (step,) = make_plan([Thing("a", color="blue", place="here")], cloud).steps
    assert step.op is Op.UPDATE
    assert [(c.field, c.live, c.wanted) for c in step.changes] == [("color", "red", "blue")]


def test_a_fixed_field_blocks():
    """A difference in a field that can't change in place makes the step BLOCKED, with the way out in its note."""
    cloud = ToyCloud({"a": {"color": "red", "place": "here", "image": None}})
    plan = make_plan([Thing("a", color="blue", place="there")], cloud)
    assert [s.op for s in plan.blocked] == [Op.BLOCKED]
    assert plan.blocked[0].note


@pytest.mark.parametrize(
    ("stack", "code"),
    [
        ([Thing("a", parents=("b",)), Thing("b", parents=("a",))], "cycle"),
        ([Thing("a", color="red"), Thing("a", color="blue")], "duplicate-address"),
    ],
)
def test_a_stack_that_is_not_well_formed_is_refused_before_any_call(stack, code):
    """A circle of needs and two things with one address are errors, not silence."""
    cloud = ToyCloud()
    with pytest.raises(Trouble) as caught:
        make_plan(stack, cloud)
    assert caught.value.code == code
    assert cloud.calls == []


def test_steps_stand_in_the_order_of_their_needs():
    """Every need comes before what needs it, however the stack was written; a need outside the stack counts as met."""
    plan = make_plan([Thing("c", parents=("b",)), Thing("b", parents=("a", "outside")), Thing("a")], ToyCloud())
    assert [s.address for s in plan.steps] == ["a", "b", "c"]


def test_a_plan_only_reads():
    """Planning makes no write call, neither forward nor backward."""
    cloud = ToyCloud({"a": {"color": "red", "place": "here", "image": None}})
    make_plan([Thing("a", color="blue"), Thing("b")], cloud)
    make_teardown([Thing("a"), Thing("b")], cloud)
    assert cloud.writes == []


def test_a_disabled_api_makes_the_step_unknown():
    """What can't be read because its API is off is planned as unknown; any other refusal ends the planning."""

    def disabled(_call, name):
        if name == "a":
            raise refusal(reason="SERVICE_DISABLED")

    (step,) = make_plan([Thing("a")], ToyCloud(before=disabled)).steps
    assert (step.op, step.unknown) == (Op.CREATE, True)

    def billing(_call, _name):
        raise refusal(reason="BILLING_DISABLED")

    with pytest.raises(Trouble):
        make_plan([Thing("a")], ToyCloud(before=billing))


def test_what_may_not_be_looked_at_is_never_as_wished():
    """It is UNSEEN, and kept by a teardown; an apply refuses before any change, unless another hand may have made it."""

    class Theirs(Thing):
        by_others = True

    def denied(_call, name):
        if name == "a":
            raise refusal()

    cloud = ToyCloud(before=denied)
    plan = make_plan([Thing("a"), Thing("b", parents=("a",))], cloud)
    assert (ops(plan), len(plan.unseen)) == ({"a": Op.UNSEEN, "b": Op.CREATE}, 1)
    with pytest.raises(Trouble) as refused:
        apply(plan, cloud)
    assert (refused.value.code, refused.value.exit, cloud.writes) == ("unseen", Exit.REFUSED, [])
    assert apply(make_plan([Theirs("a"), Thing("b")], cloud), cloud).done == ("b",)
    (left,) = (s for s in make_teardown([Thing("a"), Thing("b")], cloud).steps if s.address == "a")
    assert (left.op, left.note) == (Op.RETAIN, "unknown (you may not look at it)")


def test_a_reference_that_is_already_true_makes_no_difference():
    """A live digest that the tag points to equals the wish."""
    cloud = ToyCloud({"r/i:t": {"digest": "sha256:1"}, "a": {"color": "c", "place": "p", "image": "r/i@sha256:1"}})
    stack = [Image("r/i:t"), Thing("a", image=Digest("r/i:t", "r/i:t"), parents=("r/i:t",))]
    assert ops(make_plan(stack, cloud)) == {"r/i:t": Op.KEEP, "a": Op.KEEP}


def test_a_reference_whose_source_will_move_is_a_change():
    """When the step that makes the value is itself pending, what refers to it is pending too."""
    cloud = ToyCloud({"s": {"version": "2", "color": "old", "place": "p"}, "a": {"color": "c", "place": "p", "image": "2"}})
    stack = [Thing("s", color="new"), Thing("a", image=Version("s", "s"), parents=("s",))]
    assert ops(make_plan(stack, cloud)) == {"s": Op.UPDATE, "a": Op.UPDATE}
    stack = [Thing("s", color="old"), stack[1]]
    assert ops(make_plan(stack, cloud)) == {"s": Op.KEEP, "a": Op.KEEP}


def test_a_reference_without_an_answer_is_an_error_that_names_its_maker():
    """Resolving fails by name when the value does not exist although its maker is done."""
    reference = Digest("r/i:t", "image serve")
    assert references((Thing("a", image=reference),)) == (reference,)
    with pytest.raises(Trouble, match="r/i:t") as caught:
        resolve(Thing("a", image=reference), ToyCloud())
    assert "image serve" in caught.value.why


def test_teardown_keeps_what_is_not_ours_and_says_why():
    """Destroy walks backwards, removes what is there and ours, and lists the rest with a reason."""

    class Foreign(Thing):
        def ours(self, cloud, live):
            return False

    class Lasting(Thing):
        lasting = "holds models"

    there = {n: {"color": "c", "place": "p", "image": None} for n in "abcd"}
    stack = [Thing("a"), Thing("b", parents=("a",)), Foreign("c"), Lasting("d"), Thing("gone")]
    plan = make_teardown(stack, ToyCloud(there), keep={"a": "used by x"})
    assert {s.address: (s.op, s.note) for s in plan.steps} == {
        "a": (Op.RETAIN, "used by x"),
        "b": (Op.DELETE, ""),
        "c": (Op.RETAIN, "not made by gemmactl"),
        "d": (Op.RETAIN, "holds models"),
    }


def test_agreement_looks_inside_nested_values():
    """None inside a nested dataclass or tuple wishes nothing; lengths and other values count."""
    assert agrees((Thing("a", color=None),), (Thing("a", color="x", place="y"),))
    assert not agrees((Thing("a"), Thing("b")), (Thing("a"),))
    assert not agrees(("x",), ("y",))
    assert not agrees(1, 2)
