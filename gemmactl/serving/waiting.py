"""A model that can't be looked at before an API is enabled: that step alone, then everything anew. Knows no model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gemmactl.errors import Trouble, refused
from gemmactl.kernel.apply import apply
from gemmactl.kernel.plan import Op, Plan
from gemmactl.resources.apis import Apis
from gemmactl.result import Line, Result
from gemmactl.serving.grounding import Grounded
from gemmactl.serving.place import Place
from gemmactl.serving.preflight import Seen
from gemmactl.voice import Voice

QUESTION = "Enable these APIs, look at the model, and plan the rest?"


def alone(ground: Grounded, seen: Seen, place: Place) -> Grounded:
    """The step that enables the API, and no other: what else a deploy makes depends on the model.

    Raises:
        Trouble: (refused) no step of the plan enables it: it calls itself disabled although it is on.
    """
    step = next((s for s in ground.plan.steps if isinstance(s.resource, Apis) and s.op in (Op.CREATE, Op.UPDATE)), None)
    if step is None:
        raise refused(
            f"{seen.waits} is off, and no step of this plan enables it",
            why="which APIs are on may not be seen, or it is on here and the calls count on another project, your login's own",
            remedy=f"gcloud services enable {seen.waits} --project={place.id}\n"
            f"gcloud auth application-default set-quota-project {place.id}",
            code="api-disabled",
            facts={"service": seen.waits, "reason": "SERVICE_DISABLED"},
        )
    return replace(ground, plan=Plan((step,)))


def onward(planned: Plan, place: Place, voice: Voice, ended: Callable[..., Result], rest: Callable[[], Result]) -> Result:
    """Enable, and go on with what is known then. `ended`: the Result of an apply that did not come to its end.

    Raises:
        Trouble: (refused) what is seen then can't be deployed; only the APIs were enabled.
    """
    outcome = apply(planned, place.cloud, events=voice.events)
    if not outcome.ok:
        return ended(outcome)
    voice.say(Line("the APIs are enabled: now the model is looked at, and the rest planned", "dim"))
    try:
        result = rest()
    except Trouble as trouble:
        trouble.why = f"{trouble.why}{'; ' * bool(trouble.why)}nothing but APIs was made"
        raise
    return replace(result, data={**result.data, "done": [*outcome.done, *result.data.get("done", ())]})
