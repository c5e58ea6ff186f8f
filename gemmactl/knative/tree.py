"""YAML as values that know their line and their path, and the complaints about them. Knows no field of any document."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from gemmactl.errors import Trouble, usage
from gemmactl.knative import text

if TYPE_CHECKING:
    import yaml

MOST: Final = 1 << 20
"""Bytes of a file; a service's is a few thousand."""
DEEPEST: Final = 24
NODES: Final = 20_000


@dataclass
class Complaints:
    """What is wrong with one file. All of it is told at once, first line first."""

    file: str
    form: str = "service"
    """What the file is of: service or job."""
    found: list[tuple[int, str]] = field(default_factory=list)
    unset: dict[str, int] = field(default_factory=dict)
    """Variables that are not set, with the first line that names them."""

    def add(self, line: int, what: str) -> None:
        self.found.append((line, what))

    def end(self) -> None:
        """Raise when there was any."""
        if self.unset:
            named = [f"{name} (line {line})" for name, line in self.unset.items()]
            several = len(named) > 1
            raise usage(
                f"{self.file} names {len(named)} variable{'s' * several} that {'are' if several else 'is'} not set",
                why=", ".join(named),
                remedy=f"export {' '.join(f'{name}=...' for name in self.unset)}; a `$` that means itself is written `$$`",
                code="yaml-variable-unset",
            )
        if self.found:
            (line, first), *rest = sorted(self.found)
            raise usage(
                f"{self.file}:{line}: {first}",
                why="; ".join(f"line {at}: {what}" for at, what in rest)
                or "a field that is dropped silently would be missed later",
                remedy=f"correct {self.file}; nothing was changed",
                code="yaml-illegal",
            )


@dataclass(frozen=True)
class Node:
    """One value: a mapping, a list, a text, or nothing."""

    line: int
    path: str
    value: dict[str, Node] | list[Node] | str | None
    complaints: Complaints = field(repr=False, compare=False)

    def bad(self, what: str) -> None:
        self.complaints.add(self.line, f"{self.path or 'the document'} {what}")

    def text(self) -> str:
        """The value as text, whatever YAML would make of it: 1, true and '1' are texts where a text is asked for."""
        if isinstance(self.value, str) or self.value is None:
            return self.value or ""
        self.bad("must be one value")
        return ""

    def number(self) -> int:
        """A whole number, also in quotes."""
        said = self.text().strip()
        if said.isascii() and said.isdigit() and len(said) < 10:
            return int(said)
        self.bad(f"must be a whole number, not {said[:60]!r}")
        return 0

    def switch(self) -> bool:
        said = self.text().strip().lower()
        if said not in ("true", "false"):
            self.bad(f"must be true or false, not {said[:60]!r}")
        return said == "true"

    def choice(self, choices: Mapping[str, str]) -> str:
        """The partner of one of the words."""
        said = self.text()
        if said not in choices:
            self.bad(f"must be {' or '.join(choices)}, not {said[:60]!r}")
        return choices.get(said, "")

    def list(self) -> list[Node]:
        if isinstance(self.value, list):
            return self.value
        if self.value is not None:
            self.bad("must be a list")
        return []

    def texts(self) -> tuple[str, ...]:
        return tuple(one.text() for one in self.list())

    def pairs(self) -> dict[str, Node]:
        """A mapping whose keys are the user's own: labels."""
        if isinstance(self.value, dict):
            return self.value
        if self.value is not None:
            self.bad("must be a mapping")
        return {}

    def fields(self) -> Fields:
        """A mapping whose keys the document's form knows."""
        return Fields(self, dict(self.pairs()))


