"""Owns YAML as a small document from outside: plain values only, no anchors, no tags, no endless nesting. Knows no meaning.

PyYAML is imported inside functions: 15 ms, paid where such a document is there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import yaml

DEEPEST: Final = 5
"""Levels of mappings and lists, and the values in them."""
NODES: Final = 4096
_NULLS: Final = ("", "~", "null", "Null", "NULL")
_TOO_MUCH: Final = "more or deeper than such a file can be"


def parse(text: str) -> Any:
    """Mappings with texts as keys, lists, texts, numbers, true, false and null. Raises ValueError that names the line."""
    import yaml

    try:
        _require_plain(yaml.parse(text, yaml.SafeLoader))
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        return _Builder(loader).value(root, 1) if root is not None else None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ValueError(f"line {mark.line + 1}: not valid YAML" if mark is not None else "not valid YAML") from None


def _require_plain(events: Iterable[Any]) -> None:
    """Refused before anything is built: what refers to other parts, what names a type of its own, what nests without end."""
    import yaml

    depth = 0
    for count, event in enumerate(events):
        line = event.start_mark.line + 1
        if count > 2 * NODES:
            raise ValueError(f"line {line}: {_TOO_MUCH}")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise ValueError(f"line {line}: anchors and aliases (& and *) are not read; a text that begins with one needs quotes")
        if getattr(event, "tag", None) is not None:
            raise ValueError(f"line {line}: tags (!) are not read; a text that begins with one needs quotes")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                raise ValueError(f"line {line}: {_TOO_MUCH}")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


class _Builder:
    """Values out of nodes; PyYAML's own constructor would take the last of two equal keys, and make dates of texts."""

    def __init__(self, loader: yaml.SafeLoader) -> None:
        self._loader = loader
        self._nodes = 0

    def value(self, node: yaml.Node, depth: int) -> Any:
        import yaml

        self._nodes += 1
        if self._nodes > NODES or depth > DEEPEST:
            raise ValueError(f"line {_line(node)}: {_TOO_MUCH}")
        if isinstance(node, yaml.SequenceNode):
            return [self.value(one, depth + 1) for one in node.value]
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, depth)
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key_node, one in node.value:
            key = self.value(key_node, DEEPEST)
            if not isinstance(key, str):
                raise ValueError(f"line {_line(key_node)}: a key is a text; put quotes around it")  # noqa: TRY004 - a document's fault
            if key in made:
                raise ValueError(f"line {_line(key_node)}: {key[:60]!r} stands there twice")
            made[key] = self.value(one, depth + 1)
        return made

    def _scalar(self, node: yaml.Node) -> Any:
        try:
            value: Any = self._loader.construct_object(node)
        except ValueError:  # a date that is none, a number of a million digits
            value = object()
        known = isinstance(value, str | int | float) or (value is None and node.value in _NULLS)
        if not known:
            raise ValueError(f"line {_line(node)}: put quotes around {str(node.value)[:60]!r}, which YAML reads as no text")
        return value


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
