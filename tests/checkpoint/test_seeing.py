"""What eyes take: counted in weights, work and the refusal of what does not fit, against transformers' own modules."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import AttentionInterface, Gemma3Config, Gemma3TextConfig, SiglipVisionModel
from transformers.models.gemma3.modeling_gemma3 import Gemma3MultiModalProjector

from gemmactl.checkpoint import arithmetic
from gemmactl.checkpoint.memory import Architecture, demand
from gemmactl.checkpoint.room import Room
from gemmactl.checkpoint.sizing import Sizing, Weights, derive
from gemmactl.errors import Trouble
from gemmactl.spec import Serve, parse_model
from inference_image import contract, layout
from inference_image.engine.capacity import work_bytes
from tests.checkpoint.architectures import CONFIGS
from tests.checkpoint.live_bytes import LiveBytes

TOWER = {
    "hidden_size": 1152, "image_size": 896, "intermediate_size": 4304, "num_attention_heads": 16, "num_hidden_layers": 27,
    "patch_size": 14, "model_type": "siglip_vision_model", "vision_use_head": False,
}  # fmt: skip
"""source: config.json (vision_config) of google/gemma-3-4b-it, which is that of the 12B and the 27B, as collected in 2026-11"""


def shape(name: str, *, sees: bool = True) -> Architecture:
    whole = {"model_type": "gemma3", "text_config": CONFIGS[name], "vision_config": TOWER}
    return Architecture.of(CONFIGS[name], layout.vision(whole) if sees else None)


def counted(module: Any, q: Any, k: Any, v: Any, mask: Any, **_: Any) -> tuple[torch.Tensor, None]:
    """A memory-efficient kernel by its tensors: no scores."""
    return torch.empty_like(q).transpose(1, 2).contiguous(), None


def test_the_eyes_of_a_4b() -> None:
    """Parameters as transformers builds them, and a work memory that covers the peak of one image without being far off."""
    AttentionInterface.register("counted", counted)
    config = Gemma3Config(text_config={"hidden_size": 2560}, vision_config=TOWER)
    config.vision_config._attn_implementation = "counted"
    with torch.device("meta"):
        tower, projector = SiglipVisionModel(config.vision_config), Gemma3MultiModalProjector(config)
        tower, projector = tower.to(torch.bfloat16), projector.to(torch.bfloat16)
        pixels = torch.empty(3, 896 * 896, dtype=torch.uint8)
        values = torch.empty(3, 256)
    own = shape("4b")
    assert own.eye_parameters == sum(one.numel() for part in (tower, projector) for one in part.parameters())
    assert own.weights() - shape("4b", sees=False).weights() == 2 * own.eye_parameters
    with torch.inference_mode(), LiveBytes() as live:
        seen = values.gather(1, pixels.long()).view(1, 3, 896, 896).to(torch.bfloat16)
        projector(tower(pixel_values=seen).last_hidden_state)
    computed = own.seeing() - contract.IMAGES_KEPT * 256 * 2560 * 2
    assert live.peak <= computed <= 1.5 * live.peak


def sized(name: str, serve: Serve, *, sees: bool) -> Sizing:
    found = shape(name, sees=sees)
    return derive(serve, Weights(found, found.parameters * 2), None, Room())


WISH = Serve("demo-proj", "us-central1", parse_model("gs://weights/m"), "gemma")


def test_a_plan_counts_them() -> None:
    """More weights and more work on the GPU, more bytes to read; said with the tokens that an image takes."""
    blind, sees = (sized("4b", WISH, sees=one) for one in (False, True))
    assert blind.fit and sees.fit  # noqa: PT018 - for the type alone
    assert sees.fit.demand.weights > blind.fit.demand.weights
    assert sees.fit.demand.activations > blind.fit.demand.activations
    assert sees.fit.weights.loaded > blind.fit.weights.loaded
    config = Gemma3TextConfig(**{key: value for key, value in CONFIGS["4b"].items() if key != "model_type"})
    assert demand(shape("4b"), 32768).reserved == work_bytes(config, 32768, 2, shape("4b").eyes)
    told = {what: f"{value} {how}" for what, value, how in arithmetic.rows(sees)}
    assert told["images"].startswith("256 tokens of the context")
    assert "images" not in {what for what, _, _ in arithmetic.rows(blind)}


def test_text_alone_is_a_way_out() -> None:
    """What doesn't fit with eyes says what it takes without."""
    with pytest.raises(Trouble) as caught:
        sized("12b", replace(WISH, context=8192, given=frozenset({"context"})), sees=True)
    blind = demand(shape("12b", sees=False), 8192).total
    assert f"text only: without --images it needs {blind / 1e9:.2f} GB" in caught.value.remedy
