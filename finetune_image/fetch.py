"""Owns bringing the base model and the data here: pinned, checked, in parallel. Knows neither a trainer nor a run's folder."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from finetune_image.contract import Code, TuneFailed
from finetune_image.hands import Model
from finetune_image.run import File, Run
from finetune_image.store import Store, open_store
from inference_image import contract as served
from inference_image.chunks import Buffer, Object, Source, open_source
from inference_image.contract import LoadFailed
from inference_image.published import require_published

_PIECE: Final = 8 << 20
_READERS: Final = 16
_SMALL: Final = 64 << 20
"""Most bytes of a file beside the weights that is fetched; Gemma's tokenizer.json has 33 MB."""
_CODES: Final = {
    served.Code.MODEL_NOT_FOUND: Code.MODEL_NOT_FOUND,
    served.Code.SHARD_MISSING: Code.MODEL_NOT_FOUND,
    served.Code.ACCESS_DENIED: Code.ACCESS_DENIED,
    served.Code.NETWORK_FAILED: Code.NETWORK_FAILED,
    served.Code.HOST_MEMORY: Code.OUT_OF_MEMORY,
}


def place_of(model: str) -> str:
    """A wish's model as a place that chunks reads: `gs://...`, `hf:owner/name[@revision]`, or a directory."""
    if model.startswith(("gs://", "hf:", "/", ".")):
        return model
    return f"hf:{model}" if model.count("/") == 1 else model


@contextmanager
def model_folder(
    run: Run, environ: Mapping[str, str], scratch: Path, source: Source | None = None, *, published: bool = True
) -> Iterator[Model]:
    """The base here until the block ends. A directory is used as it is, and stays.

    `source` replaces the wish's, for tests; `published`: False takes a model that a fine-tune is still writing.

    Raises:
        TuneFailed: (model_not_found, model_gated, access_denied, model_invalid, network_failed) also when a file is not the one
            that the run was made for.
    """
    place = place_of(run.wish.model)
    with loading(place):
        source = source or open_source(place, environ)
        there = source.list()
        if published:
            require_published({one.name for one in there}, place)
        wanted = tuple(one for one in there if _wanted(one))
        _check_pins(place, wanted, run.pins)
        size = sum(one.size for one in wanted if one.name.endswith(".safetensors"))
        if "://" not in place and not place.startswith("hf:"):
            yield Model(Path(place), size)
            return
        folder = scratch / "base"
        try:
            _bring(source, wanted, folder)
            yield Model(folder, size)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def loading(place: str) -> Iterator[None]:
    """What reading a base raises, as a TuneFailed."""
    try:
        yield
    except LoadFailed as failed:
        raise told(place, failed) from None


def _wanted(one: Object) -> bool:
    """Weights, and what says how to use them."""
    if "/" in one.name or one.name == served.ADAPTER_WEIGHTS:
        return False
    return one.name.endswith(".safetensors") or (one.name.endswith((".json", ".jinja", ".model")) and one.size <= _SMALL)


def _check_pins(place: str, there: tuple[Object, ...], pins: Mapping[str, str]) -> None:
    now = {one.name: one.generation for one in there}
    for name, generation in pins.items():
        if _wanted(Object(name, 0, generation)) and now.get(name) != generation:
            what = "is not there any more" if name not in now else "is another one now than when the run was made"
            raise TuneFailed(
                Code.MODEL_INVALID, f"{place}/{name}", what, "start it as a new run: gemmactl finetune run --again",
                "or put the file back that was there",
            )  # fmt: skip


def _bring(source: Source, wanted: tuple[Object, ...], folder: Path) -> None:
    """All files at once, by ranges; what states a checksum is checked."""
    folder.mkdir(parents=True, exist_ok=True)
    jobs = []
    for one in wanted:
        with (folder / one.name).open("wb") as file:
            file.truncate(one.size)
        jobs += [(one, begin, min(one.size, begin + _PIECE)) for begin in range(0, one.size, _PIECE)]
    with ThreadPoolExecutor(_READERS) as pool:
        try:
            for done in [pool.submit(_read, source, folder, *job) for job in jobs]:
                done.result()
        except BaseException:  # a signal must not wait for gigabytes, nor a failure for its likes
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    for one in wanted:
        if one.crc32c is not None and (seen := _crc(folder / one.name)) != one.crc32c:
            raise TuneFailed(Code.NETWORK_FAILED, one.name, f"crc32c {seen:08x} arrived, the store says {one.crc32c:08x}")


def _read(source: Source, folder: Path, one: Object, begin: int, end: int) -> None:
    sink = Buffer(end - begin, begin)
    source.read(one, begin, end, sink)
    with (folder / one.name).open("r+b", buffering=0) as file:
        os.pwrite(file.fileno(), sink.data, begin)


def _crc(path: Path) -> int:
    import crc32c

    crc = 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            crc = crc32c.crc32c(piece, crc)
    return crc


def told(place: str, failed: LoadFailed) -> TuneFailed:
    """A failure of reading a place in the words of a fine-tune."""
    code = _CODES.get(failed.failure.code, Code.MODEL_INVALID)
    where = f"{place}: {failed.failure.object}" if failed.failure.object not in place else place
    if code is Code.ACCESS_DENIED and place.startswith("hf:"):
        name = place.removeprefix("hf:").partition("@")[0]
        return TuneFailed(
            Code.MODEL_GATED, where, failed.failure.detail, f"accept the licence of {name} on its page at the hub",
            "give a token that may read it: gemmactl finetune run --hf-token NAME:VERSION",
        )  # fmt: skip
    return TuneFailed(code, where, failed.failure.detail)


def data_file(wanted: File, environ: Mapping[str, str], folder: Path, store: Store | None = None) -> Path:
    """A data file here, byte for byte the one that the run was made for. `store` replaces the bucket's folder, for tests.

    Raises:
        TuneFailed: (data_not_found, data_changed, access_denied, network_failed).
    """
    if not wanted.uri.startswith("gs://"):
        path = Path(wanted.uri)
        try:
            with path.open("rb") as file:
                seen: Any = hashlib.file_digest(file, "sha256")
        except OSError as error:
            raise TuneFailed(Code.DATA_NOT_FOUND, wanted.uri, error.strerror or str(error)) from None
    else:
        parent, _, name = wanted.uri.rpartition("/")
        store, path, seen = store or open_store(parent, environ), folder / name, hashlib.sha256()
        if (held := store.stat(name)) is None:
            raise TuneFailed(Code.DATA_NOT_FOUND, wanted.uri, "it is not there", "start the run again: gemmactl finetune run")
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for start in range(0, held.size, _PIECE):
                piece = store.read(name, start, min(held.size, start + _PIECE)) or b""
                file.write(piece)
                seen.update(piece)
    if seen.hexdigest() != wanted.sha256:
        raise TuneFailed(
            Code.DATA_CHANGED, wanted.uri, f"its sha256 is {seen.hexdigest()[:12]}, the run was made for {wanted.sha256[:12]}",
            "start it as a new run: gemmactl finetune run",
        )  # fmt: skip
    return path
