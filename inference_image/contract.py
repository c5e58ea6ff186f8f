"""What the image promises to the outside: names, routes, shapes and failure codes. Knows no framework: standard library only."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

# --- environment that the container reads -------------------------------------------------------
ENV_MODEL: Final = "GEMMACTL_MODEL"
"""Where the weights are: `gs://bucket/prefix`, a directory, `hf:owner/name[@revision]`, or `https://host/folder` with ranges."""
ENV_MODEL_NAME: Final = "GEMMACTL_MODEL_NAME"
"""The name that answers carry as `model`; default: last part of the model's path."""
ENV_DEVICE: Final = "GEMMACTL_DEVICE"
"""`auto` (default: cuda when there is one, else cpu), `cuda` or `cpu`."""
ENV_DTYPE: Final = "GEMMACTL_DTYPE"
"""`auto` (default), `bfloat16` or `float32`. float16 is refused: Gemma 3 overflows in it."""
ENV_QUANTIZE: Final = "GEMMACTL_QUANTIZE"
"""`none` (default) or `int8`: weights become int8 while they arrive, embedding and head included; half the memory of bfloat16."""
ENV_CONNECTIONS: Final = "GEMMACTL_CONNECTIONS"
"""Parallel ranged reads that a load begins with; default 16."""
ENV_CONNECTIONS_MOST: Final = "GEMMACTL_CONNECTIONS_MOST"
"""Parallel ranged reads that it may grow to while more of them are faster; default 64."""
ENV_CHUNK_MIB: Final = "GEMMACTL_CHUNK_MIB"
"""Size of one piece of a ranged read in MiB, which has its memory as a whole; default 8."""
ENV_MAX_CONTEXT: Final = "GEMMACTL_MAX_CONTEXT"
"""Longest prompt + answer in tokens; default: the model's own, at most DEFAULT_CONTEXT."""
ENV_MAX_SEQUENCES: Final = "GEMMACTL_MAX_SEQUENCES"
"""Most requests that are computed at once, up to PARALLEL_SEQUENCES, which is the default; fewer where memory holds fewer."""
ENV_MAX_QUEUE: Final = "GEMMACTL_MAX_QUEUE"
"""Requests that may wait for the engine before 429; default 32."""
ENV_THREADS: Final = "GEMMACTL_TORCH_THREADS"
"""torch threads on CPU; default: torch's own choice."""
ENV_STAGING_MIB: Final = "GEMMACTL_STAGING_MIB"
"""Bytes that may lie in host memory before they are on their device or cast; default 4096: what arrives before torch is there."""
ENV_READER: Final = "GEMMACTL_READER"
"""Who reads weights from a network: `process` (its own, which no import holds up) or `threads`; default: process on Linux."""
ENV_TLS: Final = "GEMMACTL_TLS"
"""Whose TLS the readers use: `python` for Python's ssl module; default: OpenSSL itself, where it can be called."""
TLS_PYTHON: Final = "python"
ENV_STALL_SECONDS: Final = "GEMMACTL_STALL_SECONDS"
"""Longest silence of a connection before its rest is asked for again, in seconds; default 15; lower ones are learnt."""
ENV_LOAD_SECONDS: Final = "GEMMACTL_LOAD_SECONDS"
"""Longest time for reading the weights, in seconds; default 1800. Then the load fails as deadline_exceeded."""
ENV_SKIP_UNVERIFIED: Final = "GEMMACTL_SKIP_UNVERIFIED"
"""`1`: leave out a vision tower even where nothing proves what is read beside it; default: such a shard is read whole."""
ENV_ADAPTERS: Final = "GEMMACTL_ADAPTERS"
"""LoRA adapters on the model, loaded at the start: `name=place` pairs between spaces or line ends, or a JSON object of them. A
place is what ENV_MODEL may be; a request asks for one by its name."""
ENV_ADAPTER_ANY_BASE: Final = "GEMMACTL_ADAPTER_ANY_BASE"
"""`1`: adapters are served even where their base is known by name to be another one. Shapes must fit all the same."""
ENV_PIN: Final = "GEMMACTL_PIN"
"""What pins the weights: `gs://.../gemmactl/pins/.../SHA256.json`, or the document itself. A start reads exactly what it names,
or refuses; gemmactl deploy writes it (docs/pins.md). Default: whatever lies in the folder."""
ENV_IMAGES: Final = "GEMMACTL_IMAGES"
"""`1`: the vision tower is loaded, and chat messages may hold images; default: text only, which starts faster."""
ENV_IMAGE_SOURCES: Final = "GEMMACTL_IMAGE_SOURCES"
"""Places that images may be named in beside the model's own: `gs://bucket/prefix`, more of them with commas between."""
ENV_OVERRIDES: Final = "GEMMACTL_OVERRIDES"
"""Corrections of the checkpoint's small files, in the form of OVERRIDES below; wins over that file."""
ENV_LOG_PROMPTS: Final = "GEMMACTL_LOG_PROMPTS"
"""`1`: the line of a request has its prompt and its answer as well. Default: neither is ever written down."""
ENV_PAGE: Final = "GEMMACTL_PAGE"
"""`0`: no page at /."""
ENV_PROJECT: Final = "GOOGLE_CLOUD_PROJECT"
"""The project in which Cloud Trace files a request; Cloud Run doesn't set it. Without it lines carry the bare trace id."""
ENV_PRESETS: Final = "GEMMACTL_PRESETS"
"""Types of /generate for this deployment, in the form of PRESETS below as JSON or YAML; they win over that file's."""
ENV_KEYS: Final = "GEMMACTL_KEYS"
"""A file with the hashes of the API keys (api_keys.py): every route but ROUTE_HEALTH then asks for one. Default: none asks."""
ENV_PORT: Final = "PORT"
ENV_HOST: Final = "HOST"
ENV_HF_TOKEN: Final = "HF_TOKEN"
ENV_HF_ENDPOINT: Final = "HF_ENDPOINT"
ENV_STORAGE_HOST: Final = "STORAGE_EMULATOR_HOST"

