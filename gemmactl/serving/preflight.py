"""What must be true of a model before a deploy may touch anything. Knows where models are; checkpoint knows what they must be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmactl.checkpoint.folder import Bucket, Directory, Folder
from gemmactl.checkpoint.inventory import Inventory, take
from gemmactl.spec import Model

if TYPE_CHECKING:
    from gemmactl.resources.cloud import Cloud


def folder(model: Model, cloud: Cloud) -> Folder | None:
    """Where its files can be looked at from here; None for a model of the Hub, which the container reads."""
    match model.kind:
        case "gs":
            return Bucket(cloud.storage, model.bucket, model.prefix)
        case "dir":
            return Directory(model.text)
        case _:
            return None


def inspect(model: Model, cloud: Cloud) -> Inventory | str:
    """Its inventory, or what can be said without one.

    Raises:
        Trouble: (refused) the model could not be served.
    """
    found = folder(model, cloud)
    return take(found) if found else f"{model.text} (read from the Hub at start)"
