"""Owns models of transformers' own classes, where ours are not meant for them: built without memory, and run over our cache.

Importing those classes takes seconds, so nothing else of the engine does it for a model that language.py computes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final

from inference_image import contract
from inference_image.contract import Code, LoadFailed
from inference_image.engine.attention import Forward, Step
from inference_image.engine.model import first_line
from inference_image.families import Family

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

NAME: Final = "gemmactl_slots"
"""What our attention is registered as with transformers."""


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
        raise LoadFailed(Code.CONFIG_INVALID, contract.CONFIG, first_line(error)) from None
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
        raise LoadFailed(Code.CONFIG_INVALID, contract.CONFIG, first_line(error)) from None
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


# --- over our own cache ---------------------------------------------------------------------------


def over_our_cache(model: Any) -> Forward:
    """A step of transformers' modules: they call `attend` in place of their own function and hand it the step as their mask.

    That is the only seam, the same in every version since 5.17. Any: a PreTrainedModel's own forward is not in its types.
    """
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attend)
    model.set_attn_implementation(NAME)

    def forward(
        ids: torch.Tensor, positions: torch.Tensor, step: Step, keep: int | torch.Tensor, embedded: torch.Tensor | None = None
    ) -> torch.Tensor:
        read = {"input_ids": ids} if embedded is None else {"inputs_embeds": embedded}
        masks = {"full_attention": step, "sliding_attention": step}
        made: torch.Tensor = model(
            **read, position_ids=positions, attention_mask=masks, use_cache=False, logits_to_keep=keep
        ).logits
        return made

    return forward


def attend(
    module: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, attention_mask: Step, scaling: float, **_: Any
) -> tuple[torch.Tensor, None]:
    """Transformers' signature; the answer is [batch, tokens, heads, width]."""
    return attention_mask.attend(module.layer_idx, q, k, v, scaling).transpose(1, 2), None
