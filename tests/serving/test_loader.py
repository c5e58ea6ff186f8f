"""--loader, and which engine a model goes to by itself, on the in-memory cloud."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gemmactl import stack
from gemmactl.checkpoint.families import FAMILIES, Engine, Family, engine_for
from gemmactl.errors import Exit, Trouble
from gemmactl.kernel.plan import make_plan
from gemmactl.serving.deploy import plan
from gemmactl.serving.destroy import destroy
from gemmactl.serving.recall import recalled
from gemmactl.serving.wishes import wishes
from inference_image import layout
from tests.fakes.cloud import FakeCloud
from tests.serving.ear import Ear, place, settings, with_model
from tests.serving.test_vllm import SERVICE, WISH, deployed, with_type


def test_a_mounted_model_is_deployed_recalled_and_destroyed(tmp_path: Path) -> None:
    """--loader fuse from wish to nothing left: proven over vLLM's route, planned empty from what the service shows."""
    cloud, wish = with_model(FakeCloud()), replace(WISH, loader="fuse")
    deployed(cloud, wish)
    back = recalled(place(cloud), "gemma", cloud.state.services[SERVICE])
    assert (back.loader, back.model.text) == ("fuse", "gs://weights/m")
    assert not make_plan(stack.serving(back), cloud).work
    destroy(place(cloud), settings(tmp_path), "gemma", Ear(), yes=True)
    assert not cloud.state.services
    assert not [m for roles in cloud.state.policies.values() for members in roles.values() for m in members]


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        ({"engine": "gemmactl", "loader": "fuse"}, "loader-engine"),
        ({"engine": "vllm", "loader": "fuse", "model": "hf:google/gemma-2b", "hf_token": "t:1"}, "loader-place"),
        ({"engine": "vllm", "loader": "nfs"}, "setting-illegal"),
    ],
)
def test_a_loader_that_can_not_be(tmp_path: Path, flags: dict[str, str], code: str) -> None:
    """Refused before any call."""
    with pytest.raises(Trouble) as caught:
        wishes(settings(tmp_path), {"model": "gs://weights/m", "project": "demo-proj", **flags}, Ear())
    assert (caught.value.exit, caught.value.code) == (Exit.USAGE, code)


def test_the_loader_waits_for_the_family() -> None:
    """Without --engine a bucket is mounted where the model's family is vLLM's, and refused where it is not."""
    cloud = with_model(FakeCloud())
    with pytest.raises(Trouble) as caught:
        plan(replace(WISH, engine="gemmactl", engine_given=False, loader="fuse"), place(cloud), again="")
    assert caught.value.code == "loader-engine"


@pytest.mark.parametrize("loader", ["stream", "fuse"])
@pytest.mark.parametrize("method", ["awq", "gptq", "compressed-tensors"])
def test_the_tables_choose_the_engine(tmp_path: Path, method: str, loader: Any) -> None:
    """Quantised weights by themselves, with either loader: no flag is needed."""
    config = {"model_type": "gemma3", "text_config": {}, "quantization_config": {"quant_method": method}}
    cloud = with_type(FakeCloud(), tmp_path, **config)
    wish = replace(WISH, engine="gemmactl", engine_given=False, loader=loader)
    assert plan(wish, place(cloud), again="").data["sizing"]["engine"] == "vllm"


@pytest.mark.parametrize("family", FAMILIES, ids=lambda row: row.key)
def test_a_family_goes_to_the_engine_of_its_row(family: Family) -> None:
    """By itself to vLLM only where the table says so; on request each of them."""
    auto = replace(WISH, engine="gemmactl", engine_given=False)
    assert (engine_for(auto, family) == "vllm") is (Engine.VLLM in (family.chosen, family.engine))
    assert engine_for(WISH, family) == "vllm"


GEMMA_2B = {
    "model_type": "gemma", "vocab_size": 1024, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 32, "intermediate_size": 128, "max_position_embeddings": 8192,
}  # fmt: skip
"""The codelab's family in small."""


@pytest.mark.parametrize(("engine", "loader"), [("vllm", "stream"), ("vllm", "fuse"), ("gemmactl", "stream")])
def test_the_codelabs_family_on_request(tmp_path: Path, engine: Any, loader: Any) -> None:
    """A model of Gemma's first family: gemmactl's own by itself, vLLM's with --engine vllm, streamed or mounted."""
    cloud = with_model(FakeCloud())
    for found in cloud.storage.list("weights", "m/model"):
        cloud.storage.delete("weights", found.name)
    for name, data in gemma_folder(GEMMA_2B).items():
        cloud.storage.write("weights", f"m/{name}", data)
    wish = replace(WISH, engine=engine, engine_given=engine == "vllm", loader=loader)
    assert plan(wish, place(cloud), again="").data["sizing"]["engine"] == engine


def gemma_folder(config: dict[str, Any]) -> dict[str, bytes]:
    """Its config and weights of zeros."""
    at, header = 0, {}
    later = ("q_norm", "k_norm", "feedforward_layernorm")  # Gemma 2 and 3 have these beside
    for key, shape in layout.expected(config).items():
        if any(part in key for part in later):
            continue
        end = at + math.prod(shape) * 2
        header[key] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    weights = struct.pack("<Q", len(text)) + text + bytes(at)
    return {"config.json": json.dumps(config).encode(), "model.safetensors": weights}
