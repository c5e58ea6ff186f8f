"""Owns what bench.gpu measures of one loaded engine: steps, prompts, requests, and transformers beside them. Knows no folder."""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BATCHES = (1, 8, 32)
TOKENS = 64


def told(**row: Any) -> dict[str, Any]:
    print(json.dumps(row), file=sys.stderr, flush=True)
    return row


class Clock:
    """Seconds of work on a device, the best of several runs."""

    def __init__(self, device: Any) -> None:
        self._cuda = device.type == "cuda"

    def best(self, work: Callable[[], Any], runs: int = 3) -> float:
        work()
        found = []
        for _ in range(runs):
            self.wait()
            began = time.perf_counter()
            work()
            self.wait()
            found.append(time.perf_counter() - began)
        return min(found)

    def wait(self) -> None:
        if self._cuda:
            import torch

            torch.cuda.synchronize()


def limits(device: Any, clock: Clock) -> dict[str, Any]:
    """What the machine can do: memory bandwidth, the way to it, matrix products."""
    import torch

    if device.type != "cuda":
        block = torch.empty(1 << 27, dtype=torch.uint8)
        other = torch.empty_like(block)
        return told(
            part="limits", device="cpu", memory_gb_s=round(2 * block.numel() / clock.best(lambda: other.copy_(block)) / 1e9, 1)
        )
    block = torch.empty(2 << 30, dtype=torch.uint8, device=device)
    other = torch.empty_like(block)
    memory = 2 * block.numel() / clock.best(lambda: other.copy_(block)) / 1e9
    pinned = torch.empty(1 << 30, dtype=torch.uint8, pin_memory=True)
    upload = pinned.numel() / clock.best(lambda: other[: 1 << 30].copy_(pinned, non_blocking=True)) / 1e9
    square = torch.randn(8192, 8192, device=device, dtype=torch.bfloat16)
    product = 2 * 8192**3 / clock.best(lambda: square @ square) / 1e12
    return told(
        part="limits", device=torch.cuda.get_device_name(device), torch=torch.__version__, memory_gb_s=round(memory),
        upload_gb_s=round(upload, 1), bf16_tflops=round(product),
    )  # fmt: skip


def prompts(count: int) -> list[list[int]]:
    chance = random.Random(0)
    return [[2] + [chance.randrange(6, 1000) for _ in range(31)] for _ in range(count)]


def generate(model: Any, rows: int, **more: Any) -> None:
    """Whole answers of transformers."""
    import torch

    ids = torch.tensor(prompts(rows), device=model.device)
    model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=TOKENS, min_new_tokens=TOKENS, do_sample=False, pad_token_id=0,
        **more,
    )  # fmt: skip


def theirs(model: Any, folder: Path) -> Any:
    """Our model in transformers' own modules, over the same memory."""
    from inference_image import layout
    from inference_image.engine import borrowed
    from inference_image.engine import model as models
    from inference_image.families import GEMMA3

    raw = layout.text_config(json.loads((folder / "config.json").read_text()))
    made = borrowed.build(GEMMA3, borrowed.text_config(GEMMA3, raw, model.dtype), model.dtype, model.device)
    models.assign(made, {name: one for name, one in model.state_dict().items() if name in models.needed(made)})
    made.set_attn_implementation("sdpa")
    return made


def static(model: Any, clock: Clock, size: str) -> dict[str, Any]:
    """generate() with a static cache, which transformers compiles. Last: compiling gives back memory that recorded steps use."""
    import torch

    with torch.inference_mode():
        seconds = clock.best(lambda: generate(model, 1, cache_implementation="static"), 1)
    return told(part="generate() with a static cache, compiled", size=size, rows=1, tokens_s=round(TOKENS / seconds, 1))


def decode(engine: Any, judge: Any, clock: Clock, bound: float, size: str, most: int) -> list[dict[str, Any]]:
    """A step of ours by our kernels and by modules, both recorded; whole answers of ours and of generate() (`judge`)."""
    import torch

    from inference_image.engine.schedule import Part
    from inference_image.engine.slots import Slots

    slots, model = engine.steps, engine.steps.model
    modules = Slots(model, slots.rows, slots.length)
    made = []
    for rows in (one for one in BATCHES if one <= slots.rows):

        def answers(rows: int = rows) -> None:
            slots.prompt([Part(row, 0, ids, last=True) for row, ids in enumerate(prompts(rows))])
            steps(slots, rows)

        def steps(of: Any, rows: int = rows, at: int = 32) -> None:
            tokens = [6] * rows
            for step in range(TOKENS):
                tokens = of.decode(tokens, [at + step] * rows).argmax(-1).tolist()

        def ms(of: Any, at: int, rows: int = rows) -> float:
            return round(clock.best(lambda: steps(of, rows, at)) / TOKENS * 1e3, 3)

        row: dict[str, Any] = {"part": "decode", "size": size, "rows": rows, "step_ms": ms(slots, 32)}
        row |= {"step_ms_at_900": ms(slots, 900), "step_ms_of_modules": ms(modules, 32)}
        row |= {"of_bound": round(1e3 / bound / row["step_ms"], 3), "ours": round(rows * TOKENS / clock.best(answers), 1)}
        if rows <= most:
            with torch.inference_mode():
                row["generate"] = round(rows * TOKENS / clock.best(lambda rows=rows: generate(judge, rows), 1), 1)
            row["over_generate"] = round(row["ours"] / row["generate"], 2)
        made.append(told(**row))
    return made


