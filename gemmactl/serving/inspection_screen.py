"""What inspect shows of a report: facts, findings and one verdict. Opens no folder and writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final

from gemmactl.checkpoint.finding import ModelFinding
from gemmactl.checkpoint.fits import fits
from gemmactl.checkpoint.inspect import Report
from gemmactl.checkpoint.whereabouts import listed
from gemmactl.result import Block, Facts, Item, Line, Tone
from inference_image.families import ENGINES_HERE, Engine
from inference_image.presets import BUILT_IN

FOREIGN: Final = frozenset({"family-unsupported", "quantized"})
"""Errors that are none where vLLM serves the model."""
SIGNS: Final[dict[str, tuple[str, Tone]]] = {"error": ("!", "bad"), "warning": ("?", "warn"), "note": ("=", "dim")}


def engine_of(report: Report) -> str:
    """Which engine answers for this folder: the family's, unless the form needs another."""
    family, form = report.family, report.form
    if form.engine is Engine.NONE or (family and family.engine is Engine.NONE):
        return str(Engine.NONE)
    if family is None:
        return str(Engine.VLLM if report.kind else Engine.NONE)
    return str(family.engine if form.key == "full" else form.engine)


def blocks(report: Report) -> tuple[Block, ...]:
    """What it is, then what is to be said of it, errors first."""
    return (Facts(tuple(_rows(report)), title=report.place), *items(report.findings), _verdict(report))


def items(findings: Iterable[ModelFinding]) -> Iterator[Item]:
    """Errors first; the same of many files is said once."""
    rank = {"error": 0, "warning": 1, "note": 2}
    ordered = sorted(findings, key=lambda f: rank[f.severity])
    for (_, said, _), same in groupby(ordered, key=lambda f: (f.code, f.what.removeprefix(f"{f.object}: "), f.remedy)):
        first, *more = same
        yield _many([first, *more], said) if more else _item(first)


def _many(findings: list[ModelFinding], said: str) -> Item:
    first = findings[0]
    sign, tone = SIGNS[first.severity]
    lines = [f"in {listed([f.object for f in findings])}"] + ([f"remedy: {first.remedy}"] if first.remedy else [])
    return Item(sign, f"{first.code}: {len(findings)} times: {said}", tuple(lines), tone)


def _item(finding: ModelFinding) -> Item:
    """One finding: what, what was seen, and the way out."""
    sign, tone = SIGNS[finding.severity]
    lines = [f"in {finding.object}"] if finding.object and finding.object not in finding.what else []
    lines += [f"seen: {finding.evidence}"] if finding.evidence else []
    lines += [f"remedy: {finding.remedy}"] if finding.remedy else []
    return Item(sign, f"{finding.code}: {finding.what}", tuple(lines), tone)


def _rows(report: Report) -> list[tuple[str, str]]:
    row, stored, words = report.family, report.weights, report.tokens
    kind = f" ({report.kind})" if report.kind else ""
    if not report.config and report.form.key == "full":
        return []  # no config that could be read: nothing is known, and nothing is claimed
    rows = [("model", f"{row.name}{kind}" if row else report.kind or "unknown"), ("form", report.form.name)]
    if report.adapter is not None:
        found = report.adapter
        modules = f", {found.modules} modules of the base" if found.modules else ""
        return [*rows, ("base", found.base or "not named"), ("LoRA", f"rank {found.rank or 'unknown'}{modules}")]
    if row is not None:
        slower = " over transformers' own caches: slower" if row.engine is Engine.GENERIC else ""
        slower += "; a deploy takes vLLM unless --engine gemmactl is said" if row.chosen is Engine.VLLM else ""
        served = f"gemmactl{slower}" if row.engine in ENGINES_HERE and report.form.key == "full" else engine_of(report)
        rows += [("engine", f"{served}; checked: {row.verified if report.form.key == 'full' else report.form.verified}")]
    if stored.whole and stored.parameters:
        rows += [("weights", _weights(report))]
    if report.text:
        layers, longest = report.text.get("num_hidden_layers"), report.text.get("max_position_embeddings")
        rows += [
            (
                "architecture",
                ", ".join(filter(None, (f"{layers} layers" if layers else "", f"{longest} tokens" if longest else ""))),
            )
        ]
    if stored.vision is not None:
        rows += [("images", f"with --images; {stored.vision.tokens} tokens of the context each")]
    rows += [(f"fits {f.gpu.name.removeprefix('nvidia-')}", str(f)) for f in fits(report)]
    if words.vocabulary:
        rows += [("tokens", f"{words.vocabulary}, answers end at {', '.join(map(str, words.stops)) or 'none'}")]
    if row is not None:
        rows += [
            ("chat template", {"own": "the family's own turns", "foreign": "of another form", "none": "none"}[words.template])
        ]
    if report.overrides.document():
        rows += [("corrected by", ", ".join(sorted(report.overrides.document())))]
    if report.presets is not BUILT_IN:
        rows += [("types", ", ".join(report.presets.rows))]
    if report.sampled:
        rows += [("sampled", f"{report.sampled.tensors} tensors, {report.sampled.bytes / 1e6:.1f} MB")]
    return rows


def _weights(report: Report) -> str:
    stored = report.weights
    shards = f"{len(stored.shards)} shard{'s' * (len(stored.shards) != 1)}"
    count = f"{stored.parameters / 1e9:.2f} B" if stored.parameters >= 1e8 else f"{stored.parameters / 1e6:.2f} M"
    return f"{count} parameters, {'/'.join(stored.dtypes)}, {size(stored.size)} in {shards}"


def size(count: int) -> str:
    """Bytes for people."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


def _verdict(report: Report) -> Line:
    errors, warnings = len(report.errors), len(report.warnings)
    read = f"{size(report.bytes_read)} read"
    if errors and by_vllm(report):
        served = "vLLM does" if report.family else "vLLM may, if it knows the type"
        return Line(f"gemmactl's engine does not serve it, {served}: `--engine vllm` ({read})", "warn")
    if errors:
        return Line(f"{count(errors, 'error')}, {count(warnings, 'warning')}: it can't be served as it is ({read})", "bad")
    if warnings:
        return Line(f"it can be served; {count(warnings, 'warning')} to know ({read})", "warn")
    return Line(f"nothing is wrong with it ({read})", "good")


def by_vllm(report: Report) -> bool:
    """Nothing is wrong with it but that another server must read it."""
    return engine_of(report) == Engine.VLLM and {f.code for f in report.errors} <= FOREIGN


def count(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number != 1)}"
