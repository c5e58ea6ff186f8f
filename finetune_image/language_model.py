"""Owns how a base model is read to be trained: class, precision, quantisation, and which layers get an adapter. Knows no data."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from finetune_image import memory
from finetune_image.contract import Code, TuneFailed
from inference_image import families
from inference_image.families import Family

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from finetune_image.run import Wish

TRAINED: Final = ("gemma", "gemma2", "gemma3")
"""Keys of inference_image.families that this version trains."""
_EAGER: Final = ("gemma2",)
"""Families whose attention caps its logits: torch's own attention can't, so it is written out."""
SMALL: Final = 5_000_000_000
"""Most parameters that `quantize: auto` leaves in bfloat16: "4B" is 4.3e9 with its images, 8.6 GB of an L4's 24."""
_LINEAR: Final = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_TARGETS: Final[Mapping[str, Sequence[str]]] = {
    "language-linear": _LINEAR,
    "attention": _LINEAR[:4],
    "query-value": ("q_proj", "v_proj"),
}
_LOAD: Final = "model.safetensors or its shards"


@dataclass(frozen=True)
class Language:
    """What is trained, before any adapter. `nf4`: its weights are in 4 bits; `parameters`: of the model as published."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    family: Family
    nf4: bool
    parameters: int


def family_of(folder: Path) -> Family:
    """The family of a checkpoint. Raises TuneFailed(model_invalid): none, one not trained here, quantised weights."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text())
        found = families.of(config)
    except (OSError, ValueError, AttributeError) as error:
        raise TuneFailed(Code.MODEL_INVALID, "config.json", str(error)[:200], "name a folder with a whole model") from None
    if found is None or found.key not in TRAINED:
        what = found.name if found else f"model_type {config.get('model_type')!r}"
        named = ", ".join(row.name for row in families.FAMILIES if row.key in TRAINED)
        raise TuneFailed(Code.MODEL_INVALID, "config.json", f"{what} is not trained by this version", f"train one of {named}")
    if config.get("quantization_config"):
        advice = ("name the original model: quantize: nf4 makes four bits of it while it is read",)
        raise TuneFailed(Code.MODEL_INVALID, "config.json", "its weights are quantised: nothing can be merged into them", *advice)
    return found


def size(folder: Path) -> int:
    """Parameters of a checkpoint, from the headers of its files alone; a weight that is stored twice counts twice."""
    total = 0
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            try:
                header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
            except ValueError:
                raise TuneFailed(Code.MODEL_INVALID, path.name, "it is no whole safetensors file") from None
        for name, row in header.items():
            if name != "__metadata__":
                count = 1
                for side in row["shape"]:
                    count *= side
                total += count
    return total


def in_nf4(wish: Wish, parameters: int) -> bool:
    """auto: nf4 only where bfloat16 leaves no room on an L4: it costs time in each pass."""
    return wish.quantize == "nf4" or (wish.quantize == "auto" and parameters > SMALL)


def read(wish: Wish, folder: Path, *, device: str, dtype: str) -> Language:
    """Model and tokenizer, ready to get an adapter.

    `device`: torch's word, `cpu` or `cuda:0`; `dtype`: bfloat16 or float32.

    Raises:
        TuneFailed: (model_invalid) a family that isn't trained here, weights that are missing or have other shapes, no tokenizer;
            (settings_invalid) a precision that Gemma can't be trained in.
    """
    if dtype not in ("bfloat16", "float32"):
        raise TuneFailed(Code.SETTINGS_INVALID, "dtype", f"Gemma overflows in {dtype}: bfloat16 is what it is trained in")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    family, parameters = family_of(folder), size(folder)
    nf4, precision = in_nf4(wish, parameters), getattr(torch, dtype)
    told: dict[str, Any] = {"attn_implementation": "eager" if family.key in _EAGER else "sdpa"}
    if nf4:
        told["quantization_config"] = BitsAndBytesConfig(  # type: ignore[no-untyped-call]  # transformers leaves it untyped
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=precision,
        )
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=precision, device_map={"": device}, output_loading_info=True,
            local_files_only=True, trust_remote_code=False, **told,
        )  # fmt: skip
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        if memory.of_gpu(error):
            raise
        raise TuneFailed(Code.MODEL_INVALID, _LOAD, str(error)[:300]) from error
    model, found = loaded
    require_whole(found)
    return Language(model, tokenizer, family, nf4, parameters)


def require_whole(found: Mapping[str, Any]) -> None:
    """What a checkpoint lacks, transformers fills with random numbers and only logs it. Raises TuneFailed(model_invalid)."""
    lacking = [*found.get("missing_keys", ()), *(str(one[0]) for one in found.get("mismatched_keys", ()))]
    if lacking:
        detail = f"{len(lacking)} weights are missing or have other shapes, such as {min(lacking)}"
        raise TuneFailed(Code.MODEL_INVALID, _LOAD, detail, "name the folder of a whole model", "or copy it again")


def targets(model: PreTrainedModel, family: Family, target: str) -> list[str]:
    """Full names of the linear layers that get an adapter: of the language model only.

    Servers can't load adapters of what sees or hears, and the head is the embedding's own matrix.
    """
    from torch import nn

    wanted = _TARGETS[target]
    other = re.compile(family.other_keys or "(?!)")
    found = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.rpartition(".")[2] in wanted and not other.match(name)
    ]
    if not found:
        raise TuneFailed(Code.MODEL_INVALID, "config.json", f"the model has no linear layers named {', '.join(wanted)}")
    return found


def leaves(names: list[str]) -> list[str]:
    """Their last words, as adapter_config.json has them: what servers look for."""
    return sorted({name.rpartition(".")[2] for name in names})


def others(model: PreTrainedModel, family: Family) -> str | None:
    """Pattern of what never gets an adapter, for PEFT's exclude_modules; None where the model only reads."""
    other = family.other_keys
    return f"{other}.*" if other and any(re.match(other, f"{name}.") for name, _ in model.named_modules()) else None
