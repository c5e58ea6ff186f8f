"""inspect: look a model through, show it, and write or carry the corrections. checkpoint knows what a model must be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from shlex import quote
from typing import Any

from gemmactl.checkpoint import corrections
from gemmactl.checkpoint.families import choice
from gemmactl.checkpoint.files import Files
from gemmactl.checkpoint.fits import QUANTIZED, Fitting, fits
from gemmactl.checkpoint.inspect import Report, inspect
from gemmactl.checkpoint.unread import CODE, readable, unread
from gemmactl.errors import Exit, Trouble
from gemmactl.result import Block, Item, Line, Result, Target
from gemmactl.serving.folder import Folders
from gemmactl.serving.inspection_screen import blocks, by_vllm, count, engine_of, items
from gemmactl.spec import Model
from gemmactl.voice import Voice


@dataclass(frozen=True)
class Look:
    """What is asked of one inspection. A next command repeats `corrected` (--override as typed) and `flags` (the place)."""

    model: Model
    overrides: str = ""
    sample: bool = False
    base: str = ""
    corrected: tuple[str, ...] = ()
    flags: str = ""
    target: Target = "local"

    @property
    def again(self) -> str:
        """The model and its corrections for a next command."""
        return " ".join([quote(self.model.text), *(f"--override {quote(text)}" for text in self.corrected)])


def show(look: Look, folders: Folders, voice: Voice, *, fix: bool = False, yes: bool = False) -> Result:
    """Exit 6 when the model has errors."""
    files = folders.open(look.model)
    report = run(look, files, folders)
    if not fix:
        return _result(look, report, (), _follow(look, report))
    return _fixed(look, report, files, folders, voice, yes=yes)


def run(look: Look, files: Files, folders: Folders) -> Report:
    report = inspect(files, open_base=folders.named, variable=look.overrides, sample=look.sample, base=look.base)
    if choice(report.family, report.form) == "gemmactl":
        return report
    return replace(report, findings=(*report.findings, *unread(report, look.overrides)))


def document(report: Report) -> dict[str, Any]:
    """The report for machines."""
    row, stored, words = report.family, report.weights, report.tokens
    return {
        "place": report.place,
        "form": report.form.key,
        "family": row.key if row else None,
        "model_type": report.kind or None,
        "engine": engine_of(report),
        "verified": row.verified if row else None,
        "class": row.text_class if row else None,
        "shards": list(stored.shards),
        "bytes": stored.size,
        "bytes_loaded": stored.load,
        "bytes_left_out": stored.other,
        "parameters": stored.parameters,
        "dtypes": list(stored.dtypes),
        "images": stored.vision is not None,
        "context": report.text.get("max_position_embeddings"),
        "vocabulary": words.vocabulary,
        "stop_ids": list(words.stops),
        "chat_template": words.template,
        "adapter": _adapter(report),
        "fits": [f.document() for f in fits(report)],
        "overrides": sorted(report.overrides.document()),
        "types": report.presets.named(),
        "sampled": {"tensors": s.tensors, "bytes": s.bytes, "compared": s.compared} if (s := report.sampled) else None,
        "bytes_read": report.bytes_read,
        "errors": len(report.errors),
        "warnings": len(report.warnings),
        "findings": [f.document() for f in report.findings],
    }


def _adapter(report: Report) -> dict[str, Any] | None:
    found = report.adapter
    return {"base": found.base, "rank": found.rank, "modules": found.modules} if found else None


def _follow(look: Look, report: Report) -> tuple[str, ...]:
    fix = (f"gemmactl inspect {look.again} --fix{look.flags}",) if report.correctable else ()
    if report.errors and by_vllm(report):
        return (*fix, _deploy(look, " --engine vllm"))
    if report.errors:
        return fix
    # corrections that vLLM, which a deploy would take by itself, does not read
    own = " --engine gemmactl" * (readable(report) and any(f.code == CODE for f in report.findings))
    return (*fix, *(_deploy(look, own + more) for more in _ways(fits(report))))


def _ways(able: Sequence[Fitting]) -> Iterator[str]:
    """Flags of deploy for the smallest GPU that holds the model, and before it for a smaller one that does with 8-bit weights."""
    if not able:
        yield ""
    for one in able:
        # deploy takes the first GPU of the table when none is named
        gpu = "" if one is able[0] else f" --gpu-type {one.gpu.name}"
        if one.fits:
            yield gpu
            return
        if one.int8:
            yield f"{gpu} {QUANTIZED}"


def _deploy(look: Look, more: str = "") -> str:
    return f"gemmactl deploy {look.again}{more}{look.flags or ' --project PROJECT_ID'}"


def _result(look: Look, report: Report, more: tuple[Block, ...], follow: tuple[str, ...], **data: Any) -> Result:
    code = Exit.FOUND if report.errors else Exit.OK
    return Result("inspect", {**document(report), **data}, (*blocks(report), *more), follow, look.target, code)


def _fixed(look: Look, report: Report, files: Files, folders: Folders, voice: Voice, *, yes: bool) -> Result:
    """Write the corrections as new files and look again; where nothing may be written, tell how a deployment carries them."""
    found = report.correctable
    if not found:
        return _result(look, report, (Line("nothing here can be corrected by a small file", "warn"),), ())
    wanted = corrections.gathered(found, report.overrides)
    voice.show(
        *items(found), *(Item("+", f"{name} ({len(data)} bytes)", (), "good") for name, data in sorted(wanted.files.items()))
    )
    if not yes and not voice.confirm(f"Write {count(len(wanted.files), 'file')} into {files.place}?", flag="--yes"):
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
    carried = replace(look, corrected=tuple(dict.fromkeys((*look.corrected, *values))))
    follow = (_deploy(carried),) if values else ()
    return _result(look, report, tuple(blocks_), follow, written=written, override=list(values))
