"""Owns the model: built without memory of its own, then given the tensors that arrived. Knows no source of bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from inference_image import contract, layout
from inference_image.contract import Code, LoadFailed
from inference_image.families import Family
from inference_image.hardware import gpu_driver
from inference_image.quantize import scale_name

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def choose_device(wanted: str) -> torch.device:
    """`auto` is cuda where there is one. A machine with a GPU that torch can't use is a failure, not a slow CPU service."""
    import torch

    if wanted == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        try:
            torch.cuda.init()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        except RuntimeError as error:
            raise LoadFailed(Code.GPU_UNAVAILABLE, contract.ENV_DEVICE, _first_line(error)) from None
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


def _class(row: Family) -> Any:
    """The class of transformers for the row's text. Any: the table knows its name only, and its config's fields are its own.

    Raises LoadFailed(family_unsupported) when the installed transformers doesn't have it.
    """
    import transformers

    kind = getattr(transformers, row.text_class, None)
    if kind is None:
        detail = f"{row.name} needs {row.text_class}, which transformers {transformers.__version__} doesn't have; {row.way_out}"
        raise LoadFailed(Code.FAMILY_UNSUPPORTED, contract.CONFIG, detail)
    return kind


def text_config(row: Family, raw: Mapping[str, Any], dtype: torch.dtype) -> Any:
    """The config as transformers reads it, in every spelling since 4.51.

    Raises LoadFailed: config_invalid, family_unsupported.
    """
    kind = _class(row)
    try:
        # Its own ids of control tokens serve training and sampling: ours come from the files. It also changes what it is given.
        own = {
            name: deepcopy(value) for name, value in raw.items() if name not in {"bos_token_id", "eos_token_id", "pad_token_id"}
        }
        own |= {"bos_token_id": None, "eos_token_id": None, "model_type": row.text_types[0]}
        config = kind.config_class.from_dict(own)
        config.dtype = dtype
        if getattr(config, "attn_logit_softcapping", None) is not None:
            # Other kernels leave the cap out without a word, also where transformers 5.17 chooses them by itself.
            config._attn_implementation = "eager"  # noqa: SLF001 - transformers' own name for an argument of from_pretrained
    except Exception as error:  # noqa: BLE001 - a config from outside can break transformers anywhere
        raise LoadFailed(Code.CONFIG_INVALID, contract.CONFIG, _first_line(error)) from None
    return config


def build(row: Family, config: Any, dtype: torch.dtype, device: torch.device) -> PreTrainedModel:
    """The modules of a model of the row whose parameters have no memory yet; computed buffers are real and on the device."""
    import torch

    try:
        with _default_dtype(dtype), torch.device("meta"):
            model: PreTrainedModel = _class(row)(config)
        _fill_buffers(model, model, device)
    except LoadFailed:
        raise
    except Exception as error:  # noqa: BLE001 - as in text_config
        raise LoadFailed(Code.CONFIG_INVALID, contract.CONFIG, _first_line(error)) from None
    model.train(mode=False)
    return model


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """As from_pretrained builds: scales that are buffers have the model's dtype, rotary frequencies ask for float32."""
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _fill_buffers(module: torch.nn.Module, owner: PreTrainedModel, device: torch.device) -> None:
    """What is no part of a checkpoint (rotary frequencies, scales), as from_pretrained computes it: by the class's own rules.

    Those rules look for some sizes on the inner model that owns a module. Raises LoadFailed for a buffer that they leave out.
    """
    import torch
    from transformers import PreTrainedModel

    for child in module.children():
        _fill_buffers(child, child if isinstance(child, PreTrainedModel) else owner, device)
    own = dict(module.named_buffers(recurse=False))
    computed = own.keys() - module.state_dict(keep_vars=True).keys() if own else set()
    if not computed:
        return
    for name in computed:
        module.register_buffer(name, torch.full_like(own[name], torch.nan, device="cpu"), persistent=False)
    # What from_pretrained calls; parameters are on meta, where it changes nothing.
    owner._init_weights(module)  # type: ignore[no-untyped-call]  # noqa: SLF001 - transformers leaves it untyped
    for name in computed:
        made = module.get_buffer(name)
        if not bool(torch.isfinite(made).all()):
            detail = f"this transformers does not say what {type(module).__name__}.{name} is"
            raise LoadFailed(Code.FAMILY_UNSUPPORTED, contract.CONFIG, detail)
        module.register_buffer(name, made.to(device), persistent=False)


def needed(model: PreTrainedModel) -> dict[str, tuple[int, ...]]:
    """{name: shape} of what the model itself wants, its tied head left out."""
    return {
        name: tuple(tensor.shape)
        for name, tensor in model.state_dict().items()
        if not (name == layout.HEAD and model.config.tie_word_embeddings)
    }


def quantize(model: PreTrainedModel, row: Family) -> frozenset[str]:
    """Make ready for int8 weights; the names of those that must come as such. Raises LoadFailed(setting_invalid)."""
    from inference_image.engine import int8

    if not row.int8:
        detail = f"int8 was never tried with {row.name}: leave it out"
        raise LoadFailed(Code.SETTING_INVALID, contract.ENV_QUANTIZE, detail)
    return int8.quantized(model, row.other_keys)


def assign(model: PreTrainedModel, tensors: Mapping[str, torch.Tensor]) -> None:
    """Give the model its tensors, without a copy, filled or not, and tie the head. A stored head is its own until tie_if_equal().

    Raises LoadFailed when a parameter stays without one.
    """
    if layout.HEAD in tensors:
        model.config.tie_word_embeddings = False
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
        model.config.tie_word_embeddings = True
        _tie(model)


def _tie(model: Any) -> None:
    """The head computes with the embedding's own memory."""
    model.tie_weights()
    scale = scale_name("weight")
    if hasattr(model.lm_head, scale):
        setattr(model.lm_head, scale, getattr(model.get_input_embeddings(), scale))


def twin(row: Family, config: Any) -> PreTrainedModel:
    """The smallest model of the same kind, of zeros, on CPU: to rehearse what a step calls without touching real weights."""
    import torch

    with torch.device("cpu"):
        made: PreTrainedModel = _class(row)(_smallest(row, config))
    made.requires_grad_(requires_grad=False)
    for one in made.parameters():
        one.zero_()
    made.train(mode=False)
    return made


def _smallest(row: Family, config: Any) -> Any:
    """One layer of each kind, one head, the real head's width: what computed buffers depend on stays."""
    kinds = list(dict.fromkeys(config.layer_types or ()))
    settings = config.to_dict() | {
        "num_hidden_layers": len(kinds), "layer_types": kinds, "vocab_size": 8, "intermediate_size": 1, "pad_token_id": 0,
        "num_attention_heads": 1, "num_key_value_heads": 1,
    }  # fmt: skip
    return _class(row).config_class.from_dict(settings)


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"[:300]
