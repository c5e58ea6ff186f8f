"""What a service's revision is held to: the files that a deploy approved, and how its container is told. Looks at none."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from gemmactl.resources.model_files import ModelFiles
from gemmactl.resources.weights_pin import WeightsPin
from gemmactl.spec import Approved
from inference_image.contract import PINS
from inference_image.pin import Pin, Place


@dataclass(frozen=True)
class ApprovedWeights:
    """`read`: the buckets' folders that its container reads, the model's first; `uploads`: those of them that are made here.

    `approved` None: nothing is pinned. `teardown`: all pins of the service are meant.
    """

    service: str
    approved: Approved | None
    read: tuple[str, ...]
    uploads: tuple[ModelFiles, ...]
    after: tuple[str, ...]
    teardown: bool = False

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """All of it, or nothing where one of the folders was not looked at."""
        if self.approved is None or self.teardown:
            return ()
        known = {place.uri: place for place in (*self.approved.places, *(one.approved for one in self.uploads))}
        # two adapters may lie in one folder
        return tuple(known[uri] for uri in dict.fromkeys(self.read)) if all(uri in known for uri in self.read) else ()

    @cached_property
    def pin(self) -> WeightsPin | None:
        """The document beside the model; None where it travels in the variable, or nothing is pinned."""
        approved, before = self.approved, self.approved.before if self.approved else ""
        root, inner, _ = before.partition(f"/{PINS}/")
        if self.places:
            root = self.places[0].uri if approved and approved.beside else ""
        elif not inner or before.startswith("{"):
            root = self.read[0] if self.teardown and self.read else ""
        if not root:
            return None
        bucket, _, prefix = root.removeprefix("gs://").partition("/")
        return WeightsPin(self.service, bucket, prefix, self.places or None, before, self.teardown, self.after)

    @property
    def text(self) -> str:
        """The variable ENV_PIN, or ``."""
        if not self.places:
            return self.approved.before if self.approved else ""
        return self.pin.text if self.pin else Pin(self.service, self.places).data.decode()
