"""Adapters that must not be applied: each refused by its name, before the base is filled; and other spellings of good ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from inference_image import adapter_files
from inference_image.adapter_files import Adapter
from inference_image.adapter_names import places
from inference_image.contract import Code, LoadFailed
from inference_image.files import Files, parse_files
from inference_image.overrides import Overrides
from inference_image.settings import Settings
from inference_image.timeline import Timeline
from tests.inference_image import fake_storage
from tests.inference_image.checkpoints import MODEL, Stored
from tests.inference_image.fake_storage import bucket_of
from tests.inference_image.loras import CONFIG, STEM, WEIGHTS, halves, written

Change = Callable[[Path], object]


def known_files() -> Future[Files]:
    names = ("config.json", "tokenizer.json")
    found: Future[Files] = Future()
    found.set_result(parse_files({name: (MODEL / name).read_bytes() for name in names}, Overrides())[0])
    return found


def read(environ: dict[str, str] | None = None, **named: str | Path) -> tuple[Adapter, ...]:
    """As a load reads them, on the sample's config."""
    ready: Future[tuple[Adapter, ...]] = Future()
    settings = Settings(model=str(MODEL), adapters=json.dumps({name: str(place) for name, place in named.items()}))
    adapter_files.begin(settings, environ or {}, Timeline(), known_files(), ready)
    return ready.result(20)


def with_tensors(**tensors: Stored) -> Change:
    return lambda folder: written(folder, {**halves(), **tensors})


def only(stem: str, **sizes: int) -> Change:
    return lambda folder: written(folder, halves(stem, **sizes), target_modules="all-linear")


def says(**config: Any) -> Change:
    return lambda folder: written(folder, **config)


def broken(name: str, data: bytes | None) -> Change:
    def change(folder: Path) -> None:
        written(folder)
        (folder / name).unlink() if data is None else (folder / name).write_bytes(data)

    return change


VISION = "base_model.model.model.vision_tower.encoder.layers.0.self_attn.q_proj"
PROJECTOR = "base_model.model.multi_modal_projector.mm_input_projection"
EMBED = {f"base_model.model.model.embed_tokens.lora_embedding_{half}": ("F32", [4, 4], bytes(64)) for half in "AB"}
MAGNITUDE = {f"{STEM}.lora_magnitude_vector": ("F32", [128], bytes(512))}
SAVED = {"base_model.model.lm_head.weight": ("F32", [4, 4], bytes(64))}
HALF = {"base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight": ("F32", [4, 128], bytes(2048))}
TWICE = {f"{STEM}.lora_A.default.weight": ("F32", [4, 128], bytes(2048))}
INTEGERS = {f"{STEM}.lora_A.weight": ("I32", [4, 128], bytes(2048))}


def half_published(folder: Path) -> None:
    (written(folder) / "gemmactl").mkdir()
    (folder / "gemmactl" / "lineage.json").write_text("{}")


