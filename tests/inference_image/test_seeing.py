"""Loading a model that sees: every key layout, nothing missing, refused by name; and what happens without the wish."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inference_image import contract, layout
from inference_image.contract import Code, LoadFailed, RequestCode
from inference_image.engine import Engine, Refused, Request, load
from inference_image.settings import Settings
from inference_image.timeline import Timeline
from tests.inference_image.checkpoints import MODEL, Stored, edit_json, rewrite
from tests.inference_image.fake_storage import bucket_of
from tests.inference_image.seeing import SIDE, SOFT, TOKENS, VISION, picture
from tests.inference_image.served import loaded_from
from tests.inference_image.test_loading import LAYOUTS, renamed


def opened(folder: Path, **given: Any) -> Engine:
    return load(Settings(**{"model": str(folder), "threads": 1, "dtype": "float32", "images": True, **given}), environ={})


def features(engine: Engine) -> Any:
    eyes = engine._eyes
    assert eyes is not None
    return eyes.features(engine.see(picture(1)))


@pytest.fixture(scope="module")
def seen(seeing: Path) -> Any:
    """What transformers' model makes of the picture."""
    from tests.inference_image.seeing import Transformers, shown

    theirs = Transformers(seeing)
    inputs = theirs.inputs([{"role": "user", "content": [shown(picture(1))]}])
    return theirs.model.get_image_features(inputs["pixel_values"]).pooler_output[0]


@pytest.mark.parametrize("style", LAYOUTS)
def test_every_key_layout(seeing: Path, seen: Any, tmp_path: Path, style: str) -> None:
    """Whoever wrote the checkpoint: the features of an image are bit for bit transformers' own."""
    import torch

    engine = opened(renamed(seeing, tmp_path / "m", LAYOUTS[style]))
    try:
        assert engine.images
        assert torch.equal(features(engine), seen)
    finally:
        engine.close()


def test_through_a_ring(seeing: Path, seen: Any) -> None:
    """Read by a process and cast on arrival, every shard verified: the same, within the rounding of bfloat16."""
    import torch

    timeline = Timeline()
    with loaded_from(bucket_of(seeing), timeline, images=True, dtype="bfloat16") as engine:
        assert torch.allclose(features(engine).float(), seen, atol=0.1, rtol=0.05)
    record = timeline.record()
    assert record["images"] is True
    assert all(one["verified"] for one in record["objects"])
    assert contract.PREPROCESSOR_CONFIG in {one["name"] for one in record["objects"]}


def test_without_the_wish(seeing: Path) -> None:
    """Text alone is the default: no byte of the tower is loaded, and an image is refused with the flag that would allow it."""
    engine = opened(seeing, images=False)
    try:
        assert not engine.images
        with pytest.raises(Refused) as refused:
            engine.see(picture(1))
        assert refused.value.code is RequestCode.UNSUPPORTED_CONTENT
        assert "--images" in refused.value.message
        assert contract.ENV_IMAGES in refused.value.message
        with pytest.raises(Refused):
            engine.submit(Request(ids=(2, SOFT), max_tokens=1, images=(bytes(3 * SIDE * SIDE),)))
    finally:
        engine.close()


@pytest.mark.parametrize(
    ("ids", "images"),
    [
        ([2, 7], 1),
        ([2, *[SOFT] * TOKENS], 2),
        ([2, *[SOFT] * (TOKENS - 1), 9, SOFT], 1),
        ([2, *[SOFT] * TOKENS, 9, SOFT], 1),
        ([2, *[SOFT] * (TOKENS - 1)], 1),
    ],
)
def test_images_without_a_place(ours: Engine, ids: list[int], images: int) -> None:
    """A prompt whose places and images don't match is refused before anything is computed."""
    with pytest.raises(Refused) as refused:
        ours.submit(Request(ids=tuple(ids), max_tokens=1, images=(bytes(3 * SIDE * SIDE),) * images))
    assert refused.value.code is RequestCode.INVALID_REQUEST


@pytest.fixture(scope="module")
def ours(seeing: Path) -> Any:
    engine = opened(seeing)
    yield engine
    engine.close()


def test_features_are_kept_for_the_next_turn(ours: Engine) -> None:
    """A conversation sends its images again with every turn: they are computed once, and only so many are kept."""
    eyes = ours._eyes
    assert eyes is not None
    first = eyes.features(ours.see(picture(1)))
    assert eyes.features(ours.see(picture(1))) is first
    for number in range(2, 40):
        eyes.features(ours.see(picture(number)))
    assert eyes.features(ours.see(picture(1))) is not first


