"""Owns what happens between two steps: evaluate, save, stop, tell. Shaped as a TrainerCallback; imports no trainer.

Nothing here changes what is trained: evaluations draw no random numbers, and a stop inside a step takes the step's numbers back.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from finetune_image import rng
from finetune_image.carrier import Carrier
from finetune_image.checkpoints import PROGRESS
from finetune_image.contract import Code, Kind, TuneFailed
from finetune_image.figures import Ended
from finetune_image.halt import Halt, Terminated, Why
from finetune_image.run import Wish

EVALUATIONS: Final = 10
"""In an epoch; by steps, never by time: when a run is evaluated decides when it stops early."""
EVALUATIONS_MOST: Final = 40
APART: Final = 5
"""Least steps between two: after fewer a loss says more of the rows than of the training, and patience is soon gone."""
NOT_FINITE: Final = 3
"""Logs in a row whose loss or gradient is no number, after which nothing good comes any more."""
_CURVE: Final = 4000
"""Most points of the loss that a checkpoint carries along."""


@dataclass(frozen=True)
class Progress:
    """What training knows beside the trainer's own state. `worse`: evaluations in a row without a better loss."""

    step: int = 0
    max_steps: int = 0
    best: float | None = None
    best_step: int = 0
    worse: int = 0
    held_out: tuple[tuple[int, float], ...] = ()
    curve: tuple[tuple[int, float], ...] = ()
    tokens: int = 0
    """Trained so far, as trl counts them."""
    ended: Ended | None = None
    """Why no step follows; None: there are some."""

    @property
    def evaluated(self) -> int:
        """The last step that was."""
        return self.held_out[-1][0] if self.held_out else 0

    @property
    def result_step(self) -> int:
        """Whose weights are the result if nothing more comes."""
        return self.best_step if self.held_out else self.step

    def with_loss(self, step: int, loss: float) -> Progress:
        """After an evaluation."""
        better = math.isfinite(loss) and (self.best is None or loss < self.best)
        said = replace(self, held_out=(*self.held_out, (step, loss)))
        return replace(said, best=loss, best_step=step, worse=0) if better else replace(said, worse=self.worse + 1)

    def text(self) -> str:
        return json.dumps(asdict(self)) + "\n"

    @staticmethod
    def parse(text: str | bytes) -> Progress:
        made = json.loads(text)
        pairs = {k: tuple((int(s), float(v)) for s, v in made[k]) for k in ("held_out", "curve")}
        return Progress(**{**made, **pairs, "ended": Ended(made["ended"]) if made["ended"] else None})


def every_of(steps: int, epochs: float) -> int:
    """Steps between two evaluations."""
    wanted = max(1.0, min(EVALUATIONS * epochs, EVALUATIONS_MOST))
    return max(APART, round(steps / wanted))


