"""What must be true of a model before a deploy may touch anything. Knows where models are; checkpoint knows what they must be."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gemmactl.checkpoint import budget
from gemmactl.checkpoint.files import BucketFiles, DirectoryFiles, Files
from gemmactl.checkpoint.inventory import Inventory, Remark, take
from gemmactl.spec import Model, Serve

if TYPE_CHECKING:
    from gemmactl.resources.cloud import Cloud


@dataclass(frozen=True)
class Seen:
    """A wish after its model was looked at. `inventory` is None for a model of the Hub, which only the container reads."""

    wish: Serve
    inventory: Inventory | None

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


def look(wish: Serve, cloud: Cloud) -> Seen:
    """Take the inventory, and give the start as much time as these weights need unless the user chose a probe.

    Raises:
        Trouble: (refused) the model could not be served.
    """
    files = _files(wish.model, cloud)
    found = take(files) if files else None
    probe = wish.probe if wish.probe_given else budget.probe(found.bytes if found else None, wish.probe.port)
    return Seen(replace(wish, probe=probe), found)


def _files(model: Model, cloud: Cloud) -> Files | None:
    match model.kind:
        case "gs":
            return BucketFiles(cloud.storage, model.bucket, model.prefix)
        case "dir":
            return DirectoryFiles(Path(model.text).expanduser())
        case _:
            return None