def whole_engine(engine: Any, size: str) -> list[dict[str, Any]]:
    """Requests in, text out: with the sampler, the detokeniser and the queue of every service."""
    from inference_image.engine.request import Request

    engine._stop_ids = frozenset()  # noqa: SLF001 - random weights end anywhere
    made = []
    for count in (one for one in BATCHES if one <= engine.steps.rows):
        for _ in range(2):  # the second is told
            began = time.perf_counter()
            answers = [engine.submit(Request(ids=tuple(ids), max_tokens=2 * TOKENS)) for ids in prompts(count)]
            tokens = sum(piece.usage.completion_tokens for one in answers for piece in one if piece.usage is not None)
            seconds = time.perf_counter() - began
        made.append(told(part="requests through the engine", size=size, at_once=count, tokens_s=round(tokens / seconds, 1)))
    return made


def continuous(model: Any, clock: Clock, size: str) -> dict[str, Any]:
    """Transformers' continuous batching, 32 at once."""
    from transformers import ContinuousBatchingConfig, GenerationConfig

    plain = GenerationConfig(max_new_tokens=TOKENS, do_sample=False, eos_token_id=-1, pad_token_id=0)
    shape = ContinuousBatchingConfig(block_size=32, num_blocks=512, max_batch_tokens=2048)
    with model.continuous_batching_context_manager(generation_config=plain, continuous_batching_config=shape) as manager:

        def answer() -> None:
            for ids in prompts(32):
                manager.add_request(ids, max_new_tokens=TOKENS, eos_token_id=-1)
            left = 32
            while left:
                result = manager.get_result(timeout=60)
                left -= bool(result and result.is_finished())

        return told(part="continuous batching", size=size, tokens_s=round(32 * TOKENS / clock.best(answer, 1), 1))


def divergence(engine: Any, model: Any, size: str) -> dict[str, Any]:
    """Where our greedy answer first parts from generate()'s, if it does, and what both think of both tokens there."""
    import torch

    from inference_image.engine.schedule import Part

    slots = engine.steps
    ids = prompts(1)[0]
    ours = [int(slots.prompt([Part(0, 0, ids, last=True)])[0].argmax())]
    while len(ours) < TOKENS:
        ours.append(int(slots.decode([ours[-1]], [len(ids) + len(ours) - 1])[0].argmax()))
    with torch.inference_mode():
        prompt = torch.tensor([ids], device=model.device)
        told = model.generate(
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=TOKENS, min_new_tokens=TOKENS, do_sample=False,
            pad_token_id=0,
        )[0, len(ids) :].tolist()  # fmt: skip
        at = next((at for at, pair in enumerate(zip(ours, told, strict=True)) if pair[0] != pair[1]), None)
        theirs = (
            None if at is None else model(input_ids=torch.tensor([ids + ours[:at]], device=model.device)).logits[0, -1].float()
        )
    if at is None or theirs is None:
        return told_row(size, None)
    mine = slots.prompt([Part(0, 0, ids + ours[:at], last=True)])[0].float()
    pair = (ours[at], told[at])
    return told_row(size, at, tokens=pair, ours=[float(mine[one]) for one in pair], theirs=[float(theirs[one]) for one in pair])


def told_row(size: str, at: int | None, **more: Any) -> dict[str, Any]:
    return told(part="greedy text against generate()", size=size, first_divergence=at, of=TOKENS, **more)


def prefill(engine: Any, clock: Clock, size: str) -> list[dict[str, Any]]:
    """Prompts by our kernels and by modules."""
    from inference_image.engine.schedule import Part
    from inference_image.engine.slots import Slots

    made = []
    modules = Slots(engine.steps.model, 1, engine.steps.length)
    for count in (32, 128, 512, 1000):
        part = Part(0, 0, [6] * count, last=True)
        seconds = clock.best(lambda part=part: engine.steps.prompt([part]), 5)
        slower = clock.best(lambda part=part: modules.prompt([part]), 5)
        made.append(told(
            part="prompt", size=size, tokens=count, ms=round(seconds * 1e3, 2), ms_of_modules=round(slower * 1e3, 2),
            tokens_s=round(count / seconds),
        ))  # fmt: skip
    return made
