"""finetune check: what is wrong with the data, what is there twice, what the model sees, how much is trained, what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from finetune_image.contract import TuneFailed
from finetune_image.data.encode import Encoder
from finetune_image.data.tokens import Lengths, measure
from finetune_image.run import Wish
from gemmactl import limits, prices, spec_rules, tune_spec
from gemmactl.errors import Exit, Trouble
from gemmactl.result import Result, Target
from gemmactl.serving.folder import Folders
from gemmactl.spec import Model
from gemmactl.tune import check_screen, fits
from gemmactl.tune.data_source import Places
from gemmactl.tune.data_upload import PreparedData, resolve
from gemmactl.tune.estimate import Estimate, estimate
from gemmactl.tune.failing import trouble
from gemmactl.tune.speaking import Speaking, speaking

GPU: Final = limits.L4.name


@dataclass(frozen=True)
class Checked:
    """Everything that was seen. From `spoken` on: None while a row can't be used, or the base can't be spoken to."""

    wish: Wish
    data: PreparedData
    region: str
    spoken: Speaking | None = None
    shown: tuple[tuple[str, bool], ...] = ()
    """The first row to train as the model sees it; True: learned."""
    lengths: Lengths | None = None
    estimate: Estimate | None = None
    refusal: Trouble | None = None
    """Why the rows can't be trained on this base."""

    @property
    def faulty(self) -> bool:
        files = [self.data.train, *([self.data.eval] if self.data.eval else [])]
        return self.refusal is not None or any(one.rows.problems for one in files)


@dataclass(frozen=True)
class Asked:
    """What is to be checked. `full`: every row is measured."""

    wish: Wish
    model: Model
    region: str
    full: bool = False
    target: Target = "local"


def check(asked: Asked, places: Places, folders: Folders) -> Result:
    """Exit 4 when a row can't be used, or the base can't learn from such rows."""
    found = look_through(asked, places, folders)
    return Result(
        "finetune check",
        check_screen.document(found),
        tuple(check_screen.blocks(found)),
        target=asked.target,
        exit=Exit.REFUSED if found.faulty else Exit.OK,
    )


def look_through(asked: Asked, places: Places, folders: Folders) -> Checked:
    """Rows first: a base is only opened for rows that can be trained."""
    wish, data = asked.wish, resolve(asked.wish.data, places, faults=True)
    plain = Checked(wish, data, asked.region)
    if plain.faulty or not data.split.train:
        return plain
    spoken = speaking(asked.model, folders)
    try:
        shown = Encoder(spoken.words, spoken.family).parts(data.split.train[0])
        lengths = measure(data.split.train, spoken.words, spoken.family, wish.train.max_length, full=asked.full)
    except TuneFailed as failed:
        return Checked(wish, data, asked.region, spoken, refusal=trouble(failed))
    cost = _estimate(wish, spoken, lengths, asked.region)
    return Checked(wish, data, asked.region, spoken, tuple(shown), lengths, cost)


def _estimate(wish: Wish, spoken: Speaking, lengths: Lengths, region: str) -> Estimate | None:
    """Of a job as `finetune run` makes it; None where nothing is known of the base."""
    base = spoken.base
    if base is None or base.report is None or base.parameters is None:
        return None
    cpu, memory = tune_spec.size_for(base.parameters)
    hour = prices.per_hour(GPU, cpu, spec_rules.gib(memory), region)
    mode = fits.quantized(wish, base.parameters)
    return estimate(base.parameters, lengths.tokens, wish.train.epochs, mode, hour, GPU, size=base.report.weights.size)
