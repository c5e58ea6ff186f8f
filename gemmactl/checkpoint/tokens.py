"""Tokenizer, chat template and where an answer ends. Tokenizes nothing; a template is only rendered in the sandbox of `chat`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from gemmactl.checkpoint.configuration import Configured
from gemmactl.checkpoint.finding import Correction
from gemmactl.checkpoint.ledger import Ledger
from gemmactl.checkpoint.presets import CORRECT
from gemmactl.checkpoint.reading import Contents
from gemmactl.checkpoint.whereabouts import SAVE
from inference_image import chat, contract, layout
from inference_image.contract import Code, LoadFailed
from inference_image.overrides import Overrides
from inference_image.presets import Presets

Json = Mapping[str, Any]
SPARSE: Final = 0.9
"""A tokenizer that knows less than this share of the embedding's rows is another model's; Gemma pads by less than 1 %."""

# a deploy looks before it asks and again before it writes; to compile Gemma's template takes as long as all the rest of a look
_checked = lru_cache(maxsize=4)(lambda source, special: chat.checked_template(source, dict(special)))


@dataclass(frozen=True)
class Tokens:
    """`stops`: ids that end an answer with this checkpoint; `template`: own, foreign or none."""

    vocabulary: int = 0
    stops: tuple[int, ...] = ()
    template: str = "none"


@dataclass(frozen=True)
class Beside:
    """generation_config.json and tokenizer_config.json with their corrections; None where one is not there or can't be read."""

    generation: Json | None
    tokenizer: Json | None


def beside_of(contents: Contents, overrides: Overrides, ledger: Ledger) -> Beside:
    """Read what the engine reads before any shard's header."""
    return Beside(
        _json(contents, contract.GENERATION_CONFIG, Code.CONFIG_INVALID, overrides, ledger),
        _json(contents, contract.TOKENIZER_CONFIG, Code.TOKENIZER_INVALID, overrides, ledger),
    )


def tokens(
    contents: Contents, configured: Configured, beside: Beside, overrides: Overrides, presets: Presets, ledger: Ledger
) -> Tokens:
    """Everything about tokens that can be told without a tokenizer; `presets`: the types that the chat template must print."""
    generation, config = beside.generation, beside.tokenizer
    if "auto_map" in (config or {}):
        ledger.add(
            "remote-code",
            "warning",
            contract.TOKENIZER_CONFIG,
            "the tokenizer asks for code of its own (auto_map); gemmactl runs none",
            evidence=str((config or {})["auto_map"]),
            remedy="remove auto_map unless you wrote that code; Gemma needs none",
        )
    kind = _template(contents, configured, config or {}, (overrides, presets), ledger)
    data = contents.small.get(contract.TOKENIZER)
    if data is None:
        return Tokens(template=kind)
    tokenizer = ledger.attempt(
        lambda: layout.check_tokenizer(data), remedy="copy the tokenizer of the base model into the folder"
    )
    if tokenizer is None:
        return Tokens(template=kind)
    known = layout.vocabulary(tokenizer)
    _vocabulary(known, configured, ledger)
    stops = _stops(tokenizer, configured, generation, ledger)
    return Tokens(known, stops, kind)


def _json(contents: Contents, name: str, code: Code, overrides: Overrides, ledger: Ledger) -> Json | None:
    """A JSON file with its corrections; None when it is not there and nothing replaces it, or can't be read."""
    data = contents.small.get(name)
    read: Json | None = {}
    if data is not None:
        read = ledger.attempt(lambda: layout.parse_json(data, name, code), remedy=SAVE)
    if read is None:
        return None
    made = overrides.apply_json(name, read)
    return made if data is not None or made else None


def _vocabulary(known: int, configured: Configured, ledger: Ledger) -> None:
    rows = configured.needed.get(layout.EMBEDDING, (0,))[0]
    if not rows:
        return
    try:
        layout.require_vocabulary(known, rows)
    except LoadFailed as failed:
        ledger.refuse(
            failed,
            code="tokenizer-larger",
            what=f"the tokenizer knows {known} tokens, the model {rows}: some would have no embedding",
            remedy="bring the tokenizer that the model was trained with, or resize and save the embedding with it",
        )
        return
    if known < rows * SPARSE:
        ledger.add(
            "tokenizer-smaller",
            "warning",
            contract.TOKENIZER,
            f"the tokenizer knows {known} tokens, the model {rows}: it may be another model's",
            evidence=f"{known} of {rows}",
            remedy="compare it with the base model's tokenizer.json",
        )


