"""Look a model folder through: what it is, what it needs, what is wrong with it. Reads configs and headers alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gemmactl.checkpoint.adapter import Adapter, OpenBase, adapter, untrained
from gemmactl.checkpoint.configuration import Configured, config_of, configuration, overrides_of
from gemmactl.checkpoint.deep import Sampled, deep
from gemmactl.checkpoint.families import Family, Form, form_of
from gemmactl.checkpoint.files import Entry, Files
from gemmactl.checkpoint.finding import ModelFinding
from gemmactl.checkpoint.ledger import Ledger
from gemmactl.checkpoint.presets import presets_of
from gemmactl.checkpoint.promised import promised
from gemmactl.checkpoint.reading import Contents, Reading, read
from gemmactl.checkpoint.tensors import Weights, index_of, weights
from gemmactl.checkpoint.tokens import Tokens, beside_of, tokens
from gemmactl.checkpoint.whereabouts import FINISH, whereabouts
from gemmactl.errors import Trouble, refused
from inference_image import layout
from inference_image.contract import ADAPTER_CONFIG, CONFIG
from inference_image.overrides import Overrides
from inference_image.presets import BUILT_IN, Presets

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Report:
    """What one look found. Findings stand in the order of the engine's own checks; the first error is the engine's answer."""

    place: str
    form: Form
    family: Family | None = None
    config: Json = field(default_factory=dict)
    text: Json = field(default_factory=dict)
    """The language model's settings; empty when the engine can't use them."""
    dtype: str = ""
    """The number format that config.json names."""
    weights: Weights = field(default_factory=Weights)
    tokens: Tokens = field(default_factory=Tokens)
    adapter: Adapter | None = None
    sampled: Sampled | None = None
    overrides: Overrides = field(default_factory=Overrides)
    presets: Presets = BUILT_IN
    """The types that a service of it answers."""
    findings: tuple[ModelFinding, ...] = ()
    bytes_read: int = 0
    entries: Mapping[str, Entry] = field(default_factory=dict, compare=False, repr=False)
    """Every file of the folder as it was listed: what a deploy approves."""

    @property
    def errors(self) -> tuple[ModelFinding, ...]:
        return tuple(f for f in self.findings if f.severity == "error")

    @property
    def warnings(self) -> tuple[ModelFinding, ...]:
        return tuple(f for f in self.findings if f.severity == "warning")

    @property
    def kind(self) -> str:
        """model_type of config.json, or ``."""
        return str(self.config.get("model_type") or "")

    @property
    def correctable(self) -> tuple[ModelFinding, ...]:
        return tuple(f for f in self.findings if f.correction is not None)


def inspect(
    files: Files, *, open_base: OpenBase, variable: str = "", presets: str = "", sample: bool = False, base: str = ""
) -> Report:
    """Everything that names, sizes, small files and headers tell, in three round trips.

    `variable`: corrections of the deployment (contract.ENV_OVERRIDES). `presets`: its types (contract.ENV_PRESETS).
    `sample`: also read samples of the tensors, and compare
    them with the model `base` when it is given (which asks for samples too); for an adapter `base` is the model it changes,
    wherever its config says that is. `open_base` gives the folder of an adapter's or `base`'s name.

    Raises:
        Trouble: the place itself can't be read (no permission, no network).
    """
    with read(files) as reading:
        return _inspect(files, reading, open_base, (variable, presets), base if sample or base else None)


def _inspect(files: Files, reading: Reading, open_base: OpenBase, deployed: tuple[str, str], base: str | None) -> Report:
    """`base`: None for no samples, `` for samples that are compared with nothing."""
    variable, given = deployed
    ledger, contents = Ledger(), reading.contents
    form = form_of(contents.top, None)
    if not whereabouts(files, contents, form, ledger):
        return Report(files.place, form, findings=ledger.findings, bytes_read=contents.bytes_read)
    overrides = overrides_of(contents, variable, ledger)
    if form.key == "adapter":
        contents = reading.finish()
        found = adapter(contents, open_base, ledger, base or "")
        if base is not None:
            untrained(files, contents, ledger)
        seen = contents.bytes_read
        return Report(files.place, form, found.family, adapter=found, findings=ledger.findings, bytes_read=seen)
    form = form_of(contents.top, _raw(contents))
    raw = config_of(contents, overrides, ledger)
    index = index_of(contents, ledger)
    configured = configuration(raw, contents, form, ledger)
    beside = beside_of(contents, overrides, ledger)
    presets = presets_of(contents, given, ledger)
    # the long headers are still on their way: what needs none of them is judged meanwhile, and told in the engine's order
    meanwhile = Ledger()
    words = tokens(contents, configured, beside, overrides, presets, meanwhile)
    contents = reading.finish()
    stored = weights(contents, configured, index, ledger)
    ledger.follow(meanwhile)
    promised(contents, ledger)
    sampled = _sampled(files, stored, ledger, open_base, base) if base is not None and stored.whole else None
    return Report(
        files.place,
        form,
        configured.family,
        configured.raw,
        configured.text,
        configured.dtype,
        stored,
        words,
        None,
        sampled,
        overrides,
        presets,
        ledger.findings,
        contents.bytes_read + (sampled.bytes if sampled else 0),
        contents.entries,
    )


def inspect_adapter(files: Files, base: str, *, open_base: OpenBase, any_base: bool = False) -> Report:
    """A LoRA adapter's folder held to the model `base` that it is to be loaded onto, with samples of its values.

    `any_base`: that it is known to be of another base is told, and no error (contract.ENV_ADAPTER_ANY_BASE).

    Raises:
        Trouble: the place itself can't be read.
    """
    ledger = Ledger()
    with read(files) as reading:
        contents = reading.finish()
    ledger.attempt(lambda: layout.require_published(contents.top, files.place), remedy=FINISH)
    found = adapter(contents, open_base, ledger, base, any_base=any_base)
    untrained(files, contents, ledger)
    form = form_of((ADAPTER_CONFIG,), None)
    return Report(
        files.place,
        form,
        found.family,
        adapter=found,
        findings=ledger.findings,
        bytes_read=contents.bytes_read,
        entries=contents.entries,
    )


def require(report: Report, *, beside: frozenset[str] = frozenset()) -> Report:
    """The report of a model that may be deployed. `beside`: codes of errors that are none for the server that is chosen.

    Raises:
        Trouble: (refused) it has errors: the first one in full, the others by name; all in the facts.
    """
    errors = [f for f in report.errors if f.code not in beside]
    if not errors:
        return report
    first, *rest = errors
    also = f"; and {len(rest)} more: {', '.join(dict.fromkeys(f.code for f in rest))}" if rest else ""
    raise refused(
        f"{report.place} can't be served: {first.what}",
        why=(first.evidence or f"gemmactl inspect found {first.code} in {first.object}") + also,
        remedy=first.remedy or f"gemmactl inspect {report.place} shows all of it",
        code=first.code,
        facts={"object": first.object, "findings": [f.document() for f in report.findings]},
    )


def sighted(report: Report) -> Report:
    """The report of a model that can answer images.

    Raises:
        Trouble: (refused) it can't, and why.
    """
    if report.weights.vision is None:
        raise refused(
            f"{report.place} can't answer images",
            why=report.weights.blind or "nothing is known of its vision tower",
            remedy="leave --images out: text is served without; or give a checkpoint of the whole model, with its vision tower",
            code="model-blind",
        )
    return report


def _raw(contents: Contents) -> Json | None:
    """config.json as far as it is JSON, to tell the form before it is judged."""
    import json

    try:
        value = json.loads(contents.small.get(CONFIG, b"null"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _sampled(files: Files, stored: Weights, ledger: Ledger, open_base: OpenBase, base: str) -> Sampled:
    if not base:
        return deep(files, stored, ledger)
    try:
        theirs = open_base(base)
        other = Ledger()
        with read(theirs) as reading:
            contents = reading.finish()
        config = configuration(config_of(contents, Overrides(), other), contents, form_of(contents.top, _raw(contents)), other)
        found = weights(contents, config, index_of(contents, other), other)
    except Trouble as trouble:
        ledger.add(
            "base-unreachable", "warning", base, f"the base {base} can't be looked at: {trouble.what}",
            evidence=trouble.why, remedy=trouble.remedy,
        )  # fmt: skip
        return deep(files, stored, ledger)
    return deep(files, stored, ledger, base=(theirs, found.found))


__all__ = ["Configured", "Report", "inspect", "inspect_adapter", "require", "sighted"]
