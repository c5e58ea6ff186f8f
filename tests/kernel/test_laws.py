"""The laws of plan and apply, on random stacks."""

from __future__ import annotations

import contextlib
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from gemmactl.kernel.apply import apply
from gemmactl.kernel.plan import make_plan, make_teardown
from tests.kernel.toy import Killed, Thing, ToyCloud


@st.composite
def stacks(draw) -> list[Thing]:
    """A random acyclic stack in random order, some fields wished, some not."""
    n = draw(st.integers(1, 9))
    things = [
        Thing(
            f"t{i}",
            color=draw(st.sampled_from([None, "red", "blue"])),
            parents=tuple(f"t{j}" for j in range(i) if draw(st.booleans())),
            guard=draw(st.sampled_from([None, "policy"])),
        )
        for i in range(n)
    ]
    return draw(st.permutations(things))


@st.composite
def clouds(draw) -> ToyCloud:
    """A cloud in which some of the things already stand, in any state."""
    there = draw(st.lists(st.integers(0, 8), unique=True))
    return ToyCloud({f"t{i}": {"color": draw(st.sampled_from(["red", "green"])), "place": "p", "image": None} for i in there})


def close(stack, cloud):
    """A parent of what stands already must stand too, as in a real cloud."""
    for thing in stack:
        if thing.name in cloud.things:
            for parent in thing.parents:
                cloud.things.setdefault(parent, {"color": "green", "place": "p", "image": None})


@settings(max_examples=60, deadline=None)
@given(stacks(), clouds())
def test_plan_after_apply_is_empty(stack, cloud):
    """Whatever stood before, after apply nothing is left to do, and every need was met in order."""
    close(stack, cloud)
    assert apply(make_plan(stack, cloud), cloud).ok
    assert make_plan(stack, cloud).work == ()


@settings(max_examples=40, deadline=None)
@given(stacks(), clouds())
def test_apply_twice_is_apply_once(stack, cloud):
    """A second apply makes no write call and changes nothing."""
    close(stack, cloud)
    apply(make_plan(stack, cloud), cloud)
    after, writes = dict(cloud.things), list(cloud.writes)
    assert apply(make_plan(stack, cloud), cloud).ok
    assert (dict(cloud.things), cloud.writes) == (after, writes)


@settings(max_examples=40, deadline=None)
@given(stacks())
def test_destroy_after_apply_leaves_nothing(stack):
    """A teardown of what apply made leaves an empty cloud."""
    cloud = ToyCloud()
    apply(make_plan(stack, cloud), cloud)
    assert apply(make_teardown(stack, cloud), cloud).ok
    assert cloud.things == {}


@settings(max_examples=80, deadline=None)
@given(stacks(), clouds(), st.integers(0, 40), st.integers(1, 4))
def test_an_apply_killed_at_any_call_resumes(stack, cloud, at, workers):
    """Killed at a random call, the same command ends in the same state as an undisturbed run."""
    close(stack, cloud)
    calm = ToyCloud({k: dict(v) for k, v in cloud.things.items()})
    apply(make_plan(stack, calm), calm)
    left = [at]

    def die(_call, _name):
        left[0] -= 1
        if left[0] < 0:
            raise Killed

    plan = make_plan(stack, cloud)
    cloud.before = die
    with contextlib.suppress(Killed):
        apply(plan, cloud, workers=workers)
    cloud.before = lambda _call, _name: None
    assert apply(make_plan(stack, cloud), cloud).ok
    assert cloud.things == calm.things


def test_many_steps_end_whatever_their_number_of_workers():
    """No deadlock: a wide and deep stack with locks ends with one worker and with many."""
    dice = random.Random(1)
    stack = [
        Thing(f"t{i}", parents=tuple(f"t{dice.randrange(i)}" for _ in range(min(i, 3))), guard=dice.choice([None, "p", "q"]))
        for i in range(120)
    ]
    for workers in (1, 3, 32):
        cloud = ToyCloud()
        assert apply(make_plan(stack, cloud), cloud, workers=workers).ok
        assert len(cloud.things) == 120