REFUSED: dict[str, tuple[Change, Code, str]] = {
    "vision beside text": (lambda f: written(f, {**halves(), **halves(VISION)}), Code.ADAPTER_INVALID, "vision tower"),
    "the projector alone": (only(PROJECTOR), Code.ADAPTER_INVALID, f"{PROJECTOR}.lora_A.weight"),
    "nothing of this model": (only("base_model.model.h.0.attn.c_attn"), Code.ADAPTER_INVALID, "the base alone would answer"),
    "a layer too many": (
        lambda f: written(f, {**halves(), **halves(STEM.replace("layers.0", "layers.9"))}),
        Code.ADAPTER_INVALID,
        "layers.9.self_attn.q_proj.lora_B.weight: they name no module",
    ),
    "no tensor at all": (lambda f: written(f, {}), Code.ADAPTER_INVALID, "the base alone would answer"),
    "another width": (only(STEM, into=256), Code.ADAPTER_INVALID, "[4, 256]; the module of this model reads 128 values"),
    "another base by name": (only(STEM, out=2048), Code.ADAPTER_INVALID, "trained on google/gemma-3-1b-pt"),
    "another rank": (only(STEM, rank=8), Code.ADAPTER_INVALID, "their rank should be 4"),
    "the embedding": (with_tensors(**EMBED), Code.ADAPTER_INVALID, "they change the embedding"),
    "the head": (only("base_model.model.lm_head", out=1024), Code.ADAPTER_INVALID, "they change lm_head"),
    "whole modules": (with_tensors(**SAVED), Code.ADAPTER_INVALID, "lm_head.weight"),
    "whole modules by config": (says(modules_to_save=["embed_tokens"]), Code.ADAPTER_INVALID, "modules_to_save: it carries"),
    "half a pair": (with_tensors(**HALF), Code.ADAPTER_INVALID, "the other one of lora_A and lora_B is missing"),
    "a matrix twice": (with_tensors(**TWICE), Code.ADAPTER_INVALID, "lora_A.default.weight"),
    "integers": (with_tensors(**INTEGERS), Code.ADAPTER_INVALID, "I32"),
    "DoRA": (says(use_dora=True), Code.ADAPTER_INVALID, "DoRA"),
    "DoRA by its tensors": (with_tensors(**MAGNITUDE), Code.ADAPTER_INVALID, "lora_magnitude_vector"),
    "a switch of a later PEFT": (says(use_shiny=True), Code.ADAPTER_INVALID, "use_shiny"),
    "biases": (says(bias="lora_only"), Code.ADAPTER_INVALID, "bias is lora_only"),
    "transposed": (says(fan_in_fan_out=True), Code.ADAPTER_INVALID, "fan_in_fan_out"),
    "PiSSA": (says(init_lora_weights="pissa_niter_4"), Code.ADAPTER_INVALID, "changes the base before training"),
    "another kind": (says(peft_type="PROMPT_TUNING"), Code.ADAPTER_INVALID, "peft_type is PROMPT_TUNING"),
    "no rank": (says(r=0), Code.ADAPTER_INVALID, "the rank r is 0"),
    "no alpha": (says(lora_alpha="16"), Code.ADAPTER_INVALID, "lora_alpha is 16"),
    "ranks that are none": (says(rank_pattern={"q_proj": -1}), Code.ADAPTER_INVALID, "rank_pattern"),
    "a pattern that is none": (says(alpha_pattern={"(": 1}), Code.ADAPTER_INVALID, "alpha_pattern"),
    "targets that don't name it": (says(target_modules=["v_proj"]), Code.ADAPTER_INVALID, "PEFT would leave them out"),
    "a config that is no JSON": (broken(CONFIG, b"{"), Code.ADAPTER_INVALID, "not valid JSON"),
    "no config": (broken(CONFIG, None), Code.ADAPTER_INVALID, "adapter_config.json: not in"),
    "no weights": (broken(WEIGHTS, None), Code.ADAPTER_INVALID, "adapter_model.safetensors: not in"),
    "an empty file": (broken(WEIGHTS, b""), Code.ADAPTER_INVALID, "it has 0 bytes"),
    "a pointer of Git LFS": (broken(WEIGHTS, b"version https://git-lfs.github.com"), Code.HEADER_INVALID, "Git LFS pointer"),
    "half-published": (half_published, Code.MODEL_UNFINISHED, "half-published: a fine-tune is writing it"),
    "no folder": (lambda f: None, Code.MODEL_NOT_FOUND, "no such directory"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_and_in_which_words(case: str, tmp_path: Path) -> None:
    """The code, the adapter's name and the cause in one line, beside a sound adapter and without a tensor library."""
    change, code, words = REFUSED[case]
    change(tmp_path / "bad")
    with pytest.raises(LoadFailed) as failed:
        read(good=written(tmp_path / "good"), odd_one=tmp_path / "bad")
    assert (failed.value.failure.code, failed.value.failure.object) == (code, "adapter odd_one")
    assert words in failed.value.failure.detail


@pytest.mark.parametrize(
    ("stem", "targets"),
    [
        ("base_model.model.model.language_model.layers.0.self_attn.q_proj", ["q_proj"]),
        ("base_model.model.language_model.model.layers.0.self_attn.q_proj", ["language_model.model.layers.0.self_attn.q_proj"]),
        ("base_model.model.base_model.model.model.layers.0.self_attn.q_proj", ["model.layers.0.self_attn.q_proj"]),
        ("model.layers.0.self_attn.q_proj", r".*language_model.*\.q_proj"),
    ],
)
def test_every_spelling_of_a_module(stem: str, targets: object, tmp_path: Path) -> None:
    """Text and multimodal classes of several versions, and raw dumps, name the same module."""
    (found,) = read(one=written(tmp_path / "a", halves(stem), target_modules=targets))
    assert [(pair.module, pair.scaling) for pair in found.pairs] == [("model.layers.0.self_attn.q_proj", 2.0)]


def test_raw_dumps_name_the_adapter_in_each_key(tmp_path: Path) -> None:
    """`lora_A.default.weight` is `lora_A.weight`."""
    tensors = {name.replace(".weight", ".default.weight"): one for name, one in halves().items()}
    (found,) = read(one=written(tmp_path / "a", tensors))
    assert [pair.module for pair in found.pairs] == ["model.layers.0.self_attn.q_proj"]


def test_an_adapter_comes_from_a_bucket_in_ranges(tmp_path: Path) -> None:
    """Read as the model is: this generation, and the store's checksum proves it."""
    bucket = bucket_of(written(tmp_path / "a"))
    with fake_storage.running(bucket) as address:
        (found,) = read({"STORAGE_EMULATOR_HOST": address}, one="gs://bucket/m")
    assert len(found.pairs) == 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("a=gs://b/x", {"a": "gs://b/x"}),
        ("a=gs://b/x b-2=/my models/y\nc.d_e=hf:o/n@r", {"a": "gs://b/x", "b-2": "/my models/y", "c.d_e": "hf:o/n@r"}),
        ("a=x, b=y", {"a": "x", "b": "y"}),
        ('{"a": "gs://b/x y=z"}', {"a": "gs://b/x y=z"}),
    ],
)  # fmt: skip
def test_names_and_places(text: str, found: dict[str, str]) -> None:
    """Pairs between spaces, commas or line ends; JSON where a place looks like a pair."""
    assert places(text) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gs://b/x", "NAME=PLACE"), ("x a=b", "NAME=PLACE"), ("A=b", "names of 1 to 64"), ("a=", "a place for each"),
        ("a=b a=c", "a is there twice"), ('{"a": 1}', "a place for each"), ("{", "JSON object"), ('{"a":1,"a":2}', "same key"),
        ("sample=gs://b/x", "own name"), (" ".join(f"a{n}=b" for n in range(65)), "at most 64"),
    ],
)  # fmt: skip
def test_a_setting_that_can_not_be_read(text: str, words: str) -> None:
    """Refused before anything is read, by the variable's name; the model's own name is taken."""
    with pytest.raises(LoadFailed) as failed:
        Settings(model="/m/sample", adapters=text)
    assert (failed.value.failure.code, failed.value.failure.object) == (Code.SETTING_INVALID, "GEMMACTL_ADAPTERS")
    assert words in failed.value.failure.detail


@pytest.mark.parametrize(("value", "words"), [(float("nan"), "NaN or infinity"), (0.0, "every lora_B is zero")])
def test_values_that_are_no_training(value: float, words: str, tmp_path: Path) -> None:
    """NaN, and matrices as they were before training, end the load as everything else does."""
    from inference_image.engine import load

    folder = written(tmp_path / "a", halves(value=value))
    settings = Settings(model=str(MODEL), threads=1, adapters=f"one={folder}")
    with pytest.raises(LoadFailed, match=words) as failed:
        load(settings, environ={})
    assert failed.value.failure.object == "adapter one"


def test_an_adapter_that_fails_ends_the_load_before_the_weights_are_there(tmp_path: Path) -> None:
    """The stream itself says so: a server need not wait for torch."""
    from inference_image.engine import begin

    settings = Settings(model=str(MODEL), threads=1, adapters=f"one={tmp_path}/nowhere")
    stream = begin(settings, Timeline(), environ={})
    stream.finished.result(20)
    stream.adapters.exception(20)
    failure = stream.failure()
    stream.landing.stop()
    assert isinstance(failure, LoadFailed)
    assert failure.failure.object == "adapter one"
