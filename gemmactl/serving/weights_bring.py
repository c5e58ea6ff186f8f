"""Brings the weights of a revision back: where they were, as a copy beside, or from a copy elsewhere. Moves no traffic."""

from __future__ import annotations

import json
from typing import Final

from gemmactl import vllm
from gemmactl.errors import Trouble, refused
from gemmactl.kernel.resource import Work
from gemmactl.resources.cloud import Cloud, ObjectInfo, PolicyTarget
from gemmactl.resources.iam_member import IamMember
from gemmactl.resources.weights_pin import WeightsPin
from gemmactl.serving.find import Json, container, engine_of
from gemmactl.serving.pinning import WRITE
from gemmactl.serving.weights_back import Held, Weights, now, parts, path
from gemmactl.serving.weights_moved import Moved
from gemmactl.spec import Model
from inference_image.contract import FOLDER
from inference_image.pin import Pin, Pinned, Place

READER: Final = "roles/storage.objectViewer"
BUCKET_READER: Final = "roles/storage.legacyBucketReader"
"""What vLLM's streamer needs beside it, as in stack.py: it asks for the bucket itself."""


def restore(cloud: Cloud, weights: Weights, work: Work) -> None:
    """Soft-deleted files back to their names, where nothing newer is: the revision starts from them as it is.

    Raises:
        Trouble: one of them came back meanwhile as something else, or is gone.
    """
    for one in weights.of("deleted"):
        work.progress(f"restoring {one.was.name}")
        bucket, _ = parts(one.place)
        cloud.storage.restore(bucket, path(one.place, one.was.name), _version(one), if_generation=0)


def beside(uri: str, pin: Pin) -> str:
    """The folder of a copy: named by what it holds, so that the same rollback goes on where it stopped."""
    bucket, prefix = parts(uri)
    return f"gs://{bucket}/{prefix or 'weights'}-{pin.digest[:10]}"


def movable(revision: Json, weights: Weights, pin: Pin, model: Model | None) -> None:
    """Whether a revision like this one can be made that reads the weights from a copy beside, or from `model`.

    Raises:
        Trouble: (refused) it can't.
    """
    places = {one.place: beside(one.place, pin) for one in weights.of("deleted", "older")}
    if model is not None:
        places = {_stands_for(weights, pin)[0].uri: model.uri}
    Moved({old: new for old, new in places.items() if old != new}, "").template(revision)


def _stands_for(weights: Weights, pin: Pin) -> tuple[Place, ...]:
    """The folders that lack files; where none does, the model's own."""
    # a container of ours reads a noncurrent version as it is
    lacking = {one.place for one in weights.of("gone", "deleted", *(() if weights.enforced else ("older",)))}
    return tuple(place for place in pin.places if place.uri in lacking) or pin.places[:1]


def copy(cloud: Cloud, weights: Weights, pin: Pin, work: Work) -> Moved:
    """Every folder that lacks a file as a whole copy beside it, in the same bucket, and its pin. What is newer stays in force.

    A newer file of the same name makes room for the moment in which the old one is copied, and is restored with the same bytes.
    """
    torn = {one.place for one in weights.of("deleted", "older")}
    places = []
    for uri in torn:
        away = {one.was.name: one.now.generation for one in weights.of("deleted") if one.place == uri and one.now is not None}
        if away:
            cloud.storage.write(*_note(uri, pin), json.dumps(away).encode())
    for place in pin.places:
        if place.uri not in torn:
            places.append(place)
            continue
        target = beside(place.uri, pin)
        files = [one for one in weights.files if one.place == place.uri]
        done = now(cloud, target)
        made = [_copied(cloud, one, target, done.get(one.was.name), work) for one in files]
        places.append(Place(target, tuple(sorted(made))))
        cloud.storage.delete(*_note(place.uri, pin))
    return _moved(cloud, pin, tuple(places), work)


def away(cloud: Cloud, weights: Weights, pin: Pin) -> tuple[tuple[Held, int], ...]:
    """Where a copy was interrupted while newer files had made room: what lies at their names, and which generation was there."""
    found: list[tuple[Held, int]] = []
    for uri in sorted({one.place for one in weights.of("moved")}):
        noted = json.loads(cloud.storage.read(*_note(uri, pin)) or b"{}")
        found += [(one, int(noted[one.was.name])) for one in weights.of("moved") if one.place == uri and one.was.name in noted]
    return tuple(found)


def put_back(cloud: Cloud, files: tuple[tuple[Held, int], ...], work: Work) -> None:
    """The newer files to their names again, as the copy that was interrupted would have done; what is gone for good stays so."""
    for one, generation in files:
        work.progress(f"restoring the newer {one.was.name}")
        try:
            cloud.storage.restore(
                parts(one.place)[0], path(one.place, one.was.name), generation, if_generation=one.now.generation if one.now else 0
            )
        except Trouble as trouble:
            if trouble.facts.get("status") != 404:
                raise


