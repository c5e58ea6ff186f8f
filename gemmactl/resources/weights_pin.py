"""The document that pins a revision's weights, beside them: written once, never changed. Knows no model and no service."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from gemmactl.errors import Trouble
from gemmactl.kernel.resource import Resource, Work
from gemmactl.resources.cloud import Cloud
from inference_image.pin import Pin, Pinned, Place, digest_of, path_of


@dataclass(frozen=True)
class WeightsPin(Resource):
    """`places`: the files that are approved; None: no opinion. A folder holds the pins of all revisions of its service."""

    kind: ClassVar[str] = "pin"

    service: str
    """projects/P/locations/R/services/S"""
    bucket: str
    prefix: str
    """Of the folder that it lies in, without a slash at either end; may be empty."""
    places: tuple[Place, ...] | None = None
    before: str = field(default="", compare=False)
    """What pins the live service: the difference to it is what a plan shows."""
    teardown: bool = field(default=False, compare=False)
    """Whether all pins of the service are meant, those of older revisions too."""
    after: tuple[str, ...] = field(default=(), compare=False)

    @property
    def uri(self) -> str:
        """The folder."""
        return f"gs://{self.bucket}/{self.prefix}".rstrip("/")

    @property
    def address(self) -> str:
        _, _, _, region, _, name = self.service.split("/")
        return f"pin {self.uri} for {region}/{name}"

    @property
    def needs(self) -> tuple[str, ...]:
        return self.after

    @property
    def text(self) -> str:
        """The value of ENV_PIN."""
        return f"gs://{self.bucket}/{self._path(self._pin.digest)}"

    def read(self, cloud: Cloud) -> WeightsPin | None:
        if self.places is None:
            there = {f"gs://{self.bucket}/{one.name}" for one in cloud.storage.list(self.bucket, self._folder)}
            held = bool(there) if self.teardown else self.before in there
            return WeightsPin(self.service, self.bucket, self.prefix, ()) if held else None
        live = self._live(cloud)
        return None if live is None else WeightsPin(self.service, self.bucket, self.prefix, live.places)

    def create(self, cloud: Cloud, work: Work) -> None:
        if self.places is None:
            raise Trouble(
                f"the pin of {self.service.rpartition('/')[2]} is gone",
                why=f"{self.before or self.uri} said which weights were approved, and somebody removed it",
                remedy=f"gemmactl deploy {self.uri}: it looks at the model and pins it anew",
                code="pin-gone",
            )
        try:
            cloud.storage.write(self.bucket, self._path(self._pin.digest), self._pin.data, if_generation=0)
        except Trouble as trouble:
            if trouble.facts.get("status") != 412:  # it is named by its content: what is there already is the same
                raise

    def update(self, cloud: Cloud, live: WeightsPin, work: Work) -> None:
        self.create(cloud, work)

    def delete(self, cloud: Cloud, live: WeightsPin, work: Work) -> None:
        for one in cloud.storage.list(self.bucket, self._folder):
            cloud.storage.delete(self.bucket, one.name)

    def diff(self, name: str, live: object, wanted: object) -> tuple[tuple[str, str, str], ...]:
        return tuple(_rows(live, wanted)) if isinstance(live, tuple) and isinstance(wanted, tuple) else ()

    @property
    def _pin(self) -> Pin:
        return Pin(self.service, self.places or ())

    @property
    def _folder(self) -> str:
        return self._path("").removesuffix(".json")

    def _path(self, digest: str) -> str:
        return f"{self.prefix}/{path_of(self.service, digest)}".lstrip("/")

    def _live(self, cloud: Cloud) -> Pin | None:
        """What pins the live service to this model; without that the document that is to be written, if it is there already."""
        live = found(self.before, cloud) if self.before.startswith((f"gs://{self.bucket}/{self._folder}", "{")) else None
        if live is not None and live.places[0].uri == self._pin.places[0].uri:
            return live
        return found(self.text, cloud) if self.before != self.text else None


def found(text: str, cloud: Cloud) -> Pin | None:
    """The pin that a value of ENV_PIN names or is; None: it is gone, altered, or none of ours."""
    try:
        digest = digest_of(text)
        if text.startswith("{"):
            return Pin.parse(text.encode())
        bucket, _, name = text.removeprefix("gs://").partition("/")
        data = cloud.storage.read(bucket, name)
        return Pin.parse(data, digest) if data is not None else None
    except ValueError:
        return None


def _rows(live: tuple[Place, ...], wanted: tuple[Place, ...]) -> Iterator[tuple[str, str, str]]:
    """(file, was, will be) of each file that is another one."""
    sides = [{(place.uri, one.name): one for place in side for one in place.objects} for side in (live, wanted)]
    first = wanted[0].uri if wanted else ""
    for uri, name in dict.fromkeys((*sides[0], *sides[1])):
        was, will = (side.get((uri, name)) for side in sides)
        if was != will:
            yield (name if uri == first else f"{uri}/{name}"), _shown(was), _shown(will)


def _shown(one: Pinned | None) -> str:
    return one.text if one else "none"
