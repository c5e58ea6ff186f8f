"""Whether the weights that a revision was deployed with can still be had, file by file. Only reads, and decides nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from gemmactl import vllm
from gemmactl.checkpoint.files import BucketFiles
from gemmactl.errors import Trouble, refused
from gemmactl.resources.cloud import Cloud, OlderObject
from gemmactl.resources.weights_pin import found
from gemmactl.serving import find
from gemmactl.serving.find import Json
from inference_image.contract import ENV_PIN
from inference_image.pin import Difference, Pin, Pinned, Place

Where = Literal["there", "older", "moved", "deleted", "gone"]
"""As it was approved; a noncurrent version of a bucket that keeps them; the same bytes under another generation; soft-deleted;
nowhere."""
SHOWN: Final = 12


@dataclass(frozen=True)
class Held:
    """One approved file and where its bytes are."""

    place: str
    was: Pinned
    where: Where
    now: Pinned | None = None
    """The object of its name as it is."""
    kept: OlderObject | None = None
    """The soft-deleted or noncurrent version that has its bytes."""

    @property
    def text(self) -> str:
        """For people: what became of it."""
        match self.where:
            case "deleted":
                until = self.kept.restorable_until if self.kept else ""
                return f"{self.was.name} (generation {self.was.generation}) can be restored until {until}"
            case "moved":
                return f"{self.was.name} is there with the same bytes"
            case "older":
                return f"{self.was.name} (generation {self.was.generation}) is kept by the bucket as a noncurrent version"
            case "gone":
                return Difference(self.was, self.now).text
            case _:
                return f"{self.was.name} is there"

    def document(self) -> dict[str, Any]:
        until = (self.kept.restorable_until if self.kept else "") or None
        return {"place": self.place, **vars(self.was), "state": self.where, "restorable_until": until}


@dataclass(frozen=True)
class Weights:
    """What became of a revision's files. `pin` None: it was not pinned, or (`lost`) what pinned it is gone."""

    revision: str
    pin: Pin | None = None
    files: tuple[Held, ...] = ()
    enforced: bool = True
    """False with vLLM, which reads whatever is newest."""
    lost: str = ""

    def of(self, *where: Where) -> tuple[Held, ...]:
        return tuple(one for one in self.files if one.where in where)

    @property
    def startable(self) -> bool:
        """Whether the revision starts as it is: a container reads older versions, or the same bytes anew, never both at once."""
        states = {one.where for one in self.files}
        return states <= {"there", "moved"} or (self.enforced and states <= {"there", "older"})

    @property
    def restorable(self) -> bool:
        """Whether all of it can be brought back: noncurrent versions are copied where the container reads only what is newest.

        A newer file in the way is restored after it; only with an MD5 is it taken for what the newer revision was pinned to.
        """
        return not self.of("gone") and all(one.now is None or one.now.md5 for one in self.of("deleted"))

    @property
    def in_place(self) -> bool:
        """Whether no newer file stands where an older one was, so that the revision starts from it as it is."""
        if self.of("older"):
            return False
        proven = all(one.was.md5 or not one.was.generation for one in self.of("deleted"))
        return self.restorable and proven and all(one.now is None for one in self.of("deleted"))

    def document(self) -> dict[str, Any]:
        return {
            "pin": self.pin.digest if self.pin else None,
            "startable": self.startable,
            "files": [one.document() for one in self.files],
        }


def look(cloud: Cloud, revision: Json) -> Weights:
    """Compare what pins a revision with what lies there: one list of each folder, and one of older versions where something is
    missing.
    """
    box: Json = next(iter(revision.get("containers", ())), {})
    name, text = find.tail(revision.get("name", "")), find.variable({"template": {"containers": [box]}}, ENV_PIN)
    if not text:
        return Weights(name)
    pin, enforced = found(text, cloud), not vllm.runs(box)
    if pin is None:
        return Weights(name, enforced=enforced, lost=text if enforced else "")
    files = tuple(one for place in pin.places for one in _of_place(cloud, place))
    return Weights(name, pin, files, enforced)


