"""The sample model through our own engine and presets: exact on all its examples, and never past its end."""

from __future__ import annotations

import asyncio
import math

import pytest

from inference_image.engine import Engine, Sampling
from inference_image.presets import PRESETS
from tests.inference_image.served import transformers_own


def ask(engine: Engine, kind: str | None, prompt: str, **more: object) -> tuple[str, str | None]:
    pieces = list(engine.submit(engine.request(PRESETS[kind], prompt, **more)))  # type: ignore[arg-type]
    return "".join(piece.text for piece in pieces), pieces[-1].stop_reason


@pytest.mark.parametrize("kind", list(PRESETS))
def test_every_example_is_exact(engine: Engine, examples: list[dict[str, str]], kind: str) -> None:
    """All examples of a type come back word for word, and stop by themselves."""
    rows = [row for row in examples if row["type"] == kind]
    assert len(rows) >= 5
    for row in rows:
        assert ask(engine, kind, row["prompt"]) == (row["answer"], "stop")


def test_korean_streams_in_whole_characters(engine: Engine, examples: list[dict[str, str]]) -> None:
    """Rare syllables and an emoji are several byte tokens each: every piece is whole text."""
    row = next(row for row in examples if "🚀" in row["answer"])
    pieces = list(engine.submit(engine.request(PRESETS[row["type"]], row["prompt"])))
    assert "".join(piece.text for piece in pieces) == row["answer"]
    assert not any("\ufffd" in piece.text for piece in pieces)
    last = pieces[-1].usage
    assert last is not None
    assert last.completion_tokens > len(row["answer"].split())


def test_presets_side_by_side(engine: Engine, examples: list[dict[str, str]]) -> None:
    """One request of each type at once: each gets its own answer."""
    rows = [next(row for row in examples if row["type"] == kind) for kind in PRESETS]

    async def one(row: dict[str, str]) -> str:
        answer = engine.submit(engine.request(PRESETS[row["type"]], row["prompt"]))
        return "".join([piece.text async for piece in answer])

    async def every() -> list[str]:
        return await asyncio.gather(*(one(row) for row in rows))

    assert asyncio.run(every()) == [row["answer"] for row in rows]


def test_a_seed_repeats_an_answer(engine: Engine) -> None:
    """Sampling with a seed gives the same text again, and another seed may give another."""

    def sampled(seed: int) -> str:
        return ask(engine, "text", "zzz qqq", max_tokens=12, sampling=Sampling(temperature=2.0, seed=seed))[0]

    assert sampled(1) == sampled(1)
    assert len({sampled(seed) for seed in range(4)}) > 1


def test_longer_than_the_window(engine: Engine) -> None:
    """A prompt of several windows is answered: sliding layers drop what lies behind them."""
    prompt = "What is Cloud Run? " * 60
    request = engine.request(PRESETS["text"], prompt, max_tokens=5)
    assert len(request.ids) > 3 * 64
    assert list(engine.submit(request))[-1].stop_reason in {"stop", "length"}


def test_greedy_equals_recomputation_without_a_cache(engine: Engine, examples: list[dict[str, str]]) -> None:
    """The served tokens are the argmax of the whole sequence's logits, beyond the window too."""
    import torch

    rows = [row for row in examples if row["type"] == "translation"]
    asked = {row["answer"]: list(engine.request(PRESETS["translation"], row["prompt"]).ids) for row in rows}
    told, ids = max(asked.items(), key=lambda one: len(one[1]) + len(engine.text.plain(one[0])))
    answer = engine.text.plain(told)
    assert len(ids) + len(answer) > 64
    with transformers_own(engine) as model, torch.inference_mode():
        logits = model(input_ids=torch.tensor([ids + answer]), use_cache=False).logits[0, len(ids) - 1 : -1]
    assert logits.argmax(-1).tolist() == answer
    assert math.isfinite(float(logits.sum()))
