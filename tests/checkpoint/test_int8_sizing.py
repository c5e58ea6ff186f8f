"""--quantize int8 in the sizes: bytes of the real architectures, what fits an L4 then, and who is told of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Gemma3ForCausalLM, Gemma3TextConfig

from gemmactl.checkpoint import arithmetic
from gemmactl.checkpoint.memory import WIDENED, Architecture, demand
from gemmactl.checkpoint.room import Room
from gemmactl.checkpoint.sizing import Sizing, Weights, derive
from gemmactl.errors import Exit, Trouble
from gemmactl.limits import L4
from gemmactl.serving.inspection import Look, show
from gemmactl.serving.wishes import wishes
from gemmactl.spec import Serve, parse_model
from inference_image.contract import ENV_DTYPE, ENV_QUANTIZE
from inference_image.engine.int8 import BLOCK as BLOCK_WIDENED
from inference_image.engine.int8 import quantized
from inference_image.quantize import BLOCK as BLOCK_MADE
from tests.checkpoint.architectures import CONFIGS, folder
from tests.serving.ear import Ear, settings
from tests.serving.test_inspection import on_disk, text

WISH = Serve("demo-proj", "us-central1", parse_model("gs://weights/m"), "gemma")
INT8 = replace(WISH, env=((ENV_QUANTIZE, "int8"),))


def weights(name: str, stored: int = 2) -> Weights:
    shape = Architecture.of(CONFIGS[name])
    return Weights(shape, shape.parameters * stored)


def sized(name: str, wish: Serve = INT8, stored: int = 2) -> Sizing:
    made = weights(name, stored)
    return derive(wish, made, made.bytes, Room())


@pytest.mark.parametrize("name", ["270m", "12b"])
def test_bytes_are_those_of_the_real_modules(name: str) -> None:
    """The architecture built on meta, its modules exchanged as a load does it: parameters and buffers, each counted once."""
    sizes = {key: value for key, value in CONFIGS[name].items() if key != "model_type"}
    with torch.device("meta"):
        model = Gemma3ForCausalLM(Gemma3TextConfig(**sizes)).to(torch.bfloat16)
    quantized(model)
    state = {key: one for key, one in model.state_dict().items() if not key.startswith("lm_head.")}
    assert Architecture.of(CONFIGS[name]).weights(int8=True) == sum(one.numel() * one.element_size() for one in state.values())


def test_what_is_widened_is_counted() -> None:
    """A block in the model's dtype, in float32 at most; while rows are made of bytes three float32 copies and what came."""
    assert 4 * BLOCK_WIDENED <= WIDENED
    assert (3 * 4 + 4) * BLOCK_MADE <= WIDENED


def test_a_12b_fits_an_l4() -> None:
    """Refused in bfloat16; in int8 several requests of the default context at once, and float32 files take no more."""
    found = sized("12b")
    assert found.fit is not None
    assert (found.wish.context, found.wish.gpu_type, found.fit.int8) == (8192, "nvidia-l4", True)
    assert found.fit.demand.weights == pytest.approx(11.77e9, rel=0.01)
    assert 8 <= found.fit.at_once == found.fit.sequences < 32
    assert found.wish.concurrency == 2 * found.fit.at_once
    assert 0.9 * L4.usable < found.fit.demand.total <= L4.usable
    assert sized("12b", stored=4).fit.demand.loading == found.fit.demand.loading  # type: ignore[union-attr]


def test_the_refusal_offers_it_where_it_fits() -> None:
    """The way that can be walked is named by its flag; what would not fit either is said, and who has it is not told again."""
    for name, said in (("12b", "--quantize int8 fits"), ("27b", "would not fit either")):
        with pytest.raises(Trouble) as caught:
            sized(name, WISH)
        way = next(line for line in caught.value.remedy.splitlines() if line.startswith("8-bit weights: "))
        assert said in way
    with pytest.raises(Trouble) as caught:
        sized("27b")
    assert (caught.value.exit, "8-bit weights" in caught.value.remedy) == (Exit.REFUSED, False)
    assert caught.value.facts["weights_bytes"] == Architecture.of(CONFIGS["27b"]).weights(int8=True)


