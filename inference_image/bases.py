"""Owns whether an adapter was trained on the model that it is given to: proven, known by names, or not known. Reads no file.

Standard library only: the engine and inspect judge with the same functions.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final

from inference_image import contract
from inference_image.lora import Problem
from inference_image.releases import plain, release

READ: Final = frozenset({".safetensors", ".json", ".jinja", ".model", ".txt"})
"""Ends of the files that a fine-tune reads of its base, or copies beside its result."""
WAY_OUT: Final = (
    "serve it on the base that it was trained on; where this is that base under another name, set"
    f" {contract.ENV_ADAPTER_ANY_BASE}=1"
)
_LONGEST: Final = 2048
_SHOWN: Final = 120
_HUB: Final = re.compile(r"(?:hf:|https?://(?:www\.)?(?:huggingface\.co|hf\.co)/)(?P<owner>[\w.-]+)/(?P<name>[\w.-]+)(?:[/@].*)?")
_CACHE: Final = re.compile(r"(?:^|/)models--(?P<owner>[\w.-]+?)--(?P<name>[\w.-]+)/snapshots/[^/]+$")
"""Where the Hub's own library keeps a repository."""
_BARE: Final = re.compile(r"(?P<owner>\w[\w.-]*)/(?P<name>[\w.-]+)(?:@[\w./-]+)?")
_FOLDERS: Final = re.compile(
    r"(?:models?|outputs?|out|checkpoints?|ckpts?|results?|runs?|tmp|data|base|bases|merged|weights|saves?|work|workspace|content"
    r"|mnt|home|cache|hf|local|exp|experiments?|train(?:ing)?|finetuned?|llms?|lora|adapters?)",
    re.IGNORECASE,
)
"""First parts of `a/b` that are rather a relative path than an owner."""
_RUN: Final = re.compile(r"(?:^|/)gemmactl/models/[^/]+/(?P<run>[0-9a-f]{12})$")


@dataclass(frozen=True)
class Name:
    """What a place or a name says of weights. `repository`: owner/name of the Hub; `run`: the fine-tune that published them."""

    text: str
    repository: str = ""
    release: str = ""
    run: str = ""

    @classmethod
    def of(cls, text: str, *, bare: bool = False) -> Name:
        """`bare`: `owner/name` may stand for a repository of the Hub, as in adapter_config.json."""
        text = text.strip().rstrip("/")[:_LONGEST]
        if (run := _RUN.search(text)) is not None:
            return cls(text, run=run["run"])
        hub = _HUB.fullmatch(text) or _CACHE.search(text)
        if hub is None and bare and (hub := _BARE.fullmatch(text)) is not None and _FOLDERS.fullmatch(hub["owner"]):
            hub = None
        if hub is not None:
            name = hub["name"]
            return cls(text, f"{hub['owner']}/{name}", release(name) or "")
        parts = [part for part in text.split("/") if part not in {"", "."}]
        while len(parts) > 1 and parts[-1].isdecimal():  # Kaggle keeps versions so
            parts.pop()
        return cls(text, release=(release(parts[-1]) or "") if parts else "")

    def is_at(self, other: Name) -> bool:
        """Is it the same place? A repository counts without its revision: a commit may have changed no more than a page."""
        repositories = (self.repository.lower(), other.repository.lower())
        return self.text == other.text or (repositories[0] == repositories[1] != "")

    def judged(self, model: Name) -> bool | None:
        """Were weights of this name trained on, and are they the model's? None: names don't tell."""
        if self.is_at(model):
            return True
        if self.run and model.run:
            return self.run == model.run
        if self.release and model.release:
            return self.release == model.release
        if (self.run and model.release) or (self.release and model.run):
            return False
        if self.repository and model.repository and _leaf(self.repository) != _leaf(model.repository):
            return False  # with the same last part it may be a mirror
        return None


def _leaf(repository: str) -> str:
    return plain(repository.rpartition("/")[2])