class Loop:
    """The worker's hand in the trainer's loop. `measure`: the loss over the held-out rows; None: there are none."""

    def __init__(
        self, wish: Wish, halt: Halt, carrier: Carrier, tell: Callable[..., Any], progress: Progress | None = None
    ) -> None:
        self._wish, self._halt, self._carrier, self._tell, self._clock = wish, halt, carrier, tell, halt.clock
        self.progress = progress or Progress()
        self.measure: Callable[[], float | None] | None = None
        self.steps = 0
        """All that will be trained; both are known once the trainer is built with this."""
        self.facts: Callable[[], Mapping[str, Any]] = dict
        """More fields for a line of training: dollars so far."""
        self.stepped: Callable[[int], None] = lambda _: None
        self.stopped: Why | None = None
        """Why training stopped before its end."""
        self._saved_at = self._began = self._ended_at = halt.clock()
        self._saved_step = self._first = self.progress.step
        self._numbers: dict[str, Any] = {}
        self._strange = 0
        self._tokens, self._logged = self.progress.tokens, (halt.clock(), 0)

    def __getattr__(self, name: str) -> Any:
        """Events that are none of ours."""
        if name.startswith("on_"):
            return _nothing
        raise AttributeError(name)

    # --- events of the loop -----------------------------------------------------------------------

    def on_train_begin(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
        self._began = self._saved_at = self._ended_at = self._clock()
        self._logged = (self._began, 0)
        if self._due(state.global_step):
            self._evaluate(state.global_step)

    def on_epoch_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        self._anew(state.epoch or 0)

    def on_step_end(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
        step = state.global_step
        if state.epoch == int(state.epoch):
            self._anew(state.epoch)  # a checkpoint between two epochs begins as the next one does
        self._numbers = rng.state()
        self.progress = replace(self.progress, step=step)
        self.stepped(step)
        # what is saved before its evaluation is evaluated by the next attempt, first thing
        if self._halt.why in {Why.TERMINATED, Why.DEADLINE, Why.CANCELLED}:
            return self._stop(step, control)
        took, self._ended_at = self._clock() - self._ended_at, self._clock()
        improved = self._weigh(step)
        if self.progress.ended is None and self._halt.left(Why.BUDGET) <= took:
            return self._stop(step, control, Why.BUDGET)  # one more like it would not be paid for
        if (why := self._halt.why) is not None:
            return self._stop(step, control, why)
        late = self._clock() - self._saved_at >= self._wish.checkpoint.minutes * 60
        if improved or self.progress.ended or (late and not self._carrier.busy):
            control.should_save = True
        if self.progress.ended:
            control.should_training_stop = True
        return None

    def finish(self) -> None:
        """For weights of the last step that no evaluation followed: a signal came between."""
        self._weigh(self.progress.step)

    def on_substep_end(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._halt.why is not None:
            rng.go_back(self._numbers)  # this step is trained again, from its first micro-batch
            self._stop(state.global_step, control)

    def on_save(self, args: Any, state: Any, _control: Any, **_: Any) -> None:
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        (folder / PROGRESS).write_text(replace(self.progress, max_steps=self.steps).text())
        self._saved_step, self._saved_at = state.global_step, self._clock()
        self._carrier.send(folder, state.global_step, {self.progress.best_step} - {0})

    def on_log(self, _args: Any, state: Any, _control: Any, logs: Mapping[str, Any] | None = None, **_: Any) -> None:
        logs = logs or {}
        if "loss" not in logs:
            return
        loss, norm = float(logs["loss"]), _number(logs.get("grad_norm"))
        point, tokens, now = (int(state.global_step), loss), int(logs.get("num_tokens") or 0), self._clock()
        curve = (*self.progress.curve, point)[-_CURVE:]
        self.progress = replace(self.progress, curve=curve, tokens=self._tokens + tokens)
        rate = (tokens - self._logged[1]) / (now - self._logged[0]) if now > self._logged[0] and tokens else None
        self._logged = (now, tokens)
        done, passed = state.global_step - self._first, now - self._began
        left = (self.steps - state.global_step) * passed / done if done > 0 else None
        self._tell(
            Kind.TRAIN, step=state.global_step, max_steps=self.steps, epoch=_short(logs.get("epoch", state.epoch)),
            loss=_short(loss), lr=logs.get("learning_rate"), grad_norm=_short(norm), tokens=self.progress.tokens or None,
            tokens_per_s=None if rate is None else round(rate, 1), eta_s=None if left is None else round(left),
            **self.facts(),
        )  # fmt: skip
        self._strange = 0 if math.isfinite(loss) and (norm is None or math.isfinite(norm)) else self._strange + 1
        if self._strange >= NOT_FINITE:
            raise TuneFailed(
                Code.LOSS_NOT_FINITE, f"step {state.global_step}", f"loss {loss}, gradient {norm} for {NOT_FINITE} logs in a row",
                f"a lower learning rate: --set train.lr={self._wish.train.lr / 4:g}", "a longer warm-up: --set train.warmup=0.1",
                "look for rows of broken text: gemmactl finetune check DATA --full",
            )  # fmt: skip

    def _anew(self, epoch: float) -> None:
        """Numbers of an epoch depend on it alone: samplers that draw the order of rows draw the same one after a resume."""
        rng.seed((self._wish.train.seed * 1_000_003 + int(epoch)) % 2**32)
        self._numbers = rng.state()

    # --- what they do -----------------------------------------------------------------------------

    def _due(self, step: int) -> bool:
        if self.measure is None or step == 0 or self.progress.evaluated >= step:
            return False
        return step >= self.steps or step % every_of(self.steps, self._wish.train.epochs) == 0

    def _weigh(self, step: int) -> bool:
        """Evaluate when it is time, and see whether training is over. Whether it is the best so far."""
        due = self._due(step)
        improved = due and self._evaluate(step)
        if due and self.progress.evaluated < step:
            return False  # interrupted
        if step >= self.steps:
            self.progress = replace(self.progress, ended=Ended.STEPS)
        elif self._wish.stop.patience and self.progress.worse >= self._wish.stop.patience:
            self.progress = replace(self.progress, ended=Ended.PATIENCE)
        return improved

    def _evaluate(self, step: int) -> bool:
        """Whether it is the best so far. A signal interrupts it: saving counts for more."""
        try:
            with rng.untouched(), self._halt.abrupt():
                loss = self.measure() if self.measure else None
        except Terminated:
            return False
        if loss is None:
            return False
        before = self.progress
        self.progress = before.with_loss(step, loss)
        self._tell(Kind.EVAL, step=step, loss=_short(loss), best=_short(self.progress.best))
        return self.progress.best_step == step

    def _stop(self, step: int, control: Any, why: Why | None = None) -> None:
        self.stopped = why or self._halt.why
        if self.stopped is Why.BUDGET and self.measure and self.progress.evaluated < step:
            self._evaluate(step)
        control.should_training_stop = True
        if step > 0 and step != self._saved_step:
            control.should_save = True


def _nothing(*_: Any, **__: Any) -> None:
    return None


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _short(value: Any) -> float | None:
    return None if value is None else float(f"{float(value):.6g}")
