"""Wishes and clocks that the tests of resources start from."""

from __future__ import annotations

from typing import Any

from gemmactl.kernel.apply import Outcome, Patience, apply
from gemmactl.kernel.plan import Op, Plan, make_plan
from gemmactl.kernel.resource import Clock, Resource, Work
from gemmactl.resources.context import BuildContext
from gemmactl.spec import Serve, Token, parse_model
from gemmactl.stack import serving

CONTEXT = BuildContext((("inference_image/Dockerfile", b"FROM scratch\n"),), "0123456789abcdef" * 4)
TOKEN = "hf_canary_that_must_not_be_seen"
SPEC = Serve("demo-proj", "us-central1", parse_model("gs://weights/gemma-3-4b"), "gemma-3-4b")


def quick() -> Clock:
    """A clock that only moves when somebody sleeps."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    return Clock(lambda: now[0], sleep)


def work() -> Work:
    return Work("test", clock=quick())


def with_token(**more: Any) -> Serve:
    """A wish with a token of the user's own."""
    fields = {**{f: getattr(SPEC, f) for f in ("project", "region", "model", "name")}, "hf_token": Token(TOKEN), **more}
    return Serve(**fields)


def stack(spec: Serve = SPEC, **more: Any) -> tuple[Resource, ...]:
    return serving(spec, context=CONTEXT, **more)


def go(plan: Plan, cloud: Any) -> Outcome:
    """Apply without waiting for any real second."""
    return apply(plan, cloud, clock=quick(), patience=Patience(total=60.0))


def deployed(cloud: Any, spec: Serve = SPEC) -> None:
    """Bring the stack up; it must succeed."""
    outcome = go(make_plan(stack(spec), cloud), cloud)
    assert outcome.ok, outcome.failed


def changes(plan: Plan) -> dict[str, tuple[str, ...]]:
    """Address -> names of the fields that differ, for all that is not as wished."""
    return {s.address: tuple(c.field for c in s.changes) or (s.op.value,) for s in plan.steps if s.op is not Op.KEEP}