def now(cloud: Cloud, uri: str) -> dict[str, Pinned]:
    """The files of a bucket's folder as they are."""
    bucket, prefix = parts(uri)
    entries = BucketFiles(cloud.storage, bucket, prefix, direct=True).entries
    return {n: Pinned(n, int(e.version), e.size, e.crc32c, e.md5) for n, e in entries.items()}


def parts(uri: str) -> tuple[str, str]:
    """Bucket and prefix of gs://."""
    bucket, _, prefix = uri.removeprefix("gs://").partition("/")
    return bucket, prefix.strip("/")


def path(uri: str, name: str) -> str:
    """The object that a file of a folder is."""
    return f"{parts(uri)[1]}/{name}".lstrip("/")


def _of_place(cloud: Cloud, place: Place) -> Iterator[Held]:
    there = now(cloud, place.uri)
    older: dict[str, list[OlderObject]] = {}
    if any(not one.met_by(there.get(one.name)) for one in place.objects):
        bucket, _ = parts(place.uri)
        for version in cloud.storage.older(bucket, path(place.uri, "")):
            older.setdefault(version.info.name, []).append(version)
    for one in place.objects:
        yield _held(place.uri, one, there, older.get(path(place.uri, one.name), []))


def _held(uri: str, one: Pinned, there: Mapping[str, Pinned], versions: list[OlderObject]) -> Held:
    live = there.get(one.name)
    if one.met_by(live):
        return Held(uri, one, "there", live)
    mine = [v for v in versions if _is(v, one)]
    if one.generation and (noncurrent := next((v for v in mine if not v.restorable_until), None)):
        return Held(uri, one, "older", live, noncurrent)
    if Difference(one, live).same_bytes:
        return Held(uri, one, "moved", live)
    kept = max((v for v in mine if v.restorable_until), key=lambda v: v.info.generation, default=None)
    return Held(uri, one, "deleted" if kept else "gone", live, kept)


def _is(version: OlderObject, one: Pinned) -> bool:
    info = version.info
    return one.met_by(Pinned(one.name, info.generation, info.size, info.crc32c))


# --- refusals -----------------------------------------------------------------------------------------


def gone(weights: Weights, command: str) -> Trouble:
    """Nothing was started: what is missing, and what would do instead. `command`: the rollback as it was asked for."""
    away = weights.of("gone") or weights.of("older", "deleted")
    more = f"; and {len(away) - SHOWN} more" if len(away) > SHOWN else ""
    count = f"{len(away)} of {len(weights.files)} files"
    return refused(
        f"the weights of {weights.revision} are gone" if weights.of("gone") else f"{weights.revision} can't get its weights back",
        why=f"{count}: {'; '.join(one.text for one in away[:SHOWN])}{more}",
        remedy=f"if a copy with the same bytes is anywhere: {command} --weights gs://BUCKET/FOLDER, which checks each file of it",
        code="weights-gone",
        facts={"weights": weights.document()},
    )


def lost(weights: Weights, cloud: Cloud) -> Trouble:
    """The pin itself is gone: a restored one is as good, and without it nobody knows what to look for."""
    bucket, name = parts(weights.lost)
    versions = cloud.storage.older(bucket, name) if weights.lost.startswith("gs://") else ()
    kept = next((v for v in versions if v.info.name == name and v.restorable_until), None)
    remedy = (
        f"gcloud storage restore gs://{bucket}/{name}#{kept.info.generation} brings it back until {kept.restorable_until}"
        if kept
        else "deploy the model that is to serve: gemmactl deploy gs://BUCKET/FOLDER"
    )
    return refused(
        f"nothing says any more which weights {weights.revision} was deployed with",
        why=f"{weights.lost[:200]} is gone or altered, and the revision starts from nothing else",
        remedy=remedy,
        code="pin-gone",
    )
