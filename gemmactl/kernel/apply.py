"""Steps -> cloud: parallel, in order, resumable, within limits. Knows no concrete kind of thing and no screen."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from gemmactl.errors import Trouble, refused
from gemmactl.kernel.events import Detached, Done, Events, Failed, Skipped, Started, Stopping, silent
from gemmactl.kernel.graph import needs, reversed_needs
from gemmactl.kernel.plan import Op, Plan, Step, decide, known
from gemmactl.kernel.reference import resolve
from gemmactl.kernel.resource import Clock, Left, Work

VERBS = {Op.CREATE: "create", Op.UPDATE: "update", Op.DELETE: "delete"}
GRACE = 60.0
"""Seconds past a step's limit after which its thread is given up: one call of a client may still be under way."""


@dataclass(frozen=True)
class Patience:
    """How long a denial is retried when this very apply did something that settles: a grant, an account, an enabled API; or
    when it contradicts one that stands, which an apply that was killed may have made just before.

    IAM is eventually consistent: typically 2 minutes, 7 or more are seen (Google: "Access change propagation"). An API that
    was just enabled may call itself disabled for as long ("wait a few minutes for the action to propagate to our systems").
    """

    total: float = 600.0
    first: float = 5.0
    factor: float = 1.5
    longest: float = 30.0
    soon: float = 1.0
    """Seconds before a step is begun again whose call was answered by 429, 5xx or not at all; twice as long each time."""


@dataclass(frozen=True)
class Outcome:
    """What became of each step."""

    done: tuple[str, ...] = ()
    failed: dict[str, Trouble] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    interrupted: bool = False
    left: tuple[str, ...] = ()
    """Steps whose wait was ended by Ctrl-C: what they started goes on in the cloud."""

    @property
    def ok(self) -> bool:
        return not (self.failed or self.skipped or self.interrupted)


def apply(
    plan: Plan,
    cloud: Any,
    *,
    events: Events = silent,
    clock: Clock | None = None,
    patience: Patience | None = None,
    workers: int = 8,
) -> Outcome:
    """Work through a plan. Ctrl-C starts no more steps and lets running ones finish; those that only wait for the cloud
    are left, and a next apply joins them. A second Ctrl-C gives all up.

    Raises:
        Trouble: (refused) the plan holds a BLOCKED step, or one that must be looked at and can't; nothing was started.
    """
    if plan.blocked:
        step = plan.blocked[0]
        what = ", ".join(f"{c.field}: {c.live} -> {c.wanted}" for c in step.changes if c.fixed)
        raise refused(
            f"{step.address} can't be changed in place",
            why=what,
            remedy=step.note,
            code="blocked",
            facts={"blocked": [s.address for s in plan.blocked]},
        )
    if plan.unseen:
        raise unseen(plan)
    return _Run(plan, cloud, events, clock or Clock(), patience or Patience(), workers).go()


def unseen(plan: Plan) -> Trouble:
    """Why a plan does not start that holds what the caller may not look at."""
    first = plan.unseen[0]
    return refused(
        f"{first.address} can't be looked at",
        why=first.note,
        remedy="ask for the permission; `gemmactl plan --for-admin` with the same words prints what an administrator runs",
        code="unseen",
        facts={"unseen": [s.address for s in plan.unseen]},
    )


@dataclass(frozen=True)
class _End:
    address: str
    seconds: float
    error: BaseException | None


