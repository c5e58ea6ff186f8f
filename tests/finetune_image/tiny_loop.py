"""A trainer of one number in place of trl's, with transformers' order of events, and places that break. No torch."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import crc32c

from finetune_image.contract import Kind
from finetune_image.figures import Answer, Figures
from finetune_image.hands import Material, Model
from finetune_image.run import Checkpoint, Data, File, Run, Stop, Train, Wish
from finetune_image.store import ABSENT, Bytes, Clash, Folder, Held, Store

BEAT = Callable[[str, int], None]
"""What a test does at each event of the loop: (event, how many there were)."""


class Killed(BaseException):
    """SIGKILL, as far as a test in one process can have it: nothing of ours catches it."""


class TinyTrainer:
    """Adapts one weight with momentum, noise like dropout, `accumulation` micro-batches a step, rows in an order that is drawn.

    What is drawn when is transformers' own: a resumed epoch draws its order first, and then goes on with the saved numbers.
    """

    epoch = 3
    """Steps of one."""

    def __init__(self, out: Path, callbacks: Sequence[Any], steps: int, accumulation: int, beat: BEAT) -> None:
        self.args = SimpleNamespace(output_dir=str(out))
        self.weight, self.momentum = random.random(), 0.0
        self.state = SimpleNamespace(global_step=0, epoch=0.0)
        self.control = SimpleNamespace(should_save=False, should_training_stop=False)
        self._callbacks, self._steps, self._accumulation, self._beat = callbacks, steps, accumulation, beat
        self._events = 0

    def train(self, resume_from_checkpoint: str | None = None) -> None:
        numbers = None
        if resume_from_checkpoint:
            self._load_from_checkpoint(resume_from_checkpoint)
            folder = Path(resume_from_checkpoint)
            self.momentum = json.loads((folder / "optimizer.pt").read_text())
            self.state.global_step = json.loads((folder / "trainer_state.json").read_text())
            self.state.epoch = self.state.global_step / self.epoch
            version, inner, gauss = json.loads((folder / "rng_state.pth").read_text())
            numbers = (version, tuple(inner), gauss)
        self.control.should_training_stop = False
        self._event("on_train_begin")
        while self.state.global_step < self._steps and not self.control.should_training_stop:
            done = self.state.global_step % self.epoch
            self._event("on_epoch_begin")
            if numbers and not done:
                random.setstate(numbers)
            rows = random.sample(range(self.epoch), self.epoch)
            if numbers and done:
                random.setstate(numbers)
            numbers = None
            for row in rows[done : done + self._steps - self.state.global_step]:
                self._step(row)
                if self.control.should_training_stop:
                    break
            self._event("on_epoch_end")
            self._save_if_asked()

    def _step(self, row: int) -> None:
        slope = 0.0
        for part in range(self._accumulation):
            slope += 0.1 * self.weight + 0.01 * row + random.gauss(0, 0.01)
            if part + 1 < self._accumulation:
                self._event("on_substep_end")
                if self.control.should_training_stop:
                    return
        self.momentum = 0.9 * self.momentum + slope
        self.weight -= 0.1 * self.momentum
        self.state.global_step += 1
        self.state.epoch = self.state.global_step / self.epoch
        self._event("on_step_end")
        self._event("on_log", logs={"loss": self.weight**2, "grad_norm": abs(slope), "num_tokens": 10 * self.state.global_step})
        self._save_if_asked()

    def _save_if_asked(self) -> None:
        if not self.control.should_save:
            return
        self.control.should_save = False
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        folder.mkdir(parents=True)
        (folder / "adapter_model.safetensors").write_text(repr(self.weight))
        (folder / "adapter_config.json").write_text(
            json.dumps({"base_model_name_or_path": str(folder), "target_modules": ["v", "q"]})
        )
        (folder / "optimizer.pt").write_text(json.dumps(self.momentum))
        (folder / "rng_state.pth").write_text(json.dumps(random.getstate()))
        (folder / "trainer_state.json").write_text(json.dumps(self.state.global_step))
        self._event("on_save")

    def _load_from_checkpoint(self, folder: str) -> None:
        self.weight = float((Path(folder) / "adapter_model.safetensors").read_text())

    def _event(self, name: str, **more: Any) -> None:
        self._events += 1
        self._beat(name, self._events)
        for one in self._callbacks:
            getattr(one, name)(self.args, self.state, self.control, **more)


@dataclass(frozen=True)
class TinyStats:
    rows: int = 2


@dataclass
class TinyBuilt:
    trainer: TinyTrainer
    steps: int
    smaller: int | None
    losses: Mapping[int, float] = field(default_factory=dict)
    held: bool = True
    stats: TinyStats = TinyStats()

    def held_out(self, *, base: bool = False) -> float | None:
        random.random()  # an evaluation may draw numbers
        if not self.held:
            return None
        return self.losses.get(self.trainer.state.global_step, 1.0 if base else self.trainer.weight**2)


def silent(_event: str, _count: int) -> None:
    """Nothing happens."""


@dataclass
class TinyHands:
    """`place`: where is published. `fits`: micro-batches above it run out of GPU memory at the second step."""

    place: Store
    steps: int = 6
    accumulation: int = 2
    beat: BEAT = silent
    losses: Mapping[int, float] = field(default_factory=dict)
    held: bool = True
    micro: int = 4
    fits: int = 4
    size: int = 0
    built: list[TinyBuilt] = field(default_factory=list)

    def rows(self, run: Run, scratch: Path) -> Material:
        return Material(["a"], ["b"] if self.held else [], ("one row was left out",))

    @contextlib.contextmanager
    def model(self, run: Run, scratch: Path) -> Iterator[Model]:
        yield Model(scratch, self.size)

    def build(
        self, run: Run, model: Model, material: Material, out: Path, callbacks: Sequence[Any], micro: int | None
    ) -> TinyBuilt:
        now = micro or self.micro
        trainer = TinyTrainer(out, callbacks, self.steps, self.accumulation, self._bounded(now))
        self.built.append(TinyBuilt(trainer, self.steps, now // 2 or None, self.losses, self.held))
        return self.built[-1]

    def _bounded(self, micro: int) -> BEAT:
        def beat(event: str, count: int) -> None:
            if micro > self.fits and event == "on_step_end":
                raise OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            self.beat(event, count)

        return beat

    def answers(self, built: Any, material: Material, *, base: bool) -> tuple[Answer, ...]:
        return (Answer("a?", "b", "c" if base else "b"),) if material.held else ()

    def facts(self) -> Mapping[str, Any]:
        return {"gpu_gb": 1.5}

    def publish(self, run: Run, adapter: Path, figures: Figures, tell: Callable[..., Any]) -> Mapping[str, Any]:
        there = self.place.at(f"models/{run.run_id}")
        for name, source in (("model.safetensors", "adapter_model.safetensors"), ("config.json", "adapter_config.json")):
            with contextlib.suppress(Clash):
                there.write(name, (adapter / source).read_bytes(), only_if=ABSENT)
        with contextlib.suppress(Clash):
            there.write("MANIFEST", figures.text().encode(), only_if=ABSENT)
        return {"model": there.uri}


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


class Shelf:
    """A Store in memory: name -> (bytes, how many writes there were)."""

    def __init__(self, prefix: str = "", there: dict[str, tuple[bytes, int]] | None = None) -> None:
        self.uri, self.there = f"shelf/{prefix}".rstrip("/"), there if there is not None else {}
        self._prefix = prefix

    def at(self, prefix: str) -> Shelf:
        return Shelf(f"{self._prefix}{prefix}/", self.there)

    def stat(self, name: str) -> Held | None:
        data, number = self.there.get(self._prefix + name, (None, 0))
        return None if data is None else Held(name, len(data), crc32c.crc32c(data), str(number))

    def list(self, prefix: str = "") -> tuple[Held, ...]:
        names = sorted(name.removeprefix(self._prefix) for name in self.there if name.startswith(self._prefix + prefix))
        return tuple(held for held in map(self.stat, names) if held)

    def read(self, name: str, start: int = 0, end: int | None = None) -> bytes | None:
        data = self.there.get(self._prefix + name, (None, 0))[0]
        return None if data is None else data[start:end]

    def write(self, name: str, data: bytes | Path, *, only_if: str | None = None) -> Held:
        return self.pour(name, 0, (data if isinstance(data, bytes) else data.read_bytes(),), only_if=only_if)

    def pour(self, name: str, size: int, chunks: Iterable[Bytes], *, only_if: str | None = None) -> Held:
        if only_if == ABSENT and self._prefix + name in self.there:
            raise Clash(name)
        self.there[self._prefix + name] = (b"".join(bytes(one) for one in chunks), len(self.there) + 1)
        return Held(name, size, 0, "") if (held := self.stat(name)) is None else held

    def copy(self, source: Store, name: str, to: str, *, only_if: str | None = None) -> Held | None:
        return None

    def delete(self, name: str) -> None:
        self.there.pop(self._prefix + name, None)


class Mortal:
    """A Store whose process is killed at call number `at`, before it does anything: between two calls."""

    def __init__(self, inner: Store, at: int = 0, *, counter: list[int] | None = None) -> None:
        self._inner, self._at = inner, at
        self.calls = counter if counter is not None else [0]

    @property
    def uri(self) -> str:
        return self._inner.uri

    def at(self, prefix: str) -> Mortal:
        return Mortal(self._inner.at(prefix), self._at, counter=self.calls)

    def stat(self, name: str) -> Held | None:
        return self._call(lambda: self._inner.stat(name))

    def list(self, prefix: str = "") -> tuple[Held, ...]:
        return self._call(lambda: self._inner.list(prefix))

    def read(self, name: str, start: int = 0, end: int | None = None) -> bytes | None:
        return self._call(lambda: self._inner.read(name, start, end))

    def write(self, name: str, data: bytes | Path, *, only_if: str | None = None) -> Held:
        return self._call(lambda: self._inner.write(name, data, only_if=only_if))

    def pour(self, name: str, size: int, chunks: Iterable[Bytes], *, only_if: str | None = None) -> Held:
        return self._call(lambda: self._inner.pour(name, size, chunks, only_if=only_if))

    def copy(self, source: Store, name: str, to: str, *, only_if: str | None = None) -> Held | None:
        return self._call(lambda: self._inner.copy(source, name, to, only_if=only_if))

    def delete(self, name: str) -> None:
        return self._call(lambda: self._inner.delete(name))

    def _call(self, do: Callable[[], Any]) -> Any:
        self.calls[0] += 1
        if self.calls[0] == self._at:
            raise Killed
        return do()


def run_of(root: Path, stop: Stop | None = None, minutes: float = 1e-9, place: Store | None = None) -> Run:
    """A run's document in `place`, by default `root`/run. `minutes`: between checkpoints; the default saves every step."""
    wish = Wish("m", "tiny", Data("d"), train=Train(epochs=0.3), checkpoint=Checkpoint(minutes, 2), stop=stop or Stop(patience=0))
    made = Run("0123456789ab", "0123456789ab" + "0" * 52, wish, str(root), File("d", "0" * 64))
    (place or Folder(root / "run")).write("run.json", made.text().encode())
    return made


def told(root: Path, kind: Kind) -> list[dict[str, Any]]:
    """The lines of a kind that the run told."""
    lines = [json.loads(line) for line in (root / "run" / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]
