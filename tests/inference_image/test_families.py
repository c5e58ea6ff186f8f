"""The other families over transformers' own caches: loaded strictly by our loader, equal to transformers' own in every bit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inference_image import contract, layout
from inference_image.contract import Code, LoadFailed
from inference_image.engine import Engine, Request, borrowed, load
from inference_image.engine.generic import Generic
from inference_image.engine.schedule import Running
from inference_image.families import FAMILIES
from inference_image.generic_sizes import GenericSizes
from inference_image.server.process import _announce
from inference_image.settings import Settings
from inference_image.timeline import Timeline
from tests.inference_image.checkpoints import rewrite_single
from tests.inference_image.greedily import greedily
from tests.inference_image.small_families import CONFIGS, SIZES, WINDOW, inside, made, row_of, saved

ANSWER = 12
"""Tokens of an answer: more than a window."""
LENGTHS = (1, WINDOW - 1, WINDOW, WINDOW + 1, 2 * WINDOW + 3)
NO_END = {"eos_token_id": -1, "pad_token_id": 0, "do_sample": False}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each family's folder."""
    return {name: saved(tmp_path_factory.mktemp("families") / name.replace(" ", "-"), name) for name in CONFIGS}


@pytest.fixture(params=list(CONFIGS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def opened(folder: Path, timeline: Timeline | None = None, **given: Any) -> Engine:
    return load(Settings(model=str(folder), threads=1, **given), environ={}, timeline=timeline)


def refusal(folder: Path) -> LoadFailed:
    with pytest.raises(LoadFailed) as failed:
        opened(folder).close()
    return failed.value


def theirs(folder: Path, name: str) -> Any:
    """What from_pretrained makes of it. Eager where scores are capped: transformers 5.17 chooses a kernel that can't."""
    import torch
    import transformers

    kind = getattr(transformers, row_of(name).text_class)
    eager = {"attn_implementation": "eager"} if name == "gemma2" else {}
    return kind.from_pretrained(folder, dtype=torch.bfloat16, **eager).eval()


def logits(model: Any) -> Any:
    import torch

    torch.manual_seed(0)
    with torch.inference_mode():
        return model(input_ids=torch.randint(6, 1024, (1, 80))).logits


def test_a_loaded_model_is_transformers_own(folders: dict[str, Path], name: str) -> None:
    """Every buffer and logit is equal in bfloat16, and so is the text of a greedy answer past the window."""
    import torch

    wanted, timeline = theirs(folders[name], name), Timeline()
    engine = opened(folders[name], timeline)
    try:
        mine = engine.steps.model  # type: ignore[attr-defined]  # Generic's
        for (key, one), (_, other) in zip(sorted(mine.named_buffers()), sorted(wanted.named_buffers()), strict=True):
            assert one.dtype == other.dtype, key
            assert torch.equal(one, other), key
        assert torch.equal(logits(mine), logits(wanted))
        prompt = tuple(range(2, 2 + 5 * WINDOW))
        made_ids = wanted.generate(torch.tensor([prompt]), max_new_tokens=ANSWER, **NO_END)[0, len(prompt) :].tolist()
        decoder = engine.text.decoder()
        text = "".join(decoder.step(token) for token in made_ids)
        engine._stop_ids = frozenset()  # a random model may say them anywhere
        answer = "".join(piece.text for piece in engine.submit(Request(prompt, ANSWER)))
    finally:
        engine.close()
    assert answer == text.strip()
    assert len(set(made_ids)) > 3  # a model that repeats one token would prove little
    record = timeline.record()
    assert (record["engine"], record["rows"]) == ("generic", contract.GENERIC_SEQUENCES)
    assert record["modules"] == f"transformers': {row_of(name).name} has other layers"
    assert record["kv_bytes"] == record["rows"] * GenericSizes.of(layout.text_config(mine.config.to_dict())).kv(256)


def served(model: Any, asked: Sequence[list[int]], chunk: int) -> list[list[int]]:
    """Greedy answers of ANSWER tokens."""
    return greedily(Generic(model), [Running(ids) for ids in asked], lambda tokens: len(tokens) >= ANSWER, chunk)


def test_answers_together_and_in_chunks_are_those_of_generate(name: str) -> None:
    """In float32, prompts below, at and beyond the window, more of them than rows, read whole and in pieces of any size."""
    import torch

    model = made(name).float()
    asked = [[2, *torch.randint(6, 1000, (length - 1,)).tolist()] for length in LENGTHS]
    wanted = [model.generate(torch.tensor([ids]), max_new_tokens=ANSWER, **NO_END)[0, len(ids) :].tolist() for ids in asked]
    for chunk in (512, 5):
        assert served(model, asked, chunk) == wanted


@pytest.mark.parametrize("name", ["gemma3n", "gemma4", "gemma4 with experts"], indirect=True)
def test_the_text_inside_a_larger_model_is_served_alone(tmp_path: Path, folders: dict[str, Path], name: str) -> None:
    """Names and config of a multimodal checkpoint: towers and what shared layers don't need stay unread, logits are equal."""
    timeline = Timeline()
    engine = opened(inside(tmp_path / "whole", name), timeline)
    try:
        found = logits(engine.steps.model)  # type: ignore[attr-defined]  # Generic's
    finally:
        engine.close()
    import torch

    assert torch.equal(found, logits(theirs(folders[name], name)))
    shapes = layout.expected(layout.text_config(json.loads((folders[name] / "config.json").read_text())))
    assert timeline.record()["bytes"] == 2 * sum(torch.Size(shape).numel() for shape in shapes.values())


def test_an_adapter_changes_it_as_peft_does(tmp_path: Path, folders: dict[str, Path]) -> None:
    """A LoRA on another family goes through the same rows, and answers token for token what PEFT answers."""
    import torch
    from peft import LoraConfig, get_peft_model

    targets = LoraConfig(r=4, target_modules=["q_proj", "v_proj", "down_proj"], task_type="CAUSAL_LM")
    tuned = get_peft_model(theirs(folders["gemma2"], "gemma2"), targets)
    torch.manual_seed(0)
    with torch.no_grad():
        for key, one in tuned.named_parameters():
            if "lora_B" in key:
                one.copy_(torch.randn_like(one) * 0.3)
    tuned.save_pretrained(tmp_path / "own")
    prompt = tuple(range(2, 2 + 3 * WINDOW))
    wanted = tuned.generate(input_ids=torch.tensor([prompt]), max_new_tokens=ANSWER, **NO_END)[0, len(prompt) :].tolist()
    engine = opened(folders["gemma2"], adapters=f"own={tmp_path / 'own'}")
    engine._stop_ids = frozenset()
    try:
        texts = ["".join(one.text for one in engine.submit(Request(prompt, ANSWER, adapter=name))) for name in ("own", None)]
        decoder = engine.text.decoder()
        assert texts[0] == "".join(decoder.step(token) for token in wanted).strip() != texts[1]
    finally:
        engine.close()


@pytest.mark.parametrize("ending", ["altup.router_norm.weight", "embed_tokens_per_layer.weight", "layer_scalar", "norm.weight"])
def test_a_missing_tensor_is_named_before_torch_is_there(tmp_path: Path, folders: dict[str, Path], ending: str) -> None:
    """Transformers would serve random weights in its place."""
    name = "gemma4" if ending == "layer_scalar" else "gemma3n"
    folder = saved(tmp_path / "m", name)
    gone: list[str] = []

    def change(tensors: dict[str, Any]) -> None:
        gone.append(next(key for key in tensors if key.endswith(ending)))
        del tensors[gone[0]]

    rewrite_single(folder, change)
    failed = refusal(folder)
    assert failed.failure.code is Code.KEYS_MISSING
    assert gone[0] in failed.failure.detail


def test_a_tensor_too_many_and_another_shape_are_named(tmp_path: Path) -> None:
    """Strict in both directions, as for Gemma 3."""
    folder = saved(tmp_path / "m", "gemma2")
    rewrite_single(folder, lambda tensors: tensors.update({"model.layers.0.self_attn.q_norm.weight": ("BF16", [8], b"\0" * 16)}))
    assert refusal(folder).failure.code is Code.KEYS_UNEXPECTED
    other = saved(tmp_path / "o", "gemma4")
    rewrite_single(other, lambda tensors: tensors.update({"model.layers.1.self_attn.q_norm.weight": ("BF16", [8], b"\0" * 16)}))
    assert refusal(other).failure.code is Code.SHAPE_MISMATCH


def test_a_class_that_this_transformers_lacks_is_named_with_its_version() -> None:
    """An older or newer transformers without the family refuses the model instead of crashing."""
    import torch
    import transformers

    row = replace(next(row for row in FAMILIES if row.key == "gemma4"), text_class="Gemma4ForNobody")
    with pytest.raises(LoadFailed, match=transformers.__version__) as failed:
        borrowed.text_config(row, {**SIZES, **CONFIGS["gemma4"]}, torch.bfloat16)
    assert failed.value.failure.code is Code.FAMILY_UNSUPPORTED


def test_a_buffer_that_nobody_computes_is_refused() -> None:
    """What is no part of a checkpoint must come from the class's own rules: memory that nobody wrote is never served."""
    import torch
    from transformers import GemmaConfig, GemmaForCausalLM

    config = GemmaConfig(**SIZES)
    with torch.device("meta"):
        model = GemmaForCausalLM(config)
    model.model.register_buffer("odd", torch.empty(3, device="meta"), persistent=False)
    with pytest.raises(LoadFailed, match=r"GemmaModel\.odd") as failed:
        borrowed._fill_buffers(model, model, torch.device("cpu"))
    assert failed.value.failure.code is Code.FAMILY_UNSUPPORTED


@pytest.mark.parametrize(("engine", "lines"), [("generic", 2), ("fast", 1)])
def test_the_slow_path_is_said_at_start(capsys: pytest.CaptureFixture[str], engine: str, lines: int) -> None:
    """One WARNING line before the one that says ready; nothing of it for Gemma 3."""
    timeline = Timeline()
    timeline.note(engine=engine)
    _announce(timeline)
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(said) == lines
    assert [line["severity"] for line in said][-1] == "INFO"
    assert (lines == 1) or (said[0]["severity"] == "WARNING" and "generic" in said[0]["message"])


def test_each_family_says_what_serves_it() -> None:
    """Rows that the slow path serves give a reason and the faster way; only the one of vectors is served by none."""
    slow = [row for row in FAMILIES if row.engine == "generic"]
    assert [row.key for row in slow] == ["gemma", "gemma2", "gemma3n", "gemma4"]
    assert all(row.served and "slower" in row.reason and "--engine vllm" in row.way_out for row in slow)
    assert [row.key for row in FAMILIES if not row.served] == ["embeddinggemma"]


@pytest.fixture(autouse=True)
def _quiet(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Transformers' progress bars are no part of a test's output."""
    yield
    capsys.readouterr()