def _without(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for path in folder.glob("*.safetensors"):
            rewrite(folder, lambda tensors: tensors.pop(name, None) and None, path.name)

    return change


def _nan(folder: Path) -> None:
    def spoil(tensors: dict[str, Stored]) -> None:
        for name, (dtype, shape, data) in tensors.items():
            if name == "vision_tower.post_layernorm.bias":
                tensors[name] = (dtype, shape, b"\xff" * len(data))

    for path in folder.glob("*.safetensors"):
        rewrite(folder, spoil, path.name)


def _config(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: edit_json(folder / "config.json", **changes)


def _other_text(folder: Path) -> None:
    shutil.copy(MODEL / "tokenizer.json", folder / "tokenizer.json")


def _small_file(text: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / contract.PREPROCESSOR_CONFIG).write_text(text)

    return change


BROKEN: dict[str, tuple[Callable[[Path], None], Code, str]] = {
    "a tensor of the tower": (
        _without("vision_tower.encoder.layers.1.mlp.fc1.weight"), Code.KEYS_MISSING, "vision_tower.encoder.layers.1.mlp.fc1"
    ),
    "the projector": (
        _without("multi_modal_projector.mm_soft_emb_norm.weight"), Code.KEYS_MISSING, "multi_modal_projector.mm_soft_emb_norm"
    ),
    "another size": (_config(vision_config={**VISION, "intermediate_size": 65}), Code.SHAPE_MISMATCH, "mlp.fc1"),
    "a longer tower": (_config(vision_config={**VISION, "num_hidden_layers": 3}), Code.KEYS_MISSING, "encoder.layers.2"),
    "NaN": (_nan, Code.WEIGHTS_NAN, "vision_tower.post_layernorm.bias"),
    "no vision config": (_config(vision_config=None), Code.CONFIG_INVALID, "vision_config"),
    "another tower": (_config(vision_config={**VISION, "model_type": "clip"}), Code.CONFIG_INVALID, "clip"),
    "tokens that are no square": (_config(mm_tokens_per_image=5), Code.CONFIG_INVALID, "mm_tokens_per_image"),
    "more tokens than patches": (_config(mm_tokens_per_image=64), Code.CONFIG_INVALID, "mm_tokens_per_image"),
    "a tokenizer without": (_other_text, Code.TOKENIZER_INVALID, "<image_soft_token>"),
    "a preprocessor of another size": (
        _small_file('{"size": {"height": 224, "width": 224}}'), Code.CONFIG_INVALID, contract.PREPROCESSOR_CONFIG
    ),
    "a preprocessor that is none": (_small_file("[]"), Code.CONFIG_INVALID, contract.PREPROCESSOR_CONFIG),
    "an empty preprocessor": (_small_file(""), Code.CONFIG_INVALID, contract.PREPROCESSOR_CONFIG),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_a_model_that_can_not_see(seeing: Path, tmp_path: Path, what: str) -> None:
    """With images asked for, eyes are held to what text is: nothing missing, of another shape, not a number, or guessed."""
    change, code, told = BROKEN[what]
    folder = shutil.copytree(seeing, tmp_path / "m")
    change(folder)
    with pytest.raises(LoadFailed) as failed:
        opened(folder).close()
    assert failed.value.failure.code is code
    assert told in f"{failed.value.failure.object}: {failed.value.failure.detail}"


def test_a_blind_model() -> None:
    """A model of text alone says so before a weight is read."""
    with pytest.raises(LoadFailed) as failed:
        opened(MODEL)
    assert failed.value.failure.code is Code.SETTING_INVALID
    assert failed.value.failure.object == contract.ENV_IMAGES


def test_where_the_preprocessor_lies(seeing: Path, tmp_path: Path) -> None:
    """Newer versions write it into processor_config.json, some fine-tunes leave it out: then Gemma 3's own values count."""
    import torch

    folder = shutil.copytree(seeing, tmp_path / "m")
    own = folder / contract.PREPROCESSOR_CONFIG
    (folder / contract.PROCESSOR_CONFIG).write_text(json.dumps({"image_processor": json.loads(own.read_text())}))
    own.write_text(json.dumps({"image_mean": [0.1, 0.2, 0.3], "size": {"height": SIDE, "width": SIDE}}))
    values = []
    for name in (None, contract.PROCESSOR_CONFIG, contract.PREPROCESSOR_CONFIG):
        if name is not None:
            (folder / name).unlink()
        engine = opened(folder)
        eyes = engine._eyes
        assert eyes is not None
        values.append(eyes.pixels.values[:, 255])
        engine.close()
    for made, mean, std in zip(
        values, ([0.5, 0.4, 0.6], [0.1, 0.2, 0.3], [0.5] * 3), ([0.5, 0.4, 0.6], [0.5] * 3, [0.5] * 3), strict=True
    ):
        assert torch.allclose(made, (1 - torch.tensor(mean)) / torch.tensor(std))


def test_what_the_tower_needs_is_known_without_torch() -> None:
    """Names and shapes of a tower of any size, and of the published one, are those of transformers' classes."""
    import torch
    from transformers import Gemma3Config, SiglipVisionModel

    real = {"hidden_size": 1152, "image_size": 896, "intermediate_size": 4304, "num_attention_heads": 16, "patch_size": 14}
    for inner, tokens in ((VISION, TOKENS), ({**real, "num_hidden_layers": 3}, 256), ({}, 49)):
        text = json.loads((MODEL / "config.json").read_text())
        found = layout.vision(
            {"model_type": "gemma3", "text_config": text, "vision_config": inner, "mm_tokens_per_image": tokens}
        )
        with torch.device("meta"):
            tower = SiglipVisionModel(Gemma3Config(vision_config={**inner, "vision_use_head": False}).vision_config)
        own = {name.removeprefix("vision_tower."): shape for name, shape in found.expected().items() if "projector" not in name}
        assert own == {name: tuple(one.shape) for name, one in tower.state_dict().items()}