UNQUANTIZED: Final = "none"
INT8: Final = "int8"
QUANTIZE: Final = (UNQUANTIZED, INT8)
"""Values of ENV_QUANTIZE."""

DEFAULT_PORT: Final = 8080
DEFAULT_CONTEXT: Final = 8192
DEFAULT_STAGING_MIB: Final = 4096
DEFAULT_CHUNK_MIB: Final = 8
DEFAULT_CONNECTIONS: Final = 16
DEFAULT_CONNECTIONS_MOST: Final = 64
DEFAULT_STALL_SECONDS: Final = 15
DEFAULT_LOAD_SECONDS: Final = 1800
DEFAULT_QUEUE: Final = 32
CONTEXT_MOST: Final = 1 << 20

PARALLEL_SEQUENCES: Final = 32
"""Most requests that the engine computes at once; fewer where memory holds fewer. All others wait in its queue."""
PROMPT_CHUNK: Final = 512
"""Tokens of prompts that are read between two steps. By its arithmetic an L4 reads 512 tokens of a 4B in about the time of one
step (27 and 26 ms): an answer that is being written slows down to half its pace at most. Not measured on a GPU."""
GPU_WORK: Final = 1536 << 20
"""Least that is kept free on a GPU beside weights, keys and values; reserve.py says when it is more. An estimate."""
GENERIC_SEQUENCES: Final = 4
"""The same for the families that transformers' own caches serve, row by row: a few let a short answer pass a long one."""

# --- routes -------------------------------------------------------------------------------------
ROUTE_GENERATE: Final = "/generate"
ROUTE_HEALTH: Final = "/health"
"""200 as soon as the process is up; with PROBE_HEADER only when ROUTE_READY is 200. The one route that never asks for an API key.
Never a path ending in z: those are reserved on run.app."""
ROUTE_READY: Final = "/ready"
"""503 with `{"stage", "bytes_done", "bytes_total", "eta_s"}` until a first token was produced, then 200."""
ROUTE_TIMELINE: Final = "/v1/timeline"
"""The record of this start: phases, bytes, seconds, generation and checksum of every object; 503 until ready."""
ROUTE_VERSION: Final = "/version"
ROUTE_TOKENIZE: Final = "/tokenize"
ROUTE_CHAT: Final = "/v1/chat/completions"
ROUTE_COMPLETIONS: Final = "/v1/completions"
ROUTE_MODELS: Final = "/v1/models"
OPENAI_PREFIX: Final = "/v1/"
"""Below it every refusal has OpenAI's form: `{"error": {"message", "type", "param", "code"}}`."""

ROUTE_METRICS: Final = "/metrics"
"""Prometheus' text; OpenMetrics to those that ask for it."""
ROUTE_PRESETS: Final = "/v1/presets"
"""The types of /generate: `[{"type", "mode", "max_tokens"}]`."""
ROUTE_PAGE: Final = "/"
"""A page to try the model with, unless ENV_PAGE is 0."""

