"""Owns the table of model families: what a config says a model is, how its answers end, what serves it. Standard library only.

The only file of the packages that names a stop token, a turn mark or a model class; everything else asks a row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from typing import Any, Final


class Engine(StrEnum):
    """What answers for a family."""

    FAST = "fast"
    """gemmactl's own path, built for the family's attention."""
    GENERIC = "generic"
    """gemmactl over transformers' own caches: the same API, slower."""
    VLLM = "vllm"
    """Another server reads the same folder: vLLM."""
    NONE = "none"
    """No text server can."""


@dataclass(frozen=True)
class Turns:
    """How a family marks a conversation; `model` is the name of the answering role."""

    start: str
    end: str
    model: str = "model"


@dataclass(frozen=True)
class Sight:
    """How a family sees. An image is `start`, as many `soft` as it has features, and `end`; classes are transformers'."""

    start: str
    soft: str
    end: str
    tower_type: str
    """model_type of the config's vision_config."""
    tower_class: str
    projector: str
    """Module and class."""
    processor: str
    """The class that makes pixels without torchvision."""
    keys: tuple[tuple[str, str | None], ...]
    """As Family.text_keys, for those that `other_keys` names; None: never used."""


@dataclass(frozen=True)
class Family:
    """One row. `model_types` are the values of config.json; `text_types` those whose config has no text_config inside."""

    key: str
    name: str
    model_types: tuple[str, ...]
    text_types: tuple[str, ...]
    text_class: str
    """transformers' class that answers text."""
    whole_class: str
    """The class with images or sound; the same as `text_class` where there is none."""
    stops: tuple[str, ...]
    """Tokens at which an answer ends: end of text, end of turn."""
    control: tuple[str, ...]
    """Tokens that steer the model: text of a user never becomes one."""
    turns: Turns | None
    text_keys: tuple[tuple[str, str], ...]
    """Key layouts: (pattern at the start of a stored key, what `text_class` says instead), first match wins."""
    other_keys: str
    """Pattern of keys that text-only serving leaves out; empty: none."""
    engine: Engine
    int8: bool
    """Whether its weights may become int8 on arrival: its modules were tried so, against transformers' own."""
    verified: str
    """What was tried with this row, and how."""
    reason: str = ""
    """Why gemmactl's own engine does not serve it, or only slower; empty when it does."""
    way_out: str = ""
    sight: Sight | None = None
    """How this version's engine answers images; None: it doesn't."""
    chosen: Engine | None = None
    """What a deploy takes where nobody names an engine; None: `engine`."""
    kernels: bool = False
    """Whether engine/step.cu computes its layers on a GPU."""

    @property
    def served(self) -> bool:
        """Does the engine of this version load it?"""
        return self.engine in ENGINES_HERE


BEGIN: Final = "<bos>"
"""The first token of every prompt, in all rows."""
ENGINES_HERE: Final = frozenset({Engine.FAST, Engine.GENERIC})
"""The engines that this version has."""

_GEMMA_TURNS: Final = Turns("<start_of_turn>", "<end_of_turn>")
_GEMMA_STOPS: Final = ("<eos>", "<end_of_turn>")
_GEMMA_CONTROL: Final = (BEGIN, "<eos>", "<pad>", "<start_of_turn>", "<end_of_turn>")
_IMAGE_CONTROL: Final = ("<start_of_image>", "<end_of_image>")
_OWN: Final[tuple[tuple[str, str], ...]] = ()
_INSIDE: Final = (
    (r"(?:model\.)?language_model\.model\.", "model."),  # the hub's style; transformers 4.51, 4.57 and 5.x write it
    (r"(?:model\.)?language_model\.lm_head\.", "lm_head."),
    (r"model\.language_model\.", "model."),  # module names since 4.52, in raw state_dict dumps
    (r"language_model\.", "model."),
)
"""A language model inside a larger one, as its writers name it."""
_VISION: Final = r"(?:model\.)?(?:vision_tower|multi_modal_projector)\."
_VISION_AND_SOUND: Final = r"(?:model\.)?(?:vision_tower|audio_tower|embed_vision|embed_audio|multi_modal_projector)\."

_GEMMA3_SIGHT: Final = Sight(
    start="<start_of_image>",
    soft="<image_soft_token>",
    end="<end_of_image>",
    tower_type="siglip_vision_model",
    tower_class="SiglipVisionModel",
    projector="transformers.models.gemma3.modeling_gemma3.Gemma3MultiModalProjector",
    processor="transformers.models.gemma3.image_processing_pil_gemma3.Gemma3ImageProcessorPil",
    keys=(
        # a pooling head and a computed buffer: Gemma 3 looks at neither
        (r"(?:model\.)?vision_tower\.(?:vision_model\.)?(?:head\.|embeddings\.position_ids$)", None),
        (r"(?:model\.)?vision_tower\.(?:vision_model\.)?", "vision_tower."),  # vision_model: until 4.57, and on the hub
        (r"(?:model\.)?multi_modal_projector\.", "multi_modal_projector."),
    ),
)

_MADE: Final = (
    "small ones made, loaded and answered on CPU, against transformers' own loader; no released one, and never on a GPU"
)
_SLOWER: Final = "it is served over transformers' own caches, one sequence after another: slower than Gemma 3 is here"
_VLLM: Final = "vLLM serves the same folder in batches: deploy with --engine vllm"