def test_a_context_that_only_int8_leaves_room_for() -> None:
    """4B in float32 on an L4 with 80 thousand tokens: refused with the flag as a way out, planned with it."""
    wide = (ENV_DTYPE, "float32")
    asked: dict[str, Any] = {"context": 81920, "given": frozenset({"context"})}
    with pytest.raises(Trouble) as caught:
        sized("4b", replace(WISH, env=(wide,), **asked))
    assert "--quantize int8 fits" in caught.value.remedy
    assert sized("4b", replace(INT8, env=(*INT8.env, wide), **asked)).wish.context == 81920


def test_the_arithmetic_says_what_is_int8() -> None:
    """One byte each, and the scales; for machines too."""
    found = sized("12b")
    rows = {what: how for what, _, how in arithmetic.rows(found)}
    assert "parameters x 1 byte (int8) + " in rows["weights"]
    assert "scales and norms x 2 bytes (bfloat16)" in rows["weights"]
    document = arithmetic.document(found)
    assert (document["quantize"], document["weights_bytes"]) == ("int8", found.fit.demand.weights)  # type: ignore[union-attr]
    assert arithmetic.document(sized("4b", WISH))["quantize"] == "none"


def test_more_of_a_model_never_needs_less() -> None:
    """int8 needs less than bfloat16 at every size and context, and both grow with the context."""
    for name in CONFIGS:
        shape = Architecture.of(CONFIGS[name])
        for tokens in (1024, 8192):
            assert demand(shape, tokens, int8=True).total < demand(shape, tokens).total
        assert demand(shape, 8192, int8=True).total > demand(shape, 1024, int8=True).total


def test_inspect_shows_it_where_the_model_does_not_fit_otherwise(tmp_path: Path) -> None:
    """The L4's line names the flag, the document has the numbers, and both deploy lines are ready to be copied."""
    result = show(Look(parse_model(str(folder(tmp_path / "m", "12b")))), on_disk(), Ear())
    assert "with --quantize int8: context 8192" in text(result, 1000)
    small, large = result.data["fits"]
    assert (small["fits"], small["with_int8"]["fits"], small["with_int8"]["context"]) == (False, True, 8192)
    assert (large["fits"], large["with_int8"]["fits"]) == (True, True)
    assert result.next == (
        f"gemmactl deploy {tmp_path}/m --quantize int8 --project PROJECT_ID",
        f"gemmactl deploy {tmp_path}/m --gpu-type nvidia-rtx-pro-6000 --project PROJECT_ID",
    )


BASE: dict[str, Any] = {"model": "gs://bucket/m", "project": "my-project"}


def test_the_flag_is_the_containers_variable(tmp_path: Path) -> None:
    """It wins over a variable set by hand and over gemmactl's environment; none takes it away."""
    by_hand = {**BASE, "set_env_vars": "GEMMACTL_QUANTIZE=none,A=b"}
    assert dict(wishes(settings(tmp_path), {**by_hand, "quantize": "int8"}, Ear()).env) == {"A": "b", ENV_QUANTIZE: "int8"}
    assert wishes(settings(tmp_path, GEMMACTL_QUANTIZE="int8"), BASE, Ear()).int8
    assert wishes(settings(tmp_path, GEMMACTL_QUANTIZE="int8"), {**BASE, "quantize": "none"}, Ear()).env == ()
    assert not wishes(settings(tmp_path), BASE, Ear()).int8


def test_no_other_word_and_no_other_engine(tmp_path: Path) -> None:
    """A word from a file is checked as the flag's is, and vLLM reads weights as they are stored."""
    for flags, environ, code in (
        (BASE, {"GEMMACTL_QUANTIZE": "int4"}, "setting-illegal"),
        ({**BASE, "quantize": "int8", "engine": "vllm"}, {}, "quantize-with-vllm"),
    ):
        with pytest.raises(Trouble) as caught:
            wishes(settings(tmp_path, **environ), flags, Ear())
        assert (caught.value.code, caught.value.exit) == (code, Exit.USAGE)
