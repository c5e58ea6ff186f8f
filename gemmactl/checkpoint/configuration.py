"""What config.json says: family, form, number format, code it would like to run. Knows no tensor and no token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gemmactl.checkpoint.families import FAMILIES, Engine, Family, Form, nearest, of
from gemmactl.checkpoint.ledger import Ledger
from gemmactl.checkpoint.reading import Contents
from gemmactl.checkpoint.whereabouts import SAVE, UPLOAD
from inference_image import contract, layout
from inference_image.contract import Code, LoadFailed
from inference_image.families import EMBEDDING
from inference_image.overrides import Overrides

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Configured:
    """`text`: the language model's settings, empty when they can't be used; `family`: None when no row has the type."""

    raw: Json = field(default_factory=dict)
    text: Json = field(default_factory=dict)
    family: Family | None = None
    needed: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """{name: shape} of every parameter that text serving needs; empty when the engine does not serve the family."""

    @property
    def dtype(self) -> str:
        """The number format that the config names, or ``."""
        inner = self.raw.get("text_config")
        places = (self.raw, inner if isinstance(inner, Mapping) else {})
        return next((str(p[k]) for p in places for k in ("dtype", "torch_dtype") if p.get(k)), "")


def overrides_of(contents: Contents, variable: str, ledger: Ledger) -> Overrides:
    """The corrections beside the weights, and those of the deployment (`variable`), which win."""
    found = Overrides()
    data = contents.small.get(contract.OVERRIDES)
    if data is not None:
        beside = ledger.attempt(
            lambda: Overrides.parse(data, contract.OVERRIDES),
            code="overrides-invalid",
            remedy=f"correct or remove {contract.OVERRIDES}; `gemmactl inspect --fix` writes it",
        )
        found = beside or found
    if variable:
        given = ledger.attempt(
            lambda: Overrides.parse(variable.encode(), contract.ENV_OVERRIDES),
            code="overrides-invalid",
            remedy="correct --override: FILE:KEY=JSON",
        )
        found = found.merged(given) if given else found
    return found


def config_of(contents: Contents, overrides: Overrides, ledger: Ledger) -> Json | None:
    """config.json with its corrections; None when it is not there or can't be read."""
    data = contents.small.get(contract.CONFIG)
    if data is None:
        return None
    read = ledger.attempt(
        lambda: layout.parse_json(data, contract.CONFIG, Code.CONFIG_INVALID),
        code="config-invalid",
        remedy=f"undo what was edited in it, or {UPLOAD}",
    )
    return None if read is None else overrides.apply_json(contract.CONFIG, read)


def configuration(raw: Json | None, contents: Contents, form: Form, ledger: Ledger) -> Configured:
    """Judge config.json as the engine does; what it refuses is a finding."""
    if raw is None:
        return Configured()
    family = of(raw)
    _remote_code(raw, contents, ledger)
    try:
        text = layout.text_config(raw)
        needed = layout.expected(text)
    except LoadFailed as failed:
        _refused(failed, raw, family, form, ledger)
        return Configured(raw, {}, family)
    if family is not None and family.engine is Engine.GENERIC:
        ledger.add("engine-generic", "note", contract.CONFIG, f"{family.name}: {family.reason}", remedy=family.way_out)
    return Configured(raw, text, family, needed)


def _refused(failed: LoadFailed, raw: Json, family: Family | None, form: Form, ledger: Ledger) -> None:
    code = failed.failure.code
    if code is Code.FAMILY_UNSUPPORTED:
        kind = raw.get("model_type")
        if family is not None and family.served:
            what, remedy = failed.failure.detail, EMBEDDING.way_out  # its text looks both ways
        elif family is not None:
            what, remedy = f"{family.name} is not served by gemmactl's engine: {family.reason}", family.way_out
        elif kind is None:
            what, remedy = "config.json names no model_type", SAVE
        else:
            near = nearest(kind)
            like = f"; the nearest that is known is {near.name}" if near else ""
            known = ", ".join(row.name for row in FAMILIES)
            what = f"no row knows the model_type {str(kind)[:60]!r}{like} (known: {known})"
            remedy = "serve the folder with vLLM if it knows the type: --engine vllm"
        ledger.refuse(failed, code="family-unsupported", what=what, remedy=remedy)
    elif code is Code.DTYPE_UNSUPPORTED:
        why = form.reason or "no row knows this format"
        ledger.refuse(failed, code="quantized", what=f"the weights are quantized ({form.name}): {why}", remedy=form.way_out)
    else:
        ledger.refuse(failed, code="config-invalid", remedy=SAVE)


_CODE_KEYS: Final = "auto_map"


def _remote_code(raw: Json, contents: Contents, ledger: Ledger) -> None:
    """Code that the checkpoint brings along. It is never run; who loads it elsewhere should know."""
    scripts = sorted(n for n in contents.top if n.endswith(".py"))
    if _CODE_KEYS in raw:
        ledger.add(
            "remote-code",
            "warning",
            contract.CONFIG,
            "the config asks for code of its own (auto_map); gemmactl runs none, other servers may with trust_remote_code",
            evidence=str(raw[_CODE_KEYS]),
            remedy="remove auto_map unless you wrote that code; Gemma needs none",
        )
    elif scripts:
        ledger.add(
            "code-beside",
            "note",
            scripts[0],
            "Python files lie beside the weights; gemmactl runs none of them",
            evidence=", ".join(scripts[:5]),
        )
