"""Owns the document that pins a revision's weights: its form, its digest, how it differs from what is there. Reads nothing.

Standard library only: deploy writes it with the same code that the container reads it with.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from inference_image import contract
from inference_image.small_files import SEEING, SMALL, natural

LIMIT: Final = 1 << 20
"""Most bytes of a pin that are read: one with a thousand shards has a seventh of it."""
_NAME: Final = re.compile(r"(?P<digest>[0-9a-f]{64})\.json")
_MD5: Final = re.compile(r"([A-Za-z0-9+/]{22}==)?")
_CRC32C: Final = re.compile(r"[A-Za-z0-9+/]{6}==")


@dataclass(frozen=True, order=True)
class Pinned:
    """One file as it was approved. `generation` 0: any, size and checksum name the content; `crc32c` as the store writes it."""

    name: str
    generation: int
    size: int
    crc32c: str
    md5: str = ""
    """As the store writes it; empty where it has none, as for an object that was composed of parts."""

    @property
    def text(self) -> str:
        """For a reader: which one, and how large."""
        size = f"{self.size / 1e6:.1f} MB" if self.size >= 1e5 else f"{self.size} bytes"
        return f"generation {self.generation}, {size}" if self.generation else f"crc32c {self.crc32c}, {size}"

    def met_by(self, other: Pinned | None) -> bool:
        """Is `other` what was approved?"""
        if other is None or (other.size, other.crc32c) != (self.size, self.crc32c):
            return False
        return self.generation in {0, other.generation}


@dataclass(frozen=True)
class Place:
    """The files of one folder that a start reads, by name: the model's, or an adapter's."""

    uri: str
    objects: tuple[Pinned, ...]


@dataclass(frozen=True)
class Pin:
    """All files that a start of one service reads, the model's first. `service`: projects/P/locations/R/services/S."""

    service: str
    places: tuple[Place, ...]

    @property
    def data(self) -> bytes:
        """The document: the same bytes for the same weights."""
        places = [{"uri": place.uri, "objects": [vars(one) for one in sorted(place.objects)]} for place in self.places]
        document = {"schema": contract.PIN_SCHEMA, "service": self.service, "places": places}
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()

    @property
    def digest(self) -> str:
        """SHA-256 of the document, in hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()

    def of(self, uri: str) -> tuple[Pinned, ...] | None:
        """The files of a place; None when the pin does not speak of it."""
        return next((place.objects for place in self.places if place.uri == uri), None)

    def command(self, model: str = "") -> str:
        """What approves the weights that are there now. `model`: what is served, where only adapters are pinned."""
        _, project, _, region, _, name = self.service.split("/")
        return f"gemmactl deploy {model or self.places[0].uri} --name {name} --region {region} --project {project}"

    @classmethod
    def parse(cls, data: bytes, digest: str = "") -> Pin:
        """Raises ValueError for a document that is none of ours, or of another digest."""
        if digest and hashlib.sha256(data).hexdigest() != digest:
            raise ValueError("its bytes are not those that the revision was deployed with")
        try:
            document = json.loads(data)
            if document["schema"] != contract.PIN_SCHEMA:
                raise ValueError(f"its schema is not {contract.PIN_SCHEMA}")
            service = str(document["service"])
            if len(service.split("/")) != 6:
                raise ValueError(f"{service[:80]!r} is no service")
            places = tuple(Place(str(row["uri"]), tuple(map(_pinned, row["objects"]))) for row in document["places"])
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"{type(error).__name__}: {error}"[:200]) from None
        if not places:
            raise ValueError("it names no place")
        return cls(service, places)


def path_of(service: str, digest: str) -> str:
    """The object below a folder that holds the pin of a service."""
    _, project, _, region, _, name = service.split("/")
    return f"{contract.PINS}/{project}/{region}/{name}/{digest}.json"


def digest_of(text: str) -> str:
    """The digest that a value of ENV_PIN names, or has. Raises ValueError where it is neither a pin's place nor a pin."""
    if text.startswith("{"):
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    found = _NAME.fullmatch(text.rpartition("/")[2])
    if found is None or not re.match(r"gs://[^/]+/.", text):
        raise ValueError("neither gs://BUCKET/.../SHA256.json nor a pin")
    return found["digest"]


def of_model(name: str) -> bool:
    """May a start read this file of a model's folder, whatever its settings are?"""
    if name.endswith(".safetensors"):
        return "/" not in name and name != contract.ADAPTER_WEIGHTS
    return name in {*SMALL, *SEEING, contract.MANIFEST}


def of_adapter(name: str) -> bool:
    """Does a start read this file of an adapter's folder?"""
    return name in {contract.ADAPTER_CONFIG, contract.ADAPTER_WEIGHTS}


@dataclass(frozen=True)
class Difference:
    """One file that is not as approved. `now`: None when it is gone."""

    was: Pinned
    now: Pinned | None

    @property
    def same_bytes(self) -> bool:
        """Is it there with what was approved in it, under another generation? A CRC alone could be made to fit; an MD5 can't."""
        now = self.now
        return now is not None and bool(self.was.md5) and replace(now, generation=self.was.generation) == self.was

    @property
    def text(self) -> str:
        now = self.now
        if now is None:
            return f"{self.was.name} was {self.was.text}, now gone"
        if self.was.generation and (now.size, now.crc32c) == (self.was.size, self.was.crc32c):
            return f"{self.was.name} was {self.was.text}, now generation {now.generation} with the same bytes"
        # where only the content was pinned, a generation says nothing
        shown = now if self.was.generation else Pinned(now.name, 0, now.size, now.crc32c)
        return f"{self.was.name} was {self.was.text}, now {shown.text}"


def differences(pinned: Iterable[Pinned], now: Mapping[str, Pinned]) -> tuple[Difference, ...]:
    """The files that are not as approved, by name."""
    return tuple(Difference(one, now.get(one.name)) for one in sorted(pinned) if not one.met_by(now.get(one.name)))


def _pinned(row: Mapping[str, Any]) -> Pinned:
    name, generation, size, crc32c = row["name"], row["generation"], row["size"], row["crc32c"]
    md5 = row.get("md5", "")
    if not isinstance(name, str) or not natural(generation, 1 << 63) or not natural(size):
        raise ValueError(f"{str(name)[:80]!r} has no generation or size")
    if not isinstance(crc32c, str) or not (_CRC32C.fullmatch(crc32c) or (generation and not crc32c)):
        raise ValueError(f"{name[:80]}: {str(crc32c)[:20]!r} is no checksum")
    if not isinstance(md5, str) or not _MD5.fullmatch(md5):
        raise ValueError(f"{name[:80]}: {str(md5)[:30]!r} is no MD5")
    return Pinned(name, generation, size, crc32c, md5)
