"""Staying with a run until its end: what it tells every few seconds, its execution, further starts. Knows no screen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol

from finetune_image.contract import METRICS
from finetune_image.run import Wish
from gemmactl.errors import Exit, Trouble
from gemmactl.kernel.events import Done, Failed, Progress, Started
from gemmactl.kernel.resource import Clock
from gemmactl.resources.execution import run_of
from gemmactl.result import Line
from gemmactl.serving.evidence import clean
from gemmactl.serving.place import Place
from gemmactl.tune import executions, runs, steering
from gemmactl.tune.executions import Execution
from gemmactl.tune.told import Told, details, headline, told
from gemmactl.voice import Voice

EVERY: Final = 5.0
"""Seconds between two looks: two small reads. The worker writes its metrics every 15."""
PATIENCE: Final = 6
"""Looks in a row that may fail: a connection that is gone for half a minute ends nothing."""


class Attended(Protocol):
    """A run that is followed, wherever it goes on."""

    @property
    def address(self) -> str:
        """`run sql/0123456789ab`."""

    @property
    def detached(self) -> Trouble:
        """What Ctrl-C means: who goes on, and how to come back."""

    def told(self) -> Told:
        """What it has told until now."""

    def over(self) -> bool:
        """Whether nothing runs any more."""

    def again(self, now: Told) -> str:
        """Start it once more where it only ran out of time; says so. Empty: it stays as it is."""


def follow(run: Attended, voice: Voice, clock: Clock) -> Told:
    """Tell what it tells until nothing runs any more; the last of it.

    Raises:
        Trouble: Ctrl-C, which ends the following alone; the cloud could not be asked for half a minute.
    """
    began, said, misses = clock.now(), 0, 0
    now = Told()
    voice.events(Started(run.address, "train"))
    try:
        while True:
            try:
                over = run.over()  # asked first: what is told before the end is then read after it
                now = run.told()
                misses = 0
            except Trouble:
                misses += 1
                if misses > PATIENCE:
                    raise
                clock.sleep(EVERY)
                continue
            for note in now.notes[said:]:
                voice.say(Line(f"  {clean(note)}", "dim"))
            said = len(now.notes)
            voice.events(Progress(run.address, headline(now), now.fraction, details(now)))
            if over:
                if words := run.again(now):
                    voice.say(Line(words, "warn"))
                    continue
                break
            clock.sleep(EVERY)
    except KeyboardInterrupt:
        raise run.detached from None
    _closed(run, now, voice, clock.now() - began)
    return now


def _closed(run: Attended, now: Told, voice: Voice, seconds: float) -> None:
    if now.end == "done":
        voice.events(Done(run.address, "train", seconds))
    else:
        words = f"{headline(now)}: {now.end or 'ended without a word'}"
        voice.events(Failed(run.address, Trouble(words, why=now.code, remedy="", code="run-ended")))


@dataclass
class Followed:
    """A run in a project."""

    place: Place
    job: str
    """Full name."""
    bucket: str
    wish: Wish
    run_id: str
    execution: Execution | None = None
    generation: int = 0
    seen: Told = field(default_factory=Told)

    @property
    def address(self) -> str:
        return f"run {self.wish.name}/{self.run_id}"

    @property
    def uri(self) -> str:
        return runs.Tuned(self.wish.name, self.run_id, self.bucket).uri

    @property
    def detached(self) -> Trouble:
        name, flags = self.wish.name, self.place.flags
        return Trouble(
            f"left: {self.address} goes on in the cloud",
            why="Ctrl-C ends the following alone",
            remedy=f"the same command joins it again\ngemmactl finetune status {name} {flags}\n"
            f"gemmactl finetune cancel {name} {flags} stops it",
            code="interrupted",
            exit=Exit.INTERRUPTED,
            facts={"run": self.run_id, "name": name},
        )

    def told(self) -> Told:
        storage, name = self.place.cloud.storage, f"{runs.Tuned(self.wish.name, self.run_id, self.bucket).folder}/{METRICS}"
        found = storage.stat(self.bucket, name)
        if found is not None and found.generation != self.generation:
            self.seen, self.generation = told(storage.read(self.bucket, name)), found.generation
        return self.seen

    def over(self) -> bool:
        jobs = self.place.cloud.jobs
        if self.execution is not None:
            body = jobs.execution(self.execution.name)
        else:
            body = next((one for one in jobs.executions(self.job) if run_of(one) == self.uri), None)
        if body is None:
            raise Trouble(
                f"{self.address} has no execution any more",
                why=f"job {self.job.rpartition('/')[2]} has none of it; somebody may have removed it",
                remedy=f"gemmactl finetune status {self.wish.name} {self.place.flags}",
                code="execution-missing",
            )
        self.execution = executions.read(body)
        return self.execution.over

    def again(self, now: Told) -> str:
        """An execution whose attempts all reached their deadline is begun anew, as far as max_hours allows it."""
        run = runs.read(self.place.cloud, self.bucket, self.wish.name, self.run_id)
        last = run.attempts[-1] if run.attempts else None
        ran_out = last is not None and last.why == "deadline" and last.step > last.first
        hours = sum(one.seconds for one in run.attempts) / 3600
        most = self.wish.stop.max_hours
        if run.done or run.failure or run.cancelled or not ran_out or (most is not None and hours >= most):
            return ""
        self.execution = steering.start(self.place, self.job)
        tried = f"{len(run.attempts)} attempt{'s' * (len(run.attempts) != 1)}"
        return f"{tried} are used up at step {now.step} of {now.max_steps}: started again as {self.execution.short}"
