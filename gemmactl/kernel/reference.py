"""The two values that are only learnt during apply, as types. Knows how to put them in place, not where they come from."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Protocol, TypeVar

from gemmactl.errors import Trouble


class Lookup(Protocol):
    """The part of a cloud that can answer a reference."""

    def digest_of(self, tag: str) -> str | None:
        """`sha256:...` that the image tag `HOST/PROJECT/REPO/NAME:TAG` points to, or None."""

    def newest_version(self, secret: str) -> str | None:
        """Number of the newest enabled version of `projects/P/secrets/S`, or None."""


@dataclass(frozen=True)
class Digest:
    """The image that a content-hash tag points to, by digest: `HOST/P/R/NAME@sha256:...`."""

    tag: str
    source: str
    """Address of the resource that makes it."""

    def find(self, lookup: Lookup) -> str | None:
        digest = lookup.digest_of(self.tag)
        return f"{self.tag.rpartition(':')[0]}@{digest}" if digest else None

    def __str__(self) -> str:
        return f"{self.tag} (by digest)"


@dataclass(frozen=True)
class Version:
    """The newest enabled version of a secret, by number."""

    secret: str
    source: str
    """Address of the resource that makes it."""

    def find(self, lookup: Lookup) -> str | None:
        return lookup.newest_version(self.secret)

    def __str__(self) -> str:
        return f"newest version of {self.secret.rpartition('/')[2]}"


Reference = Digest | Version
T = TypeVar("T")


def references(value: object) -> tuple[Reference, ...]:
    """Every reference inside a value of nested frozen dataclasses and tuples."""
    if isinstance(value, Digest | Version):
        return (value,)
    if isinstance(value, tuple | frozenset):
        return tuple(r for part in value for r in references(part))
    if is_dataclass(value) and not isinstance(value, type):
        return tuple(r for f in fields(value) for r in references(getattr(value, f.name)))
    return ()


def put(value: T, found: dict[Reference, str]) -> T:
    """The same value with each reference that was found replaced by its string."""
    return _put(value, found)  # type: ignore[no-any-return]  # the walk keeps the type, mypy can't see it


def _put(value: Any, found: dict[Reference, str]) -> Any:
    if isinstance(value, Digest | Version):
        return found.get(value, value)
    if isinstance(value, tuple):
        return tuple(_put(part, found) for part in value)
    if is_dataclass(value) and not isinstance(value, type):
        changed = {f.name: _put(getattr(value, f.name), found) for f in fields(value) if f.init}
        same = all(changed[name] is getattr(value, name) for name in changed)
        return value if same else replace(value, **changed)
    return value


def resolve(value: T, lookup: Lookup) -> T:
    """The value with every reference replaced.

    Raises:
        Trouble: a reference has no answer although the step that makes it is done.
    """
    found = {r: r.find(lookup) for r in set(references(value))}
    for reference, answer in found.items():
        if answer is None:
            raise Trouble(
                f"{reference} does not exist",
                why=f"{reference.source} should have made it, or somebody removed it since",
                remedy="run the same command again: it makes what is missing",
                code="reference-missing",
            )
    return put(value, {r: a for r, a in found.items() if a is not None})
