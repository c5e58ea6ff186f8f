"""A question about regions, narrowed to what its model needs: the GPUs that hold it, and the container it takes there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gemmactl import spec_rules
from gemmactl.checkpoint.fits import fits
from gemmactl.checkpoint.inspect import inspect
from gemmactl.errors import Trouble, refused
from gemmactl.serving.folder import Folders
from gemmactl.serving.offers import Size, Wanted
from gemmactl.serving.place import Place

if TYPE_CHECKING:
    from gemmactl.spec import Model


def narrowed(wanted: Wanted, model: Model, place: Place) -> tuple[Wanted, Trouble | None]:
    """Sizes as a deploy would derive them. What keeps the model from being looked at comes back: defaults are used then.

    Raises:
        Trouble: (refused) no GPU that is asked for holds the model.
    """
    folders = Folders(lambda: place.cloud, place.hub)
    try:
        report = inspect(folders.open(model), open_base=folders.named)
    except Trouble as trouble:
        return wanted, trouble
    found = {f.gpu.name: f for f in fits(report)}
    if not found:
        why = report.errors[0].what if report.errors else "its architecture is not one that gemmactl's engine serves"
        said = Trouble(f"{report.place} can't be sized", why=why, remedy=f"gemmactl inspect {model.text}", code="model-not-sized")
        return wanted, said
    holding = tuple(name for name in wanted.gpus if name not in found or found[name].fits)
    if not holding:
        raise refused(
            f"no {' or '.join(wanted.gpus)} holds {report.place}",
            why="; ".join(f"{name}: {found[name].why}" for name in wanted.gpus),
            remedy="leave --gpu-type out, or `gemmactl inspect` shows what would fit",
            code="model-too-large",
        )
    sizes = {f.gpu.name: Size(float(f.cpu), spec_rules.gib(f.memory)) for f in found.values() if f.fits}
    return replace(wanted, gpus=holding, sizes={**sizes, **wanted.sizes}), None
