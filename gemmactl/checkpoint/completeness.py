"""Do the tensors fit the architecture, and what will surprise about them? Names, shapes and formats; no values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from gemmactl.checkpoint.configuration import Configured
from gemmactl.checkpoint.finding import Correction
from gemmactl.checkpoint.ledger import Ledger
from gemmactl.checkpoint.reading import Contents
from gemmactl.checkpoint.whereabouts import SAVE
from inference_image import contract, layout
from inference_image.contract import LoadFailed
from inference_image.families import GEMMA3

if TYPE_CHECKING:
    from gemmactl.checkpoint.tensors import Weights

_QUANTIZED: Final = re.compile(
    r"\.(?:qweight|qzeros|scales|g_idx|weight_packed|weight_scale|absmax|quant_map|SCB)$|\.absmax|\.quant_state"
)
_LAYER: Final = re.compile(r"model\.layers\.(\d+)\.")


def completeness(contents: Contents, configured: Configured, weights: Weights, ledger: Ledger) -> None:
    """Strict, by the engine's own comparison; then what serves and is still worth knowing."""
    needed, found = configured.needed, weights.found
    try:
        layout.require_complete(needed, found, contents.place)
    except LoadFailed as failed:
        # what is said of tensors that are none of this model's would only be noise
        _incomplete(failed, configured, weights, ledger)
        return
    _names(configured, weights, ledger)
    _formats(configured, weights, ledger)
    _vision(configured, weights, ledger)
    _head(configured, weights, ledger)


def _incomplete(failed: LoadFailed, configured: Configured, weights: Weights, ledger: Ledger) -> None:
    needed, found = configured.needed, weights.found
    difference = layout.compare(needed, found)
    unexpected, missing = difference.unexpected, difference.missing
    if any(".lora_" in name for name in unexpected):
        code, what, remedy = (
            "adapter-not-merged",
            "LoRA tensors lie among the weights: the adapter was saved inside the model, not merged into it",
            "call merge_and_unload() before save_pretrained, and upload the result",
        )
    elif any(_QUANTIZED.search(name) for name in (*unexpected, *missing)):
        code, what, remedy = (
            "quantized",
            "the tensors are those of a quantized checkpoint, though config.json does not say so",
            "give the merged model in bfloat16",
        )
    elif missing and unexpected and len(missing) > len(needed) // 2:
        code, what, remedy = (
            "keys-foreign",
            f"the keys fit no known layout: stored is {unexpected[0]}, needed {missing[0]}",
            "save the model with its own class: config.json and weights belong to different ones",
        )
    elif missing == (layout.HEAD,):
        ledger.refuse(
            failed,
            code="head-missing",
            what="config.json says that the head is not tied to the embedding, and no head is stored",
            remedy="`gemmactl inspect --fix` ties it, as every Gemma's is; or save the model again",
            correction=_text_correction(configured, tie_word_embeddings=True),
        )
        return
    elif missing:
        code, what, remedy = (
            "keys-missing",
            f"{len(missing)} tensors of the architecture are missing{_layers(missing)}; others would serve random weights",
            SAVE,
        )
    elif unexpected:
        code, what, remedy = (
            "keys-unexpected",
            f"{len(unexpected)} tensors are none of the architecture's{_layers(unexpected)}",
            "config.json belongs to another model, or to another size of it",
        )
    elif difference.mismatched:
        _shapes(failed, configured, weights, ledger)
        return
    else:
        code, what, remedy = ("dtype-unsupported", "a tensor's number format can't be served", "save the model in bfloat16")
    ledger.refuse(failed, code=code, what=what, remedy=remedy)


def _shapes(failed: LoadFailed, configured: Configured, weights: Weights, ledger: Ledger) -> None:
    """A vocabulary that was resized without saving the config is one number; anything else is another size of the model."""
    difference = layout.compare(configured.needed, weights.found)
    embedding = weights.found[layout.EMBEDDING]
    only = all(row.startswith((layout.EMBEDDING, layout.HEAD)) for row in difference.mismatched)
    if only and len(embedding.shape) == 2 and embedding.shape[1] == configured.needed[layout.EMBEDDING][1]:
        ledger.refuse(
            failed,
            code="vocabulary-resized",
            what=f"the embedding has {embedding.shape[0]} rows, config.json says vocab_size {configured.text.get('vocab_size')}",
            remedy="`gemmactl inspect --fix` corrects the number; the tokenizer must be the resized one as well",
            correction=_text_correction(configured, vocab_size=embedding.shape[0]),
        )
        return
    ledger.refuse(
        failed,
        code="shape-mismatch",
        what=f"{len(difference.mismatched)} tensors have other shapes than config.json says",
        remedy="config.json is of another size of the model: bring the one that was saved with the weights",
    )