def _stops(tokenizer: Json, configured: Configured, generation: Json | None, ledger: Ledger) -> tuple[int, ...]:
    """The configured ends, and what is missing from them."""
    row = configured.family
    places = (configured.raw, configured.text, generation or {})
    ids = {i for place in places for i in _ids(place.get("eos_token_id"))}
    if row is None or not row.stops:
        return tuple(sorted(ids))
    own = layout.token_ids(tokenizer, row.stops)
    end = row.turns.end if row.turns else row.stops[-1]
    if generation is None:
        document = {"eos_token_id": sorted(own.values())}
        ledger.add(
            "generation-config-missing",
            "note",
            contract.GENERATION_CONFIG,
            "no generation_config.json: other servers take the end of an answer from config.json alone",
            remedy="`gemmactl inspect --fix` writes one with the family's ends",
            correction=Correction(files={contract.GENERATION_CONFIG: json.dumps(document, indent=2).encode()}) if own else None,
        )
    if end not in own:
        ledger.add(
            "end-of-turn-unknown",
            "warning",
            contract.TOKENIZER,
            f"the tokenizer does not know {end}: a chat answer can't end where {row.name} ends one",
            evidence=f"no token {end}",
            remedy="bring the tokenizer of the instruction-tuned model",
        )
    elif own[end] not in ids:
        wanted = sorted(ids | set(own.values()))
        ledger.add(
            "end-of-turn-missing",
            "warning",
            contract.GENERATION_CONFIG,
            f"{end} ({own[end]}) is not among the ends of an answer; gemmactl adds it, other servers repeat until the limit",
            evidence=f"eos_token_id: {sorted(ids)}",
            remedy=f"write eos_token_id {wanted} into the file, where every server reads it; `gemmactl inspect --fix` notes it"
            " beside the file, for gemmactl's own alone; an answer without end means that it was never learnt",
            # without a file of that name the correction above writes one that has it
            correction=Correction(overrides={contract.GENERATION_CONFIG: {"eos_token_id": wanted}})
            if generation is not None
            else None,
        )
    return tuple(sorted(ids | set(own.values())))


def _ids(value: object) -> list[int]:
    values = value if isinstance(value, list) else [value]
    return [v for v in values if isinstance(v, int) and not isinstance(v, bool)]


def _template(contents: Contents, configured: Configured, config: Json, said: tuple[Overrides, Presets], ledger: Ledger) -> str:
    row, (overrides, presets) = configured.family, said
    data = contents.small.get(contract.CHAT_TEMPLATE)
    beside = data.decode("utf-8", "replace") if data else None
    source = overrides.template or beside or chat.embedded_template(config)
    if source is None and contract.CHAT_TEMPLATE in contents.top:
        return "none"  # it is there, empty or too large to be read: told already, and nothing is written over it
    if source is None:
        built = chat.BUILT_IN.get(row.key) if row else None
        ledger.add(
            "template-missing",
            "warning",
            contract.CHAT_TEMPLATE,
            "no chat template: the types text and product need one, translation and sql work without",
            remedy="`gemmactl inspect --fix` writes the family's own; a base model trained on plain text needs none",
            correction=Correction(files={contract.CHAT_TEMPLATE: built.encode()}) if built else None,
        )
        return "none"
    special = chat.special_texts(config)
    checked = ledger.attempt(
        lambda: _checked(source, tuple(special.items())),
        code="template-invalid",
        remedy="bring the chat template of the base model; it is only ever rendered in a sandbox",
    )
    if checked is not None:
        ledger.attempt(lambda: chat.require_presets(presets, checked, special), code="presets-invalid", remedy=CORRECT)
    if checked is None or row is None or row.turns is None:
        return "foreign"
    kind = chat.kind_of(checked, row, config)
    if kind == "foreign":
        ledger.add(
            "template-foreign",
            "warning",
            contract.CHAT_TEMPLATE,
            f"the chat template does not write {row.name}'s turns ({row.turns.start} ... {row.turns.end})",
            evidence=source[:120],
            remedy="right if the fine-tune was trained with these turns; then their end must be among the ends of an answer",
        )
    return kind
