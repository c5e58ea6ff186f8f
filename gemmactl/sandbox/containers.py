"""The instances that run: at most one for each revision, started on demand, stopped when idle. Knows no HTTP."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from gemmactl.sandbox.container_logs import Entry
from gemmactl.sandbox.instances import Instance, NothingToStart
from gemmactl.sandbox.metadata import Identity
from gemmactl.sandbox.probes import wait_started
from gemmactl.sandbox.recipes import recipe
from gemmactl.sandbox.store import private_folder
from gemmactl.sandbox.wire import ApiError, failed

if TYPE_CHECKING:
    from gemmactl.sandbox.world import World

Json = dict[str, Any]
PATIENCE: Final = 10.0
"""Seconds that a request waits for a free place in a full instance. Source: Cloud Run's documentation of maximum instances."""


class Busy(Exception):  # noqa: N818 - a state of the instance, no fault
    """The one instance has no place for another request."""


@dataclass
class _Slot:
    """One revision's place for an instance."""

    condition: threading.Condition = field(default_factory=threading.Condition)
    instance: Instance | None = None
    probed: Instance | None = None
    """Started, but its startup probe is still running."""
    starting: bool = False
    failures: int = 0
    failure: ApiError | None = None
    in_flight: int = 0
    last_used: float = 0.0


class Containers:
    """One for each world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._slots: dict[str, _Slot] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        # what a killed daemon's instances have left; their wardens end the processes themselves
        shutil.rmtree(world.home / "instances", ignore_errors=True)
        self._folder = private_folder(world.home / "instances")
        threading.Thread(target=self._sweep, name="idle-instances", daemon=True).start()
        world.closers.append(self.close)

    # --- for the rollout and the proxy
    def ensure(self, revision: str) -> Instance:
        """The running instance of a revision (full name), started and probed first if there is none.

        Raises:
            ApiError: why it can't start, in Cloud Run's words.
        """
        slot = self._slot(revision)
        with slot.condition:
            seen = slot.failures
            while slot.starting:
                slot.condition.wait()
                if slot.failures != seen and slot.failure:
                    raise slot.failure
            if slot.instance and slot.instance.alive:
                slot.last_used = time.monotonic()
                return slot.instance
            slot.starting, slot.instance = True, None
        try:
            started = self._start(revision, slot)
        except ApiError as error:
            with slot.condition:
                slot.starting, slot.failure, slot.failures = False, error, slot.failures + 1
                slot.condition.notify_all()
            raise
        with slot.condition:
            slot.starting, slot.instance, slot.probed = False, started, None
            slot.in_flight, slot.last_used = 0, time.monotonic()
            slot.condition.notify_all()
        if self._closed.is_set() or revision not in self._slots:  # stopped or deleted meanwhile
            started.stop()
            raise failed("UNAVAILABLE", "The instance was stopped.")
        return started

    @contextmanager
    def place(self, revision: str, concurrency: int) -> Iterator[Instance]:
        """An instance with room for one more request, for as long as that takes.

        Raises:
            ApiError: it can't start.
            Busy: full for PATIENCE seconds.
        """
        slot = self._slot(revision)
        end = time.monotonic() + PATIENCE * max(self._world.settings.pace, 0.01)
        while True:
            instance = self.ensure(revision)
            with slot.condition:
                if instance is not slot.instance or not instance.alive:
                    continue
                if slot.in_flight < concurrency:
                    slot.in_flight += 1
                    break
                if not slot.condition.wait(max(end - time.monotonic(), 0)) and slot.in_flight >= concurrency:
                    raise Busy
        try:
            yield instance
        finally:
            with slot.condition:
                if instance is slot.instance:
                    slot.in_flight -= 1
                slot.last_used = time.monotonic()
                slot.condition.notify_all()

    def running(self, revision: str) -> Instance | None:
        """The instance that is there now; starts none."""
        slot = self._slots.get(revision)
        return slot.instance if slot and slot.instance and slot.instance.alive else None

    def stop(self, revision: str) -> None:
        """End the revision's instance, also one whose startup probe is still running."""
        with self._lock:
            slot = self._slots.pop(revision, None)
        for instance in (slot.instance, slot.probed) if slot else ():
            if instance:
                instance.stop()

    def close(self) -> None:
        """End all of them, at the same time."""
        self._closed.set()
        names = list(self._slots)
        threads = [threading.Thread(target=self.stop, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    # --- inside
    def _slot(self, revision: str) -> _Slot:
        with self._lock:
            return self._slots.setdefault(revision, _Slot())

    def _sweep(self) -> None:
        while not self._closed.wait(min(max(self._world.settings.idle_stop / 4, 0.05), 5)):
            for name, slot in list(self._slots.items()):
                with slot.condition:
                    idle = time.monotonic() - slot.last_used > self._world.settings.idle_stop
                    victim = slot.instance if idle and not slot.in_flight and not slot.starting else None
                    if victim is None or self._kept(name):
                        continue
                    slot.instance = None
                victim.stop()

    def _kept(self, revision: str) -> bool:
        document = self._world.store.get("revisions", revision) or {}
        return int(document.get("scaling", {}).get("minInstanceCount", 0)) > 0

    def _start(self, revision: str, slot: _Slot) -> Instance:
        world = self._world
        document = world.store.get("revisions", revision)
        image = world.store.get("revision_images", revision)
        if document is None or image is None:
            raise failed("NOT_FOUND", f"Revision '{revision.rpartition('/')[2]}' not found.")
        short = revision.rpartition("/")[2]
        service, region = revision.split("/")[5], revision.split("/")[3]
        container, email = document["containers"][0], document["serviceAccount"]
        not_ready = f"Revision '{short}' is not ready and cannot serve traffic. "
        told = {"K_SERVICE": service, "K_REVISION": short, "K_CONFIGURATION": service}
        made = recipe(
            world, document, image, told, serves=True, prefix=not_ready, volume_prefix=f"Revision '{short}' is not ready. "
        )
        identity = Identity(
            world.project, world.number, region, email, short, lambda: world.tokens.access(email),
            lambda audience: world.tokens.identity(email, audience),
        )  # fmt: skip
        labels = {"service_name": service, "revision_name": short, "configuration_name": service, "location": region}
        entry_labels: dict[str, str] = {}

        def write(stream: str, entry: Entry, severity: str) -> None:
            world.logs.write(
                f"run.googleapis.com/{stream}", "cloud_run_revision", labels, entry, severity, entry_labels=entry_labels
            )

        write("varlog/system", "Starting new instance.", "INFO")
        if made.gpu:
            write(
                "varlog/system",
                "SANDBOX: no GPU is attached; the container sees the devices of this machine, if there are any.",
                "INFO",
            )
        try:
            instance = Instance(made, self._folder, identity, write, world.settings.grace)
        except NothingToStart:
            text = "The image has no ENTRYPOINT and no CMD, and the sandbox pulls no base image that might have one."
            raise failed("FAILED_PRECONDITION", not_ready + text) from None
        entry_labels["instanceId"] = instance.id
        slot.probed = instance
        verdict = wait_started(
            instance,
            container,
            container.get("name") or f"{service}-1",
            world.settings.pace,
            default=image.get("defaultProbe", False),
        )
        write("varlog/system", verdict.log, "INFO" if verdict.ok else "ERROR")
        if not verdict.ok:
            instance.stop()
            raise failed(
                "FAILED_PRECONDITION", f"{not_ready}{verdict.sentence} Logs for this revision might contain more information."
            )
        return instance
