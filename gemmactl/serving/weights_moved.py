"""A revision's template with its weights in other places: variables, arguments and mounted folders. Asks no cloud."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from gemmactl import vllm
from gemmactl.errors import Trouble, refused
from gemmactl.serving import find
from gemmactl.serving.find import Json
from inference_image.contract import ENV_ADAPTERS, ENV_MODEL, ENV_PIN

TEMPLATE: Final = (
    "scaling", "vpcAccess", "timeout", "serviceAccount", "containers", "volumes", "executionEnvironment", "encryptionKey",
    "maxInstanceRequestConcurrency", "sessionAffinity", "healthCheckDisabled", "nodeSelector", "gpuZonalRedundancyDisabled",
)  # fmt: skip
"""What a revision has in common with the template that it is made from."""
ONLY: Final = "only-dir="
"""The option of a mounted bucket that shows one folder of it."""


@dataclass(frozen=True)
class Moved:
    """Places that a revision reads from now on: old folder -> new folder, and what pins it to them."""

    places: Mapping[str, str]
    pin: str

    def template(self, revision: Json) -> Json:
        """The template of a new revision: the old one's, with its weights where they are now.

        Raises:
            Trouble: (refused) something in it would still read the old folder.
        """
        made: Json = {key: revision[key] for key in TEMPLATE if key in revision}
        volumes = made.get("volumes", [])
        boxes = [self._box(box, volumes, revision) for box in made.get("containers", [{}])]
        first, *others = boxes
        env = [one for one in first.get("env", []) if one.get("name") != ENV_PIN]
        made["containers"] = [{**first, "env": [*env, {"name": ENV_PIN, "value": self.pin}]}, *others]
        return {**made, **({"volumes": [self._volume(one) for one in volumes]} if volumes else {})}

    def _box(self, box: Json, volumes: list[Json], revision: Json) -> Json:
        """A container that names the new places; what its mounts show under them is _volume's."""
        paths = {**self.places, **dict(self._paths(box, volumes, revision))}
        made = {**box}
        for field in ("command", "args"):
            if box.get(field):
                made[field] = [_word(one, paths) for one in box[field]]
        if box.get("env"):
            made["env"] = [_variable(one, paths) for one in box["env"]]
        for where, text in _words(made):
            if old := next((one for one in paths if _named(one, text)), ""):
                raise self._stays(revision, f"{where} of its container names {old} among other words")
        if vllm.runs(box) and find.variable({"template": {"containers": [box]}}, ENV_MODEL) in self.places:
            mounted = {one.get("name") for one in box.get("volumeMounts", [])}
            shown = any(_shown(one) in self.places for one in volumes if one.get("name") in mounted)
            if made.get("args") == box.get("args") and not shown:
                raise self._stays(revision, "neither its arguments nor its mounted folders say where vLLM reads the model")
        return made

    def _paths(self, box: Json, volumes: list[Json], revision: Json) -> Iterator[tuple[str, str]]:
        """Paths that are an old folder below a mounted one -> the new folder there."""
        shown = {one.get("name"): _shown(one) for one in volumes}
        for mount in box.get("volumeMounts", []):
            folder, path = shown.get(mount.get("name"), ""), str(mount.get("mountPath", "")).rstrip("/")
            if not folder:
                continue
            for old, new in self.places.items():
                part = f"{folder}/{mount.get('subPath', '')}".rstrip("/")
                if part != folder and f"{old}/".startswith(f"{part}/"):
                    raise self._stays(revision, f"{path} shows {part}")
                if not old.startswith(f"{folder}/"):
                    continue
                at = f"{path}{old.removeprefix(folder)}"
                if new.startswith(f"{folder}/"):
                    yield at, f"{path}{new.removeprefix(folder)}"
                elif any(_named(at, text) or text.startswith(f"{at}/") for _, text in _words(box)):
                    raise self._stays(revision, f"it reads {at}, and the mounted {folder} does not show {new}")

    def _volume(self, volume: Json) -> Json:
        """A mounted folder that moved, from its new place under the same path."""
        new = self.places.get(_shown(volume))
        if new is None:
            return volume
        bucket, _, folder = new.removeprefix("gs://").partition("/")
        options = [one for one in volume["gcs"].get("mountOptions", []) if not one.startswith(ONLY)]
        options += [f"{ONLY}{folder}"] if folder else []
        others = {key: value for key, value in volume["gcs"].items() if key != "mountOptions"}
        return {**volume, "gcs": {**others, "bucket": bucket, **({"mountOptions": options} if options else {})}}

    def _stays(self, revision: Json, why: str) -> Trouble:
        name, new = find.tail(revision.get("name", "")), " and ".join(self.places.values())
        return refused(
            f"{name} can't be made to read its weights from {new}",
            why=f"{why}: a revision like it would still read {' and '.join(self.places)}",
            remedy="deploy the model anew from a folder that holds its bytes: gemmactl deploy gs://BUCKET/FOLDER",
            code="weights-stay",
        )


def _shown(volume: Json) -> str:
    """The folder of a bucket that a volume shows, as gs://; `` for another kind of volume."""
    gcs = volume.get("gcs") or {}
    folder = next((str(one).removeprefix(ONLY).strip("/") for one in gcs.get("mountOptions", []) if one.startswith(ONLY)), "")
    return f"gs://{gcs['bucket']}/{folder}".rstrip("/") if gcs.get("bucket") else ""


def _word(text: str, paths: Mapping[str, str]) -> str:
    """An argument, a flag's value or a variable that is an old place, or a file in it."""
    flag, is_flag, value = text.partition("=") if text.startswith("-") else ("", "", text)
    for old, new in paths.items():
        rest = value.removeprefix(old)
        if value.startswith(old) and re.fullmatch("(/[^/]*)?", rest):
            return f"{flag}{is_flag}{new}{rest}"
    return text


def _variable(one: Json, paths: Mapping[str, str]) -> Json:
    if one.get("name") == ENV_ADAPTERS:
        known = json.loads(one.get("value") or "{}")
        told = {name: paths.get(place, place) for name, place in known.items()}
        return {**one, "value": json.dumps(told, ensure_ascii=False, separators=(",", ":"))}
    if one.get("name") == ENV_PIN or not one.get("value"):
        return one
    return {**one, "value": _word(one["value"], paths)}


def _words(box: Json) -> Iterator[tuple[str, str]]:
    """(where, text) of all that a container is told, but for its pin."""
    for field in ("command", "args"):
        yield from ((f"{field}[{at}]", str(text)) for at, text in enumerate(box.get(field, [])))
    yield from ((str(one["name"]), str(one.get("value", ""))) for one in box.get("env", []) if one.get("name") != ENV_PIN)


def _named(place: str, text: str) -> bool:
    """Whether a text speaks of exactly that folder, not of one whose name only begins alike."""
    return re.search(rf"(?<![\w./-]){re.escape(place)}/?(?![\w./-])", text) is not None
