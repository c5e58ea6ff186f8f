"""inspect: look a model through, show it, and write or carry the corrections. checkpoint knows what a model must be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from gemmactl.checkpoint import corrections
from gemmactl.checkpoint.files import Files
from gemmactl.checkpoint.fits import fits
from gemmactl.checkpoint.inspect import Report, inspect
from gemmactl.errors import Exit, Trouble
from gemmactl.result import Block, Facts, Item, Line, Result, Target, Tone
from gemmactl.serving.folder import Folders
from gemmactl.spec import Model
from gemmactl.voice import Voice
from inference_image.families import ENGINES_HERE, Engine

FOREIGN: Final = frozenset({"family-unsupported", "quantized"})
"""Errors that are none where vLLM serves the model."""
SIGNS: Final[dict[str, tuple[str, Tone]]] = {"error": ("!", "bad"), "warning": ("?", "warn"), "note": ("=", "dim")}


@dataclass(frozen=True)
class Look:
    """What is asked of one inspection. `flags`: what a next command must repeat."""

    model: Model
    overrides: str = ""
    sample: bool = False
    base: str = ""
    flags: str = ""
    target: Target = "local"


def show(look: Look, folders: Folders, voice: Voice, *, fix: bool = False, yes: bool = False) -> Result:
    """Exit 6 when the model has errors."""
    files = folders.open(look.model)
    report = run(look, files, folders)
    if not fix:
        return _result(look, report, (), _follow(look, report))
    return _fixed(look, report, files, folders, voice, yes=yes)


def run(look: Look, files: Files, folders: Folders) -> Report:
    return inspect(files, open_base=folders.named, variable=look.overrides, sample=look.sample, base=look.base)


def document(report: Report) -> dict[str, Any]:
    """The report for machines."""
    row, stored, words = report.family, report.weights, report.tokens
    return {
        "place": report.place,
        "form": report.form.key,
        "family": row.key if row else None,
        "model_type": report.kind or None,
        "engine": _engine(report),
        "verified": row.verified if row else None,
        "class": row.text_class if row else None,
        "shards": list(stored.shards),
        "bytes": stored.size,
        "bytes_loaded": stored.load,
        "bytes_left_out": stored.other,
        "parameters": stored.parameters,
        "dtypes": list(stored.dtypes),
        "context": report.text.get("max_position_embeddings"),
        "vocabulary": words.vocabulary,
        "stop_ids": list(words.stops),
        "chat_template": words.template,
        "adapter": _adapter(report),
        "fits": [f.document() for f in fits(report)],
        "overrides": sorted(report.overrides.document()),
        "sampled": {"tensors": s.tensors, "bytes": s.bytes, "compared": s.compared} if (s := report.sampled) else None,
        "bytes_read": report.bytes_read,
        "errors": len(report.errors),
        "warnings": len(report.warnings),
        "findings": [f.document() for f in report.findings],
    }


def _adapter(report: Report) -> dict[str, Any] | None:
    found = report.adapter
    return {"base": found.base, "rank": found.rank, "modules": found.modules} if found else None


def _engine(report: Report) -> str:
    """Which engine answers for this folder: the family's, unless the form needs another."""
    engine = report.family.engine if report.family else report.form.engine
    if report.form.key not in ("full", "adapter"):
        engine = report.form.engine
    if report.form.key == "adapter":
        return "none"
    return str(engine) if report.family else "vllm"


def blocks(report: Report) -> tuple[Block, ...]:
    """What it is, then what is to be said of it, errors first."""
    rank = {"error": 0, "warning": 1, "note": 2}
    ordered = sorted(report.findings, key=lambda f: rank[f.severity])
    items = tuple(item(f) for f in ordered)
    return (Facts(tuple(_rows(report)), title=report.place), *items, _verdict(report))


def item(finding: Any) -> Item:
    """One finding: what, what was seen, and the way out."""
    sign, tone = SIGNS[finding.severity]
    lines = [f"in {finding.object}"] if finding.object and finding.object not in finding.what else []
    lines += [f"seen: {finding.evidence}"] if finding.evidence else []
    lines += [f"remedy: {finding.remedy}"] if finding.remedy else []
    return Item(sign, f"{finding.code}: {finding.what}", tuple(lines), tone)


