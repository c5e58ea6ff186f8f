"""What each setting is, as the flags of deploy explain it, and the JSON Schema of gemmactl.yaml out of that. Knows no file."""

from __future__ import annotations

from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from gemmactl.settings import KEYS

_FLAGS: Final = {"adapters": "adapter", "cpu_throttling": "no_cpu_throttling", "iam": "no_iam"}
"""Settings whose flag has another name, or explains itself on the other half of its pair."""
_WORDS: Final = {
    "cpu_throttling": "true: CPU only while a request is answered. Default: false, which is what a GPU needs.",
    "iam": "false: no account and no binding is made, they exist. Default: as the service has it, true for a new one.",
    "project": "Project id, or @sandbox for the pretended cloud on this machine.",
    "region": "Region with the GPU.",
    "model": "gs://BUCKET/FOLDER, a directory, or hf:owner/name.",
    "adapters": "LoRA adapters on the model, NAME: PLACE each; a place is gs://BUCKET/FOLDER, a directory or hf:owner/name.",
    "hf_token": "Secret with the Hugging Face token, NAME:VERSION. Never the token itself: a file is copied and committed.",
}
_MAPS: Final = frozenset({"set_env_vars", "set_secrets", "startup_probe", "adapters"})
_LOOSE: Final = frozenset({"timeout"})
"""Texts that are also written as bare numbers."""


@dataclass(frozen=True)
class Described:
    """One setting. `takes`: `N`, `SIZE`, `int8|none`, as help shows it."""

    key: str
    words: str
    schema: dict[str, Any]
    takes: str


def described() -> dict[str, Described]:
    """Every setting of gemmactl.yaml by its key, in the order of settings.KEYS.

    Raises:
        KeyError: a key that deploy has no flag for.
    """
    from gemmactl.commands.deploy import deploy

    hints = get_type_hints(deploy, include_extras=True)
    return {key: _one(key, hints[_FLAGS.get(key, key)]) for key in KEYS}


def schema() -> dict[str, Any]:
    """JSON Schema of gemmactl.yaml; a key may be written with hyphens, as its flag, or with underscores."""
    found = described()
    properties: dict[str, Any] = {}
    for key, one in found.items():
        shown = key.replace("_", "-")
        properties[shown] = {"description": one.words, **one.schema}
        if shown != key:
            properties[key] = {"$ref": f"#/properties/{shown}"}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "gemmactl.yaml",
        "description": "One file is one service. Flags and GEMMACTL_* variables win over it.",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
    }


def _one(key: str, hint: Any) -> Described:
    inner, info = get_args(hint)[:2] if get_origin(hint) is Annotated else (hint, None)
    words = " ".join((_WORDS.get(key) or getattr(info, "help", "") or "").split())
    kind = _kind(inner)
    takes = (
        str(getattr(info, "metavar", "") or "")
        or "|".join(map(str, kind.get("enum", ())))
        or _TAKES.get(str(kind.get("type")), "")
    )
    if key == "adapters":
        return Described(key, words, _map(), "NAME=PLACE")
    if key in _MAPS:
        return Described(key, words, _map(), takes)
    if key in _LOOSE:
        return Described(key, words, {"type": ["string", "integer"]}, takes)
    return Described(key, words, kind, takes)


_TAKES: Final = {"boolean": "true|false", "integer": "N", "string": "TEXT"}


def _map() -> dict[str, Any]:
    values = {"type": ["string", "number", "boolean"]}
    return {"anyOf": [{"type": "string"}, {"type": "object", "additionalProperties": values}]}


def _kind(hint: Any) -> dict[str, Any]:
    """A Python type as JSON Schema has it."""
    if get_origin(hint) in (Union, UnionType):
        (hint,) = [one for one in get_args(hint) if one is not type(None)]
    if get_origin(hint) is Literal:
        return {"type": "string", "enum": list(get_args(hint))}
    if get_origin(hint) is list:
        texts = {"type": "string"}
        return {"anyOf": [texts, {"type": "array", "items": texts}]}
    return {"type": {bool: "boolean", int: "integer"}.get(hint, "string")}