def _text_correction(configured: Configured, **changes: Any) -> Correction:
    """Overrides for settings of the language model, wherever this config keeps them."""
    inner = configured.raw.get("text_config")
    values: dict[str, Any] = {"text_config": {**inner, **changes}} if isinstance(inner, Mapping) else changes
    return Correction(overrides={contract.CONFIG: values})


def _layers(names: Iterable[str]) -> str:
    numbers = sorted({int(m[1]) for n in names if (m := _LAYER.match(n))})
    if not numbers:
        return ""
    return f" (layer {numbers[0]})" if len(numbers) == 1 else f" (layers {numbers[0]} to {numbers[-1]})"


def _names(configured: Configured, weights: Weights, ledger: Ledger) -> None:
    wrapped = [t.name for t in weights.tensors if t.name.startswith(layout.PEFT)]
    if wrapped:
        ledger.add(
            "peft-prefix",
            "warning",
            wrapped[0],
            f"{len(wrapped)} keys carry PEFT's prefix; gemmactl strips it, other servers find none of their weights",
            evidence=wrapped[0],
            remedy="save the merged model without the wrapper: model.merge_and_unload().save_pretrained(...)",
        )
        return
    renamed = [t.name for own, t in weights.found.items() if t.name != own]
    if renamed:
        ledger.add(
            "keys-renamed",
            "note",
            renamed[0],
            f"{len(renamed)} keys are read under the names of {configured.family.text_class if configured.family else 'a class'}",
            evidence=f"{renamed[0]} -> {layout.serving_name(renamed[0], configured.family or GEMMA3)}",
        )


def _formats(configured: Configured, weights: Weights, ledger: Ledger) -> None:
    stored, said = weights.dtypes, configured.dtype
    halves = sum(t.dtype == "F16" for t in weights.found.values())
    if halves or said == "float16":
        known = configured.family in (None, GEMMA3)
        ledger.add(
            "float16",
            "warning",
            contract.CONFIG,
            "float16: Gemma 3 overflows in it, so it is served in bfloat16; other servers answer nothing or NaN"
            if known
            else "float16: it is served in bfloat16, as it was trained; other servers may overflow",
            evidence=f"{halves} of {len(weights.found)} tensors stored in float16, config.json says {said or 'nothing'}",
            remedy="train and merge in bfloat16; if the fine-tune ran in float16, look for NaN with `gemmactl inspect --deep`",
        )
    if stored[:1] == ("F32",):
        ledger.add(
            "float32",
            "note",
            contract.CONFIG,
            "the weights are float32: twice the bytes to store and to read at every cold start; they are served in bfloat16",
            evidence=f"{weights.load / 1e9:.2f} GB",
            remedy="save the model in bfloat16",
        )


def _vision(configured: Configured, weights: Weights, ledger: Ledger) -> None:
    if configured.raw.get("model_type") in (configured.family.text_types if configured.family else ()):
        if weights.other:
            ledger.add(
                "vision-unused",
                "note",
                contract.CONFIG,
                "the config is of the text model, and vision tensors lie beside it; they are not loaded",
                evidence=f"{weights.other / 1e6:.1f} MB",
            )
        return
    if configured.family is not None and configured.family.sight is None:
        if weights.other:
            ledger.add(
                "vision-unserved",
                "note",
                contract.CONFIG,
                f"{configured.family.name} is served for text only: what sees and hears in it is not loaded",
                evidence=f"{weights.other / 1e6:.1f} MB",
            )
        return
    if weights.vision is not None:
        ledger.add(
            "vision-present",
            "note",
            contract.CONFIG,
            "the vision tower is there: --images answers images; without it only text is, and its bytes are not loaded",
            evidence=f"{weights.other / 1e6:.1f} MB, {weights.vision.tokens} tokens of the context for each image",
        )
    elif weights.other:
        ledger.add(
            "vision-incomplete",
            "warning",
            contract.CONFIG,
            "there is a vision tower that can't be loaded: text alone can be served",
            evidence=weights.blind,
            remedy="save the whole model if it is to see, or save the text model with its own class",
        )
    elif weights.found:
        ledger.add(
            "vision-absent",
            "warning",
            contract.CONFIG,
            "config.json promises images, and the vision tower is not there: text alone can be served",
            evidence=f"model_type {configured.raw.get('model_type')}, no key of a vision tower",
            remedy="save the whole model if it is to see, or save the text model with its own class",
        )


def _head(configured: Configured, weights: Weights, ledger: Ledger) -> None:
    if layout.HEAD in weights.found and layout.HEAD not in configured.needed:
        head = weights.found[layout.HEAD]
        ledger.add(
            "head-stored",
            "note",
            head.name,
            "the head is tied to the embedding and stored as well; one that differs is used as it is",
            evidence=f"{(head.end - head.begin) / 1e6:.1f} MB",
        )
