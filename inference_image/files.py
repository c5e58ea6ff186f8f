"""Owns the small files of a checkpoint as the engine reads them, corrected. Reads nothing itself and knows no tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from inference_image import bases, chat, contract, layout
from inference_image.contract import Code
from inference_image.families import Family
from inference_image.overrides import Overrides
from inference_image.presets import BUILT_IN, Presets
from inference_image.presets_file import Document, types_of


@dataclass(frozen=True)
class Files:
    """The small files of a checkpoint without its tokenizer, as they are read; `text_config` is the language model's part."""

    config: Mapping[str, Any]
    family: Family
    text_config: Mapping[str, Any]
    generation_config: Mapping[str, Any]
    tokenizer_config: Mapping[str, Any]
    chat_template: str | None
    vision: layout.Vision | None = None
    """Only where images are answered."""
    preprocessor: Mapping[str, Any] = field(default_factory=dict)
    """How the model wants its pixels; empty where no file says it."""
    presets: Presets = BUILT_IN
    source: str = ""
    """Where they were copied from, as their manifest says; empty: nobody says."""


def corrections(small: Mapping[str, bytes], deployed: Overrides) -> Overrides:
    """Those beside the weights, and those of the deployment, which win. Raises LoadFailed."""
    found = Overrides()
    if contract.OVERRIDES in small:
        found = Overrides.parse(small[contract.OVERRIDES], contract.OVERRIDES)
    return found.merged(deployed)


def parse_files(
    small: Mapping[str, bytes], overrides: Overrides, *, images: bool = False, deployed: Document | None = None
) -> tuple[Files, layout.Index | None]:
    """The files and the index of the shards, from the bytes of what is there. `images` are to be answered.

    `deployed`: presets of the deployment. Raises LoadFailed.
    """

    def optional(name: str, code: Code) -> dict[str, Any]:
        own = layout.parse_json(small[name], name, code) if name in small else {}
        return overrides.apply_json(name, own)

    config = layout.parse_json(small[contract.CONFIG], contract.CONFIG, Code.CONFIG_INVALID)
    config = overrides.apply_json(contract.CONFIG, config)
    index = layout.parse_index(small[contract.INDEX]) if contract.INDEX in small else None
    template = small.get(contract.CHAT_TEMPLATE)
    files = Files(
        config=config,
        family=layout.family(config),
        text_config=layout.text_config(config),
        generation_config=optional(contract.GENERATION_CONFIG, Code.CONFIG_INVALID),
        tokenizer_config=optional(contract.TOKENIZER_CONFIG, Code.TOKENIZER_INVALID),
        chat_template=overrides.template or (chat.template_text(template) if template else None),
        vision=layout.vision(config) if images else None,
        preprocessor=_preprocessor(small) if images else {},
        presets=types_of(small, deployed),
        source=bases.source_of(small.get(contract.MANIFEST)),
    )
    return files, index


def _preprocessor(small: Mapping[str, bytes]) -> Mapping[str, Any]:
    """Since 5.0 transformers writes it into processor_config.json, before into a file of its own; the newer form wins."""
    own, whole = (layout.parse_json(small[name], name, Code.CONFIG_INVALID) if name in small else {} for name in layout.SEEING)
    inner = whole.get("image_processor")
    return inner if isinstance(inner, Mapping) else own