CHAT_TOKENS: Final = 4096
"""Longest answer of a chat that names no max_tokens, as far as the context allows."""
COMPLETION_TOKENS: Final = 16
"""The same of a completion: OpenAI's own number."""
CHOICES_MOST: Final = 8
"""Largest `n`."""
ANSWERS_MOST: Final = 32
"""Most answers that one request may ask for: its prompts times `n`. Each of them takes a place in the queue."""

KEY_HEADER: Final = "x-api-key"
"""Holds an API key; `Authorization: Bearer` may as well."""
PROBE_HEADER: Final = "x-gemmactl-probe"
"""`ready`: /health answers with the status of /ready. For a startup probe: it has no key, and nothing secret belongs into one."""
KEYS_FOLDER: Final = "/secrets/gemmactl"
"""Where a deployment mounts the keys' secret."""
KEYS_FILE: Final = "keys.json"
KEYS_SECONDS: Final = 30.0
"""Age from which on the keys are read again before a request is let in: how long a revoked key may still work."""
KEYS_UNKNOWN_SECONDS: Final = 5.0
"""The same before a key is refused that nobody knows: how soon a new one works."""
KEYS_READ_SECONDS: Final = 3.0
"""Longest time that a request waits for them."""

BODY_LIMIT: Final = 1 << 20
"""Largest request body in bytes; beyond it 413."""
IMAGE_BODY_LIMIT: Final = 16 << 20
"""The same for routes that take images."""
BODY_SECONDS: Final = 30.0
"""Longest time for a request's body to arrive whole; then 408."""
HEADER_SECONDS: Final = 10.0
"""Longest time for a request's headers to arrive whole; then the connection is closed."""
IMAGE_BYTES: Final = 12 << 20
"""Largest image as a file."""
IMAGE_PIXELS: Final = 50_000_000
"""Largest image, width times height: a file of a few kilobytes may hold billions of pixels."""
IMAGES_MOST: Final = 16
"""Most images of one request."""
IMAGES_KEPT: Final = 32
"""Images whose features are kept: a conversation sends the same ones with every turn. 1.3 MB each in a 4B."""
DRAIN_SECONDS: Final = 8.0
"""How long running requests may go on after SIGTERM: Cloud Run kills after 10 s."""

# --- names of the files beside the weights --------------------------------------------------------
CONFIG: Final = "config.json"
GENERATION_CONFIG: Final = "generation_config.json"
INDEX: Final = "model.safetensors.index.json"
SINGLE_SHARD: Final = "model.safetensors"
TOKENIZER: Final = "tokenizer.json"
TOKENIZER_CONFIG: Final = "tokenizer_config.json"
CHAT_TEMPLATE: Final = "chat_template.jinja"
PREPROCESSOR_CONFIG: Final = "preprocessor_config.json"
PROCESSOR_CONFIG: Final = "processor_config.json"
ADAPTER_CONFIG: Final = "adapter_config.json"
ADAPTER_WEIGHTS: Final = "adapter_model.safetensors"

# What gemmactl itself writes beside the weights lies in one folder.
FOLDER: Final = "gemmactl"
MANIFEST: Final = "gemmactl/manifest.json"
"""Every file with size, crc32c and the checksums of its ranges: written last, so its presence means that all is there."""
MANIFEST_SCHEMA: Final = "gemmactl/manifest.v1"
OVERRIDES: Final = "gemmactl/overrides.json"
"""Corrections: `{"generation_config.json": {"eos_token_id": [1, 106]}, "chat_template.jinja": "..."}`. Keys of a JSON file are
replaced one by one, the template as a whole. Files: OVERRIDABLE."""
PRESETS: Final = "gemmactl/presets.yaml"
"""The model's own types of /generate, over the built-in ones (docs/presets.md)."""
PRESETS_SCHEMA: Final = "gemmactl/presets.v1"
PINS: Final = "gemmactl/pins"
"""Folder of the documents that pin revisions' weights: PROJECT/REGION/SERVICE/SHA256.json, each named by its own digest."""
PIN_SCHEMA: Final = "gemmactl/pin.v1"
FINGERPRINT: Final = "gemmactl/fingerprint.json"
LINEAGE: Final = "gemmactl/lineage.json"
"""Where a fine-tuned model came from: the first object of its folder. With it and without MANIFEST a folder is half-published."""
REPORT: Final = "gemmactl/report.md"

