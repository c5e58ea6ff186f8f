"""The model folders in a project's buckets. Makes read calls only, and looks no further than it says."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from gemmactl.errors import Trouble
from gemmactl.resources.cloud import Cloud
from inference_image.contract import CONFIG

BUCKETS: Final = 20
OBJECTS: Final = 2000
"""Of each bucket."""


@dataclass(frozen=True)
class There:
    """Folders that hold a config.json and weights, by name; `unseen`: what was not looked into, and why."""

    models: tuple[str, ...]
    unseen: tuple[str, ...] = ()


def models_there(cloud: Cloud) -> There:
    """What could be deployed from this project's own buckets. Refusals are told, not raised."""
    try:
        names = cloud.storage.buckets()
    except Trouble as trouble:
        return There((), (f"the project's buckets: {trouble.what}",))
    looked = names[:BUCKETS]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda name: _in(cloud, name), looked))
    unseen = [why for _, why in found if why]
    if len(names) > BUCKETS:
        unseen.append(f"{len(names) - BUCKETS} more buckets")
    return There(tuple(sorted(one for models, _ in found for one in models)), tuple(unseen))


def _in(cloud: Cloud, bucket: str) -> tuple[list[str], str]:
    try:
        objects = cloud.storage.list(bucket, most=OBJECTS)
    except Trouble as trouble:
        return [], f"gs://{bucket}: {trouble.what}"
    folders: dict[str, set[str]] = {}
    for one in objects:
        folder, _, name = one.name.rpartition("/")
        folders.setdefault(folder, set()).add(name)
    models = [
        f"gs://{bucket}/{folder}".rstrip("/")
        for folder, files in folders.items()
        if CONFIG in files and any(name.endswith(".safetensors") for name in files)
    ]
    return models, f"gs://{bucket} after its first {OBJECTS} objects" if len(objects) >= OBJECTS else ""
