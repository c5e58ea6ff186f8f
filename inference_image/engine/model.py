"""Owns the model: built without memory of its own, then given the tensors that arrived. Knows no source of bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inference_image import contract, layout
from inference_image.contract import Code, LoadFailed
from inference_image.engine import language_config
from inference_image.engine.language_config import LanguageConfig
from inference_image.families import Engine, Family
from inference_image.hardware import gpu_driver
from inference_image.quantize import scale_name

if TYPE_CHECKING:
    import torch


def choose_device(wanted: str) -> torch.device:
    """`auto` is cuda where there is one. A machine with a GPU that torch can't use is a failure, not a slow CPU service."""
    import torch

    if wanted == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        try:
            torch.cuda.init()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        except RuntimeError as error:
            raise LoadFailed(Code.GPU_UNAVAILABLE, contract.ENV_DEVICE, first_line(error)) from None
        return torch.device("cuda", torch.cuda.current_device())
    driver = gpu_driver()
    if wanted == "cuda" or driver:
        built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
        there = "there is a GPU driver" if driver else "no GPU driver was found"
        detail = f"no usable GPU: {there}; this torch is built {built}; {contract.ENV_DEVICE}=cpu serves without"
        raise LoadFailed(Code.GPU_UNAVAILABLE, contract.ENV_DEVICE, detail)
    return torch.device("cpu")


def choose_dtype(wanted: str, device: torch.device, computes: Callable[[], bool] | None = None) -> torch.dtype:
    """`auto` is bfloat16, or float32 on a GPU that does not compute in it (before Ampere); never float16.

    `computes`: asks the GPU; by default torch does.
    """
    import torch

    if wanted == "auto" and device.type == "cuda":
        able = computes() if computes is not None else torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if able else torch.float32
    return torch.float32 if wanted == "float32" else torch.bfloat16


def unclaimed(row: Family, raw: Mapping[str, Any]) -> str | None:
    """Why transformers' modules compute a model of these settings (text_config's result); None: ours do."""
    return language_config.unclaimed(raw) if row.engine is Engine.FAST else f"{row.name} has other layers"


def build(row: Family, raw: Mapping[str, Any], dtype: torch.dtype, device: torch.device) -> Any:
    """The modules of a model, parameters without memory yet, buffers on the device. Any: ours, or transformers' own.

    Raises LoadFailed: config_invalid, family_unsupported.
    """
    if unclaimed(row, raw) is None:
        from inference_image.engine.language import Language

        return Language(LanguageConfig.of(raw), dtype, device).train(mode=False)
    from inference_image.engine import borrowed

    return borrowed.build(row, borrowed.text_config(row, raw, dtype), dtype, device)


def twin(row: Family, config: Any) -> Any:
    """The smallest model of the same kind, of zeros, on CPU: to rehearse what a step calls without touching real weights.

    Any: as in build().
    """
    import torch

    if not isinstance(config, LanguageConfig):
        from inference_image.engine import borrowed

        return borrowed.twin(row, config)
    from inference_image.engine.language import Language

    made = Language(config.smallest(), torch.float32, torch.device("cpu")).train(mode=False)
    assign(made, {name: torch.zeros(shape) for name, shape in needed(made).items()})
    return made


def needed(model: Any) -> dict[str, tuple[int, ...]]:
    """{name: shape} of what the model itself wants, its tied head left out."""
    return {
        name: tuple(tensor.shape)
        for name, tensor in model.state_dict().items()
        if not (name == layout.HEAD and model.config.tie_word_embeddings)
    }


def quantize(model: Any, row: Family) -> frozenset[str]:
    """Make ready for int8 weights; the names of those that must come as such. Raises LoadFailed(setting_invalid)."""
    from inference_image.engine import int8

    if not row.int8:
        detail = f"int8 was never tried with {row.name}: leave it out"
        raise LoadFailed(Code.SETTING_INVALID, contract.ENV_QUANTIZE, detail)
    return int8.quantized(model, row.other_keys)


def assign(model: Any, tensors: Mapping[str, torch.Tensor]) -> None:
    """Give the model its tensors, without a copy, filled or not, and tie the head. A stored head is its own until tie_if_equal().

    Raises LoadFailed when a parameter stays without one.
    """
    if layout.HEAD in tensors:
        _say_tied(model, tied=False)
    result = model.load_state_dict(tensors, strict=False, assign=True)
    if model.config.tie_word_embeddings:
        _tie(model)
    model.requires_grad_(requires_grad=False)
    empty = [name for name, one in (*model.named_parameters(), *model.named_buffers()) if one.is_meta]
    if empty or result.unexpected_keys:
        raise LoadFailed(Code.KEYS_MISSING, contract.CONFIG, f"no tensor for {', '.join((empty + result.unexpected_keys)[:3])}")


def tie_if_equal(model: Any, config: Mapping[str, Any]) -> None:
    """Raw dumps of a tied model store its head as well: it is tied again now that its bytes are there.

    One that differs was trained apart: transformers then doesn't tie, nor do we.
    """
    import torch

    head, embedding = model.lm_head, model.get_input_embeddings()
    if head.weight is embedding.weight or not config.get("tie_word_embeddings", True):
        return
    names = [name for name in ("weight", scale_name("weight")) if hasattr(head, name)]
    if all(torch.equal(getattr(head, name), getattr(embedding, name)) for name in names):
        _say_tied(model, tied=True)
        _tie(model)


def _say_tied(model: Any, *, tied: bool) -> None:
    if isinstance(model.config, LanguageConfig):
        model.config = replace(model.config, tie_word_embeddings=tied)
    else:
        model.config.tie_word_embeddings = tied


def _tie(model: Any) -> None:
    """The head computes with the embedding's own memory."""
    model.tie_weights()
    scale = scale_name("weight")
    if hasattr(model.lm_head, scale):
        setattr(model.lm_head, scale, getattr(model.get_input_embeddings(), scale))


def first_line(error: BaseException) -> str:
    """What a LoadFailed tells of it."""
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"[:300]