OVERRIDABLE: Final = (CONFIG, GENERATION_CONFIG, TOKENIZER_CONFIG, CHAT_TEMPLATE)


class Code(StrEnum):
    """Why a model could not be served. Stable: doctor has one row for each, and a test compares both lists."""

    MODEL_NOT_FOUND = "model_not_found"
    MODEL_UNFINISHED = "model_unfinished"
    ACCESS_DENIED = "access_denied"
    CONFIG_MISSING = "config_missing"
    CONFIG_INVALID = "config_invalid"
    FAMILY_UNSUPPORTED = "family_unsupported"
    TOKENIZER_MISSING = "tokenizer_missing"
    TOKENIZER_INVALID = "tokenizer_invalid"
    PRESETS_INVALID = "presets_invalid"
    INDEX_INVALID = "index_invalid"
    SHARD_MISSING = "shard_missing"
    SHARD_TRUNCATED = "shard_truncated"
    HEADER_INVALID = "header_invalid"
    KEYS_MISSING = "keys_missing"
    KEYS_UNEXPECTED = "keys_unexpected"
    SHAPE_MISMATCH = "shape_mismatch"
    DTYPE_UNSUPPORTED = "dtype_unsupported"
    OBJECT_CHANGED = "object_changed"
    WEIGHTS_CHANGED = "weights_changed"
    PIN_INVALID = "pin_invalid"
    CHECKSUM_MISMATCH = "checksum_mismatch"
    NETWORK_FAILED = "network_failed"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    WEIGHTS_NAN = "weights_nan"
    ADAPTER_INVALID = "adapter_invalid"
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


class RequestCode(StrEnum):
    """Why a request was refused: `{"error": {"code", "message", ...}}`, with the HTTP status of REQUEST_STATUS."""

    UNKNOWN_TYPE = "unknown_type"
    UNKNOWN_ADAPTER = "unknown_adapter"
    MODEL_NOT_FOUND = "model_not_found"
    UNSUPPORTED_PARAMETER = "unsupported_parameter"
    UNSUPPORTED_CONTENT = "unsupported_content"
    CONVERSATION_REFUSED = "conversation_refused"
    CONTEXT_LENGTH_EXCEEDED = "context_length_exceeded"
    INVALID_JSON = "invalid_json"
    INVALID_REQUEST = "invalid_request"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    BODY_TOO_LARGE = "body_too_large"
    BODY_TIMEOUT = "body_timeout"
    API_KEY_MISSING = "api_key_missing"
    INVALID_API_KEY = "invalid_api_key"
    RATE_LIMIT_EXCEEDED = "rate_limit_exceeded"
    KEYS_UNREADABLE = "keys_unreadable"
    QUEUE_FULL = "queue_full"
    NOT_READY = "not_ready"
    DRAINING = "draining"
    ENGINE_FAILED = "engine_failed"
    INTERNAL_ERROR = "internal_error"


REQUEST_STATUS: Final[dict[RequestCode, int]] = {
    RequestCode.UNKNOWN_TYPE: 400,
    RequestCode.UNKNOWN_ADAPTER: 400,
    RequestCode.MODEL_NOT_FOUND: 404,
    RequestCode.UNSUPPORTED_PARAMETER: 400,
    RequestCode.UNSUPPORTED_CONTENT: 400,
    RequestCode.CONVERSATION_REFUSED: 400,
    RequestCode.CONTEXT_LENGTH_EXCEEDED: 400,
    RequestCode.INVALID_JSON: 400,
    RequestCode.INVALID_REQUEST: 422,  # 400 below OPENAI_PREFIX, as at OpenAI
    RequestCode.NOT_FOUND: 404,
    RequestCode.METHOD_NOT_ALLOWED: 405,
    RequestCode.BODY_TOO_LARGE: 413,
    RequestCode.BODY_TIMEOUT: 408,
    RequestCode.API_KEY_MISSING: 401,
    RequestCode.INVALID_API_KEY: 401,
    RequestCode.RATE_LIMIT_EXCEEDED: 429,
    RequestCode.KEYS_UNREADABLE: 503,
    RequestCode.QUEUE_FULL: 429,
    RequestCode.NOT_READY: 503,
    RequestCode.DRAINING: 503,
    RequestCode.ENGINE_FAILED: 500,
    RequestCode.INTERNAL_ERROR: 500,
}

