"""How a base model is spoken to: its template and tokenizer out of its folder, or Gemma's own where it can't be seen."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from finetune_image.contract import TuneFailed
from finetune_image.data import checkpoint_words
from finetune_image.data.checkpoint_words import CheckpointWords
from gemmactl.errors import Trouble
from gemmactl.serving.folder import Folders
from gemmactl.spec import Model
from gemmactl.tune.base_model import BaseModel, look
from gemmactl.tune.failing import trouble
from inference_image import contract
from inference_image.families import FAMILIES, GEMMA3, Family

LARGEST: Final = 100 << 20
"""Bytes of a file beside the weights; Gemma 3's tokenizer.json has 33 MB."""
_CHATS: Final = re.compile(r"[-_]it(?:$|[-_@])")
"""In the name of a model that was trained on turns: google/gemma-3-4b-it."""
INSTALL: Final = "pip install 'gemmactl[data]'"


@dataclass(frozen=True)
class Speaking:
    """`unfit`: why it can't be trained, and then `base` is None, or why it can't be seen. `notes`: what is less exact so."""

    words: CheckpointWords
    family: Family
    base: BaseModel | None
    unfit: Trouble | None = None
    notes: tuple[str, ...] = ()


def speaking(model: Model, folders: Folders) -> Speaking:
    """Look at a base model. One of the Hub that can't be read from here is Gemma by its name.

    Raises:
        Trouble: there is no such folder, or its template or tokenizer is none.
    """
    try:
        base, unfit = look(model, folders), None
    except Trouble as found:
        base, unfit = None, found
    if base is not None and base.unseen is not None:
        return _unseen(base, base.unseen)
    files = folders.open(model)

    def small(name: str) -> bytes:
        return files.read(name, 0, min(files.sizes.get(name, 0), LARGEST))

    if contract.TOKENIZER_CONFIG not in files.sizes and contract.TOKENIZER not in files.sizes:
        raise unfit or _none(model)
    notes: tuple[str, ...] = ()
    try:
        data = small(contract.TOKENIZER)
        tokens = checkpoint_words.tokenizer(data) if data else None
        if tokens is None:
            missing = f"{contract.TOKENIZER} is not there" if not data else f"the package tokenizers is not installed: {INSTALL}"
            notes = (f"lengths are estimated from bytes: {missing}",)
        words = checkpoint_words.words(small(contract.TOKENIZER_CONFIG), small(contract.CHAT_TEMPLATE), tokens)
    except TuneFailed as failed:
        raise trouble(failed) from None
    family = base.report.family if base and base.report else None
    return Speaking(words, family or GEMMA3, base, unfit, notes)


def _unseen(base: BaseModel, why: Trouble) -> Speaking:
    name = base.model.text
    chats = _CHATS.search(name) is not None
    family = next((row for row in FAMILIES if row.key == _key(name)), GEMMA3)
    form = "turns of a chat" if chats else "plain text"
    note = f"{name} can't be looked at from here: rows are shown as {form}, lengths are estimated from bytes"
    return Speaking(checkpoint_words.gemma(chats=chats), family, base, why, (note,))


def _key(name: str) -> str:
    found = re.search(r"gemma-?(\d?)", name)
    return f"gemma{found[1]}" if found and found[1] not in ("", "1") else "gemma" if found else ""


def _none(model: Model) -> Trouble:
    return Trouble(
        f"{model.uri} has no tokenizer",
        why=f"neither {contract.TOKENIZER} nor {contract.TOKENIZER_CONFIG} is there",
        remedy="name the folder of a whole model with --model",
        code="base-tokenizer",
    )
