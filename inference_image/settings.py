"""Owns what the container reads from its environment. Knows no torch: a bad value fails before anything is loaded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from inference_image import contract
from inference_image.adapter_names import places
from inference_image.contract import INT8, QUANTIZE, UNQUANTIZED, Code, LoadFailed
from inference_image.overrides import Overrides
from inference_image.pin import digest_of
from inference_image.presets_file import Document

DEVICES = ("auto", "cuda", "cpu")
DTYPES = ("auto", "bfloat16", "float32")
READERS = ("auto", "process", "threads")


@dataclass(frozen=True)
class Settings:
    """How one model is loaded and served. Defaults are those of the contract."""

    model: str
    name: str = ""
    device: str = "auto"
    dtype: str = "auto"
    quantize: str = UNQUANTIZED
    connections: int = contract.DEFAULT_CONNECTIONS
    connections_most: int = contract.DEFAULT_CONNECTIONS_MOST
    chunk: int = contract.DEFAULT_CHUNK_MIB << 20
    max_context: int | None = None
    max_sequences: int | None = None
    max_queue: int = contract.DEFAULT_QUEUE
    threads: int | None = None
    overrides: str = ""
    adapters: str = ""
    any_base: bool = False
    """Are adapters served whose base is known to be another?"""
    presets: str = ""
    pin: str = ""
    staging: int = contract.DEFAULT_STAGING_MIB << 20
    reader: str = "auto"
    tls: str = "auto"
    stall: int = contract.DEFAULT_STALL_SECONDS
    load_seconds: int = contract.DEFAULT_LOAD_SECONDS
    skip_unverified: bool = False
    log_prompts: bool = False
    page: bool = True
    project: str = ""
    keys: str = ""
    """File of the API keys' hashes; without one nobody is asked for a key."""
    images: bool = False
    image_sources: tuple[str, ...] = ()
    host: str = "0.0.0.0"
    port: int = contract.DEFAULT_PORT

    def __post_init__(self) -> None:
        """Raises LoadFailed(setting_invalid, dtype_unsupported)."""
        _ = self.corrections, self.adapter_places, self.types
        if not self.model.strip():
            raise LoadFailed(Code.SETTING_INVALID, contract.ENV_MODEL, "not set: which model?")
        try:
            _ = digest_of(self.pin) if self.pin else ""
        except ValueError as error:
            raise LoadFailed(Code.SETTING_INVALID, contract.ENV_PIN, f"{self.pin[:80]!r} is {error}") from None
        if self.device not in DEVICES:
            detail = f"{self.device[:40]!r} is not one of {', '.join(DEVICES)}"
            raise LoadFailed(Code.SETTING_INVALID, contract.ENV_DEVICE, detail)
        if self.dtype in {"float16", "fp16", "half"}:
            raise LoadFailed(Code.DTYPE_UNSUPPORTED, contract.ENV_DTYPE, "Gemma 3 overflows in float16; use bfloat16")
        if self.dtype not in DTYPES:
            raise LoadFailed(Code.SETTING_INVALID, contract.ENV_DTYPE, f"{self.dtype[:40]!r} is not one of {', '.join(DTYPES)}")
        if self.quantize not in QUANTIZE:
            detail = f"{self.quantize[:40]!r} is not one of {', '.join(QUANTIZE)}"
            raise LoadFailed(Code.SETTING_INVALID, contract.ENV_QUANTIZE, detail)
        if odd := [place for place in self.image_sources if not re.fullmatch(r"gs://[a-z0-9][\w.-]*(/.*)?", place)]:
            detail = f"{odd[0][:80]!r} is not gs://BUCKET or gs://BUCKET/FOLDER; more of them with commas between"
            raise LoadFailed(Code.SETTING_INVALID, contract.ENV_IMAGE_SOURCES, detail)
        if self.reader not in READERS:
            detail = f"{self.reader[:40]!r} is not one of {', '.join(READERS)}"
            raise LoadFailed(Code.SETTING_INVALID, contract.ENV_READER, detail)
        if self.tls not in {"auto", contract.TLS_PYTHON}:
            detail = f"{self.tls[:40]!r} is not {contract.TLS_PYTHON}; leave it out for the fastest that is here"
            raise LoadFailed(Code.SETTING_INVALID, contract.ENV_TLS, detail)

    @property
    def int8(self) -> bool:
        """Do weights become int8 while they arrive?"""
        return self.quantize == INT8

    @property
    def corrections(self) -> Overrides:
        """Those of the deployment. Raises LoadFailed(setting_invalid)."""
        if not self.overrides:
            return Overrides()
        # As the bytes that they were: what is no UTF-8 comes from the environment as lone surrogates.
        return Overrides.parse(self.overrides.encode("utf-8", "surrogateescape"), contract.ENV_OVERRIDES)

    @property
    def adapter_places(self) -> Mapping[str, str]:
        """{name: place} of the adapters. Raises LoadFailed(setting_invalid)."""
        try:
            found = places(self.adapters)
        except ValueError as error:
            raise LoadFailed(Code.SETTING_INVALID, contract.ENV_ADAPTERS, f"it must be {error}") from None
        if self.model_name in found:
            detail = f"{self.model_name} is the model's own name: requests could not tell them apart"
            raise LoadFailed(Code.SETTING_INVALID, contract.ENV_ADAPTERS, detail)
        return found

    @property
    def types(self) -> Document | None:
        """The presets of the deployment, if any. Raises LoadFailed(setting_invalid)."""
        return Document.parse(self.presets.encode("utf-8", "surrogateescape"), contract.ENV_PRESETS) if self.presets else None

    @property
    def model_name(self) -> str:
        """The name that answers carry: the one that was set, or the last part of the model's place."""
        place = self.model.partition("@")[0] if self.model.startswith("hf:") else self.model
        return self.name or place.rstrip("/").rpartition("/")[2] or self.model

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        def number(variable: str, default: int, least: int, most: int) -> int:
            text = environ.get(variable, "").strip()
            value = int(text) if text.isdecimal() and len(text) < 12 else (default if not text else -1)
            if not least <= value <= most:
                raise LoadFailed(Code.SETTING_INVALID, variable, f"{text[:40]!r} is not a number from {least} to {most}")
            return value

        context = number(contract.ENV_MAX_CONTEXT, 0, 0, contract.CONTEXT_MOST)
        threads = number(contract.ENV_THREADS, 0, 0, 1024)
        return cls(
            model=environ.get(contract.ENV_MODEL, ""),
            name=environ.get(contract.ENV_MODEL_NAME, ""),
            device=environ.get(contract.ENV_DEVICE, "").strip().lower() or "auto",
            dtype=environ.get(contract.ENV_DTYPE, "").strip().lower() or "auto",
            quantize=environ.get(contract.ENV_QUANTIZE, "").strip().lower() or UNQUANTIZED,
            connections=number(contract.ENV_CONNECTIONS, contract.DEFAULT_CONNECTIONS, 1, 256),
            connections_most=number(contract.ENV_CONNECTIONS_MOST, contract.DEFAULT_CONNECTIONS_MOST, 1, 256),
            chunk=number(contract.ENV_CHUNK_MIB, contract.DEFAULT_CHUNK_MIB, 1, 1024) << 20,
            max_context=context or None,
            max_sequences=number(contract.ENV_MAX_SEQUENCES, 0, 0, contract.PARALLEL_SEQUENCES) or None,
            max_queue=number(contract.ENV_MAX_QUEUE, contract.DEFAULT_QUEUE, 0, 100_000),
            threads=threads or None,
            overrides=environ.get(contract.ENV_OVERRIDES, "").strip(),
            adapters=environ.get(contract.ENV_ADAPTERS, "").strip(),
            any_base=number(contract.ENV_ADAPTER_ANY_BASE, 0, 0, 1) == 1,
            presets=environ.get(contract.ENV_PRESETS, "").strip(),
            pin=environ.get(contract.ENV_PIN, "").strip(),
            staging=number(contract.ENV_STAGING_MIB, contract.DEFAULT_STAGING_MIB, 1, 1 << 20) << 20,
            reader=environ.get(contract.ENV_READER, "").strip().lower() or "auto",
            tls=environ.get(contract.ENV_TLS, "").strip().lower() or "auto",
            stall=number(contract.ENV_STALL_SECONDS, contract.DEFAULT_STALL_SECONDS, 1, 600),
            load_seconds=number(contract.ENV_LOAD_SECONDS, contract.DEFAULT_LOAD_SECONDS, 1, 86_400),
            skip_unverified=number(contract.ENV_SKIP_UNVERIFIED, 0, 0, 1) == 1,
            log_prompts=number(contract.ENV_LOG_PROMPTS, 0, 0, 1) == 1,
            page=number(contract.ENV_PAGE, 1, 0, 1) == 1,
            project=environ.get(contract.ENV_PROJECT, "").strip(),
            keys=environ.get(contract.ENV_KEYS, "").strip(),
            images=number(contract.ENV_IMAGES, 0, 0, 1) == 1,
            image_sources=tuple(filter(None, map(str.strip, environ.get(contract.ENV_IMAGE_SOURCES, "").split(",")))),
            host=environ.get(contract.ENV_HOST, "") or "0.0.0.0",
            port=number(contract.ENV_PORT, contract.DEFAULT_PORT, 0, 65535),
        )
