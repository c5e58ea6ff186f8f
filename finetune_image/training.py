"""Owns the way from data to a result: resume, baseline, the loop, smaller micro-batches, the best weights. Knows no library."""

from __future__ import annotations

import json
import shutil
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from finetune_image import checkpoints, memory, results, rng
from finetune_image.callbacks import Loop, Progress
from finetune_image.carrier import Carrier
from finetune_image.checkpoints import ADAPTER, PROGRESS
from finetune_image.contract import CHECKPOINTS, Code, Kind, TuneFailed
from finetune_image.figures import Answer, Ended, Figures
from finetune_image.halt import Halt, Why
from finetune_image.hands import Built, Hands, Material
from finetune_image.ledger import Ledger
from finetune_image.run import Run
from finetune_image.store import Store
from finetune_image.telling import Teller

BASELINE: Final = "baseline.json"
"""What the base says and how well it does, and what is kept for publishing: measured once for a run."""
RESERVE: Final = 60.0
_RATE: Final = 40e6
"""Bytes of the model a second, read, merged, written, and read back to be measured. Merging alone was measured at 70 MB/s on two
busy cores (docs/bench/finetune-merge.md), process and all. A guess for a job: not measured on Cloud Run."""


@dataclass(frozen=True)
class Baseline:
    """`loss`: over the held-out rows. `reserve`: seconds that evaluating and publishing take, by how long this took."""

    loss: float | None = None
    answers: tuple[Answer, ...] = ()
    reserve: float = RESERVE

    def text(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def parse(data: bytes) -> Baseline | None:
        """None for what is none: then it is measured."""
        with suppress(ValueError, KeyError, TypeError):
            made = json.loads(data)
            return Baseline(made["loss"], tuple(Answer(**one) for one in made["answers"]), float(made.get("reserve", RESERVE)))
        return None


class Stopped(Exception):  # noqa: N818 - not a fault
    """The attempt stops before there is a result; all that is worth it is saved."""

    def __init__(self, why: Why) -> None:
        super().__init__(why)
        self.why = why


def reserve_of(size: int, measuring: float) -> float:
    """Seconds that evaluating, merging and publishing take, an estimate. `size`: bytes of the base; `measuring`: evaluating."""
    return RESERVE + size / _RATE + 2 * measuring


class Training:
    """Of one attempt. `store`: the run's place."""

    def __init__(
        self, run: Run, store: Store, hands: Hands, halt: Halt, ledger: Ledger, teller: Teller, scratch: Path, background: bool
    ) -> None:
        self._run, self._store, self._hands, self._halt = run, store, hands, halt
        self._ledger, self._teller, self._scratch = ledger, teller, scratch
        self._place = store.at(CHECKPOINTS)
        self._carrier = Carrier(self._place, run.identity, run.wish.checkpoint.keep, teller.tell, background=background)

    def result(self) -> tuple[Path, Figures]:
        """The adapter's folder here and the figures; both are in the run's place then.

        Raises:
            Stopped: training is not over, but this attempt is.
            TuneFailed: it can't go on.
        """
        resumed = self._resume()
        known = self._measured() or Baseline()
        if resumed and resumed[0].ended is None and self._ledger.budget_left(self._run.wish.stop) <= known.reserve:
            # the little that is left is for publishing: the model is not even read
            return self._keep(replace(resumed[0], ended=Ended.BUDGET), {}, (), known)
        if self._ledger.budget_left(self._run.wish.stop) <= 0:
            raise self._spent("before a step was saved")
        self._phase("reading data")
        material = self._hands.rows(self._run, self._scratch)
        for text in material.notes if self._ledger.now.number == 1 else ():
            self._teller.tell(Kind.NOTE, text=text)
        while True:
            micro = self._ledger.micro
            try:
                return self._with(material, micro, resumed)
            except Exception as error:
                if not memory.of_gpu(error):
                    self._carrier.settle()  # what it brings lies in the attempt's own folder
                    raise
                smaller, detail = self._smaller, str(error)
            # outside of the except: the error held every tensor of the step alive
            memory.free()
            if smaller is None:
                raise memory.refusal(self._run.wish, self._ledger.now.phase, detail)
            self._ledger.note(micro=smaller)
            text = f"the GPU's memory was too small: micro-batches of {smaller} from now on, more of them, the same step"
            self._teller.tell(Kind.NOTE, text=text)
            self._carrier.settle()
            resumed = self._resume()

    # --- one trainer ------------------------------------------------------------------------------

    _smaller: int | None = None
    """Of the trainer that ran last."""

    def _with(self, material: Material, micro: int | None, resumed: tuple[Progress, Path] | None) -> tuple[Path, Figures]:
        """Build a trainer, train with it to an end, keep the result."""
        self._smaller = None
        self._phase("reading model")
        out = self._scratch / "trainer"
        self._carrier.forget()
        shutil.rmtree(out, ignore_errors=True)
        progress, folder = resumed or (Progress(), None)
        loop = Loop(self._run.wish, self._halt, self._carrier, self._teller.tell, progress=progress)
        with self._hands.model(self._run, self._scratch) as model:
            rng.seed(self._run.wish.train.seed)
            built = self._hands.build(self._run, model, material, out, [loop], micro)
        self._smaller = built.smaller
        if slow := getattr(built.stats, "unfused", ""):
            self._teller.tell(Kind.NOTE, text=f"trl's kernels don't run here, so torch computes the loss, slower: {slow}")
        self._phase("measuring")
        baseline = self._baseline(built, material, model.size)
        reserve = baseline.reserve
        left = self._ledger.budget_left(self._run.wish.stop) - reserve
        if left <= 0 and progress.step == 0:
            raise self._spent("before training began: what is left is less than publishing takes")
        if left != float("inf"):
            self._halt.after(left, Why.BUDGET)
        if progress.ended is None:
            self._train(loop, built, folder, baseline.loss)
        if (why := self._halt.why) in {Why.TERMINATED, Why.CANCELLED}:
            raise Stopped(why)
        trained = loop.progress.step > progress.step
        if trained and self._halt.left(Why.DEADLINE) < reserve:
            # the next attempt has its whole time for it
            raise Stopped(Why.DEADLINE)
        self._phase("evaluating")
        return self._best(built, material, loop.progress, baseline)

    def _train(self, loop: Loop, built: Built, folder: Path | None, baseline: float | None) -> None:
        loop.steps, loop.stepped = built.steps, self._stepped
        loop.measure = None if baseline is None else built.held_out
        loop.facts = self._facts
        self._phase("training")
        with self._halt.gentle():
            if folder and loop.progress.step >= built.steps:
                built.trainer._load_from_checkpoint(str(folder))  # noqa: SLF001 - what train(resume_from_checkpoint=...) does first
                loop.finish()
            else:
                built.trainer.train(resume_from_checkpoint=str(folder) if folder else None)
            failed = self._carrier.settle()
        if loop.stopped in {Why.TERMINATED, Why.DEADLINE, Why.CANCELLED}:
            raise Stopped(loop.stopped)
        if failed:
            raise failed
        if loop.stopped is Why.BUDGET:
            if loop.progress.step == 0:
                raise self._spent("before a step was trained")
            loop.progress = replace(loop.progress, ended=Ended.BUDGET)

    def _baseline(self, built: Built, material: Material, size: int) -> Baseline:
        """How the base does, measured once for a run: what is compared with must not depend on the attempt."""
        if (found := self._measured()) is not None:
            return found
        began = time.monotonic()
        with rng.untouched():
            loss, answers = built.held_out(base=True), self._hands.answers(built, material, base=True)
        made = Baseline(loss, answers, reserve_of(size, time.monotonic() - began))
        self._store.write(BASELINE, made.text().encode())
        if loss is not None:
            self._teller.tell(Kind.EVAL, step=0, loss=loss, baseline=loss)
        return made

    def _measured(self) -> Baseline | None:
        return Baseline.parse(self._store.read(BASELINE) or b"")

    # --- what stays -------------------------------------------------------------------------------

    def _best(self, built: Built, material: Material, progress: Progress, baseline: Baseline) -> tuple[Path, Figures]:
        folder = self._adapter(progress)
        # what the trainer holds is the newest step or, after a resume, nothing yet
        built.trainer._load_from_checkpoint(str(folder))  # noqa: SLF001 - what train(resume_from_checkpoint=...) does first
        after = self._hands.answers(built, material, base=False)
        return self._keep(progress, {"steps": built.steps, **asdict(built.stats)}, after, baseline, folder)

    def _adapter(self, progress: Progress) -> Path:
        """The best checkpoint's adapter here. Raises TuneFailed(internal): it is not there any more; (loss_not_finite)."""
        if progress.held_out and progress.best is None:
            raise TuneFailed(
                Code.LOSS_NOT_FINITE, "held-out rows", f"none of {len(progress.held_out)} evaluations gave a number",
                f"a lower learning rate: --set train.lr={self._run.wish.train.lr / 4:g}",
            )  # fmt: skip
        step = progress.result_step
        saved = next((one for one in checkpoints.whole(self._place) if one.step == step), None)
        folder = self._scratch / "best"
        fault = "it is not there" if saved is None else checkpoints.fetch(self._place.at(saved.name), saved, folder, ADAPTER)
        if fault:
            raise TuneFailed(Code.INTERNAL, f"{self._place.uri}/{checkpoints.name_of(step)}", fault)
        return folder

    def _keep(
        self, progress: Progress, stats: dict[str, Any], after: tuple[Answer, ...], base: Baseline, folder: Path | None = None
    ) -> tuple[Path, Figures]:
        folder = folder or self._adapter(progress)
        results.tidy(folder, self._run)
        stats["tokens_trained"] = progress.tokens
        seconds, usd = self._ledger.spent
        figures = Figures(
            ended=progress.ended or Ended.STEPS, step=progress.result_step, max_steps=stats.pop("steps", progress.max_steps),
            loss=progress.best, baseline=base.loss, curve=progress.curve, held_out=progress.held_out, before=base.answers,
            after=after, attempts=self._ledger.now.number, seconds=round(seconds, 1), usd=usd, stats=stats,
        )  # fmt: skip
        results.keep(self._store, folder, self._run, figures)
        return folder, figures

    # --- small things -----------------------------------------------------------------------------

    def _resume(self) -> tuple[Progress, Path] | None:
        def note(text: str) -> None:
            self._teller.tell(Kind.NOTE, text=text)

        folder = self._scratch / "resumed"
        shutil.rmtree(folder, ignore_errors=True)
        found = checkpoints.newest(self._place, self._run.identity, folder, note)
        if found is None:
            return None
        progress = Progress.parse((found[1] / PROGRESS).read_text())
        self._ledger.note(first=progress.step, step=progress.step)
        note(f"going on from step {progress.step}")
        return progress, found[1]

    def _phase(self, name: str) -> None:
        if self._halt.why is Why.CANCELLED:
            raise Stopped(Why.CANCELLED)
        self._ledger.note(phase=name)
        self._teller.tell(Kind.PHASE, phase=name)

    def _stepped(self, step: int) -> None:
        self._ledger.note(step=step)

    def _facts(self) -> dict[str, Any]:
        usd = self._ledger.spent[1]
        return {**self._hands.facts(), "usd": None if usd is None else round(usd, 4)}

    def _spent(self, when: str) -> TuneFailed:
        stop = self._run.wish.stop
        named = " and ".join(
            text for text in (
                f"max_usd {stop.max_usd:g}" if stop.max_usd is not None else "",
                f"max_hours {stop.max_hours:g}" if stop.max_hours is not None else "",
            ) if text
        )  # fmt: skip
        return TuneFailed(
            Code.BUDGET_SPENT, "stop", f"{named} was spent {when}",
            "the same gemmactl finetune run command with a higher --max-usd or --max-hours goes on with this run",
            "a smaller model, or fewer rows: data.limit",
        )  # fmt: skip