def _rows(report: Report) -> list[tuple[str, str]]:
    row, stored, words = report.family, report.weights, report.tokens
    kind = f" ({report.kind})" if report.kind else ""
    rows = [("model", f"{row.name}{kind}" if row else report.kind or "unknown"), ("form", report.form.name)]
    if report.adapter is not None:
        found = report.adapter
        rows += [("base", found.base or "not named"), ("LoRA", f"rank {found.rank}, {found.modules} modules of the base")]
        return rows
    if row is not None:
        served = "gemmactl" if row.engine in ENGINES_HERE and report.form.key == "full" else _engine(report)
        rows += [("engine", f"{served}; {row.verified}")]
    if stored.whole:
        rows += [("weights", _weights(report))]
    if report.text:
        layers, longest = report.text.get("num_hidden_layers"), report.text.get("max_position_embeddings")
        rows += [
            (
                "architecture",
                ", ".join(filter(None, (f"{layers} layers" if layers else "", f"{longest} tokens" if longest else ""))),
            )
        ]
    rows += [(f"fits {f.gpu.name.removeprefix('nvidia-')}", str(f)) for f in fits(report)]
    if words.vocabulary:
        rows += [("tokens", f"{words.vocabulary}, answers end at {', '.join(map(str, words.stops)) or 'none'}")]
    rows += [("chat template", {"own": "the family's own turns", "foreign": "of another form", "none": "none"}[words.template])]
    if report.overrides.document():
        rows += [("corrected by", ", ".join(sorted(report.overrides.document())))]
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
    if errors and _by_vllm(report):
        return Line(f"gemmactl's engine does not serve it, vLLM does: deploy takes it ({read})", "warn")
    if errors:
        return Line(f"{_count(errors, 'error')}, {_count(warnings, 'warning')}: it can't be served as it is ({read})", "bad")
    if warnings:
        return Line(f"it can be served; {_count(warnings, 'warning')} to know ({read})", "warn")
    return Line(f"nothing is wrong with it ({read})", "good")


def _by_vllm(report: Report) -> bool:
    """Nothing is wrong with it but that another server must read it."""
    return _engine(report) == Engine.VLLM and {f.code for f in report.errors} <= FOREIGN


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number != 1)}"


def _follow(look: Look, report: Report) -> tuple[str, ...]:
    name = look.model.text
    fix = (f"gemmactl inspect {name} --fix{look.flags}",) if report.correctable else ()
    if report.errors and _by_vllm(report):
        return (*fix, f"gemmactl deploy {name} --engine vllm{look.flags or ' --project PROJECT_ID'}")
    return fix if report.errors else (*fix, f"gemmactl deploy {name}{look.flags or ' --project PROJECT_ID'}")


def _result(look: Look, report: Report, more: tuple[Block, ...], follow: tuple[str, ...], **data: Any) -> Result:
    code = Exit.FOUND if report.errors else Exit.OK
    return Result("inspect", {**document(report), **data}, (*blocks(report), *more), follow, look.target, code)


def _fixed(look: Look, report: Report, files: Files, folders: Folders, voice: Voice, *, yes: bool) -> Result:
    """Write the corrections as new files and look again; where nothing may be written, tell how a deployment carries them."""
    found = report.correctable
    if not found:
        return _result(look, report, (Line("nothing here can be corrected by a small file", "warn"),), ())
    wanted = corrections.gathered(found, report.overrides)
    voice.show(*(Item("+", f"{name} ({len(data)} bytes)", (), "good") for name, data in sorted(wanted.files.items())))
    if not yes and not voice.confirm(f"Write {_count(len(wanted.files), 'file')} into {files.place}?", flag="--yes"):
        raise Trouble(
            "nothing was written", why="it was not confirmed", remedy="run it again when it is right", code="not-confirmed"
        )
    written: list[str] = []
    try:
        for name, data in sorted(wanted.files.items(), key=lambda f: f[0].count("/")):
            files.write_new(name, data)
            written.append(name)
    except Trouble as trouble:
        if trouble.code not in ("not-writable", "denied", "permission-denied") and trouble.facts.get("status") != 403:
            raise
        return _carried(look, report, trouble, written)
    again = run(look, type(files).again(files), folders)
    line = Line(f"wrote {', '.join(written)}", "good")
    return _result(look, again, (line,), _follow(look, again), written=written)


def _carried(look: Look, report: Report, trouble: Trouble, written: list[str]) -> Result:
    """No write access: the same corrections as flags of deploy."""
    values = corrections.flags(report.correctable, report.family.key if report.family else "")
    left = [f.code for f in report.correctable if f.correction and not corrections.flags([f], "")]
    blocks_: list[Block] = [Line(f"nothing can be written there: {trouble.why or trouble.what}", "warn")]
    if written:
        blocks_.append(Line(f"written before: {', '.join(written)}"))
    if left:
        blocks_.append(Line(f"can't be carried by a deployment: {', '.join(left)}; copy the model first", "warn"))
    import shlex

    flags = " ".join(f"--override {shlex.quote(v)}" for v in values)
    follow = (f"gemmactl deploy {look.model.text} {flags}{look.flags or ' --project PROJECT_ID'}",) if values else ()
    return _result(look, report, tuple(blocks_), follow, written=written, override=list(values))
