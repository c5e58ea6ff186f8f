"""One attempt of a job's task as a process: started, timed, stopped, and how it ended. Knows no execution's state."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from gemmactl.sandbox import execution_words as words
from gemmactl.sandbox.container_logs import Entry
from gemmactl.sandbox.container_rules import seconds
from gemmactl.sandbox.execution_words import Outcome
from gemmactl.sandbox.instances import Instance, NothingToStart
from gemmactl.sandbox.maintenance import Calendar
from gemmactl.sandbox.metadata import Identity
from gemmactl.sandbox.recipes import recipe
from gemmactl.sandbox.store import private_folder
from gemmactl.sandbox.wire import ApiError, failed

if TYPE_CHECKING:
    from gemmactl.sandbox.world import World

Json = dict[str, Any]
SECRETS_OF_A_JOB: Final = "spec.template."
"""A job's template is one level deeper than a service's; what follows is the path that run_secrets writes."""
_NO_PROGRAM: Final = "The image has no ENTRYPOINT and no CMD, and the sandbox pulls no base image that might have one."


@dataclass(frozen=True)
class Attempt:
    """The `number`th try (from 0) of task `index`. `execution`: full name; `template`: the task's; `image`: root and config."""

    execution: str
    template: Json
    image: Json
    index: int
    number: int
    count: int

    @property
    def task(self) -> str:
        """Full name."""
        return f"{self.execution}/tasks/{self.execution.rpartition('/')[2]}-task{self.index}"

    @property
    def job(self) -> str:
        return self.execution.split("/")[5]

    def told(self) -> dict[str, str]:
        """What Cloud Run says to the container. Source: its page "Container runtime contract", jobs."""
        return {
            "CLOUD_RUN_JOB": self.job,
            "CLOUD_RUN_EXECUTION": self.execution.rpartition("/")[2],
            "CLOUD_RUN_TASK_INDEX": str(self.index),
            "CLOUD_RUN_TASK_ATTEMPT": str(self.number),
            "CLOUD_RUN_TASK_COUNT": str(self.count),
        }


@dataclass
class _Running:
    instance: Instance | None = None
    doomed: bool = False
    """A maintenance event has come, maybe before the instance is known here."""
    labels: dict[str, str] = field(default_factory=dict)