GEMMA3: Final = Family(
    key="gemma3",
    name="Gemma 3",
    model_types=("gemma3", "gemma3_text"),
    text_types=("gemma3_text",),
    text_class="Gemma3ForCausalLM",
    whole_class="Gemma3ForConditionalGeneration",
    stops=_GEMMA_STOPS,
    control=(*_GEMMA_CONTROL, *_IMAGE_CONTROL, "<image_soft_token>"),
    turns=_GEMMA_TURNS,
    text_keys=_INSIDE,
    other_keys=_VISION,
    engine=Engine.FAST,
    int8=True,
    kernels=True,
    verified="each key layout loaded and answered on CPU, against transformers' own loader; random weights answered on an H100",
    sight=_GEMMA3_SIGHT,
)

FAMILIES: Final[tuple[Family, ...]] = (
    GEMMA3,
    Family(
        key="gemma",
        name="Gemma",
        model_types=("gemma",),
        text_types=("gemma",),
        text_class="GemmaForCausalLM",
        whole_class="GemmaForCausalLM",
        stops=_GEMMA_STOPS,
        control=_GEMMA_CONTROL,
        turns=_GEMMA_TURNS,
        text_keys=_OWN,
        other_keys="",
        engine=Engine.GENERIC,
        int8=True,
        verified=_MADE,
        reason=_SLOWER,
        way_out=_VLLM,
    ),
    Family(
        key="gemma2",
        name="Gemma 2",
        model_types=("gemma2",),
        text_types=("gemma2",),
        text_class="Gemma2ForCausalLM",
        whole_class="Gemma2ForCausalLM",
        stops=_GEMMA_STOPS,
        control=_GEMMA_CONTROL,
        turns=_GEMMA_TURNS,
        text_keys=_OWN,
        other_keys="",
        engine=Engine.GENERIC,
        int8=True,
        verified=_MADE,
        reason=_SLOWER,
        way_out=_VLLM,
    ),
    Family(
        key="gemma3n",
        name="Gemma 3n",
        model_types=("gemma3n", "gemma3n_text"),
        text_types=("gemma3n_text",),
        text_class="Gemma3nForCausalLM",
        whole_class="Gemma3nForConditionalGeneration",
        stops=_GEMMA_STOPS,
        control=(*_GEMMA_CONTROL, *_IMAGE_CONTROL, "<image_soft_token>", "<audio_soft_token>"),
        turns=_GEMMA_TURNS,
        text_keys=_INSIDE,
        other_keys=_VISION_AND_SOUND,
        engine=Engine.GENERIC,
        int8=False,
        verified=_MADE,
        reason=_SLOWER,
        way_out=_VLLM,
    ),
    Family(
        key="gemma4",
        name="Gemma 4",
        model_types=("gemma4", "gemma4_text"),
        text_types=("gemma4_text",),
        text_class="Gemma4ForCausalLM",
        whole_class="Gemma4ForConditionalGeneration",
        stops=("<eos>", "<turn|>"),
        control=(BEGIN, "<eos>", "<pad>", "<|turn>", "<turn|>"),
        turns=Turns("<|turn>", "<turn|>"),
        text_keys=_INSIDE,
        other_keys=_VISION_AND_SOUND,
        engine=Engine.GENERIC,
        int8=False,
        verified=f"{_MADE}; turn marks from its own serving table",
        reason=_SLOWER,
        way_out="vLLM serves the same folder in batches: a deploy takes it (--engine vllm) unless --engine gemmactl is said",
        chosen=Engine.VLLM,
    ),
    Family(
        key="embeddinggemma",
        name="EmbeddingGemma",
        model_types=("embedding_gemma2", "embedding_gemma2_text"),
        text_types=("embedding_gemma2_text",),
        text_class="Gemma3TextModel",
        whole_class="Gemma3TextModel",
        stops=(),
        control=_GEMMA_CONTROL,
        turns=None,
        text_keys=_OWN,
        other_keys="",
        engine=Engine.NONE,
        int8=False,
        verified="recognised by its config (bidirectional attention, a class without a head); not run",
        reason="it makes vectors, not text",
        way_out="serve it with an embedding server, such as Text Embeddings Inference, or sentence-transformers",
    ),
)

EMBEDDING: Final = FAMILIES[-1]


def of(config: Mapping[str, Any]) -> Family | None:
    """The row of a config.json; None for a type that no row has.

    EmbeddingGemma calls itself gemma3_text: told by its attention, which sees both ways, or its class without a head.
    """
    kind = config.get("model_type")
    found = next((row for row in FAMILIES if kind in row.model_types), None)
    if found is GEMMA3:
        named = config.get("architectures")
        headless = isinstance(named, list) and named == [EMBEDDING.text_class]
        if headless or config.get("use_bidirectional_attention") is True:
            return EMBEDDING
    return found


def nearest(kind: object) -> Family | None:
    """The row whose type looks most like an unknown one; None when it is not a name at all."""
    if not isinstance(kind, str) or not kind:
        return None
    from difflib import SequenceMatcher

    def likeness(row: Family) -> float:
        return max(SequenceMatcher(None, kind.lower(), one).ratio() for one in row.model_types)

    return max(FAMILIES, key=likeness)


def named(path: str) -> Any:
    """A class by its module and name. Any: what the table names is imported where it is used."""
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def own_name(row: Family, key: str, *, images: bool = False) -> str | None:
    """A stored key as the row's `text_class` calls it; None for what is left out: with `images` nothing that they need."""
    other = bool(row.other_keys and re.match(row.other_keys, key))
    if other and (not images or row.sight is None):
        return None
    for pattern, own in row.sight.keys if other and row.sight else row.text_keys:
        if found := re.match(pattern, key):
            return None if own is None else own + key[found.end() :]
    return None if other else key
