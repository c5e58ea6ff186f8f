"""Owns how the codelab's variables become a run in their bucket: its dataset brought there, its base pinned. Knows no trainer.

Every attempt comes here first and finds the same run: what is trained decides its id.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from finetune_image import seed_env
from finetune_image.contract import DATA, RUN_FILE, RUNS, Code, TuneFailed
from finetune_image.fetch import place_of, told
from finetune_image.run import File, Run, Wish
from finetune_image.store import ABSENT, Clash, Store, open_store
from finetune_image.telling import say
from inference_image.chunks import Buffer, Object, Patience, open_source
from inference_image.contract import LoadFailed

ENDINGS: Final = (".parquet", ".jsonl", ".json", ".csv")
LIBRARIES: Final = ("torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate")
"""Whose versions are part of a run's identity, as in a run that gemmactl makes."""
ID: Final = 12


def prepared(environ: Mapping[str, str], store: Store | None = None, out: Callable[[str], None] = say) -> str:
    """The place of the run that the variables ask for; it is there afterwards. `store`: the bucket, for tests.

    Raises:
        TuneFailed: a variable that can't be, a dataset or base that can't be read, a bucket that can't be written.
    """
    seed = seed_env.read(environ)
    bucket = f"gs://{seed.bucket}"
    store = store or open_store(bucket, environ)
    wish, base = _pinned(seed.wish, environ)
    train = _dataset(wish.data.train, environ, store)
    made_with = libraries()
    identity = wish.identity(base, train.sha256, made_with)
    run = Run(identity[:ID], identity, wish, store.uri, train, base=base, libraries=made_with, made_by="the codelab's variables")
    folder = f"{RUNS}/{wish.name}/{run.run_id}"
    with suppress(Clash):  # an attempt before this one made it
        store.at(folder).write(RUN_FILE, run.text().encode(), only_if=ABSENT)
        for one in seed.differences:
            now = replace(one, now=one.now.replace("/RUN", f"/{run.run_id}"))
            out(json.dumps({"severity": "INFO", "message": f"unlike finetune.py: {now}"}))
    return f"{store.uri}/{folder}"


def libraries() -> str:
    """`torch==2.13.0 ...`: the image's pins, else what is installed."""
    pins = Path(__file__).parent / "requirements.txt"
    found = dict(re.findall(r"^([a-z0-9_-]+)==([^\s;\\]+)", pins.read_text(), re.MULTILINE)) if pins.is_file() else {}
    for name in LIBRARIES:
        with suppress(PackageNotFoundError):
            found.setdefault(name, version(name))
    return " ".join(f"{name}=={found[name]}" for name in LIBRARIES if name in found)


def _pinned(wish: Wish, environ: Mapping[str, str]) -> tuple[Wish, str]:
    """(The wish with its base held fast, the base's fingerprint). A branch of the Hub becomes its commit."""
    place = place_of(wish.model)
    try:
        if place.startswith("hf:"):
            from inference_image.chunks.hub import HubSource

            commit = HubSource(place, environ, patience=Patience()).commit()
            return replace(wish, model=f"{place.partition('@')[0]}@{commit}"), _digest({"commit": commit})
        files = {one.name: [one.size, one.crc32c or one.generation] for one in open_source(place, environ).list()}
        return replace(wish, model=place), _digest({"files": files})
    except LoadFailed as failed:
        raise told(place, failed) from None


def _dataset(uri: str, environ: Mapping[str, str], store: Store) -> File:
    """The one file of the Hub's dataset as an object of the bucket, by its content."""
    from inference_image.chunks.hub import HubSource

    place = uri.rpartition(":")[0]
    try:
        source = HubSource(place, environ, patience=Patience(), dataset=True)
        one = _only(place, [one for one in source.walk() if Path(one.name).suffix in ENDINGS and not one.name.startswith(".")])
        buffer = Buffer(one.size)
        source.read(one, 0, one.size, buffer)
    except LoadFailed as failed:
        found = told(place, failed).failure
        code = Code.DATA_NOT_FOUND if found.code in (Code.MODEL_NOT_FOUND, Code.MODEL_GATED) else found.code
        raise TuneFailed(
            code, found.where, found.detail, f"finetune.py reads the dataset {place}: is the Hub reachable?"
        ) from None
    content = bytes(buffer.data)
    digest = hashlib.sha256(content).hexdigest()
    name = Path(one.name).name
    with suppress(Clash):  # there already: its name is its content
        store.at(f"{DATA}/{digest}").write(name, content, only_if=ABSENT)
    return File(f"{store.uri}/{DATA}/{digest}/{name}", digest)


def _only(place: str, found: list[Object]) -> Object:
    """Raises TuneFailed(data_invalid) where it can't be told which file is meant."""
    if len(found) == 1:
        return found[0]
    names = ", ".join(one.name for one in found[:5]) or "none"
    raise TuneFailed(
        Code.DATA_INVALID, place, f"one file with rows is expected, there are: {names}",
        f"gemmactl finetune run {place} chooses among them",
    )  # fmt: skip


def _digest(made: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()
