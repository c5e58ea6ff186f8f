"""Owns what holds for any file beside the weights: its largest size, and that it is JSON. Standard library only."""

from __future__ import annotations

import json
from typing import Any, Final

from inference_image import contract
from inference_image.contract import Code, LoadFailed

# Largest files that are read. A parsed JSON takes up to twenty times its bytes, and a checkpoint is input from outside.
HEADER_LIMIT: Final = 16 << 20
"""A shard's header. safetensors allows 100 MB; those of Gemma 3 have less than 1 MiB even in a single file."""
CONFIG_LIMIT: Final = 1 << 20
"""config.json and generation_config.json; real ones have less than 10 KB."""
TOKENIZER_CONFIG_LIMIT: Final = 16 << 20
"""Gemma 3's has 1.2 MB: it lists 6,000 tokens that mean nothing."""
INDEX_LIMIT: Final = 32 << 20
TEMPLATE_LIMIT: Final = 64 << 10
"""Largest chat template. The longest that we know, of a model that calls tools, has 20 KB; 64 KiB of nothing but expressions
take up to 1.8 s to compile (measured on a busy CPU)."""
OVERRIDES_LIMIT: Final = 256 << 10
PRESETS_LIMIT: Final = 64 << 10
VARIABLE_LIMIT: Final = 32 << 10
"""Bytes of one variable on Cloud Run. Source: cloud.google.com/run/quotas."""
SMALL_FILE_LIMIT: Final = 128 << 20
"""tokenizer.json; Gemma 3's has 33 MB."""
_LIMITS: Final = {
    contract.CONFIG: (CONFIG_LIMIT, Code.CONFIG_INVALID),
    contract.GENERATION_CONFIG: (CONFIG_LIMIT, Code.CONFIG_INVALID),
    contract.INDEX: (INDEX_LIMIT, Code.INDEX_INVALID),
    contract.TOKENIZER: (SMALL_FILE_LIMIT, Code.TOKENIZER_INVALID),
    contract.TOKENIZER_CONFIG: (TOKENIZER_CONFIG_LIMIT, Code.TOKENIZER_INVALID),
    contract.CHAT_TEMPLATE: (TEMPLATE_LIMIT, Code.TOKENIZER_INVALID),
    contract.OVERRIDES: (OVERRIDES_LIMIT, Code.CONFIG_INVALID),
    contract.PREPROCESSOR_CONFIG: (CONFIG_LIMIT, Code.CONFIG_INVALID),
    contract.PROCESSOR_CONFIG: (CONFIG_LIMIT, Code.CONFIG_INVALID),
    contract.PRESETS: (PRESETS_LIMIT, Code.PRESETS_INVALID),
}
SEEING: Final = (contract.PREPROCESSOR_CONFIG, contract.PROCESSOR_CONFIG)
"""Read as well where images are answered: how the model wants its pixels."""
SMALL: Final = tuple(name for name in _LIMITS if name not in SEEING)
"""The files beside the weights that are read whole."""
POINTER: Final = b"version https://git-lfs"
POINTED: Final = "a Git LFS pointer, not the file: run git lfs pull, and upload it again"
LARGEST: Final = 1 << 48


def limit_of(name: str) -> int:
    """Most bytes that are read of a file beside the weights."""
    return _LIMITS[name][0] if name in _LIMITS else CONFIG_LIMIT


def check_size(name: str, size: int) -> None:
    """Raises LoadFailed for a file that is empty or larger than any real one, before a byte of it is read."""
    limit, code = _LIMITS.get(name, (None, Code.SHARD_TRUNCATED))
    if size == 0:
        raise LoadFailed(code, name, "it is empty: an upload that stopped at its start")
    if limit is not None and size > limit:
        raise LoadFailed(code, name, f"{size} bytes; at most {limit} are read")


def check_pointer(data: bytes, name: str, code: Code) -> None:
    """Raises LoadFailed(code) for what git leaves in place of a large file that was not fetched."""
    if data.startswith(POINTER):
        raise LoadFailed(code, name, POINTED)


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("the same key twice")
    return made


def parse_json(data: bytes, name: str, code: Code) -> dict[str, Any]:
    """One JSON object, or LoadFailed(code) that names the file. Deep nesting and doubled keys are refused."""
    check_pointer(data, name, code)
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_no_twins)
    except (ValueError, RecursionError) as error:
        raise LoadFailed(code, name, f"not valid JSON: {error}"[:200]) from None
    if not isinstance(value, dict):
        raise LoadFailed(code, name, "not a JSON object")
    return value


def natural(value: object, most: int = LARGEST) -> bool:
    """A number of things or bytes, as JSON has it."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most
