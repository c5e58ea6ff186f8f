"""Whether a folder holds a whole model that can be served: names, sizes and headers, without reading a weight. Knows no cloud."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from gemmactl.checkpoint.folder import Folder
from gemmactl.errors import Trouble, refused
from inference_image import contract, layout
from inference_image.contract import Code, LoadFailed


@dataclass(frozen=True)
class Inventory:
    """What was found."""

    uri: str
    shards: int
    bytes: int
    tensors: int
    model_type: str

    def __str__(self) -> str:
        size = f"{self.bytes / 1e9:.1f} GB" if self.bytes >= 1e8 else f"{self.bytes / 1e6:.1f} MB"
        return f"{self.uri} ({self.model_type}, {self.shards} shard{'s' if self.shards != 1 else ''}, {size})"


def take(folder: Folder) -> Inventory:
    """The inventory, with every check that the server itself makes before it reads weights.

    Raises:
        Trouble: (refused) what is wrong, with the server's own code among its facts.
    """
    sizes = folder.sizes()
    if not sizes:
        raise refused(
            f"{folder.uri} holds no model",
            why="there is no file directly in it, or no such folder",
            remedy="give the folder that holds config.json and the *.safetensors files",
            code="model-empty",
            facts={"load_failed": {"code": str(Code.MODEL_NOT_FOUND), "object": folder.uri}},
        )
    _config_there(folder, sizes)
    try:
        return _look(folder, sizes)
    except LoadFailed as failed:
        raise _refusal(folder, failed) from None


def _config_there(folder: Folder, sizes: Mapping[str, int]) -> None:
    if contract.CONFIG in sizes:
        return
    raise refused(
        f"{folder.uri} has no {contract.CONFIG}",
        why=f"without it nobody can say what model the weights are; there are {', '.join(sorted(sizes)[:4])}",
        remedy="give the folder that holds config.json (often one level deeper), or copy the file there",
        code="config-missing",
        facts={"load_failed": {"code": str(Code.CONFIG_MISSING), "object": contract.CONFIG}},
    )


def _look(folder: Folder, sizes: Mapping[str, int]) -> Inventory:
    raw = layout.parse_json(folder.read(contract.CONFIG), contract.CONFIG, Code.CONFIG_INVALID)
    config = layout.text_config(raw)
    if contract.TOKENIZER not in sizes:
        raise LoadFailed(Code.TOKENIZER_MISSING, contract.TOKENIZER, "the fast tokenizer's file is not in the folder")
    index, shards = _shards(folder, sizes)
    with ThreadPoolExecutor(8) as pool:
        tables = tuple(pool.map(lambda shard: _header(folder, shard, sizes[shard]), shards))
    tensors = tuple(t for table in tables for t in table)
    if index is not None:
        layout.check_index(index, tensors)
    layout.require_complete(layout.expected(config), layout.wanted(tensors), folder.uri)
    return Inventory(folder.uri, len(shards), sum(sizes[s] for s in shards), len(tensors), str(raw.get("model_type", "")))


def _shards(folder: Folder, sizes: Mapping[str, int]) -> tuple[layout.Index | None, tuple[str, ...]]:
    if contract.INDEX not in sizes:
        if contract.SINGLE_SHARD not in sizes:
            raise LoadFailed(Code.SHARD_MISSING, contract.SINGLE_SHARD, f"neither it nor {contract.INDEX} is in the folder")
        return None, (contract.SINGLE_SHARD,)
    index = layout.parse_index(folder.read(contract.INDEX))
    if missing := [s for s in index.shards if s not in sizes]:
        raise LoadFailed(
            Code.SHARD_MISSING, missing[0], f"{contract.INDEX} names {len(index.shards)} shards, {len(missing)} not in the folder"
        )
    return index, tuple(index.shards)


def _header(folder: Folder, shard: str, size: int) -> tuple[layout.Tensor, ...]:
    end = layout.header_end(folder.read(shard, 0, 8), shard, size)
    return layout.parse_header(folder.read(shard, 0, end), shard, size)


def _refusal(folder: Folder, failed: LoadFailed) -> Trouble:
    failure = failed.failure
    return refused(
        f"{folder.uri} can't be served: {failure.object}",
        why=failure.detail,
        remedy="copy the whole folder again from where it was trained or merged; nothing was changed in the project",
        code=str(failure.code).replace("_", "-"),
        facts={"load_failed": {"code": str(failure.code), "object": failure.object, "detail": failure.detail}},
    )
