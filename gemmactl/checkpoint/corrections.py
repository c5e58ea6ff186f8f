"""What --fix writes: new small files, and one file of overrides; or the flags that carry the same into a deployment. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from gemmactl.checkpoint.finding import Correction, ModelFinding
from inference_image import chat, contract
from inference_image.overrides import Overrides


def gathered(findings: Iterable[ModelFinding], there: Overrides) -> Correction:
    """All corrections as one, on top of the overrides that are there already."""
    files: dict[str, bytes] = {}
    values: dict[str, Any] = {name: dict(v) if isinstance(v, Mapping) else v for name, v in there.document().items()}
    changed = False
    for finding in findings:
        if finding.correction is None:
            continue
        files |= finding.correction.files
        for name, keys in finding.correction.overrides.items():
            changed = True
            values[name] = {**values.get(name, {}), **keys}
    if changed:
        files[contract.OVERRIDES] = (json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
    return Correction(files, values if changed else {})


def flags(findings: Iterable[ModelFinding], family: str) -> tuple[str, ...]:
    """The same corrections as values of deploy's --override: FILE:KEY=JSON, or FILE=@NAME for a built-in template.

    A missing index can't be carried: the container reads it before any setting.
    """
    out: list[str] = []
    for finding in findings:
        if finding.correction is None:
            continue
        for name, data in finding.correction.files.items():
            if name == contract.CHAT_TEMPLATE and family in chat.BUILT_IN:
                out.append(f"{name}=@{family}")
            elif name == contract.GENERATION_CONFIG:
                out += _pairs(name, json.loads(data))
        for name, keys in finding.correction.overrides.items():
            out += _pairs(name, keys)
    return tuple(dict.fromkeys(out))


def _pairs(name: str, keys: Mapping[str, Any]) -> list[str]:
    return [f"{name}:{key}={json.dumps(value, separators=(',', ':'), ensure_ascii=False)}" for key, value in keys.items()]


def parse_flags(given: Iterable[str]) -> dict[str, Any]:
    """Values of --override as the document of contract.OVERRIDES.

    Raises:
        ValueError: says what is expected.
    """
    made: dict[str, Any] = {}
    for text in given:
        left, sign, value = text.partition("=")
        name, colon, key = left.partition(":")
        if name not in contract.OVERRIDABLE or not sign:
            raise ValueError(f"FILE:KEY=JSON with FILE one of {', '.join(contract.OVERRIDABLE)}")
        if name == contract.CHAT_TEMPLATE:
            if colon or not value.startswith("@") or value[1:] not in chat.BUILT_IN:
                raise ValueError(f"{contract.CHAT_TEMPLATE}=@NAME with NAME one of {', '.join(chat.BUILT_IN)}")
            made[name] = chat.BUILT_IN[value[1:]]
            continue
        if not key:
            raise ValueError(f"{name}:KEY=JSON, for example generation_config.json:eos_token_id=[1,106]")
        try:
            made.setdefault(name, {})[key] = json.loads(value)
        except ValueError:
            raise ValueError(f'JSON after {name}:{key}=, for example [1,106], true or "text"') from None
    return made
