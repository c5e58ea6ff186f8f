"""What doctor knows, without a text: the list of failures, one of them explained. Makes no call."""

from __future__ import annotations

import re
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Final

from gemmactl.doctor import own_codes
from gemmactl.doctor.own_codes import meanings, other_names
from gemmactl.errors import usage
from gemmactl.result import Block, Facts, Item, Line, Result, Table

if TYPE_CHECKING:
    from gemmactl.doctor.own_codes.meaning import Meaning
    from gemmactl.doctor.row import Row

COLLECT: Final = (
    "the whole message, from the first ERROR or Traceback on, with the command that it answered",
    "for a service that does not start: gcloud run services logs read SERVICE --region=REGION --limit=200",
    "for a build: gcloud builds log BUILD_ID --region=REGION",
    "then paste all of it: gemmactl doctor --from-log FILE",
)
"""What helps where a text is not recognised."""


def listed() -> Result:
    """Every code in its group: the known failures by category, then what gemmactl says of itself."""
    rows, own = _by_code(), meanings()
    groups: dict[str, list[tuple[str, str, str]]] = {}
    for code, found in sorted(rows.items()):
        groups.setdefault(found[0].category, []).append((code, found[0].subcategory, _slots(found[0].title)))
    said = {name: [one for one in group if one.code not in rows] for name, group in own.items()}
    data = {
        "rows": [
            {"code": code, "category": row.category, "subcategory": row.subcategory, "title": row.title, "fix": row.fix_kind}
            for code, found in sorted(rows.items())
            for row in found[:1]
        ],
        "own": [{"code": one.code, "group": name, "title": one.title} for name, group in said.items() for one in group],
    }
    blocks: list[Block] = []
    for category in sorted(groups):
        blocks += [Line(f"Errors: {category}"), Table(("CODE", "KIND", "WHAT"), tuple(groups[category]))]
    for name, group in said.items():
        blocks += [Line(heading(name)), Table(("CODE", "WHAT"), tuple((one.code, one.title) for one in group))]
    count = sum(map(len, said.values()))
    blocks.append(Line(f"{len(rows)} known failures, {count} messages of gemmactl's own", "dim"))
    return Result("doctor", data, tuple(blocks), ("gemmactl doctor --explain CODE",), "local")


def explained(code: str) -> Result:
    """One code: a failure with cause, remedy, the least role and what does not help, or what gemmactl says of itself.

    Raises:
        Trouble: (usage) there is no such code.
    """
    rows = _by_code()
    own: dict[str, list[Meaning]] = {}
    for one in (one for group in meanings().values() for one in group):
        own.setdefault(one.code, []).append(one)
    name = next((name for name in other_names(code) if name in rows or name in own), "")
    if not name:
        close = get_close_matches(code, [*rows, *own], n=3)
        raise usage(
            f"doctor knows no failure {code}",
            why=f"the closest are {', '.join(close)}" if close else "no code is like it",
            remedy="gemmactl doctor --list shows them all",
            code="doctor-code",
        )
    blocks: list[Block] = []
    for row in rows.get(name, ()):
        blocks += _explanation(row)
    data: dict[str, object] = {"code": name, "rows": [_document(row) for row in rows.get(name, ())]}
    said = own.get(name, [])
    blocks += [Facts((("code", name), ("what", f"{one.title}."), ("remedy", one.remedy))) for one in said]
    data["own"] = [{"title": one.title, "remedy": one.remedy} for one in said]
    return Result("doctor", data, tuple(blocks), target="local")


def hints(text: str) -> dict[str, object]:
    """The same for machines."""
    from gemmactl.doctor.nearest import nearest

    return {"nearest": [{"code": row.code, "title": _slots(row.title)} for row in nearest(text)], "collect": list(COLLECT)}


def heading(group: str) -> str:
    """What a group of gemmactl's own codes is about: the first sentence of its file."""
    text = import_module(f"{own_codes.__name__}.{group}").__doc__ or group
    return " ".join(text.partition(". ")[0].split()).rstrip(".")


def unrecognised(text: str) -> tuple[Block, ...]:
    """An honest end: nothing matched, what comes closest, and what to collect."""
    from gemmactl.doctor.nearest import nearest

    near = nearest(text)
    closest = tuple(f"{row.code}: {_slots(row.title)}" for row in near)
    blocks: list[Block] = [Line("not recognised: something failed, and doctor knows no message in this text", "warn")]
    if closest:
        blocks.append(Item("?", "the nearest that it knows, by words alone", closest, "dim"))
    blocks.append(Item("=", "what would help", COLLECT, "plain"))
    return tuple(blocks)


def _by_code() -> dict[str, list[Row]]:
    from gemmactl.doctor.rows import all_rows

    found: dict[str, list[Row]] = {}
    for row in all_rows():
        found.setdefault(row.code, []).append(row)
    return found


def _explanation(row: Row) -> list[Block]:
    from gemmactl.doctor.finding import Finding
    from gemmactl.doctor.permissions import least

    choice = least(row.permission) if row.permission else None
    role = "" if row.barred else row.role or (choice.role if choice else "")
    scope = row.scope or (choice.scope if choice else "project")
    bare = Finding(row.code, row.category, "", "", "", permission=row.permission, role=role, scope=scope, not_fix=row.not_fix)
    facts = (
        ("code", row.code),
        ("category", f"{row.category}/{row.subcategory}"),
        ("what", _slots(row.title)),
        ("cause", _slots(row.cause)),
        ("remedy", row.remedy),
        ("who", row.principal),
        ("lacks", row.permission),
        ("role", f"{role} on the {scope}" if role else ""),
        ("why no broader", bare.why_not_broader),
    )
    lines = [f"not this: {wrong}" for wrong in row.not_fix or ((choice.trap,) if choice and choice.trap else ())]
    blocks: list[Block] = [Facts(tuple(fact for fact in facts if fact[1]))]
    if row.commands or lines:
        blocks.append(
            Item("=", "commands" if row.commands else "what does not help", (*map(_slots, row.commands), *lines), "plain")
        )
    return blocks


def _slots(text: str) -> str:
    """What only a text can fill, as words in capitals."""
    return re.sub(r"\{(\w+)\}", lambda slot: slot[1].upper(), text)


def _document(row: Row) -> dict[str, object]:
    return {
        "code": row.code,
        "category": row.category,
        "subcategory": row.subcategory,
        "title": row.title,
        "cause": row.cause,
        "remedy": row.remedy,
        "principal": row.principal or None,
        "permission": row.permission or None,
        "role": row.role or None,
        "fix": {"kind": row.fix_kind, "commands": list(row.commands)},
        "not_fix": list(row.not_fix),
    }