@dataclass(frozen=True)
class Claim:
    """What an adapter says that it was trained on: the names, and the marks of the very files where our fine-tune made it."""

    names: tuple[Name, ...] = ()
    fingerprint: str = ""
    generations: Mapping[str, str] = field(default_factory=dict)
    """Of the files in the first name's place."""

    @classmethod
    def of(cls, base: str, lineage: bytes | None = None) -> Claim:
        """`base`: adapter_config.json's base_model_name_or_path. `lineage`: the file beside it."""
        told = _lineage(lineage)
        texts = dict.fromkeys(text for text in (str(told.get("uri") or ""), base) if text.strip())
        pins = told.get("generations")
        held = {str(k): str(v) for k, v in pins.items()} if isinstance(pins, Mapping) else {}
        return cls(tuple(Name.of(text, bare=True) for text in texts), str(told.get("fingerprint") or ""), held)

    @property
    def provable(self) -> bool:
        """Does a list of the model's files tell more than names do?"""
        return bool(self.fingerprint or self.generations)


@dataclass(frozen=True)
class Model:
    """The model that is served. `source`: where its manifest says that it was copied from."""

    place: str
    source: str = ""
    files: Mapping[str, tuple[int, str, str]] = field(default_factory=dict)
    """Its list, where it is known: name -> bytes, checksum as Cloud Storage writes it, generation."""


@dataclass(frozen=True)
class Judgement:
    """`same`: None where it can't be known. `problem`: what is wrong where it is another base."""

    same: bool | None
    problem: Problem | None = None


def insisted(environ: Mapping[str, str]) -> bool:
    """Is another base let through there (contract.ENV_ADAPTER_ANY_BASE)? What is no 0 or 1 the container's settings refuse."""
    return environ.get(contract.ENV_ADAPTER_ANY_BASE, "").strip() == "1"


def judge(claim: Claim, model: Model, *, any_base: bool = False) -> Judgement:
    """Bytes first, then places, then names. `any_base`: another base is no problem."""
    found = _judged(claim, model)
    return Judgement(found.same) if any_base else found


def _judged(claim: Claim, model: Model) -> Judgement:
    sums = {name: (size, crc) for name, (size, crc, _) in model.files.items()}
    if claim.fingerprint and sums and claim.fingerprint == fingerprint(sums):
        return Judgement(True)
    here = Name.of(model.place)
    if claim.names and claim.names[0].is_at(here) and (moved := _moved(claim, model)):
        return _other(claim.names[0], f"{moved} in that folder was written anew since: these are other weights")
    mine = (here, Name.of(model.source)) if model.source else (here,)
    if any(name.is_at(one) for name in claim.names for one in mine):
        return Judgement(True)
    for name in claim.names:
        for one in reversed(mine):  # a manifest tells more than a folder's name, which anybody chose
            if (same := name.judged(one)) is not None:
                return Judgement(True) if same else _other(name, f"this model is {one.text[:_SHOWN]}")
    return Judgement(None)


def _moved(claim: Claim, model: Model) -> str:
    """The first file of weights that is no longer the object that was trained on; empty: all are, or nobody knows."""
    now = {name: generation for name, (_, _, generation) in model.files.items()}
    shards = sorted(name for name in claim.generations if name.endswith(".safetensors"))
    return next((name for name in shards if now and now.get(name) != claim.generations[name]), "")


def _other(name: Name, why: str) -> Judgement:
    return Judgement(False, Problem("base", contract.ADAPTER_CONFIG, f"it was trained on {name.text[:_SHOWN]}, and {why}"))


def fingerprint(files: Mapping[str, tuple[int, str]]) -> str:
    """Of a base by its files: name -> (bytes, checksum). The same for a copy of it elsewhere."""
    said = {name: list(one) for name, one in files.items() if is_read(name)}
    return hashlib.sha256(json.dumps({"files": said}, sort_keys=True).encode()).hexdigest()


def is_read(name: str) -> bool:
    """Whether training reads a file of the folder, or copies it beside the result."""
    return "/" not in name and not name.startswith(".") and PurePosixPath(name).suffix in READ


def checksum(crc32c: int | None) -> str:
    """As Cloud Storage writes it; empty where the place states none."""
    return "" if crc32c is None else base64.b64encode(crc32c.to_bytes(4, "big")).decode()


def source_of(manifest: bytes | None) -> str:
    """Where the files beside a manifest were copied from; empty for a manifest that is none."""
    source = _object(manifest).get("source")
    return source[:_LONGEST] if isinstance(source, str) else ""


def _lineage(data: bytes | None) -> Mapping[str, Any]:
    base = _object(data).get("base")
    return base if isinstance(base, Mapping) else {}


def _object(data: bytes | None) -> Mapping[str, Any]:
    try:
        found = json.loads(data or b"{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, Mapping) else {}
