"""Owns which path computes a family: our own rows or transformers' caches, and how many sequences have room. Knows no bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inference_image import contract
from inference_image.engine.adapters import Adapters
from inference_image.engine.capacity import rows_that_fit, work_bytes
from inference_image.engine.kv import bytes_per_row
from inference_image.engine.schedule import Steps
from inference_image.families import Engine
from inference_image.files import Files
from inference_image.generic_sizes import GenericSizes
from inference_image.reserve import reserved
from inference_image.settings import Settings
from inference_image.timeline import Timeline

if TYPE_CHECKING:
    from inference_image.engine.eyes import Eyes


@dataclass(frozen=True)
class Built:
    """A model that is whole but for its bytes. `length`: tokens of context; `free`: bytes beside its weights, None: unknown.

    Any: a PreTrainedModel's own forward is not in transformers' types.
    """

    model: Any
    files: Files
    loras: Adapters
    eyes: Eyes | None
    length: int
    free: int | None

    @property
    def gpu(self) -> bool:
        return bool(self.model.device.type == "cuda")

    @property
    def item(self) -> int:
        """Bytes of a value of the model's dtype."""
        return int(self.model.dtype.itemsize)


def steps_of(built: Built, settings: Settings, timeline: Timeline, filled: Callable[[], bool]) -> Steps:
    """What computes the model, rehearsed until its bytes are `filled`. Raises LoadFailed when not one sequence has room."""
    if built.files.family.engine is Engine.GENERIC:
        return _generic(built, settings, timeline)
    return _fast(built, settings, timeline, filled)


def _fast(built: Built, settings: Settings, timeline: Timeline, filled: Callable[[], bool]) -> Steps:
    from inference_image.engine import model as models
    from inference_image.engine.slots import Slots

    model, eyes, loras, length = built.model, built.eyes, built.loras, built.length
    per_row = bytes_per_row(model.config, length, built.item)
    work = work_bytes(model.config, length, built.item, built.files.vision)
    rows = rows_that_fit(per_row, built.free, gpu=built.gpu, wanted=settings.max_sequences, work=work)
    slots = Slots(model, rows, length, kind=loras.kind, features=eyes.features if eyes is not None else None)
    steps = loras.around(slots, recorded=slots.recorded)
    timeline.note(engine=str(Engine.FAST), rows=rows, context=length, kv_bytes=rows * per_row, images=eyes is not None)
    if not built.gpu:
        Slots(models.twin(built.files.family, model.config), 2, 64).rehearse()
        return steps
    timeline.note(**_kernel(built, settings))
    if eyes is not None:
        eyes.rehearse()
    timeline.note(graphs=slots.rehearse(filled) + loras.record(slots, filled))
    return steps


def _generic(built: Built, settings: Settings, timeline: Timeline) -> Steps:
    """Caches take memory as they grow: there are as many rows as would fit with the whole context."""
    from inference_image.engine.generic import Generic

    sizes = GenericSizes.of(built.files.text_config)
    per_row, work = sizes.kv(built.length, built.item), reserved(sizes.chunk(built.length, built.item))
    wanted = settings.max_sequences or contract.GENERIC_SEQUENCES
    rows = rows_that_fit(per_row, built.free, gpu=built.gpu, wanted=wanted, work=work)
    timeline.note(engine=str(Engine.GENERIC), rows=rows, context=built.length, kv_bytes=rows * per_row, images=False)
    if built.gpu:
        timeline.note(**_kernel(built, settings))
    return Generic(built.model, rows, built.loras if built.loras.names else None)


def _kernel(built: Built, settings: Settings) -> dict[str, str]:
    """Compile what a GPU decodes int8 with, before steps are recorded; what became of it, for the timeline."""
    if not settings.int8:
        return {}
    from inference_image.engine import int8_cuda

    return {"int8_kernel": int8_cuda.compile_for(built.model.device)}