class Attempts:
    """One for each world. `calendar`: the maintenance events that are ordered."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._running: dict[str, _Running] = {}
        self.calendar = Calendar()
        # what a killed daemon's attempts have left; their wardens end the processes themselves
        shutil.rmtree(world.home / "attempts", ignore_errors=True)
        self._folder = private_folder(world.home / "attempts")

    def run(self, attempt: Attempt, cancelled: Callable[[], bool]) -> Outcome:
        """Start it and wait for its end. `cancelled`: whether somebody wants it to stop, asked once it can be stopped."""
        running = self._running[attempt.task] = _Running()
        write = self._writer(attempt, running)
        try:
            instance = self._start(attempt, write)
        except ApiError as error:
            write("varlog/system", error.message, "ERROR")
            return Outcome(words.INTERNAL, error.message)
        except OSError as error:
            write("varlog/system", f"SANDBOX: the attempt could not be started: {error}", "ERROR")
            return Outcome(words.INTERNAL, f"The sandbox could not start the container: {error.strerror or error}")
        try:
            running.labels["instanceId"] = instance.id
            running.instance = instance
            if cancelled():
                instance.stop()
            elif running.doomed:
                instance.kill()
            timed_out = self._wait(attempt, instance, write)
            return _outcome(instance, timed_out=timed_out)
        finally:
            del self._running[attempt.task]

    def stop(self, execution: str) -> None:
        """SIGTERM to all attempts of an execution (empty: of all), SIGKILL after the grace time; returns when they are over."""
        base = f"{execution}/tasks/" if execution else ""
        found = [one.instance for task, one in list(self._running.items()) if task.startswith(base)]
        threads = [threading.Thread(target=instance.stop) for instance in found if instance]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def kill(self, job: str) -> None:
        """A maintenance event now: SIGKILL to the running attempts of a job (short name; empty: any).

        Raises:
            ApiError: 404, none is running.
        """
        found = [one.instance for task, one in list(self._running.items()) if job in ("", task.split("/")[5]) and one.instance]
        if not found:
            raise failed("NOT_FOUND", f"No attempt of {f'job {job}' if job else 'a job'} is running.")
        for instance in found:
            if instance:
                instance.kill()

    def _start(self, attempt: Attempt, write: Callable[[str, Entry, str], None]) -> Instance:
        world, template = self._world, attempt.template
        made = recipe(
            world,
            template,
            attempt.image,
            attempt.told(),
            serves=False,
            prefix=SECRETS_OF_A_JOB,
            volume_prefix=SECRETS_OF_A_JOB,
        )
        email, short = template["serviceAccount"], attempt.task.rpartition("/")[2]
        identity = Identity(
            world.project, world.number, attempt.execution.split("/")[3], email, short, lambda: world.tokens.access(email),
            lambda audience: world.tokens.identity(email, audience),
        )  # fmt: skip
        if made.gpu:
            said = "SANDBOX: no GPU is attached; the container sees the devices of this machine, if there are any."
            write("varlog/system", said, "INFO")
        if "startupProbe" in template["containers"][0]:
            write("varlog/system", "SANDBOX: a job's startup probe is not run.", "INFO")
        try:
            return Instance(made, self._folder, identity, write, world.settings.grace)
        except NothingToStart:
            raise failed("FAILED_PRECONDITION", _NO_PROGRAM) from None

    def _wait(self, attempt: Attempt, instance: Instance, write: Callable[[str, Entry, str], None]) -> bool:
        """Until it is over; True when its time was over first."""
        timeout = seconds(attempt.template["timeout"])
        end = time.monotonic() + timeout
        while not instance.exited.wait(min(max(end - time.monotonic(), 0.1 if instance.stopping else 0.0), 5.0)):
            self._world.touch()  # somebody waits for this, although nobody asks
            if time.monotonic() >= end and not instance.stopping:
                # source: published logs of jobs that timed out
                said = f"Terminating task because it has reached the maximum timeout of {timeout:g} seconds."
                more = "To change this limit, see https://cloud.google.com/run/docs/configuring/task-timeout"
                write("varlog/system", f"{said} {more}", "ERROR")
                instance.stop()
                instance.exited.wait()
                return True
        return False

    def _writer(self, attempt: Attempt, running: _Running) -> Callable[[str, Entry, str], None]:
        labels = {"job_name": attempt.job, "location": attempt.execution.split("/")[3]}
        running.labels |= {
            "run.googleapis.com/execution_name": attempt.execution.rpartition("/")[2],
            "run.googleapis.com/task_index": str(attempt.index),
            "run.googleapis.com/task_attempt": str(attempt.number),
        }

        def write(stream: str, entry: Entry, severity: str) -> None:
            self._world.logs.write(
                f"run.googleapis.com/{stream}", "cloud_run_job", labels, entry, severity, entry_labels=running.labels
            )
            if self.calendar.due(attempt.job, entry):
                running.doomed = True
                if running.instance:
                    running.instance.kill()

        return write


def _outcome(instance: Instance, *, timed_out: bool) -> Outcome:
    if timed_out:
        return Outcome(words.DEADLINE, words.TIMED_OUT)
    if instance.stopping:
        return Outcome(words.CANCELLED, words.BY_USER)
    if instance.term_signal:
        # guess: of a container that a signal has ended only the signal is known, as for one that was killed for its memory
        return Outcome(words.ABORTED, words.EXITED, 0, instance.term_signal)
    code = instance.exit_code or 0
    return Outcome(words.ABORTED, words.EXITED, code) if code else Outcome()
