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
    from inference_image.engine.fused import Passes
    from inference_image.engine.kv import Cache


@dataclass(frozen=True)
class Built:
    """A model that is whole but for its bytes. `length`: tokens of context; `free`: bytes beside its weights, None: unknown.

    Any: ours (language.py), or one of transformers', whose own forward is not in its types.
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
    own, why = _own_kernels(built, settings)
    features = eyes.features if eyes is not None else None
    slots = Slots(model, rows, length, kind=loras.kind, features=features, passes=own, alone=loras.alone)
    steps = loras.around(slots, recorded=slots.recorded)
    timeline.note(engine=str(Engine.FAST), rows=rows, context=length, kv_bytes=rows * per_row, images=eyes is not None)
    if not built.gpu:
        Slots(models.twin(built.files.family, model.config), 2, 64).rehearse()
        return steps
    timeline.note(kernels=why, **_kernel(built, settings))
    if eyes is not None:
        eyes.rehearse()
    timeline.note(graphs=slots.rehearse(filled) + loras.record(slots, filled))
    return steps


def prove(steps: Steps, timeline: Timeline) -> None:
    """Hold our kernels to the modules once, on the weights that are there now and the GPU that it is."""
    from inference_image.engine.slots import Slots

    slots = getattr(steps, "steps", steps)  # behind adapters
    if isinstance(slots, Slots) and not slots.proven():
        timeline.note(kernels="modules: ours gave other logits on this GPU")


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


def _own_kernels(built: Built, settings: Settings) -> tuple[Callable[[Any, Cache], Passes] | None, str]:
    """What decodes on a GPU in place of modules, and what the timeline says of it."""
    if not built.gpu:
        return None, "no GPU"
    from inference_image.engine import fused, fused_weights, kernels

    why = fused_weights.unfit(built.model) if built.files.family.kernels else "not written for this family"
    if why is not None:
        return None, f"modules: {why}"
    config = built.model.config
    share = config.num_attention_heads // config.num_key_value_heads
    launcher = kernels.module(built.model.device, share, int8=settings.int8)
    if isinstance(launcher, str):
        return None, f"modules: {launcher}"
    return lambda model, cache: fused.Passes(model, cache, launcher), "our own"


def _kernel(built: Built, settings: Settings) -> dict[str, str]:
    """Have ready what a GPU computes int8 with, before steps are recorded; what became of it, for the timeline."""
    if not settings.int8:
        return {}
    from inference_image.engine import kernels

    found = kernels.module(built.model.device, 1, int8=True)
    return {"int8_kernel": found if isinstance(found, str) else "compiled"}