class _Run:
    """One apply. The main thread owns every field; step threads only put an _End on the queue."""

    def __init__(self, plan: Plan, cloud: Any, events: Events, clock: Clock, patience: Patience, workers: int) -> None:
        self.cloud, self.events, self.clock, self.patience, self.workers = cloud, events, clock, patience, workers
        self.todo = {s.address: s for s in plan.work}
        self.made = {s.address for s in plan.work if s.op in (Op.CREATE, Op.UPDATE) and s.resource.settles}
        self.stood = {s.address: s.resource for s in plan.steps if s.op is Op.KEEP and s.resource.settles}
        # over the whole plan: A may wait for C only through a B that is already as wished
        graph = needs({s.address: s.resource for s in plan.steps})
        graph = reversed_needs(graph) if plan.destroy else graph
        self.above = {a: _reach(a, graph) for a in self.todo}
        self.waits = {a: above & set(self.todo) for a, above in self.above.items()}
        self.ends: queue.SimpleQueue[_End] = queue.SimpleQueue()
        self.running: dict[str, tuple[Step, float]] = {}
        self.done: list[str] = []
        self.failed: dict[str, Trouble] = {}
        self.interrupted = False
        self.leave = threading.Event()
        self.left: list[str] = []

    def go(self) -> Outcome:
        while True:
            try:
                if not self.interrupted:
                    self._start_ready()
                if not self.running:
                    break
                self._take_one()
            except KeyboardInterrupt:
                if self.interrupted:
                    break
                self.interrupted = True
                self.leave.set()
                self.events(Stopping(tuple(self.running)))
        skipped = tuple(self.todo)
        for address in skipped:
            self.events(Skipped(address, "interrupted" if self.interrupted else self._because(address)))
        given_up = tuple(self.running)
        return Outcome(tuple(self.done), self.failed, skipped + given_up, self.interrupted, tuple(self.left))

    def _start_ready(self) -> None:
        locks = {s.resource.lock for s, _ in self.running.values()} - {None}
        for address, step in list(self.todo.items()):
            if len(self.running) >= self.workers:
                return
            if not self.waits[address] <= set(self.done) or step.resource.lock in locks:
                continue
            locks |= {step.resource.lock} - {None}
            del self.todo[address]
            self.running[address] = (step, self.clock.now())
            self.events(Started(address, VERBS[step.op]))
            threading.Thread(target=self._thread, args=(step,), name=address, daemon=True).start()

    def _take_one(self) -> None:
        try:
            end = self.ends.get(timeout=1.0)
        except queue.Empty:
            self._give_up_late()
            return
        if end.address not in self.running:
            return
        del self.running[end.address]
        if end.error is None:
            self.done.append(end.address)
            self.events(Done(end.address, "", end.seconds))
            return
        if isinstance(end.error, Left):
            self.left.append(end.address)
            self.events(Detached(end.address))
            return
        if not isinstance(end.error, Exception):
            raise end.error
        self._fail(end.address, end.error)

    def _fail(self, address: str, error: Exception) -> None:
        trouble = error if isinstance(error, Trouble) else _fault(address, error)
        self.failed[address] = trouble
        self.events(Failed(address, trouble))

    def _give_up_late(self) -> None:
        now = self.clock.now()
        for address, (step, since) in list(self.running.items()):
            if now - since > step.resource.limit + self._extra(step) + GRACE:
                del self.running[address]
                self._fail(address, _late(address, step.resource.limit))

    def _extra(self, step: Step) -> float:
        return self.patience.total if self.above[step.address] & (self.made | self.stood.keys()) else 0.0

    def _may_pass(self, step: Step, trouble: Trouble) -> bool:
        if not denied(trouble):
            return False
        above = self.above[step.address]
        return bool(above & self.made) or any(r.cures(trouble) for a, r in self.stood.items() if a in above)

    def _thread(self, step: Step) -> None:
        since = self.clock.now()
        error: BaseException | None = None
        try:
            self._act_patiently(step)
        except BaseException as caught:  # noqa: BLE001 - carried to the main thread, which raises what is not an Exception
            error = caught
        self.ends.put(_End(step.address, self.clock.now() - since, error))

    def _act_patiently(self, step: Step) -> None:
        since = self.clock.now()
        pause, soon, tries, settling = self.patience.first, self.patience.soon, 0, 0.0
        while True:
            work = Work(step.address, self.events, self.clock, self.clock.now() + step.resource.limit, self.leave)
            try:
                return self._act(step, work)
            except Trouble as trouble:
                if tries < passing(trouble) and self.clock.now() + soon < since + settling + step.resource.limit:
                    tries += 1
                    wait, soon = soon, min(soon * 2, self.patience.longest)
                    said = f"{trouble.what}: what was done is read again, and the rest tried again in {wait:.0f} s"
                elif self._may_pass(step, trouble) and self.clock.now() + pause <= since + self._extra(step):
                    wait, pause = pause, min(pause * self.patience.factor, self.patience.longest)
                    settling += wait
                    fresh = self.above[step.address] & self.made
                    said = "not yet" if fresh else "refused, although what permits it stands"
                    said += ": what was just granted or enabled takes effect slowly (2 to 7 minutes are normal)"
                else:
                    raise
                work.progress(said)
                self.clock.sleep(wait)
                step = replace(step, unknown=True)

    def _act(self, step: Step, work: Work) -> None:
        resource = step.resource
        if step.op is Op.DELETE:
            if step.live is not None:
                resource.delete(self.cloud, step.live, work)
            return
        if step.unknown:
            step = decide(resource, live := resource.read(self.cloud), known(resource, self.cloud) if live else None)
        resource = resolve(resource, self.cloud)
        match step.op:
            case Op.CREATE:
                resource.create(self.cloud, work)
            case Op.UPDATE if step.live is not None:
                resource.update(self.cloud, step.live, work)
            case Op.BLOCKED:
                raise refused(f"{step.address} can't be changed in place", why=step.note, remedy=step.note, code="blocked")
            case _:
                pass

    def _because(self, address: str) -> str:
        """The failed steps that this one waited for, directly or not."""
        names = sorted(self.waits[address] & set(self.failed))
        return f"needs {', '.join(names)}" if names else "nothing it waits for could be started"


def _reach(address: str, graph: dict[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    stack: list[str] = [address]
    while stack:
        fresh: Iterable[str] = graph.get(stack.pop(), set()) - seen
        seen.update(fresh)
        stack.extend(fresh)
    return seen


def denied(trouble: Trouble) -> bool:
    """Whether what was just granted, made or enabled may cure the refusal by itself: whoever raises it knows its words."""
    return bool(trouble.facts.get("denied"))


def passing(trouble: Trouble) -> int:
    """How often it is worth beginning a step again after this: the answer, or its lack, said nothing about the step itself.

    A step that begins again reads first, so a write that was carried out although its answer was lost is not made twice.
    """
    return int(trouble.facts.get("passing", 0))


def _fault(address: str, error: Exception) -> Trouble:
    trouble = Trouble(
        f"{address}: {type(error).__name__}: {error}",
        why="gemmactl did not expect this",
        remedy="run the same command again; if it stays, report it with the traceback",
        code="internal",
    )
    trouble.__cause__ = error
    return trouble


def _late(address: str, limit: float) -> Trouble:
    return Trouble(
        f"{address} did not answer within {limit:.0f} seconds",
        why="a call to the cloud hangs; the operation may still be going on there",
        remedy="run the same command again: it re-attaches to what is under way",
        code="step-timeout",
    )
