"""Can a model answer images? Its config's eyes against the stored tensors, by the engine's own comparison. Reads no value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gemmactl.checkpoint.configuration import Configured
from inference_image import contract, layout
from inference_image.contract import LoadFailed
from inference_image.layout import Tensor, Vision


def seeing(configured: Configured, rows: Sequence[Tensor], text: Mapping[str, Tensor], place: str) -> tuple[Vision | None, str]:
    """The eyes that --images would load, or None and why it would be refused. `text`: what text serving loads of `rows`."""
    row = configured.family
    if row is None or row.sight is None or configured.raw.get("model_type") in row.text_types:
        return None, f"{row.name if row else 'it'} is a model of text alone"
    try:
        found = layout.vision(configured.raw)
        every = layout.wanted(rows, row, images=True)
        layout.require_complete(found.expected(), {name: one for name, one in every.items() if name not in text}, place)
    except LoadFailed as failed:
        where = "" if failed.failure.object in {place, contract.CONFIG} else f"{failed.failure.object}: "
        return None, f"{failed.failure.code}: {where}{failed.failure.detail}"
    return found, ""
