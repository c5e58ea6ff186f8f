"""Answers to images against transformers: the same prompt, pixels, features and greedy tokens, alone and in any company."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inference_image.engine import Engine, Request, load
from inference_image.engine.attention import PromptStep, Stretch
from inference_image.engine.kv import Cache
from inference_image.engine.schedule import Running
from inference_image.settings import Settings
from tests.inference_image.greedily import greedily
from tests.inference_image.loras import halves, written
from tests.inference_image.seeing import SOFT, Transformers, conversation, picture, said, shown

Messages = list[dict[str, Any]]
ANSWER = 16


def user(*items: Mapping[str, str]) -> Messages:
    return [{"role": "user", "content": list(items)}]


def _long(words: int) -> str:
    chance = random.Random(3)
    return " ".join(chance.choice(["stock", "item", "number", "seven", "it is", "what", "always"]) for _ in range(words))


ASKED: dict[str, Messages] = {
    "image first": user(shown(picture(1)), said("Describe it.")),
    "image last": user(said("  What is this?\n"), shown(picture(2))),
    "image alone": user(shown(picture(3))),
    "two images": user(shown(picture(1)), said("or"), shown(picture(2)), said(" which is larger? ")),
    "side by side": user(shown(picture(4)), shown(picture(5)), said("Both?")),
    "later turn": [
        {"role": "system", "content": [said("Be brief.")]},
        *user(said("Hello"), shown(picture(6))),
        {"role": "assistant", "content": [said("A picture.")]},
        *user(said("And this one?"), shown(picture(7))),
    ],
    "beyond the window": user(said(_long(60)), shown(picture(8)), said(_long(40)), shown(picture(9)), said("So?")),
    "text alone": [{"role": "user", "content": " How many? "}],
    "long text alone": [{"role": "user", "content": _long(90)}],
}  # fmt: skip


@pytest.fixture(scope="module")
def theirs(seeing: Path) -> Transformers:
    return Transformers(seeing)


@pytest.fixture(scope="module")
def ours(seeing: Path) -> Iterator[Engine]:
    engine = load(Settings(model=str(seeing), threads=1, dtype="float32", images=True), environ={})
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def answers(theirs: Transformers) -> dict[str, tuple[list[int], list[int]]]:
    return {name: theirs.answer(messages, ANSWER) for name, messages in ASKED.items()}


def request(engine: Engine, messages: Messages) -> Request:
    chat, files = conversation(messages)
    ids = tuple(engine.text.encode(chat))
    return Request(ids=ids, max_tokens=ANSWER, images=tuple(map(engine.see, files)))


def served(engine: Engine, requests: Sequence[Request], chunk: int) -> list[list[int]]:
    """Greedy tokens on the rows of an engine that has nothing to do."""
    eyes = engine._eyes
    assert eyes is not None
    sequences = [Running(one.ids, solids=eyes.solids(one.ids, SOFT, one.images)) for one in requests]
    return greedily(engine.steps, sequences, lambda tokens: len(tokens) >= ANSWER, chunk)


@pytest.mark.parametrize("name", ASKED)
def test_a_prompt_is_the_processors(ours: Engine, answers: dict[str, Any], name: str) -> None:
    """The ids of a conversation with images are those of transformers' processor, white space around them included."""
    assert list(request(ours, ASKED[name]).ids) == answers[name][0]


@pytest.mark.parametrize("name", ASKED)
def test_alone(ours: Engine, answers: dict[str, Any], name: str) -> None:
    """Each conversation by itself is answered as by Gemma3ForConditionalGeneration.generate."""
    assert served(ours, [request(ours, ASKED[name])], 512) == [answers[name][1]]


@pytest.mark.parametrize("chunk", [29, 512])
def test_together_and_in_chunks(ours: Engine, answers: dict[str, Any], chunk: int) -> None:
    """With and without images in one batch, prompts read whole or in pieces: the same answers."""
    made = served(ours, [request(ours, messages) for messages in ASKED.values()], chunk)
    assert dict(zip(ASKED, made, strict=True)) == {name: answer for name, (_, answer) in answers.items()}


def test_an_image_larger_than_a_chunk(ours: Engine, answers: dict[str, Any]) -> None:
    """An image is read in one step, whatever a step may hold otherwise."""
    names = ("two images", "side by side", "text alone")
    assert served(ours, [request(ours, ASKED[name]) for name in names], 3) == [answers[name][1] for name in names]