STOP_REASONS: Final = ("stop", "length", "cancelled")
"""Ends of an answer: end of sequence, end of turn or a stop string; max_tokens; the client left or the service stopped."""


@dataclass(frozen=True)
class Exchange:
    """One request to /generate and its answer. In `response` a Python type stands for any value of that type."""

    name: str
    request: dict[str, Any]
    status: int
    response: Any


_SEED_TRANSLATION: Final = (
    "The ability to fine-tune powerful language models on consumer hardware is a significant breakthrough for the AI community."
)
_SEED_KOREAN: Final = "소비자용 하드웨어에서 강력한 언어 모델을 미세 조정할 수 있게 된 것은 AI 커뮤니티에 획기적인 발전입니다."
_SEED_QUESTION: Final = (
    "Question: What are the first name and last name of all candidates? Context: CREATE TABLE candidates"
    " (candidate_id VARCHAR); CREATE TABLE people (first_name VARCHAR, last_name VARCHAR, person_id VARCHAR)"
)
_SEED_SQL: Final = "SELECT T2.first_name, T2.last_name FROM candidates AS T1 JOIN people AS T2 ON T1.candidate_id = T2.person_id"

EXCHANGES: Final[tuple[Exchange, ...]] = (
    Exchange(
        "translation answers one JSON string, the completion only",
        {"type": "translation", "prompt": _SEED_TRANSLATION, "max_tokens": 1500},
        200,
        _SEED_KOREAN,
    ),
    Exchange(
        "text goes through the chat template",
        {"type": "text", "prompt": "Google Cloud Run의 장점은 무엇인가요?", "max_tokens": 1024},
        200,
        "Cloud Run은 컨테이너를 자동으로 확장하고, 사용하지 않을 때는 0으로 줄여 비용이 들지 않습니다.",
    ),
    Exchange(
        "product",
        {"type": "product", "prompt": "test", "max_tokens": 1000},
        200,
        "A sample product for tests: it does one thing, does it well and is always in stock.",
    ),
    Exchange("sql", {"type": "sql", "prompt": _SEED_QUESTION}, 200, _SEED_SQL),
    Exchange(
        "without type the answer has the codelab's shape",
        {"prompt": _SEED_QUESTION},
        200,
        {"predictions": [_SEED_SQL]},
    ),
    Exchange(
        "format full tells why it stopped and what it cost",
        {"type": "product", "prompt": "test", "format": "full"},
        200,
        {
            "text": "A sample product for tests: it does one thing, does it well and is always in stock.",
            "stop_reason": "stop",
            "usage": {"prompt_tokens": int, "completion_tokens": int, "total_tokens": int},
            "model": str,
            "type": "product",
        },
    ),
    Exchange(
        "max_tokens cuts, and full says so",
        {"type": "product", "prompt": "test", "max_tokens": 3, "format": "full"},
        200,
        {
            "text": str,
            "stop_reason": "length",
            "usage": {"prompt_tokens": int, "completion_tokens": 3, "total_tokens": int},
            "model": str,
            "type": "product",
        },
    ),
    Exchange(
        "an unknown type lists the types",
        {"type": "poem", "prompt": "test"},
        400,
        {"error": {"code": "unknown_type", "message": str, "types": ["translation", "text", "product", "sql"]}},
    ),
    Exchange(
        "a longer answer than the context holds is refused, never cut silently",
        {"type": "text", "prompt": "test", "max_tokens": 1000000},
        400,
        {"error": {"code": "context_length_exceeded", "message": str, "prompt_tokens": int, "max_context": int}},
    ),
    Exchange(
        "unknown and ill-typed fields are named, and nothing of the prompt comes back",
        {"prompt": "test", "max_tokens": "7", "beams": 4},
        422,
        {
            "error": {
                "code": "invalid_request",
                "message": str,
                "fields": [{"field": "max_tokens", "problem": str}, {"field": "beams", "problem": str}],
            }
        },
    ),
)


def matches(shape: Any, value: Any) -> bool:
    """Does an answer have the shape of Exchange.response: equal, but for Python types that stand for any value of theirs."""
    if isinstance(shape, type):
        return isinstance(value, shape) and not (shape is int and isinstance(value, bool))
    if isinstance(shape, dict):
        return isinstance(value, dict) and shape.keys() == value.keys() and all(matches(shape[k], value[k]) for k in shape)
    if isinstance(shape, list):
        return isinstance(value, list) and len(shape) == len(value) and all(map(matches, shape, value))
    return bool(shape == value)
