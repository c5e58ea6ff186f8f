"""What must be true of a model before a deploy may touch anything. Knows where models are; checkpoint knows what they must be."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gemmactl.checkpoint import sizing
from gemmactl.checkpoint.families import engine_for
from gemmactl.checkpoint.files import BucketFiles, DirectoryFiles, Files
from gemmactl.checkpoint.inventory import JSON_LIMIT, Inventory, Remark, take
from gemmactl.checkpoint.memory import Architecture
from gemmactl.checkpoint.room import Room
from gemmactl.checkpoint.sizing import Sizing, Weights
from gemmactl.checkpoint.vllm_sizing import Foreign
from gemmactl.errors import refused
from gemmactl.spec import Model, Serve
from inference_image import contract, layout
from inference_image.contract import LoadFailed

if TYPE_CHECKING:
    from gemmactl.resources.cloud import Cloud


@dataclass(frozen=True)
class Seen:
    """A wish after its model was looked at. `inventory` is None for a model of the Hub, which only the container reads."""

    sizing: Sizing
    inventory: Inventory | None

    @property
    def wish(self) -> Serve:
        return self.sizing.wish

    @property
    def text(self) -> str:
        """The model in one line."""
        found = self.inventory
        if found is None:
            return f"{self.wish.model.text} (read from the Hub at start)"
        size = f"{found.bytes / 1e9:.1f} GB" if found.bytes >= 1e8 else f"{found.bytes / 1e6:.1f} MB"
        return f"{found.place} ({found.family}, {len(found.shards)} shard{'s' * (len(found.shards) != 1)}, {size})"

    @property
    def remarks(self) -> tuple[Remark, ...]:
        return self.inventory.remarks if self.inventory else ()


def look(wish: Serve, cloud: Cloud, *, quota: Room | None = None, existing: bool = False) -> Seen:
    """Take the inventory, then derive what the user did not choose. `existing`: a service of that name is there.

    Raises:
        Trouble: (refused) the model could not be served, or does not fit.
    """
    wish = replace(wish, engine=engine_for(wish))
    files = _files(wish.model, cloud)
    found = take(files, wish.engine) if files else None
    size = found.bytes if found else None
    weights, foreign = _shape(files, found, wish) if files and found else (None, None)
    return Seen(sizing.derive(wish, weights, size, quota or Room(), foreign=foreign, existing=existing), found)


def _shape(files: Files, found: Inventory, wish: Serve) -> tuple[Weights | None, Foreign | None]:
    """The model's shape from its config, read once more: what an inventory keeps of it is its family."""
    if wish.engine == "gemmactl" and wish.image is not None:
        # another server may store weights otherwise: only the two that are known may refuse a model for its size
        return None, None
    try:
        config = layout.parse_json(files.read(contract.CONFIG, 0, JSON_LIMIT), contract.CONFIG, contract.Code.CONFIG_INVALID)
        if wish.engine == "vllm":
            return None, Foreign.of(config, found.bytes)
        return Weights(Architecture.of(layout.text_config(config)), found.bytes), None
    except LoadFailed as error:
        failure = error.failure
        raise refused(
            f"{failure.object} in {files.place} can't be served",
            why=failure.detail,
            remedy="save the model again with save_pretrained, and upload the whole folder",
            code=str(failure.code).replace("_", "-"),
            facts={"object": failure.object},
        ) from None


def _files(model: Model, cloud: Cloud) -> Files | None:
    match model.kind:
        case "gs":
            return BucketFiles(cloud.storage, model.bucket, model.prefix)
        case "dir":
            return DirectoryFiles(Path(model.text).expanduser())
        case _:
            return None
