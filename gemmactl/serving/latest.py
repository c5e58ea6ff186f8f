"""The place that a fine-tune's name stands for: `gemmactl/models/NAME`, or `NAME/LATEST`, is the run that LATEST names now."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from finetune_image.contract import ADAPTERS, LATEST, MODELS
from gemmactl.errors import refused
from gemmactl.spec import Model, Serve

if TYPE_CHECKING:
    from gemmactl.resources.cloud import Cloud

_NAMED: Final = re.compile(rf"(?P<folder>(?:.*/)?(?:{MODELS}|{ADAPTERS})/[^/]+)(?:/{LATEST})?")
_RUN_ID: Final = re.compile(r"[0-9a-f]{12}")


def settled(wish: Serve, cloud: Cloud) -> Serve:
    """The wish with every such place as the run's own folder: what a revision serves does not move under it.

    Raises:
        Trouble: (refused) nothing was published under that name.
    """
    adapters = tuple((name, _settled(place, cloud)) for name, place in wish.adapters)
    return replace(wish, model=_settled(wish.model, cloud), adapters=adapters)


def _settled(place: Model, cloud: Cloud) -> Model:
    found = _NAMED.fullmatch(place.prefix) if place.kind == "gs" else None
    if found is None:
        return place
    pointer = f"{found['folder']}/{LATEST}"
    said = (cloud.storage.read(place.bucket, pointer, 0, 64) or b"").decode("utf-8", "replace").strip()
    if _RUN_ID.fullmatch(said):
        prefix = f"{found['folder']}/{said}"
        return replace(place, text=f"gs://{place.bucket}/{prefix}", prefix=prefix)
    if not place.prefix.endswith(f"/{LATEST}"):
        return place  # a folder of the user's own that is called so
    raise refused(
        f"{place.text} stands for no model",
        why=f"gs://{place.bucket}/{pointer} names no run" if said else f"there is no gs://{place.bucket}/{pointer}",
        remedy="gemmactl finetune list names what was published; give the folder of a run",
        code="model-not-found",
    )
