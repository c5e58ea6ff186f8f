"""A model from one place to another: opens both sides, lets the transfer run, says what came of it. Knows no range of bytes."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gemmactl import __version__
from gemmactl.checkpoint.copying import Step, chosen, refuse_differing, steps
from gemmactl.checkpoint.files import BucketFiles, DirectoryFiles, Files
from gemmactl.checkpoint.manifest import PART
from gemmactl.checkpoint.stores import BucketStore, DirectoryStore, Store
from gemmactl.checkpoint.transfer import READERS, Transfer
from gemmactl.checkpoint.whereabouts import FINISH
from gemmactl.errors import Exit, Trouble, refused, usage
from gemmactl.kernel.resource import Clock, Work
from gemmactl.local.hub import HubFiles
from gemmactl.resources.bucket import ModelBucket
from gemmactl.result import Facts, Line, Result
from gemmactl.serving.place import Place
from gemmactl.spec import Model, parse_model
from gemmactl.voice import Voice
from inference_image.contract import MANIFEST, LoadFailed
from inference_image.layout import require_published


@dataclass(frozen=True)
class Wish:
    """What to copy where, as typed. `everything`: also what no server needs."""

    source: Model
    target: Model
    everything: bool = False
    overwrite: bool = False
    make_bucket: bool = False

    @classmethod
    def read(cls, source: str, target: str, *, everything: bool, overwrite: bool, make_bucket: bool) -> Wish:
        """The wish.

        Raises:
            Trouble: (usage) one of them is no place of a model, or they are the same place.
        """
        wish = cls(parse_model(source), parse_model(target), everything, overwrite, make_bucket)
        one, two = _where(wish.source), _where(wish.target)
        if one[: len(two)] == two or two[: len(one)] == one:
            raise usage(
                f"{source} and {target} {'are the same place' if one == two else 'lie within each other'}",
                why="a copy needs a place of its own",
                remedy="give another folder as DST",
                code="copy-same-place",
            )
        return wish

    @property
    def needs_cloud(self) -> bool:
        """Whether one side lies in Cloud Storage."""
        return "gs" in (self.source.kind, self.target.kind)


def copy(wish: Wish, place: Callable[[], Place], voice: Voice, environ: Mapping[str, str], clock: Clock | None = None) -> Result:
    """Copy, or say what is in the way. `place` is only asked where a bucket is involved.

    Raises:
        Trouble: nothing was changed (refused), or what was under way failed; what is whole stays and is not sent twice.
    """
    clock = clock or Clock()
    here = place() if wish.needs_cloud else None
    if here is None:
        voice.aim("local")
    source = _source(wish, here, environ)
    if not source.entries:
        raise refused(
            f"there is nothing in {source.place}",
            why=source.emptiness,
            remedy="check how it is spelled",
            code="model-not-found",
        )
    _whole(source)
    names = chosen(source.entries, everything=wish.everything)
    if not names:
        raise refused(
            f"{source.place} holds no file of a model",
            why="no file in it ends in what a server can need: .safetensors, .json, .jinja, .model, .txt",
            remedy="give the folder that holds config.json, or add --all",
            code="model-folder",
        )
    store = _store(wish, here, environ, voice)
    began = clock.now()
    with ThreadPoolExecutor(READERS) as readers:
        transfer = Transfer(source, store, readers, f"gemmactl {__version__}", voice.events, clock)
        try:
            found, manifest = _run(transfer, names, wish)
        except KeyboardInterrupt:
            transfer.stop.set()
            raise _interrupted(transfer, len(names), wish) from None
        finally:
            transfer.stop.set()  # readers that are ahead of a failure stop at their next range
    return _result(wish, here, transfer, found, clock.now() - began, _left(source, names), manifest)


def _whole(source: Files) -> None:
    """A copy gets a manifest, which says that all is there: of a half-published model it would be a lie."""
    try:
        require_published(source.entries, source.place)
    except LoadFailed as failed:
        why = failed.failure.detail
        raise refused(f"{source.place} can't be copied", why=why, remedy=FINISH, code="model-unfinished") from None


def _left(source: Files, names: tuple[str, ...]) -> int:
    """Files that stay behind; a manifest does not count, the copy gets its own."""
    return len(set(source.entries) - set(names) - {MANIFEST, PART})


def _run(transfer: Transfer, names: tuple[str, ...], wish: Wish) -> tuple[tuple[Step, ...], int]:
    """The steps as they were found, and the number of files in the manifest."""
    source, store = transfer.source, transfer.store
    known = transfer.known(overwrite=wish.overwrite)
    found = steps(names, source.entries, store.files.entries, known)
    if not wish.overwrite:
        refuse_differing(found, source.place, store.files.place)
    store.prepare(sum(step.size for step in found if step.verdict in ("absent", "differs")))
    found = transfer.compare(found)
    if not wish.overwrite:
        refuse_differing(found, source.place, store.files.place)
    return found, len(transfer.run(found, known).files)


def _source(wish: Wish, here: Place | None, environ: Mapping[str, str]) -> Files:
    model = wish.source
    if model.kind == "gs" and here is not None:
        return BucketFiles(here.cloud.storage, model.bucket, model.prefix, pinned=True)
    if model.kind == "hf":
        return HubFiles(model.text, environ)
    return DirectoryFiles(Path(model.text).expanduser(), pinned=True, deep=wish.everything)


def _store(wish: Wish, here: Place | None, environ: Mapping[str, str], voice: Voice) -> Store:
    model = wish.target
    if model.kind == "gs" and here is not None:
        if wish.make_bucket:
            _make_bucket(model.bucket, here, voice)
        return BucketStore(BucketFiles(here.cloud.storage, model.bucket, model.prefix))
    if model.kind == "hf":
        from gemmactl.local.hub_store import HubStore

        return HubStore.open(model.text, environ)
    return DirectoryStore(DirectoryFiles(Path(model.text).expanduser(), deep=wish.everything))


def _make_bucket(name: str, here: Place, voice: Voice) -> None:
    bucket = ModelBucket(name, here.region.text)
    if here.cloud.storage.bucket(name) is None:
        bucket.create(here.cloud, Work(bucket.address, voice.events))
        voice.say(Line(f"made gs://{name} in {here.region}: private, uniform access", "good"))


def _where(model: Model) -> tuple[str, ...]:
    """The place as a path that can be compared."""
    if model.kind == "gs":
        return ("gs:", model.bucket, *filter(None, model.prefix.split("/")))
    if model.kind == "hf":
        return ("hf:", model.text.removeprefix("hf:").partition("@")[0])
    return ("dir:", *Path(model.text).expanduser().resolve().parts)


def _interrupted(transfer: Transfer, count: int, wish: Wish) -> Trouble:
    rest = "what was begun lies beside them as NAME.part" if wish.target.kind == "dir" else "nothing half is there"
    return Trouble(
        "interrupted",
        why=f"Ctrl-C; {len(transfer.copied)} of {count} files were finished in this run, and {rest}",
        remedy="run the same command again: what is whole is compared and not sent twice",
        code="interrupted",
        exit=Exit.INTERRUPTED,
    )


def _result(
    wish: Wish, here: Place | None, transfer: Transfer, found: tuple[Step, ...], seconds: float, left: int, listed: int
) -> Result:
    copied = [step.name for step in found if step.name in set(transfer.copied)]
    skipped = [step.name for step in found if step.name not in set(transfer.copied)]
    replaced = [step.name for step in found if step.verdict == "differs"]
    where = transfer.store.files.place
    data: dict[str, Any] = {
        "source": transfer.source.place,
        "destination": where,
        "copied": copied,
        "skipped": skipped,
        "replaced": replaced,
        "left_behind": left,
        "bytes": transfer.bytes,
        "seconds": round(seconds, 3),
        "manifest": {"name": MANIFEST, "files": listed},
    }
    rate = f", {transfer.bytes / 1e6:.1f} MB in {seconds:.1f} s" if copied else ""
    rows = [("from", transfer.source.place), ("to", where), ("copied", f"{_files(len(copied))}{rate}")]
    if skipped:
        rows.append(("there already", f"{_files(len(skipped))}, with the same content"))
    if replaced:
        rows.append(("replaced", ", ".join(replaced)))
    if left:
        rows.append(("left behind", f"{_files(left)} that no server needs (--all takes {'it' if left == 1 else 'them'} too)"))
    rows.append(("manifest", f"{MANIFEST}: size and checksums of {_files(listed)}"))
    said = Line("the copy is whole" if copied else "nothing to copy: all of it is there", "good")
    flags = f" {here.flags}" if here and wish.target.kind == "gs" else ""
    target = here.target if here else "local"
    return Result("copy", data, (said, Facts(tuple(rows))), (f"gemmactl inspect {shlex.quote(wish.target.text)}{flags}",), target)


def _files(count: int) -> str:
    return f"{count} file{'s' * (count != 1)}"
