"""What the image promises to the outside: names, routes, shapes and failure codes. Knows no framework: standard library only."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

# --- environment that the container reads -------------------------------------------------------
ENV_MODEL: Final = "GEMMACTL_MODEL"
"""Where the weights are: `gs://bucket/prefix`, a directory, or `hf:owner/name[@revision]`."""
ENV_MODEL_NAME: Final = "GEMMACTL_MODEL_NAME"
"""The name that answers carry as `model`; default: last part of the model's path."""
ENV_DEVICE: Final = "GEMMACTL_DEVICE"
"""`auto` (default: cuda when there is one, else cpu), `cuda` or `cpu`."""
ENV_DTYPE: Final = "GEMMACTL_DTYPE"
"""`auto` (default), `bfloat16` or `float32`. float16 is refused: Gemma 3 overflows in it."""
ENV_CONNECTIONS: Final = "GEMMACTL_CONNECTIONS"
"""Parallel ranged reads; default 16."""
ENV_CHUNK_MIB: Final = "GEMMACTL_CHUNK_MIB"
"""Size of one ranged read in MiB; default 8."""
ENV_MAX_CONTEXT: Final = "GEMMACTL_MAX_CONTEXT"
"""Longest prompt + answer in tokens; default: the model's own, at most 8192."""
ENV_MAX_QUEUE: Final = "GEMMACTL_MAX_QUEUE"
"""Requests that may wait for the engine before 429; default 32."""
ENV_THREADS: Final = "GEMMACTL_TORCH_THREADS"
"""torch threads on CPU; default: torch's own choice."""
ENV_PORT: Final = "PORT"
ENV_HOST: Final = "HOST"
ENV_HF_TOKEN: Final = "HF_TOKEN"
ENV_HF_ENDPOINT: Final = "HF_ENDPOINT"
ENV_STORAGE_HOST: Final = "STORAGE_EMULATOR_HOST"

DEFAULT_PORT: Final = 8080

# --- routes -------------------------------------------------------------------------------------
ROUTE_GENERATE: Final = "/generate"
ROUTE_HEALTH: Final = "/health"
"""200 as soon as the process is up. Never a path ending in z: those are reserved on run.app."""
ROUTE_READY: Final = "/ready"
"""503 with `{"stage", "bytes_done", "bytes_total"}` until a first token was produced, then 200."""
ROUTE_TIMELINE: Final = "/v1/timeline"

# --- names of the files beside the weights --------------------------------------------------------
CONFIG: Final = "config.json"
GENERATION_CONFIG: Final = "generation_config.json"
INDEX: Final = "model.safetensors.index.json"
SINGLE_SHARD: Final = "model.safetensors"
TOKENIZER: Final = "tokenizer.json"
TOKENIZER_CONFIG: Final = "tokenizer_config.json"
CHAT_TEMPLATE: Final = "chat_template.jinja"


class Code(StrEnum):
    """Why a model could not be served. Stable: doctor has one row for each, and a test compares both lists."""

    MODEL_NOT_FOUND = "model_not_found"
    ACCESS_DENIED = "access_denied"
    CONFIG_MISSING = "config_missing"
    CONFIG_INVALID = "config_invalid"
    FAMILY_UNSUPPORTED = "family_unsupported"
    TOKENIZER_MISSING = "tokenizer_missing"
    TOKENIZER_INVALID = "tokenizer_invalid"
    INDEX_INVALID = "index_invalid"
    SHARD_MISSING = "shard_missing"
    SHARD_TRUNCATED = "shard_truncated"
    HEADER_INVALID = "header_invalid"
    KEYS_MISSING = "keys_missing"
    KEYS_UNEXPECTED = "keys_unexpected"
    SHAPE_MISMATCH = "shape_mismatch"
    DTYPE_UNSUPPORTED = "dtype_unsupported"
    OBJECT_CHANGED = "object_changed"
    CHECKSUM_MISMATCH = "checksum_mismatch"
    NETWORK_FAILED = "network_failed"
    WEIGHTS_NAN = "weights_nan"
    HOST_MEMORY = "host_memory"
    GPU_MEMORY = "gpu_memory"
    GPU_UNAVAILABLE = "gpu_unavailable"
    SELF_TEST_FAILED = "self_test_failed"
    SETTING_INVALID = "setting_invalid"
    CRASHED = "crashed"


@dataclass(frozen=True)
class LoadFailure:
    """The value inside LoadFailed: which code, about which object (file, key or variable), in plain words."""

    code: Code
    object: str
    detail: str

    def line(self) -> str:
        """One JSON line, the container's last; Cloud Logging files it as jsonPayload with severity ERROR."""
        return json.dumps(
            {
                "severity": "ERROR",
                "message": f"model load failed: {self.code}: {self.object}: {self.detail}",
                "load_failed": {"code": str(self.code), "object": self.object, "detail": self.detail},
            },
            ensure_ascii=False,
        )

    @classmethod
    def parse(cls, payload: dict[str, Any]) -> LoadFailure | None:
        """The inverse of line(), from a parsed JSON log payload; None when it is another log line."""
        inner = payload.get("load_failed")
        if not isinstance(inner, dict):
            return None
        try:
            return cls(Code(inner["code"]), str(inner.get("object", "")), str(inner.get("detail", "")))
        except (KeyError, ValueError):
            return None


class LoadFailed(Exception):  # noqa: N818 - the word of the log line and of doctor
    """A model that must not be served. The process prints failure.line() last and exits with EXIT_LOAD_FAILED."""

    def __init__(self, code: Code, object: str, detail: str) -> None:  # noqa: A002 - the field's name in the log line
        super().__init__(f"{code}: {object}: {detail}")
        self.failure = LoadFailure(code, object, detail)


EXIT_LOAD_FAILED: Final = 3
