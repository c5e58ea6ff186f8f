"""doctor's findings as a Result; and a pasted log, which needs nothing else. Makes no call."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Final

from gemmactl.errors import Exit, usage
from gemmactl.result import Block, Item, Line, Result, Target, Tone, Verbatim
from gemmactl.settings import Settings

if TYPE_CHECKING:
    from gemmactl.doctor.checks.check import End
    from gemmactl.doctor.finding import Finding
    from gemmactl.serving.place import Place

SCHEMA: Final = "gemmactl/doctor.v1"
"""Of the document that `doctor --format json` prints."""
POLICY: Final = "org policy "
"""How the names of the checks of organization policies begin."""
LOG_LIMIT: Final = 4 * 1024 * 1024
SIGNS: Final[dict[str, tuple[str, Tone]]] = {"problem": ("!", "bad"), "unknown": ("?", "warn"), "advice": ("=", "plain")}
EVIDENCE: Final = 200
"""Characters of a line of evidence on the screen; the JSON document has all of it."""


def from_log(path: Path, settings: Settings, project: str | None, region: str | None, *, for_admin: bool = False) -> Result:
    """Diagnose a text; no call is made. `for_admin`: as text for a ticket."""
    from gemmactl.doctor.diagnose import diagnose
    from gemmactl.doctor.finding import Context

    text = _read(path)
    # of a text nothing is assumed: the default region would stand in a command as if the text had named it
    said, place = settings.value("project", project), settings.value("region", region)
    findings = diagnose(text, None, Context(project=said.text if said else "", region=place.text if place else ""))
    if not findings:
        return _without(text, str(path))
    return findings_result(findings, "local", for_admin=for_admin, source=str(path))


def _without(text: str, source: str) -> Result:
    """Two ends that must not be taken for each other: nothing is wrong, or something is that nobody here knows (exit 1)."""
    from gemmactl.doctor.alarm import quiet, reports_failure
    from gemmactl.doctor.diagnose import flattened
    from gemmactl.serving import knowledge

    data = {**document(()), "source": source}
    if not reports_failure(flattened(quiet(text))):
        line = Line("nothing wrong found: doctor knows no failure in this text, and no word of it reports one", "good")
        return Result("doctor", {**data, "failure": False}, (line,), target="local", schema=SCHEMA)
    data |= {"failure": True, **knowledge.hints(text)}
    return Result("doctor", data, knowledge.unrecognised(text), target="local", exit=Exit.FAILURE, schema=SCHEMA)


def findings_result(
    findings: tuple[Finding, ...],
    target: Target,
    place: Place | None = None,
    *,
    for_admin: bool = False,
    then: str = "",
    checked: Sequence[tuple[str, End]] | None = None,
    **more: str,
) -> Result:
    """Exit 6 when something is wrong or could not be seen; advice alone is no fault.

    `then`: a command that comes after all. `checked`: each live check with its end; None: a text, of which nothing was asked.
    """
    data = {**document(findings, checked), **(place.document() if place else {}), **more}
    if for_admin:
        from gemmactl.serving.ticket import ticket

        where = " in ".join(part for part in (more.get("service", ""), f"project {place.id}" if place else "") if part)
        code = Exit.FOUND if any(f.state != "advice" for f in findings) else Exit.OK
        return Result("doctor", data, (Verbatim(ticket(findings, where)),), (), target, code, schema=SCHEMA)
    head: tuple[Block, ...] = (place.line(),) if place else ()
    if all(f.state == "advice" for f in findings):
        lines = (Line("nothing known is wrong", "good"), *findings_blocks(findings), *fine(checked))
        return Result("doctor", data, (*head, *lines), (then,) if then else (), target, schema=SCHEMA)
    fixable = any(f.safe for f in findings)
    follow = (f"gemmactl doctor {more.get('service', '')} --fix {place.flags}",) if place and fixable else ()
    follow = (*follow, then) if then else follow
    blocks = (*head, *findings_blocks(findings), *fine(checked))
    return Result("doctor", data, blocks, follow, target, Exit.FOUND, schema=SCHEMA)


def document(findings: tuple[Finding, ...], checked: Sequence[tuple[str, End]] | None = None) -> dict[str, object]:
    """The findings for machines; nothing found is an empty list. `checked` is there where checks ran."""
    told: dict[str, object] = {"findings": [finding.document() for finding in findings]}
    if checked is not None:
        told["checked"] = [{"check": check, "end": end} for check, end in checked]
    return told


def fine(checked: Sequence[tuple[str, End]] | None) -> tuple[Block, ...]:
    """The checks that ended as ok, in one line: silence about a check is no answer. Policies are counted, not named."""
    names = list(dict.fromkeys(check for check, end in checked or () if end == "ok"))
    policies = [name for name in names if name.startswith(POLICY)]
    if len(policies) > 1:
        names = [name for name in names if name not in policies] + [f"{len(policies)} organization policies"]
    return (Line(f"looked at and fine: {', '.join(names)}", "dim"),) if names else ()


def findings_blocks(findings: tuple[Finding, ...]) -> tuple[Block, ...]:
    """Each finding with its cause, its principal and the least that cures it."""
    return tuple(_item(finding) for finding in findings)


def _item(finding: Finding) -> Item:
    from gemmactl.doctor.principal import PLACEHOLDERS

    rows = (
        ("code", finding.code),
        ("cause", finding.cause),
        ("who", PLACEHOLDERS.get(finding.principal, finding.principal)),
        ("lacks", finding.permission),
        ("on", finding.resource),
        ("role", finding.role),
        ("why no broader", finding.why_not_broader),
        ("remedy", finding.remedy),
    )
    lines = [f"{key}: {value}" for key, value in rows if value] + list(finding.commands)
    lines += [f"seen: {shorten(seen, EVIDENCE)}" for seen in finding.evidence.splitlines()[:2] if seen]
    lines += [f"not this: {named_once(wrong)}" for wrong in finding.not_fix]
    sign, tone = SIGNS[finding.state]
    return Item(sign, finding.title, tuple(lines), tone)


def named_once(wrong: str) -> str:
    """What is no fix, behind words that say so already: `not roles/storage.admin: ...` would deny twice."""
    return wrong if ", and not" in wrong else wrong.removeprefix("not ")


def _read(path: Path) -> str:
    try:
        text = sys.stdin.read(LOG_LIMIT) if str(path) == "-" else path.read_text(encoding="utf-8", errors="replace")[:LOG_LIMIT]
    except OSError as error:
        raise usage(
            f"{path} can't be read",
            why=error.strerror or str(error),
            remedy="give a file with the pasted error, or - for stdin",
            code="log-file",
        ) from None
    if not text.strip():
        raise usage(
            f"{path} is empty", why="there is nothing to diagnose", remedy="paste the error or the log into it", code="log-empty"
        )
    return text
