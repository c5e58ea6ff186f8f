"""What opening a service to the internet can cost, asked once more. Knows no revision but the one that is wished."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from gemmactl import costs
from gemmactl.errors import Trouble
from gemmactl.kernel.plan import Plan
from gemmactl.kernel.resource import Resource
from gemmactl.resources import quantity
from gemmactl.resources.service import Service
from gemmactl.result import Line
from gemmactl.serving.find import Json
from gemmactl.spec import Model, Serve
from gemmactl.spec_rules import gib
from gemmactl.voice import Voice
from inference_image.contract import ENV_KEYS

UNSAID: Final = 100
"""Cloud Run's maximum of instances where a file names none. Source: RevisionScaling in the client's proto."""
_WHO: Final = {
    "public": "anybody on the internet may then call it",
    "api-key": "anybody on the internet may then wake it; without a key the container answers nothing, but it runs",
}
_QUESTION: Final = {"public": "Open it to everybody?", "api-key": "Open it to the internet, for whoever holds a key?"}
_KEYLESS: Final = "Let everybody call it without a key?"
_DEARER: Final = "Let callers make it cost that much?"


def words(wish: Serve, planned: Plan, said: str = "") -> tuple[Line, ...]:
    """What is at stake where the plan opens the service, or lets more of an open one run. `said`: who asks for it."""
    question = _question(wish, planned)
    if not question:
        return ()
    who = "it is open already" if question == _DEARER else _WHO[wish.auth]
    return (Line(f"{said or f'--auth {wish.auth}'}: {who}; {costs.ceiling(wish)}", "warn"),)


def agreed(wish: Serve, planned: Plan, voice: Voice, *, yes: bool) -> None:
    """Ask what the yes to the plan may not have meant. --yes has answered both: --auth was said, it is never a default.

    Raises:
        Trouble: it was not confirmed.
    """
    question = _question(wish, planned)
    if yes or not question or voice.confirm(question, flag="--yes"):
        return
    if question == _DEARER:
        raise Trouble(
            "nothing was changed",
            why="that callers may make it cost more was not confirmed",
            remedy="fewer or smaller instances (--max-instances, --cpu, --memory) leave the ceiling where it is",
            code="not-confirmed",
        )
    raise Trouble(
        "nothing was changed",
        why="that the service is opened was not confirmed",
        remedy="without it (--auth, or the file's invoker-iam-disabled) callers need roles/run.invoker",
        code="not-confirmed",
    )


def of_file(service: Service) -> Serve:
    """The wish that a file's service stands for, as far as who may call it and what an hour of it costs go."""
    boxes = tuple(box.resources for box in service.containers or ()) or (None,)
    sizes = [(one.memory if one else None) or "512Mi" for one in boxes]
    return Serve(
        service.project,
        service.region,
        Model("hf", f"hf:{service.name}/{service.name}"),
        service.name,
        gpu_type=service.gpu_type or "no GPU",
        cpu=math.ceil(sum(_cpus(one.cpu if one else None) for one in boxes)),
        memory=f"{round(sum(map(quantity.amount, sizes)) / 2**30, 4)}Gi",
        max_instances=(service.scaling.max_instances if service.scaling else None) or UNSAID,
        min_instances=(service.scaling.min_instances if service.scaling else None) or 0,
        image="as the file says",
        auth="public" if service.invoker_iam_disabled else "iam",
    )


def _cpus(said: str | None) -> float:
    return float((said or "1").removesuffix("m")) / (1000 if said and said.endswith("m") else 1)


def _question(wish: Serve, planned: Plan) -> str:
    """What is asked for: that it is opened, that an open one asks for no keys any more, or that it may cost more; ``: nothing."""
    step = next((s for s in planned.work if isinstance(s.resource, Service)), None)
    if step is None or not isinstance(step.resource, Service) or not (wish.open and step.resource.invoker_iam_disabled):
        return ""
    was = step.live
    if not isinstance(was, Service) or not was.invoker_iam_disabled:
        return _QUESTION[wish.auth]
    if _asks_for_keys(was) and not _asks_for_keys(step.resource):
        return _KEYLESS
    return _DEARER if _dearer(wish, of_file(was)) else ""


def _dearer(wish: Serve, was: Serve) -> bool:
    """Whether a month of it can cost more than now: more instances, or larger ones. What has no price is held by size."""
    old, new = (costs.costs(one, 0, image=0).awake_month.usd for one in (was, wish))
    if old is not None and new is not None:
        return new > old + 0.005
    sizes = ((w.max_instances, w.cpu, gib(w.memory)) for w in (was, wish))
    return was.gpu_type != wish.gpu_type or any(now > then for then, now in zip(*sizes, strict=True))


def _asks_for_keys(service: object) -> bool:
    """Whether its container answers only to whoever holds a key."""
    boxes = service.containers if isinstance(service, Service) else None
    return any(entry.name == ENV_KEYS for box in boxes or () for entry in box.env or ())


def left_shut(wish: Serve, live: Json | None, share: int) -> bool:
    """Whether the service is not opened although it is wished: --no-traffic lets nobody in who was not before."""
    return share == 0 and wish.open and not (live or {}).get("invokerIamDisabled")


def shut(made: Iterable[Resource]) -> tuple[Resource, ...]:
    """The same stack with its service closed."""
    return tuple(replace(one, invoker_iam_disabled=False) if isinstance(one, Service) else one for one in made)