def _note(uri: str, pin: Pin) -> tuple[str, str]:
    """The object beside a copy that says, while it is made, which newer files of the folder make room: {name: generation}."""
    bucket, prefix = parts(beside(uri, pin))
    return bucket, f"{prefix}/{FOLDER}/away.json"


def elsewhere(cloud: Cloud, weights: Weights, pin: Pin, model: Model, revision: Json, work: Work) -> Moved:
    """The files of the folder that lacks some as they lie in another one, each of them checked against what was approved; nothing
    is copied. Where no folder lacks any, the model's own is meant.

    Raises:
        Trouble: (refused) one of them is missing or another one, or the files of more than one folder are gone.
    """
    torn = _stands_for(weights, pin)
    if len(torn) > 1:
        raise refused(
            f"{model.uri} can't stand for {len(torn)} folders",
            why=f"files of {' and of '.join(place.uri for place in torn)} are gone",
            remedy="deploy the model with its adapters from where they are now",
            code="weights-gone",
        )
    there, first = now(cloud, model.uri), torn[0]
    wrong = [one.name for one in first.objects if not _same(one, there.get(one.name))]
    if wrong:
        raise refused(
            f"{model.uri} is no copy of what {weights.revision} was deployed with",
            why=f"{len(wrong)} of {len(first.objects)} files of {first.uri} are missing or others: {', '.join(wrong[:12])}",
            remedy="give a folder with the same bytes; every file is compared by size and checksum",
            code="weights-differ",
        )
    bucket, _ = parts(model.uri)
    if bucket not in {parts(place.uri)[0] for place in pin.places}:
        for role in _roles(revision):
            grant = IamMember(PolicyTarget("bucket", bucket), role, f"serviceAccount:{revision.get('serviceAccount', '')}")
            if grant.read(cloud) is None:
                work.progress(grant.address)
                grant.create(cloud, work)
    new = Place(model.uri, tuple(sorted(there[one.name] for one in first.objects)))
    return _moved(cloud, pin, tuple(new if place is first else place for place in pin.places), work)


def _roles(revision: Json) -> tuple[str, ...]:
    """What a revision's account needs on the bucket of its weights."""
    live = {"template": revision}
    streams = engine_of(live) == "vllm" and vllm.loader(container(live).get("args", ())) == "stream"
    return (READER, BUCKET_READER) if streams else (READER,)


def _moved(cloud: Cloud, pin: Pin, places: tuple[Place, ...], work: Work) -> Moved:
    """The new places and their pin: beside the model, or in the variable where nothing may be written there."""
    bucket, prefix = parts(places[0].uri)
    made = WeightsPin(pin.service, bucket, prefix, places)
    pairs = {old.uri: new.uri for old, new in zip(pin.places, places, strict=True) if old.uri != new.uri}
    if WRITE not in cloud.policies.test(PolicyTarget("bucket", bucket), [WRITE]):
        return Moved(pairs, Pin(pin.service, places).data.decode())
    made.create(cloud, work)
    return Moved(pairs, made.text)


def _copied(cloud: Cloud, one: Held, target: str, done: Pinned | None, work: Work) -> Pinned:
    """One file in the copy's folder."""
    if done is not None and _same(one.was, done):
        return done
    bucket, _ = parts(one.place)
    source, to = path(one.place, one.was.name), path(target, one.was.name)
    before = done.generation if done else 0
    work.progress(f"copying {one.was.name} to {target}")
    if one.where == "older":  # nothing makes room for it: a noncurrent version is read by its generation
        version = _version(one)
        kept = cloud.storage.copy((bucket, source), (bucket, to), if_source_generation=version, if_generation=before, older=True)
        return _pinned(one.was.name, kept)
    if one.where != "deleted" and one.now is not None:
        made = cloud.storage.copy((bucket, source), (bucket, to), if_source_generation=one.now.generation, if_generation=before)
        return _pinned(one.was.name, made)
    newer = one.now.generation if one.now else 0
    back = cloud.storage.restore(bucket, source, _version(one), if_generation=newer)
    try:
        made = cloud.storage.copy((bucket, source), (bucket, to), if_source_generation=back.generation, if_generation=before)
    finally:
        if newer:
            cloud.storage.restore(bucket, source, newer, if_generation=back.generation)
        else:
            cloud.storage.delete(bucket, source)
    return _pinned(one.was.name, made)


def _version(one: Held) -> int:
    if one.kept is None:
        raise Trouble(
            f"{one.was.name} has no version to restore", why="", remedy="run the same command again", code="weights-gone"
        )
    return one.kept.info.generation


def _same(was: Pinned, other: Pinned | None) -> bool:
    """The same bytes, as far as both sides know them."""
    if other is None or (other.size, other.crc32c) != (was.size, was.crc32c):
        return False
    return not (was.md5 and other.md5) or was.md5 == other.md5


def _pinned(name: str, made: ObjectInfo) -> Pinned:
    return Pinned(name, made.generation, made.size, made.crc32c, made.md5)
