"""Is this the folder of a model, and of a whole one? Judges names and sizes alone; knows no content."""

from __future__ import annotations

import re
from typing import Final

from gemmactl.checkpoint.families import Form
from gemmactl.checkpoint.files import Files
from gemmactl.checkpoint.ledger import Ledger
from gemmactl.checkpoint.names import illegal
from gemmactl.checkpoint.reading import SHARD, Contents
from inference_image import contract, layout
from inference_image.contract import Code, LoadFailed

SAVE: Final = "save the model again with save_pretrained (model and tokenizer), and upload the whole folder"
UPLOAD: Final = "bring the whole folder again; `gemmactl copy` checks every byte and puts the index last"
FINISH: Final = "wait until `gemmactl finetune status` says done, or complete it with `gemmactl finetune resume NAME`"
TOO_LARGE: Final = "no real one is nearly that large: bring the base model's, or save it again"
PICKLES: Final = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
"""Endings of files that run code when Python loads them."""
NAMED: Final = 5
"""Names that one sentence lists; more are counted."""


def whereabouts(files: Files, contents: Contents, form: Form, ledger: Ledger) -> bool:
    """Note why this can't be a model's folder; True when there is something to look into."""
    if not contents.sizes and not files.below():
        ledger.add(
            "model-not-found",
            "error",
            files.place,
            f"there is nothing in {files.place}",
            evidence=files.emptiness,
            remedy=_meant(files, f"check how it is spelled, or put the model there{_of_the_hub(files)}"),
            refusal=Code.MODEL_NOT_FOUND,
        )
        return False
    _hostile_names(contents, ledger)
    try:
        layout.require_files(contents.top, files.place)
    except LoadFailed as failed:
        _not_whole(files, contents, form, failed, ledger)
    return contract.CONFIG in contents.small or form.key == "adapter"


def _not_whole(files: Files, contents: Contents, form: Form, failed: LoadFailed, ledger: Ledger) -> None:
    code = failed.failure.code
    weights = any(n.endswith(SHARD) and n.startswith("model") for n in contents.top)
    if code is Code.MODEL_UNFINISHED:
        ledger.refuse(failed, what=failed.failure.detail, remedy=FINISH)
    elif not weights and form.key in ("adapter", "gguf"):
        ledger.refuse(
            failed,
            code=f"{form.key}-only",
            what=f"the folder holds only {_article(form.name)}: {form.reason}",
            remedy=form.way_out,
        )
    elif not weights and code is Code.SHARD_MISSING and any(n.endswith(PICKLES) for n in contents.top):
        found = sorted(n for n in contents.top if n.endswith(PICKLES))
        ledger.refuse(
            failed,
            code="pickle-only",
            what=f"the weights are pickles, which run code when they are loaded: {listed(found)}",
            remedy="save the model again with save_pretrained: safetensors is the default",
        )
    elif code is Code.CONFIG_MISSING:
        _no_config(files, contents, failed, ledger)
    elif code is Code.SHARD_MISSING and (below := _folders_with(files, SHARD)):
        ledger.refuse(
            failed,
            code="wrong-folder",
            what=f"the weights lie one level lower, in {below[0]}/",
            remedy=f"give {files.place}/{below[0]} if it is complete, or put weights and config.json into one folder",
        )
    elif code is Code.TOKENIZER_MISSING:
        ledger.refuse(
            failed,
            what="a merged model is often saved without its tokenizer, and the server can't make one up",
            remedy=f"run tokenizer.save_pretrained into the folder: {contract.TOKENIZER} is the file that counts",
        )
    else:
        large = contents.top.get(failed.failure.object, 0) > layout.limit_of(failed.failure.object)
        small = failed.failure.object in layout.SMALL
        ledger.refuse(failed, remedy=SAVE if code is Code.SHARD_MISSING else TOO_LARGE if large and small else UPLOAD)


def _no_config(files: Files, contents: Contents, failed: LoadFailed, ledger: Ledger) -> None:
    below = _folders_with(files, f"/{contract.CONFIG}")
    if below:
        if not contents.top:
            # the engine looks into no folder below: for it there is nothing at all
            failed = LoadFailed(Code.MODEL_NOT_FOUND, failed.failure.object, failed.failure.detail)
        ledger.refuse(
            failed,
            code="wrong-folder",
            what=f"the folder is one level too high: {contract.CONFIG} lies in {listed(below)}",
            remedy="give " + " or ".join(f"{files.place}/{name}" for name in below[:NAMED]),
        )
        return
    remedy = _meant(files, "give the folder that holds config.json, or upload the whole folder")
    code = "wrong-folder" if remedy.startswith("did you mean") else "config-missing"
    ledger.refuse(failed, code=code, what="without config.json nothing tells which model this is", remedy=remedy)


def _folders_with(files: Files, ending: str) -> list[str]:
    """Folders below that hold such a file."""
    return sorted({name.rpartition("/")[0] for name in files.below() if name.endswith(ending)})


def _meant(files: Files, otherwise: str) -> str:
    """The folders nearby that hold a config.json, most alike first."""
    if any(name.endswith(SHARD) for name in files.sizes):
        return otherwise  # the folder is the right one, and not whole
    from difflib import SequenceMatcher

    near = sorted(files.nearby(contract.CONFIG), key=lambda place: -SequenceMatcher(None, files.place, place).ratio())
    return f"did you mean {' or '.join(near[:3])}?" if near else otherwise


def _of_the_hub(files: Files) -> str:
    """`owner/name`, as other tools call a model of the Hub, is a directory's name here."""
    return f"; a model of Hugging Face is written hf:{files.place}" if re.fullmatch(r"[\w-]+/[\w.-]+", files.place) else ""


def _hostile_names(contents: Contents, ledger: Ledger) -> None:
    """Names that leave the folder, and files that would run code elsewhere."""
    unsafe = sorted(n for n in contents.sizes if illegal(n))
    if unsafe:
        ledger.add(
            "name-unsafe",
            "warning",
            unsafe[0],
            f"{len(unsafe)} names would leave the folder when copied to a disk",
            evidence=listed(unsafe),
            remedy="remove these objects; gemmactl never follows such a name",
        )
    pickles = sorted(n for n in contents.top if n.endswith(PICKLES))
    if pickles and any(n.endswith(SHARD) for n in contents.top):
        ledger.add(
            "pickle-beside",
            "note",
            pickles[0],
            "pickles lie beside the weights; they run code when they are loaded, and gemmactl never does",
            evidence=listed(pickles),
            remedy="leave them out of the folder that is served",
        )


def listed(names: list[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _article(name: str) -> str:
    return f"a {name}" if name.startswith("LoRA") else name
