"""diagnose: a text and what is known of the project -> findings. Pure; knows no cloud, no screen and no particular failure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gemmactl.doctor.finding import Context, Finding
    from gemmactl.doctor.row import Row

MOST = 12
"""Findings that one text may yield: more would bury the first."""
ENOUGH = 2 * MOST
"""Causes after which nothing more is looked for: a text with so many is a collection, and could keep a reader for seconds."""

_HEAD = r"\bERROR: \(|\b(?:Error|Exception|Denied|Forbidden|Found|FATAL|denied): \S"
"""How another message begins."""
ONE_EVENT = 500
"""Characters within which two messages are taken for one event: a status and its detail, a message told twice."""


def diagnose(text: str, facts: Mapping[str, Any] | None = None, context: Context | None = None) -> tuple[Finding, ...]:
    """The known failures in a text, cause first. Empty when nothing is recognised, or nothing is wrong.

    `facts` are the structured evidence of a Trouble; they decide before the text does. The text is data: no word of it
    reaches a command unless it is a legal identifier in its place.
    """
    flat = flattened(text)
    found = _diagnosed(text, flat, facts or {}, context)
    return () if found and not facts and _only_warned(text, context) else found


def _only_warned(text: str, context: Context | None) -> bool:
    """Whether what was found stands in warnings of a program alone, and the rest of its log tells of no failure."""
    from gemmactl.doctor.alarm import reports_failure, without_warnings

    rest = without_warnings(text)
    if rest == text:
        return False
    flat = flattened(rest)
    return not reports_failure(flat) and not _diagnosed(rest, flat, {}, context)


def _diagnosed(text: str, flat: str, facts: Mapping[str, Any], context: Context | None) -> tuple[Finding, ...]:
    from gemmactl.doctor import rows, scene
    from gemmactl.doctor.clues import enrich
    from gemmactl.doctor.finding import Context
    from gemmactl.doctor.row import CONSEQUENCE

    known = scene.place(enrich(context or Context(), flat), flat, text)
    given = _reasons(flat, facts)
    asked = rows.rows_for(flat, (reason.reason for _, reason in given))
    found = list(_structured(asked, flat, given, known))
    held: dict[str, bool] = {}
    # a consequence is told only where there is no cause: it is not looked for where there is one
    for ranked in (tuple(row for row in asked if row.rank < CONSEQUENCE), tuple(row for row in asked if row.rank >= CONSEQUENCE)):
        for row in ranked:
            found.extend(_matches(row, flat, known, held))
            if len(_causes(found)) >= ENOUGH:
                break
        if (settled := _settled(found, flat)) and settled[0].code in _causes(found):
            return settled
    return _settled(found, flat)


def flattened(text: str) -> str:
    """A text as rows search it: one line, without quotations and without what is known to be harmless."""
    from gemmactl.doctor.begun import whole
    from gemmactl.doctor.paste import join, lines
    from gemmactl.doctor.quoted import blank, hush
    from gemmactl.doctor.rows import harmless

    return harmless.mask(whole(join(blank(lines(hush(text))))))


def _causes(found: list[_Found]) -> set[str]:
    from gemmactl.doctor.row import CAUSE

    return {told.code for rank, _, _, told in found if rank == CAUSE}


def diagnose_trouble(trouble: Any, context: Context | None = None) -> tuple[Finding, ...]:
    """The same for a Trouble: its facts first, then its sentences."""
    return diagnose(f"{trouble.what}\n{trouble.why}", trouble.facts, context)


_Found = tuple[int, int, "Row", "Finding"]
"""rank, position in the text, row, finding"""


def _reasons(flat: str, facts: Mapping[str, Any]) -> list[tuple[bool, Any]]:
    """(whether it is of the facts, an ErrorInfo's reason): the facts' own first, then those that the text holds."""
    from gemmactl.doctor.reason import from_facts, reasons

    given = from_facts(facts)
    return [*(((True, given),) if given else ()), *((False, one) for one in reasons(flat))]


def _structured(rows: tuple[Row, ...], flat: str, given: list[tuple[bool, Any]], context: Context) -> Iterator[_Found]:
    from gemmactl.doctor.principal import member
    from gemmactl.doctor.row import finding, rank

    for of_facts, reason in given:
        groups = dict(reason.metadata)
        consumer = (groups.get("consumer") or groups.get("project") or "").removeprefix("projects/")
        groups |= {"api": groups.get("service", ""), "project": consumer, "member": member(groups.get("principal", ""))}
        for row in rows:
            if reason.reason in row.reasons and (row.permission or not _needs_permission(row) or groups.get("permission")):
                words = flat[reason.start : reason.end] or f"{reason.reason} {groups.get('permission', '')}".strip()
                told = finding(row, _plain(groups), context, words)
                yield rank(row, told), -1 if of_facts else reason.start, row, told
                break


def _needs_permission(row: Row) -> bool:
    return bool(row.code == "iam-denied")


def _holds(expression: str, flat: str, held: dict[str, bool]) -> bool:
    """Whether the text holds it; many rows ask for the same, and of a long text each time would cost."""
    from gemmactl.doctor.search import search

    if expression not in held:
        held[expression] = search(expression, flat) is not None
    return held[expression]


def _matches(row: Row, flat: str, context: Context, held: dict[str, bool]) -> Iterator[_Found]:
    from gemmactl.doctor.row import finding, rank
    from gemmactl.doctor.search import matches, possible

    if not any(possible(expression, flat) for expression in row.patterns):
        return
    if row.only_with and not _holds(row.only_with, flat, held):
        return
    if row.unless and _holds(row.unless, flat, held):
        return
    for expression in row.patterns:
        for count, match in enumerate(matches(expression, flat)):
            if count >= MOST:
                break
            groups = {k: v for k, v in match.groupdict().items() if v}
            told = finding(row, groups, context, match[0])
            if told.permission or not row.needs_permission:
                yield rank(row, told), match.start(), row, told


def _plain(groups: Mapping[str, str | None]) -> dict[str, str]:
    return {k: v for k, v in groups.items() if v}


def _settled(found: list[_Found], flat: str) -> tuple[Finding, ...]:
    """Causes before consequences, first things first, nothing told twice."""
    from gemmactl.doctor.row import CAUSE, CONSEQUENCE, LAST

    reach = _explained(found)

    def explained(row: Row, start: int, told: Finding) -> bool:
        category = f"category:{row.category}"
        by = reach.get(row.code, [])
        if not by and not any(e.startswith("category:") for e in row.explains):
            by = reach.get(category, [])
        return any(not _apart(start, told, at, other, flat) for at, other in by)

    causes = any(rank == CAUSE and not explained(row, start, told) for rank, start, row, told in found)
    out: list[Finding] = []
    spans: list[tuple[str, int, int]] = []
    for rank, start, row, finding in sorted(found, key=lambda x: (x[0], x[1])):
        if (
            explained(row, start, finding)
            or (rank >= CONSEQUENCE and causes)
            or (rank == LAST and out and out[0].code != row.code)
        ):
            continue
        if (twin := next((told for told in out if _same(finding, told)), None)) is not None:
            if _names_more(finding, twin):  # the same denial, and only this one says whose it is
                out[out.index(twin)] = finding
            continue
        if _said(finding, start, spans):
            continue
        out.append(finding)
        if not finding.permission and start >= 0:
            spans.append((finding.category, start, start + len(finding.evidence)))
    return tuple(out[:MOST])


def _explained(found: list[_Found]) -> dict[str, list[tuple[int, Finding]]]:
    """What is made superfluous (a code, or `category:NAME`) -> by which findings, and where."""
    out: dict[str, list[tuple[int, Finding]]] = {}
    for _, start, row, told in found:
        for code in row.explains:
            out.setdefault(code, []).append((start, told))
    return out


def _apart(start: int, told: Finding, at: int, by: Finding, flat: str) -> bool:
    """Whether a denial that names its own permission is another event than what would explain it: two errors in one text."""
    from gemmactl.doctor.search import search

    said = told.evidence.lower()
    if (
        min(start, at) < 0
        or not told.permission
        or told.permission.lower() not in said
        or f"(gcloud.{told.permission.lower()}" in said
    ):
        return False
    if by.permission:
        return told.permission != by.permission
    between = flat[min(start, at) : max(start, at)]
    return len(between) > ONE_EVENT or search(_HEAD, between[1:]) is not None


def _said(finding: Finding, start: int, spans: list[tuple[str, int, int]]) -> bool:
    """Whether the same words were already told as something of this kind: a wide row says less than the one that knows them."""
    end = start + len(finding.evidence)
    return not finding.permission and any(c == finding.category and start < e and s < end for c, s, e in spans)


def _names_more(finding: Finding, told: Finding) -> bool:
    from gemmactl.doctor.principal import is_open

    return bool(finding.permission and finding.principal) and is_open(told.principal) and not is_open(finding.principal)


def _same(finding: Finding, told: Finding) -> bool:
    """One denial is often printed twice: as a sentence and as structured detail, once without its principal or resource."""
    if not finding.permission:
        return finding.code == told.code
    return (
        finding.permission == told.permission
        and (finding.principal == told.principal or not (_named(finding) and _named(told)))
        and (finding.resource == told.resource or _open(finding) or _open(told) or finding.scope != told.scope)
    )


def _open(finding: Finding) -> bool:
    """Whether the text does not say on what."""
    return finding.resource in ("", "projects/PROJECT")


def _named(finding: Finding) -> bool:
    """Whether the words that matched name the account; else it is a token, or what the context knows of one."""
    return finding.principal.partition(":")[2] in finding.evidence if ":" in finding.principal else False
