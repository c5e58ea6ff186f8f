"""The reads of one look at a project: each asked once, those of the plan ahead of time. Knows no verb, and never sees a write."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from gemmactl.resources.cloud import Cloud, PolicyTarget

READS: Final[Mapping[str, frozenset[str]]] = {
    "apis": frozenset({"enabled"}),
    "accounts": frozenset({"get"}),
    "policies": frozenset({"bindings"}),
    "repositories": frozenset({"get", "digest", "platforms"}),
    "storage": frozenset({"bucket", "list", "read"}),
    "secrets": frozenset({"get", "newest_version", "version_state", "kms_key"}),
    "run": frozenset({"get", "list"}),
    "jobs": frozenset({"get", "list", "executions"}),
    "quotas": frozenset({"limits"}),
    "projects": frozenset({"info", "billed"}),
    "org_policies": frozenset({"effective"}),
    "subnets": frozenset({"get"}),
}
"""Part -> methods whose answers are kept. What tests a permission is asked anew each time."""
TREES: Final = frozenset({"run", "jobs"})
LOOKUPS: Final[Mapping[str, tuple[str, str]]] = {
    "digest_of": ("repositories", "digest"),
    "newest_version": ("secrets", "newest_version"),
}
"""The cloud's own late references -> the reads that they are."""


Question = tuple[str, str, tuple[Hashable, ...], tuple[tuple[str, Hashable], ...]]
"""(part, method, what was given by place, by name)"""


def one_look(cloud: Cloud) -> Cloud:
    """The same cloud for as long as one look takes: a second question gets the first one's answer, or its refusal.

    Never to be applied with: what changes meanwhile is not seen through it.
    """
    return cast("Cloud", _Looked(cloud, _Asked()))


def foreseeing(look: Cloud) -> Cloud:
    """The same look for whoever asks ahead of it: the answers are shared, `questions` are not."""
    seen = cast("_Looked", look)
    return cast("Cloud", _Looked(seen.cloud, seen.asked.ahead()))


def questions(look: Cloud) -> frozenset[Question]:
    """What was asked through a look, and not only ahead of it."""
    return frozenset(cast("_Looked", look).asked.questions)


class _Looked:
    def __init__(self, cloud: Cloud, asked: _Asked) -> None:
        self.cloud = cloud
        self.asked = asked

    def __getattr__(self, name: str) -> Any:
        if name in LOOKUPS:
            part, method = LOOKUPS[name]
            return getattr(getattr(self, part), method)
        found = getattr(self.cloud, name)
        kind = _Policies if name == "policies" else _Part
        return kind(found, name, READS[name], self.asked) if name in READS else found


class _Part:
    def __init__(self, part: Any, name: str, reads: frozenset[str], asked: _Asked) -> None:
        self._part, self._name, self._reads, self._asked = part, name, reads, asked

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._part, name)
        if name not in self._reads:
            return method

        def read(*given: Any, **named: Any) -> Any:
            try:
                key: Question = (
                    self._name,
                    name,
                    tuple(map(_frozen, given)),
                    tuple(sorted((k, _frozen(v)) for k, v in named.items())),
                )
            except TypeError:
                return method(*given, **named)
            answer = self._asked.once(key, lambda: method(*given, **named))
            # a service or a job is a tree of JSON, which whoever asked may change
            return copy.deepcopy(answer) if self._name in TREES else answer

        return read


class _Policies(_Part):
    def members(self, target: PolicyTarget, role: str) -> frozenset[str]:
        """Of a policy that is read once, whatever role of it is asked for."""
        found: Mapping[str, frozenset[str]] = self.bindings(target)
        return found.get(role, frozenset())


class _Asked:
    """Question -> answer. Who asks what is being asked already waits for that answer."""

    def __init__(self) -> None:
        self._answers: dict[Question, Future[Any]] = {}
        self._lock = threading.Lock()
        self.questions: set[Question] = set()

    def ahead(self) -> _Asked:
        """The same answers, and questions of its own."""
        other = _Asked()
        other._answers, other._lock = self._answers, self._lock
        return other

    def once(self, key: Question, ask: Callable[[], Any]) -> Any:
        with self._lock:
            self.questions.add(key)
            answer = self._answers.get(key)
            first = answer is None
            if answer is None:
                answer = self._answers[key] = Future()
        if first:
            try:
                answer.set_result(ask())
            except BaseException as error:
                answer.set_exception(error)
                raise
        return answer.result()


def _frozen(value: Any) -> Hashable:
    """A value as a part of a key. Raises TypeError for what can be read once alone, or has no hash."""
    if isinstance(value, list | tuple):
        return tuple(map(_frozen, value))
    if isinstance(value, set | frozenset):
        return frozenset(map(_frozen, value))
    if hasattr(value, "__next__"):
        raise TypeError("an iterator is no key")
    hash(value)
    return cast("Hashable", value)
