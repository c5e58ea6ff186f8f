"""Which codes gemmactl's own source can print: read from its calls, not from a list. Knows no meaning of a code."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).parents[2] / "gemmactl"
MADE: Final = frozenset({"usage", "refused", "Trouble", "Finding", "ModelFinding", "refuse", "attempt", "add"})
"""What makes an error or a finding, by the name that is called."""
FIRST: Final = frozenset({"Finding", "ModelFinding"})
"""Whose code may come as the first argument, and `ledger.add`'s does."""


@dataclass(frozen=True)
class Said:
    """One call: `where` is `room/file.py`, `code` the expression, `texts` what it can be (None: to be read from the code)."""

    where: str
    code: str
    texts: frozenset[str] | None


def said() -> tuple[Said, ...]:
    """Every code that a call of this source names."""
    return tuple(one for path in sorted(SOURCE.rglob("*.py")) for one in _of(path))


def _of(path: Path) -> Iterator[Said]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    constants = {
        target.id: value.value
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(value := node.value, ast.Constant)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name) and isinstance(value.value, str)
    }
    where = path.relative_to(SOURCE).as_posix()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (given := _code(node)) is not None:
            yield Said(where, ast.unparse(given), _texts(given, constants))


def _code(call: ast.Call) -> ast.expr | None:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""
    if name not in MADE:
        return None
    named = next((keyword.value for keyword in call.keywords if keyword.arg == "code"), None)
    if named is not None or not call.args:
        return named
    of_ledger = name == "add" and isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) in ("ledger", "self.add")
    return call.args[0] if name in FIRST or of_ledger else None


def _texts(given: ast.expr, constants: Mapping[str, str]) -> frozenset[str] | None:
    match given:
        case ast.Constant(value=str(text)):
            return frozenset({text})
        case ast.IfExp(body=one, orelse=other):
            both = _texts(one, constants), _texts(other, constants)
            return None if None in both else frozenset().union(*(b for b in both if b))
        case ast.Name(id=name) if name in constants:
            return frozenset({constants[name]})
    return None
