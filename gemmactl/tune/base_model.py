"""A look at the base model of a fine-tune: what it is, what pins it, and whether training it has a point. Costs no GPU second."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from gemmactl.checkpoint.families import FAMILIES, Engine
from gemmactl.checkpoint.inspect import Report, inspect
from gemmactl.errors import Trouble, refused
from gemmactl.serving.folder import Committed, Folders
from gemmactl.spec import Model
from inference_image.bases import fingerprint, is_read

TRAINED: Final = ("gemma", "gemma2", "gemma3")
"""Families that the worker of this version trains. A test holds it to the worker."""
_SERVING_ALONE: Final = frozenset({"template-invalid", "presets-invalid"})
"""Errors of what only a server reads."""
COMMIT: Final = 40


@dataclass(frozen=True)
class BaseModel:
    """`model` as the job reads it: a branch of the Hub is at its commit. `report` is None where it can't be read from here."""

    model: Model
    report: Report | None
    fingerprint: str
    """Of the files that are read: another base is another run."""
    pins: Mapping[str, str] = field(default_factory=dict)
    """File -> generation, of a base in a bucket."""
    unseen: Trouble | None = None

    @property
    def parameters(self) -> int | None:
        """Of the whole model, its vision tower among them; None: not known."""
        if self.report is None or not self.report.weights.found:
            return None
        return self.report.weights.parameters + self.report.weights.other // 2

    @property
    def chat(self) -> bool | None:
        """Whether it has a chat template: then rows are trained as turns of a conversation. None: not known."""
        return None if self.report is None else self.report.tokens.template != "none"

    @property
    def engine(self) -> str:
        """What serves the result: `vllm` where a family needs it; empty: gemmactl's own."""
        family = self.report.family if self.report else None
        return "vllm" if family is not None and Engine.VLLM in (family.chosen, family.engine) else ""

    @property
    def text(self) -> str:
        """One line: what it is."""
        if self.report is None:
            return f"{self.model.uri} (read by the job; it can't be looked at from here)"
        family = self.report.family.name if self.report.family else self.report.kind
        size = f"{(self.parameters or 0) / 1e9:.1f}B" if (self.parameters or 0) >= 1e8 else f"{(self.parameters or 0) / 1e6:.1f}M"
        form = "trained on turns of a chat" if self.chat else "no chat template: trained on plain text"
        return f"{self.model.uri} ({family}, {size} parameters, {form})"

    def document(self) -> dict[str, Any]:
        return {
            "place": self.model.uri,
            "family": self.report.family.key if self.report and self.report.family else None,
            "parameters": self.parameters,
            "chat_template": self.chat,
            "fingerprint": self.fingerprint,
            "seen": self.report is not None,
        }


def look(model: Model, folders: Folders) -> BaseModel:
    """The base, or the reason why it can't be trained. Reads configs and headers.

    Raises:
        Trouble: (refused) there is no such model, it is not whole, or it is none that this version trains.
    """
    try:
        files = folders.open(model)
        commit = files.commit() if model.kind == "hf" and isinstance(files, Committed) else ""
        report = inspect(files, open_base=folders.named)
    except Trouble as trouble:
        if model.kind != "hf":
            raise
        # the job's token may read what this machine may not
        return BaseModel(model, None, _digest({"place": model.text}), unseen=trouble)
    _require(report, model)
    if commit:
        model = replace(model, text=f"{model.text.partition('@')[0]}@{commit}")
    found = {name: (one.size, one.crc32c or one.sha256 or one.version) for name, one in report.entries.items()}
    told = _digest({"commit": commit}) if commit else fingerprint(found)
    pins = {name: one.version for name, one in report.entries.items() if is_read(name)} if model.kind == "gs" else {}
    return BaseModel(model, report, told, pins)


def _require(report: Report, model: Model) -> None:
    errors = [one for one in report.errors if one.code not in _SERVING_ALONE]
    if report.form.key != "full":
        raise refused(
            f"{model.uri} can't be fine-tuned: it is {report.form.name}",
            why=report.form.reason or "a fine-tune starts from whole weights in bfloat16, float16 or float32",
            remedy="take the base that it was made from, for example --model google/gemma-3-4b-it",
            code="base-form",
        )
    family = report.family
    if family is None or family.key not in TRAINED:
        known = ", ".join(row.name for row in FAMILIES if row.key in TRAINED)
        found = family.name if family else f"model_type {report.kind!r}" if report.kind else ""
        if found or not errors:
            raise refused(
                f"{model.uri} can't be fine-tuned: it is {found or 'no known model'}",
                why=f"this version trains {known}",
                remedy="take one of these, for example --model google/gemma-3-4b-it",
                code="base-family",
            )
    if errors:
        first = errors[0]
        more = f"; and {len(errors) - 1} more" if len(errors) > 1 else ""
        raise refused(
            f"{model.uri} can't be fine-tuned: {first.what}",
            why=(first.evidence or f"gemmactl inspect found {first.code} in {first.object}") + more,
            remedy=first.remedy or f"gemmactl inspect {model.uri} shows all of it",
            code=first.code,
            facts={"object": first.object},
        )


def _digest(told: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
