"""`plan --for-admin`: what another hand must do before the caller can deploy, as a script. Makes read calls only."""

from __future__ import annotations

from typing import Any, Final, Literal

from gemmactl import stack
from gemmactl.errors import Trouble
from gemmactl.kernel.plan import Plan, make_plan, not_allowed
from gemmactl.result import Line, Result, Verbatim
from gemmactl.serving import admin_gcloud, admin_terraform, hands
from gemmactl.serving.admin_half import Half, split
from gemmactl.serving.grounding import for_another_hand
from gemmactl.serving.place import Place
from gemmactl.serving.preflight import look
from gemmactl.serving.recall import live_service, remembering
from gemmactl.spec import Serve
from gemmactl.voice import Voice

Form = Literal["gcloud", "terraform"]
FORMS: Final = {"gcloud": admin_gcloud.script, "terraform": admin_terraform.module}


def for_admin(wish: Serve, place: Place, voice: Voice, *, form: Form, again: str) -> Result:
    """The steps that the caller may not do, and the roles that he lacks for the others. `again`: what he runs afterwards.

    Raises:
        Trouble: refused as a plan would be, but not for what the caller may not look at: that is what the script is for.
    """
    live = _allowed(lambda: live_service(place, wish.name), voice, "the service")
    wish = hands.numbered(remembering(wish, live), place.cloud)
    seen = _allowed(
        lambda: look(wish, place.cloud, from_hub=place.hub, existing=live is not None, live=live, wait=True), voice, "the model"
    )
    if seen is not None and seen.waits:
        voice.say(Line(f"{seen.text}: the script is for gemmactl's own server where nothing else is asked for", "warn"))
    wish = seen.wish if seen is not None else wish
    made = stack.serving(wish)
    planned = for_another_hand(make_plan(made, place.cloud), made, place, bucket=wish.model.bucket)
    return written("plan", {"service": wish.name}, split(planned, place.cloud, wish), planned, place, voice, form, again)


def written(
    verb: str, names: dict[str, Any], half: Half, planned: Plan, place: Place, voice: Voice, form: Form, again: str
) -> Result:
    """The half as a script. `names`: what the plan is of, for machines."""
    text = FORMS[form](half, place.id, again)
    voice.say(place.line(), *_said(half, form))
    for step in planned.blocked:
        voice.say(Line(f"{step.address} can't be changed in place and is not in the script: {step.note}", "warn"))
    data = {**names, **place.document(), "as": form, **document(half), "script": text}
    return Result(verb, data, (Verbatim(text),), (again,), place.target)


def document(half: Half) -> dict[str, Any]:
    """The half for machines."""
    return {
        "caller": half.caller,
        "steps": [
            {"op": str(s.op), "address": s.address, "kind": s.resource.kind, "why": half.lacks.get(s.address, "")}
            for s in half.steps
        ],
        "grants": [
            {
                "on": str(g.binding.target),
                "name": g.binding.target.name,
                "role": g.binding.role,
                "for": list(g.permissions),
                "unknown": g.unknown,
            }
            for g in half.grants
        ],
    }


def _said(half: Half, form: Form) -> tuple[Line, ...]:
    if not half:
        return (Line("nothing is missing: you may do every step of this plan", "good"),)
    how = "review it, then: bash FILE" if form == "gcloud" else "review it, then: terraform plan"
    counted = f"{len(half.steps)} steps and {len(half.grants)} roles for an administrator; {how}"
    unsure = sum("unknown" in why for why in half.lacks.values()) + sum(grant.unknown for grant in half.grants)
    more = (Line(f"{unsure} of them may be done already: you may not look at them; doing them again changes nothing", "dim"),)
    return (Line(counted), *(more if unsure else ()))


def _allowed(ask: Any, voice: Voice, what: str) -> Any:
    """The answer, or None where the caller may not look."""
    try:
        return ask()
    except Trouble as trouble:
        if not not_allowed(trouble):
            raise
        voice.say(Line(f"{what} can't be looked at by you: {trouble.why}", "warn"))
        return None
