"""Staying with an execution by its log, until it is over. Makes read calls only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from gemmactl.errors import Exit, Trouble
from gemmactl.kernel.resource import Clock
from gemmactl.result import Line
from gemmactl.serving import evidence
from gemmactl.serving.log_filter import Wanted
from gemmactl.serving.logs import fresh, line
from gemmactl.serving.place import Place
from gemmactl.tune import executions
from gemmactl.tune.executions import Execution
from gemmactl.tune.logs import source
from gemmactl.voice import Voice


class _Over(Exception):  # noqa: N818 - how the following of a log ends
    """Nothing more will be written."""


def watch(place: Place, job: str, execution: Execution, voice: Voice, clock: Clock) -> Execution:
    """Say what it writes until it is over; as it was then. `job`: the short name.

    Raises:
        Trouble: Ctrl-C, which ends the watching alone.
    """
    look = _Look(place, execution, clock)
    floor = execution.started or evidence.stamp(datetime.now(UTC))
    try:
        for entry in fresh(place, source(place, job, execution.short), Wanted(), (), Clock(clock.now, look.sleep), floor):
            voice.say(Line(line(entry), "dim"))
    except _Over:
        return look.now
    except KeyboardInterrupt:
        raise Trouble(
            f"left: {execution.short} goes on in the cloud",
            why="Ctrl-C ends the watching alone",
            remedy=f"gemmactl finetune logs {job} -f {place.flags}\ngemmactl finetune cancel {job} {place.flags} stops it",
            code="interrupted",
            exit=Exit.INTERRUPTED,
        ) from None
    return look.now


@dataclass
class _Look:
    """The execution, asked for between two reads of its log."""

    place: Place
    now: Execution
    clock: Clock

    def sleep(self, seconds: float) -> None:
        """Raises _Over when what it wrote last was read after its end."""
        if self.now.over:
            raise _Over
        self.clock.sleep(seconds)
        found = self.place.cloud.jobs.execution(self.now.name)
        self.now = executions.read(found) if found else replace(self.now, state="cancelled", message="it was removed")
