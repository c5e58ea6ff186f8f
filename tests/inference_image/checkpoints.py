"""Small checkpoint folders for tests, written with the standard library; knows nothing of what is tested."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

SAMPLE = Path(__file__).parents[2] / "gemmactl" / "sandbox" / "sample"
MODEL = SAMPLE / "model"

Stored = tuple[str, list[int], bytes]  # dtype, shape, data


def shard(tensors: Mapping[str, Stored], metadata: Mapping[str, str] | None = None) -> bytes:
    """A safetensors file."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    at = 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values())


def tensors_of(data: bytes) -> dict[str, Stored]:
    """The inverse of shard()."""
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    body = data[8 + length :]
    return {
        name: (row["dtype"], row["shape"], body[row["data_offsets"][0] : row["data_offsets"][1]]) for name, row in header.items()
    }


def copy_of_sample(folder: Path) -> Path:
    """The sample model, to be broken."""
    shutil.copytree(MODEL, folder)
    return folder


def rewrite(folder: Path, change: Callable[[dict[str, Stored]], None], shard_name: str | None = None) -> None:
    """Change the tensors of one shard (the first) in place; the index follows."""
    path = folder / (shard_name or "model-00001-of-00004.safetensors")
    tensors = tensors_of(path.read_bytes())
    change(tensors)
    path.write_bytes(shard(tensors))
    index_path = folder / "model.safetensors.index.json"
    index = json.loads(index_path.read_text())
    index["weight_map"] = {
        name: one.name for one in sorted(folder.glob("*.safetensors")) for name in tensors_of(one.read_bytes())
    }
    index_path.write_text(json.dumps(index))


def rewrite_single(folder: Path, change: Callable[[dict[str, Stored]], None]) -> None:
    """The same for a model of one file."""
    path = folder / "model.safetensors"
    tensors = tensors_of(path.read_bytes())
    change(tensors)
    path.write_bytes(shard(tensors))


def edit_json(path: Path, **changes: Any) -> None:
    """Set keys of a JSON file; None removes one."""
    value = json.loads(path.read_text())
    for key, one in changes.items():
        if one is None:
            value.pop(key, None)
        else:
            value[key] = one
    path.write_text(json.dumps(value))
