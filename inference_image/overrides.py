"""Owns corrections of a checkpoint's small files: their form, their limits, and what a file is with them. Reads no file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from inference_image import contract
from inference_image.contract import Code, LoadFailed
from inference_image.small_files import OVERRIDES_LIMIT, TEMPLATE_LIMIT, VARIABLE_LIMIT, parse_json

_DEEPEST: Final = 16


@dataclass(frozen=True)
class Overrides:
    """`values`: file -> keys that replace the file's own, one by one; the chat template -> its whole text."""

    values: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, data: bytes, where: str) -> Overrides:
        """From the document of contract.OVERRIDES, or of the variable contract.ENV_OVERRIDES (`where` is its name).

        Raises LoadFailed: setting_invalid for the variable, config_invalid for the file.
        """
        of_variable = where == contract.ENV_OVERRIDES
        code = Code.SETTING_INVALID if of_variable else Code.CONFIG_INVALID
        limit = VARIABLE_LIMIT if of_variable else OVERRIDES_LIMIT
        if len(data) > limit:
            raise LoadFailed(code, where, f"{len(data)} bytes; at most {limit} are read")
        values = parse_json(data, where, code)
        for name, value in values.items():
            if name not in contract.OVERRIDABLE:
                raise LoadFailed(code, where, f"{name[:60]!r} is none of {', '.join(contract.OVERRIDABLE)}")
            if name == contract.CHAT_TEMPLATE:
                if not isinstance(value, str) or len(value.encode("utf-8", "replace")) > TEMPLATE_LIMIT:
                    raise LoadFailed(code, where, f"{name} is no text of at most {TEMPLATE_LIMIT} bytes")
            elif not isinstance(value, dict) or _depth(value) > _DEEPEST:
                raise LoadFailed(code, where, f"{name} is no object of at most {_DEEPEST} levels")
        return cls(values)

    def merged(self, winner: Overrides) -> Overrides:
        """Both; where they name the same key of the same file, `winner`'s."""
        made = dict(self.values)
        for name, value in winner.values.items():
            old = made.get(name)
            made[name] = {**old, **value} if isinstance(old, Mapping) and isinstance(value, Mapping) else value
        return Overrides(made)

    def apply_json(self, name: str, own: Mapping[str, Any]) -> dict[str, Any]:
        """A JSON file with its corrections; one that is not there is {}."""
        return {**own, **self.values.get(name, {})}

    @property
    def template(self) -> str | None:
        """The chat template that stands in for the checkpoint's own, if any."""
        value = self.values.get(contract.CHAT_TEMPLATE)
        return value if isinstance(value, str) else None

    def document(self) -> Mapping[str, Any]:
        """For writing, and for a reader: what is overridden."""
        return self.values

    def named(self) -> list[str]:
        """`file:key` of everything overridden, without its values: what a log may hold."""
        found = []
        for name, value in sorted(self.values.items()):
            found += [f"{name}:{key}" for key in sorted(value)] if isinstance(value, Mapping) else [name]
        return found


def _depth(value: object) -> int:
    """Levels of objects and lists; parse_json has refused what would exhaust the stack."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0)