@dataclass
class Fields:
    """A mapping that is taken apart. What nobody takes is refused by name, with the closest name that is known."""

    node: Node
    left: dict[str, Node]
    known: list[str] = field(default_factory=list)

    def take(self, name: str) -> Node | None:
        """The value of a field; None when it is not there or empty."""
        self.known.append(name)
        found = self.left.pop(name, None)
        return None if found is None or found.value is None else found

    def must(self, name: str) -> Node:
        """The value of a field that has to be there."""
        found = self.take(name)
        if found is None:
            self.node.bad(f"has no {name}")
            return Node(self.node.line, f"{self.node.path}.{name}".lstrip("."), None, self.node.complaints)
        return found

    def done(self, elsewhere: Collection[str] = ()) -> None:
        """Complain of what is left. `elsewhere`: fields that Cloud Run knows and gemmactl does not carry."""
        complaints = self.node.complaints
        for name, node in self.left.items():
            if name in elsewhere:
                why = f"`gcloud run {complaints.form}s replace` applies it"
                complaints.add(node.line, f"{node.path} is not carried by gemmactl: {why}")
                continue
            near = get_close_matches(name, self.known, 1, 0.5) or get_close_matches(name.lower(), self.known, 1, 0.5)
            hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(sorted(self.known))}"
            complaints.add(node.line, f"{node.path} is no field of a {complaints.form}; {hint}")


def parse(raw: str, file: str, environ: Mapping[str, str], form: str = "service") -> tuple[Node, tuple[str, ...]]:
    """The document of a file, with its variables put in, and what was repaired. `form`: service or job.

    Raises:
        Trouble: (usage) it is no YAML, too much of it, or names variables that are not set; each with its line.
    """
    import yaml

    prepared = text.prepare(raw)
    complaints = Complaints(file, form)
    try:
        loader = yaml.SafeLoader(prepared.text)
        root = loader.get_single_node()
    except yaml.YAMLError as error:
        raise _no_yaml(error, file) from None
    except RecursionError:
        raise complaints_of_size(file, form) from None
    if root is None:
        raise usage(f"{file} is empty", why="there is no document in it", remedy=f"give a {form}'s YAML", code="yaml-illegal")
    built = _Builder(complaints, environ).node(root, "", 1)
    if complaints.unset:
        complaints.end()
    return built, prepared.notes


def complaints_of_size(file: str, form: str = "service") -> Trouble:
    return usage(
        f"{file} is no {form}'s YAML",
        why="it is larger or nested deeper than one can be, or refers to itself",
        remedy=f"give the file of one {form}",
        code="yaml-illegal",
    )


def _no_yaml(error: yaml.YAMLError, file: str) -> Trouble:
    mark: Any = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", "") or getattr(error, "reason", "") or "it can't be read")
    where = f":{mark.line + 1}" if mark else ""
    tab = "\\t" in problem
    return usage(
        f"{file}{where}: not valid YAML",
        why="a tab where YAML wants spaces" if tab else problem,
        remedy=f"correct {file}" + (": indent with spaces" if tab else ""),
        code="yaml-illegal",
    )


@dataclass
class _Builder:
    complaints: Complaints
    environ: Mapping[str, str]
    count: int = 0

    def node(self, node: yaml.Node, path: str, depth: int) -> Node:
        import yaml

        self.count += 1
        if self.count > NODES or depth > DEEPEST:
            raise complaints_of_size(self.complaints.file, self.complaints.form)
        line = node.start_mark.line + 1
        value: dict[str, Node] | list[Node] | str | None
        if isinstance(node, yaml.MappingNode):
            value = dict(self._children(node, path, depth))
        elif isinstance(node, yaml.SequenceNode):
            value = [self.node(one, f"{path}[{at}]", depth + 1) for at, one in enumerate(node.value)]
        else:
            value = self._scalar(node, line)
        return Node(line, path, value, self.complaints)

    def _children(self, node: yaml.MappingNode, path: str, depth: int) -> Iterator[tuple[str, Node]]:
        import yaml

        seen: set[str] = set()
        for key, child in node.value:
            line = key.start_mark.line + 1
            name = text.shown(key.value) if isinstance(key, yaml.ScalarNode) else "?"
            if name in seen:
                self.complaints.add(line, f"{path}.{name}".lstrip(".") + " stands there twice")
            seen.add(name)
            built = self.node(child, f"{path}.{name}".lstrip("."), depth + 1)
            yield name, Node(line, built.path, built.value, self.complaints)

    def _scalar(self, node: Any, line: int) -> str | None:
        import yaml

        if node.style is None and node.tag == "tag:yaml.org,2002:null":
            return None
        if not isinstance(node, yaml.ScalarNode):
            return None
        return text.put(str(node.value), self.environ, lambda name: self._unset(name, line))

    def _unset(self, name: str, line: int) -> None:
        self.complaints.unset.setdefault(name, line)
