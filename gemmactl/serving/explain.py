"""What doctor knows about a Trouble: causes and cures as further Troubles. Makes no call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gemmactl.errors import Trouble

if TYPE_CHECKING:
    from gemmactl.doctor.finding import Context, Finding
    from gemmactl.serving.place import Place


def causes(trouble: Trouble) -> tuple[Trouble, ...]:
    """Known causes of an error, from its facts first, then its text; empty when doctor knows nothing."""
    from gemmactl.doctor.diagnose import diagnose

    text = "\n".join(filter(None, (trouble.what, trouble.why, _last_line(trouble.facts))))
    return tuple(as_trouble(finding) for finding in diagnose(text, trouble.facts, context_of(trouble.facts)))


def _last_line(facts: Mapping[str, Any]) -> str:
    """The container's last log line, which doctor knows by its form."""
    from inference_image.contract import LoadFailure

    if isinstance(tuned := facts.get("finetune_failed"), Mapping):
        from finetune_image.contract import Code, Failure

        return Failure(Code(str(tuned["code"])), str(tuned["where"]), str(tuned["detail"])).line()
    failure = LoadFailure.parse(dict(facts))
    return failure.line() if failure else ""


def as_trouble(finding: Finding) -> Trouble:
    """A finding in the form of every error: what, why, remedy; its document in the facts."""
    return Trouble(
        finding.title,
        why=finding.cause,
        remedy="\n".join((finding.remedy, *finding.commands)),
        code=finding.code,
        facts={"finding": finding.document()},
    )


def context_of(facts: Mapping[str, Any]) -> Context:
    """What a verb wrote into the facts about where it worked."""
    from gemmactl.doctor.finding import Context

    known = {key: str(facts[f"at_{key}"]) for key in Context.__dataclass_fields__ if facts.get(f"at_{key}")}
    return Context(**known)


def located(trouble: Trouble, place: Place, **more: str) -> Trouble:
    """The same Trouble with where it happened among its facts, for doctor and for JSON readers."""
    here = {"project": place.id, "region": place.region.text, "caller": place.cloud.caller(), **more}
    for key, value in here.items():
        if value:
            trouble.facts.setdefault(f"at_{key}", value)
    return trouble