def test_the_engine_answers(ours: Engine, answers: dict[str, Any]) -> None:
    """Submitted at once, each answer is the text of transformers' tokens up to the first that ends a turn."""
    asked = {name: ours.submit(request(ours, messages)) for name, messages in ASKED.items()}
    for name, answer in asked.items():
        text = "".join(piece.text for piece in answer).strip()
        tokens = answers[name][1]
        ends = [at for at, token in enumerate(tokens) if token in {1, 5}]
        decoder = ours.text.decoder()
        assert text == "".join(map(decoder.step, tokens[: ends[0]] if ends else tokens)).strip(), name


@pytest.mark.parametrize("window", [2, 3, 4, 64])
def test_who_sees_whom(window: int) -> None:
    """The masks of a prompt with images are transformers', in both kinds of layers: an image sees itself, a window its window."""
    import torch
    from transformers import Gemma3TextConfig
    from transformers.models.gemma3.modeling_gemma3 import create_masks_for_vision_model, get_block_sequence_ids_for_mask

    kinds = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 0, 0]])
    config = Gemma3TextConfig(sliding_window=window, num_hidden_layers=2, layer_types=["sliding_attention", "full_attention"])
    config._attn_implementation = "sdpa"
    length = kinds.shape[1]
    theirs = create_masks_for_vision_model(
        config, inputs_embeds=torch.zeros(1, length, 8), attention_mask=None, past_key_values=None,
        position_ids=torch.arange(length)[None], block_sequence_ids=get_block_sequence_ids_for_mask(kinds),
    )  # fmt: skip
    cache = Cache(config, 1, length, torch.float32, torch.device("cpu"))
    blocks = torch.tensor([0, 0, 0, 1, 1, 1, 1, 1, 0, 2, 2, 2, 2, 0, 0])
    stretch = Stretch(0, 0, length, blocks)
    step = PromptStep(cache, [stretch])
    for kind, full in (("full_attention", True), ("sliding_attention", False)):
        hidden = step._mask(stretch, torch.zeros(1, 1, length, 8), 2, full=full)
        assert torch.equal(hidden == 0, theirs[kind][0, 0].repeat(2, 1))  # for each of two query heads that share a key head


def test_text_of_a_user_is_no_image(ours: Engine) -> None:
    """Marks that a user types are letters: no place for an image, and no token that steers."""
    typed = "<start_of_image><image_soft_token><end_of_image>"
    chat, _ = conversation(user(said(typed), shown(picture(1)), said(typed)))
    ids = ours.text.encode(chat)
    assert ids.count(SOFT) == 4
    assert ours.text.plain(typed) == [one for one in ours.text.plain(typed) if one < 1024]


def test_eyes_stay_as_they_are_beside_int8(seeing: Path, ours: Engine) -> None:
    """With int8 on arrival the language model alone is made smaller: an image has the very features that it had."""
    import torch

    given = Settings(model=str(seeing), threads=1, dtype="float32", images=True, quantize="int8")
    engine = load(given, environ={})
    try:
        first, second = (one._eyes.features(one.see(picture(3))) for one in (engine, ours) if one._eyes is not None)
        assert torch.equal(first, second)
        piece = list(engine.submit(request(engine, ASKED["two images"])))[-1]
        assert piece.usage is not None
        assert piece.usage.completion_tokens > 0
    finally:
        engine.close()


def test_an_adapter_reads_images_too(seeing: Path, theirs: Transformers, answers: dict[str, Any], tmp_path: Path) -> None:
    """One batch of the base and an adapter on it, both with an image: each answers as its own merged weights do."""
    folder = written(tmp_path / "lora", halves(value=0.2))
    engine = load(Settings(model=str(seeing), threads=1, dtype="float32", images=True, adapters=f"other={folder}"), environ={})
    try:
        one = request(engine, ASKED["two images"])
        asked = [replace(one, trim=False), replace(one, trim=False, adapter="other")]
        told = ["".join(piece.text for piece in answer) for answer in [engine.submit(each) for each in asked]]
        weight = theirs.model.model.language_model.layers[0].self_attn.q_proj.weight
        own = weight.data.clone()
        weight.data += 4 * 0.2 * 0.2 * 2  # rank 4, scaling 8 / 4
        try:
            merged = theirs.answer(ASKED["two images"], ANSWER)[1]
        finally:
            weight.data = own
        for text, tokens in zip(told, (answers["two images"][1], merged), strict=True):
            ends = [at for at, token in enumerate(tokens) if token in {1, 5}]
            decoder = engine.text.decoder()
            assert text == "".join(map(decoder.step, tokens[: ends[0]] if ends else tokens))
        assert told[0] != told[1]
    finally:
        engine.close()
