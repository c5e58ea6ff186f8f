"""LoRA adapters for an engine on this machine: the flag, the variable, the name of a folder. Reads no adapter."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath

from gemmactl.local import model as models
from gemmactl.serving import adapting
from gemmactl.serving.ask import Prompt
from inference_image.adapter_names import NAME
from inference_image.contract import ENV_ADAPTERS


def given(environ: Mapping[str, str], flags: Sequence[str]) -> Mapping[str, str]:
    """The environment with the adapters of the flags in it, in place of its own; directories as absolute paths.

    Raises:
        Trouble: one can't be read, or is no such directory.
    """
    if not flags:
        return environ
    found = {name: models.place(place) for name, place in adapting.typed(flags).items()}
    return {**environ, ENV_ADAPTERS: adapting.variable(found)}


def chosen(environ: Mapping[str, str], prompt: Prompt) -> tuple[Mapping[str, str], Prompt]:
    """The environment and the prompt for one answer through `prompt.adapter`: NAME=PLACE, a PLACE, or a name of the variable.

    Raises:
        Trouble: it can't be read, or is no such directory.
    """
    text = prompt.adapter
    if text is None or text in models.adapters(environ):
        return environ, prompt
    name, equals, _ = text.partition("=")
    if not (equals and NAME.fullmatch(name)):
        leaf = PurePath(text.removeprefix("hf:").partition("@")[0].rstrip("/")).name
        name = re.sub(r"[^a-z0-9._-]", "-", leaf.lower())[:64] or "adapter"
        text = f"{name}={text}"
    return given(environ, (text,)), replace(prompt, adapter=name)
