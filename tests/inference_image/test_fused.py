"""Prompts and steps in kernels of our own, their threads played on a CPU: held to modules over the same cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inference_image.engine import fused, fused_weights, kernels
from inference_image.engine.schedule import Part
from tests.inference_image import cuda_on_cpu, judge
from tests.inference_image.played import Played, players

VOCABULARY = 40


@pytest.fixture(scope="module")
def library(tool: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, bool], Any]:
    compiler, known = tool("g++"), {}

    def made(share: int, int8: bool) -> Any:
        if (share, int8) not in known:
            source = kernels.source() + players(kernels.source(), int8=int8)
            place = tmp_path_factory.mktemp("kernels")
            known[share, int8] = cuda_on_cpu.library(compiler, source, kernels.options(share, int8=int8), place)
        return known[share, int8]

    return made


def _model(heads: int, keys: int, *, int8: bool) -> Any:
    import torch
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    torch.manual_seed(heads)
    config = Gemma3TextConfig(
        vocab_size=VOCABULARY, hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=heads,
        num_key_value_heads=keys, head_dim=256, sliding_window=64, max_position_embeddings=512, query_pre_attn_scalar=256,
        layer_types=["sliding_attention", "full_attention"], dtype="bfloat16",
    )  # fmt: skip
    model = Gemma3ForCausalLM(config).to(torch.bfloat16).eval()
    with torch.no_grad():
        for name, one in model.named_parameters():
            one.copy_(torch.randn(one.shape) * (0.3 if "norm" in name else 0.06))
    model = judge.ours(model)
    if int8:
        from inference_image.engine import int8 as modules
        from inference_image.quantize import Int8, quantize

        weights = {name: one.clone() for name, one in model.named_parameters()}
        for name in modules.quantized(model):
            module = model.get_submodule(name.removesuffix(".weight"))
            source = weights[name] if name in weights else weights["model.embed_tokens.weight"]
            quantize(source, Int8(module.weight, module.weight_scale))
    return model


def _side_by_side(model: Any) -> None:
    """Matrices of the same input in one piece of memory, as they are loaded on a GPU."""
    import torch

    for layer in model.model.layers:
        for modules in (
            [layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj],
            [layer.mlp.gate_proj, layer.mlp.up_proj],
        ):
            whole = torch.cat([one.weight for one in modules])
            for module, part in zip(modules, whole.split([len(one.weight) for one in modules]), strict=True):
                module.weight = torch.nn.Parameter(part, requires_grad=False)


def _near(ours: Any, theirs: Any) -> bool:
    """Within what bfloat16 leaves of two layers, and no worse anywhere by far."""
    apart = (ours.float() - theirs.float()).norm() / theirs.float().norm()
    return bool(ours.isfinite().all()) and float(apart) < 0.02


@pytest.mark.parametrize(
    ("heads", "keys", "held", "int8"),
    [
        (2, 1, [3], False),
        (4, 2, [70, 1, 130, 64, 9], False),
        (4, 2, [65, 140], True),
        (4, 1, [5, 6, 7, 8, 9, 10, 11, 12, 80], True),
        (1, 1, [63 + n for n in range(18)], False),
    ],
    ids=["one", "some", "int8", "nine-int8", "eighteen"],
)
def test_passes_are_the_modules_own(library: Any, heads: int, keys: int, held: list[int], int8: bool) -> None:
    """Prompts in parts and steps, rows inside and beyond the window, few and many: the modules' logits over the same cache."""
    from inference_image.engine.slots import Slots

    model = _model(heads, keys, int8=int8)
    if len(held) > 8:
        _side_by_side(model)
    assert fused_weights.unfit(model) is None
    played = Played(library(heads // keys, int8))
    theirs = Slots(model, len(held), 256)
    ours = Slots(model, len(held), 256, passes=lambda model, cache: fused.Passes(model, cache, played))
    prompts = [[(row + at * 7) % VOCABULARY for at in range(count)] for row, count in enumerate(held)]
    halves = [[Part(row, 0, ids[: len(ids) // 2], last=False) for row, ids in enumerate(prompts) if len(ids) > 1]]
    halves += [[Part(row, len(ids) // 2, ids[len(ids) // 2 :], last=True) for row, ids in enumerate(prompts)]]
    for parts in halves:
        mine, true = ours.prompt(parts), theirs.prompt(parts)
        assert mine.shape == true.shape
        assert not len(true) or _near(mine, true)
    tokens, at = list(range(1, len(held) + 1)), held
    for _ in range(2):
        mine, true = ours.decode(tokens, at), theirs.decode(tokens, at)
        assert _near(mine, true)
        tokens, at = true.argmax(-1).tolist(), [one + 1 for one in at]
    for own, other in zip((*ours.cache.keys, *ours.cache.values), (*theirs.cache.keys, *theirs.cache.values), strict=True):
        assert _near(own, other), "keys and values went elsewhere"
    assert {"start", "attend", "turn", "join"} < set(played.started)


class Counted:
    """Passes that only count."""

    def __init__(self) -> None:
        self.asked = 0

    def decode(self, tokens: Any, positions: Any, reach: int) -> Any:
        self.asked += 1
        return tokens.new_zeros(len(tokens), VOCABULARY)

    def prompt(self, tokens: Any, positions: Any, step: Any, keep: Any) -> Any:
        self.asked += 1
        return tokens.new_zeros(len(keep), VOCABULARY)


def test_what_hangs_on_the_modules_is_computed_by_them() -> None:
    """A pass with an adapter in it goes through the modules, the next one without through our kernels again."""
    from inference_image.engine.slots import Slots

    counted, alone = Counted(), [True]
    slots = Slots(_model(2, 1, int8=False), 1, 64, passes=lambda *_: counted, alone=lambda: alone[0])
    for alone[0], asked in ((True, 2), (False, 2), (True, 4)):
        slots.prompt([Part(0, 0, [5, 6], last=True)])
        slots.decode([7], [2])
        assert counted.asked == asked


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("head_dim", 128),
        ("hidden_size", 192),
        ("intermediate_size", 200),
        ("attention_bias", True),
        ("final_logit_softcapping", 30.0),
    ],
)
def test_another_architecture_stays_with_the_modules(field: str, value: Any) -> None:
    """What the kernels don't compute is named, not computed wrongly."""
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    sizes = {"hidden_size": 128, "intermediate_size": 256, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 256}
    config = Gemma3TextConfig(**{"vocab_size": 8, "num_hidden_layers": 1, "dtype": "bfloat16", **sizes, field: value})
    theirs = Gemma3ForCausalLM(config).bfloat16()
    why = fused_weights.unfit(judge.ours(theirs))
    assert why is not None
    assert field in why
    assert fused_weights.unfit(theirs) == "not our own"


def test_matrices_of_the_same_input_lie_side_by_side() -> None:
    """Queries, keys and values, and gate and up, in one piece of memory each; not what comes as int8, nor an odd one out."""
    import torch

    from inference_image.layout import Tensor
    from inference_image.weights import neighbours

    def tensor(rows: int, columns: int = 6) -> Tensor:
        return Tensor("x", "BF16", (rows, columns), "shard", 0, 0)

    names = {
        "m.0.self_attn.q_proj": 4,
        "m.0.self_attn.k_proj": 2,
        "m.0.self_attn.v_proj": 2,
        "m.0.mlp.gate_proj": 3,
        "m.0.mlp.up_proj": 3,
    }
    table = {f"{name}.weight": tensor(rows) for name, rows in names.items()}
    made = neighbours(table, torch.device("cpu"), torch.bfloat16, ["m.0.mlp.up_proj.weight"])
    assert {name: tuple(one.shape) for name, one in made.items()} == {
        f"m.0.self_attn.{k}_proj.weight": (n, 6) for k, n in zip("qkv", (4, 2, 2), strict=True)
    }
    first, *others = made.values()
    assert [one.data_ptr() - first.data_ptr() for one in others] == [2 * 6 * 4, 2 * 6 * 6]
    odd = {**table, "m.0.self_attn.v_proj.weight": tensor(2, 5)}
    assert not any("self_attn" in name for name in neighbours(odd, torch.device("cpu"), torch.bfloat16, []))


def test_kernels_that_the_image_has_are_not_compiled_again(tmp_path: Path) -> None:
    """Found by source, GPU and options; without them, and without CUDA's compiler, that is said and nothing is written."""
    assert "compiled at each start: libnvrtc" in kernels.main(["sm_89"], tmp_path / "none")
    assert not (tmp_path / "none").exists()
    (tmp_path / kernels.name_of("sm_89", 2, int8=False)).write_bytes(b"machine code")
    assert kernels.code("sm_89", 2, int8=False, built=tmp_path) == b"machine code"
    for gpu, share, int8 in (("sm_90", 2, False), ("sm_89", 4, False), ("sm_89", 2, True)):
        with pytest.raises(OSError, match="libnvrtc"):
            kernels.code(gpu, share, int8=int8, built=tmp_path)


def _recorded(compute: Any) -> Any:
    """What a graph does: the same memory is filled at each replay."""
    made = compute()
    return lambda: made.copy_(compute()), made


def test_a_row_that_waits_beyond_the_reach_of_the_others_is_right_again_later(library: Any) -> None:
    """A recorded step of four rows for three live ones; the fourth, long one, then begins a short prompt."""
    from inference_image.engine.slots import Slots

    model, ours_now = _model(4, 2, int8=False), [False]
    played = Played(library(2, False))
    theirs = Slots(model, 4, 640)
    ours = Slots(model, 4, 640, record=_recorded, passes=lambda *two: fused.Passes(*two, played), alone=lambda: ours_now[0])

    def read(*rows: tuple[int, int]) -> None:
        parts = [Part(row, 0, [(row + 7 * at) % VOCABULARY for at in range(count)], last=True) for row, count in rows]
        ours.prompt(parts)
        theirs.prompt(parts)

    read((0, 9), (1, 9), (2, 9), (3, 600))
    ours_now[0] = True
    assert _near(ours.decode([1, 2, 3], [9, 9, 9]), theirs.decode([1, 2, 3], [9, 9, 9]))
    ours_now[0] = False
    read((3, 50))
    ours_now[0] = True
    mine, true = ours.decode([1, 2, 3, 4], [10, 10, 10, 50]), theirs.decode([1, 2, 3, 4], [10, 10, 10, 50])
    assert all(_near(one, other) for one, other in zip(mine, true, strict=True))


def test_kernels_that_give_other_logits_are_not_used(library: Any) -> None:
    """Right ones stay; with wrong ones modules compute, also steps that were recorded, and the cache is empty again."""
    from inference_image.engine.slots import Slots

    model, counted = _model(4, 2, int8=False), Counted()
    good = Slots(model, 2, 128, passes=lambda *two: fused.Passes(*two, Played(library(2, False))))
    assert good.proven()
    assert good._passes is not None
    wrong, true = Slots(model, 2, 128, record=_recorded, passes=lambda *_: counted), Slots(model, 2, 128)
    wrong.decode([5], [0])
    assert not wrong.proven()
    assert not any(layer.any() for layer in (*wrong.cache.keys, *wrong.cache.values))
    asked = counted.asked
    for slots in (wrong, true):
        slots.prompt([Part(0, 0, [5, 6, 7], last=True)])
    assert _near(wrong.decode([8], [3]), true.decode([8], [3]))
    assert counted.asked == asked


def test_attention_that_lies_token_by_token() -> None:
    """The kernel that torch chooses on an L4 lays its answer out otherwise than a CPU's: the same logits."""
    import torch
    import torch.nn.functional as F  # noqa: N812 - its usual name
    from torch.overrides import TorchFunctionMode

    from inference_image.engine.slots import Slots

    class AsOnAnL4(TorchFunctionMode):
        def __torch_function__(self, called: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            made = called(*args, **(kwargs or {}))
            return made.transpose(1, 2).contiguous().transpose(1, 2) if called is F.scaled_dot_product_attention else made

    slots = Slots(_model(4, 2, int8=False), 1, 64)
    halves = [Part(0, 0, [5, 6, 7], last=False), Part(0, 3, [8, 9], last=True)]
    plain = [slots.prompt([one]) for one in halves][1]
    with AsOnAnL4():
        assert torch.equal([slots.prompt([one]) for one in halves][1], plain)
