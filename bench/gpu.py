"""The engine on a GPU against transformers and the GPU's own limit, with weights of the real shapes that a random number made.

    python -m bench.gpu [--sizes 4b,12b] [--folder DIR] [--write docs/bench/gpu.md]

One JSON line per measurement on stderr, the page on stdout. A call takes less than eight minutes on an H100 by estimate. Without
a GPU it runs on `--sizes tiny`, to see that it runs. `bound`: bytes of all weights over the measured bandwidth of memory.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import make_weights
from bench.serve_models import SAMPLE

BATCHES = (1, 8, 32)
TOKENS = 64
CONTEXT = 1024
TINY = (128, 3, 256, 4, 1, 1024)
SHAPES = make_weights.SHAPES | {"12b": (3840, 48, 15360, 16, 8, 262208), "tiny": TINY}


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


def weights(size: str, place: Path) -> Path:
    """The folder of a size, written once."""
    made = place / size
    if not (made / "config.json").exists():
        make_weights.SHAPES.update(SHAPES)
        make_weights.write(made, size, 1 if size == "tiny" else 4)
        for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
            shutil.copy(SAMPLE / name, made / name)
    return made


def loaded(path: Path, **more: Any) -> tuple[Any, dict[str, Any]]:
    """Our engine over a folder, and its timeline."""
    from inference_image.engine import load
    from inference_image.settings import Settings
    from inference_image.timeline import Timeline

    timeline = Timeline(began=time.monotonic())
    engine = load(Settings(model=str(path), max_context=CONTEXT, dtype="bfloat16", **more), environ={}, timeline=timeline)
    return engine, timeline.record()


def start(engine: Any, record: dict[str, Any], size: str) -> dict[str, Any]:
    phases = {phase["name"]: round(phase["start"] + phase["seconds"], 2) for phase in record["phases"]}
    keep = {name: record.get(name) for name in ("rows", "graphs", "kv_bytes", "bytes", "gb_per_s", "ready", "dtype")}
    ends = {name: phases[name] for name in ("read weights", "fill model", "rehearse", "first token") if name in phases}
    return told(part="load", size=size, rows_now=engine.steps.rows, **keep, ends=ends)


def prompts(count: int) -> list[list[int]]:
    chance = random.Random(0)
    return [[2] + [chance.randrange(6, 1000) for _ in range(31)] for _ in range(count)]


def decode(engine: Any, clock: Clock, bound: float, size: str) -> list[dict[str, Any]]:
    """Tokens a second of our steps, of transformers' generate(), of its static cache, and what memory allows."""
    import torch

    from inference_image.engine import attention
    from inference_image.engine.schedule import Part

    slots, model = engine.steps, engine.steps.model
    made = []
    for rows in BATCHES:
        if rows > slots.rows:
            continue

        def steps(rows: int = rows) -> None:
            slots.prompt([Part(row, 0, ids, last=True) for row, ids in enumerate(prompts(rows))])
            tokens = [6] * rows
            for step in range(TOKENS):
                tokens = slots.decode(tokens, [32 + step] * rows).argmax(-1).tolist()

        def generate(rows: int = rows, **more: Any) -> None:
            ids = torch.tensor(prompts(rows), device=model.device)
            model.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=TOKENS, min_new_tokens=TOKENS, do_sample=False,
                pad_token_id=0, **more,
            )  # fmt: skip

        row: dict[str, Any] = {"part": "decode", "size": size, "rows": rows, "ours": round(rows * TOKENS / clock.best(steps), 1)}
        row["of_bound"] = round(row["ours"] / rows / bound, 3)
        model.set_attn_implementation("sdpa")
        with torch.inference_mode():
            row["generate"] = round(rows * TOKENS / clock.best(generate, 1), 1)
            if model.device.type == "cuda" and rows == 1:
                static = clock.best(lambda: generate(1, cache_implementation="static"), 1)
                row["generate_static_compiled"] = round(TOKENS / static, 1)
        model.set_attn_implementation(attention.NAME)
        row["over_generate"] = round(row["ours"] / row["generate"], 2)
        made.append(told(**row))
    return made


def continuous(model: Any, clock: Clock, size: str) -> dict[str, Any]:
    """Transformers' continuous batching, 32 at once."""
    from transformers import ContinuousBatchingConfig, GenerationConfig

    plain = GenerationConfig(max_new_tokens=TOKENS, do_sample=False, eos_token_id=-1, pad_token_id=0)
    model.set_attn_implementation("sdpa")
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


def divergence(engine: Any, size: str) -> dict[str, Any]:
    """Where our greedy answer first parts from generate()'s, if it does, and what both think of both tokens there."""
    import torch

    from inference_image.engine import attention
    from inference_image.engine.schedule import Part

    slots, model = engine.steps, engine.steps.model
    ids = prompts(1)[0]
    ours = [int(slots.prompt([Part(0, 0, ids, last=True)])[0].argmax())]
    while len(ours) < TOKENS:
        ours.append(int(slots.decode([ours[-1]], [len(ids) + len(ours) - 1])[0].argmax()))
    model.set_attn_implementation("sdpa")
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
    model.set_attn_implementation(attention.NAME)
    if at is None or theirs is None:
        return told_row(size, None)
    mine = slots.prompt([Part(0, 0, ids + ours[:at], last=True)])[0].float()
    pair = (ours[at], told[at])
    return told_row(size, at, tokens=pair, ours=[float(mine[one]) for one in pair], theirs=[float(theirs[one]) for one in pair])


def told_row(size: str, at: int | None, **more: Any) -> dict[str, Any]:
    return told(part="greedy text against generate()", size=size, first_divergence=at, of=TOKENS, **more)


def prefill(engine: Any, clock: Clock, size: str) -> list[dict[str, Any]]:
    from inference_image.engine.schedule import Part

    made = []
    for count in (128, 512, 1000):
        ids = [6] * count
        seconds = clock.best(lambda ids=ids: engine.steps.prompt([Part(0, 0, ids, last=True)]))
        made.append(told(part="prompt", size=size, tokens=count, ms=round(seconds * 1e3, 2), tokens_s=round(count / seconds)))
    return made


def one_size(size: str, place: Path, bandwidth: float) -> list[dict[str, Any]]:
    import torch

    engine, record = loaded(weights(size, place))
    model = engine.steps.model
    clock = Clock(model.device)
    held = sum(one.numel() * one.element_size() for one in model.parameters())
    rows = [
        start(engine, record, size),
        *decode(engine, clock, bandwidth * 1e9 / held, size),
        *prefill(engine, clock, size),
        divergence(engine, size),
    ]
    try:
        rows.append(continuous(model, clock, size))
    except Exception as error:
        rows.append(told(part="continuous batching", size=size, failed=f"{type(error).__name__}: {error}"[:200]))
    engine.close()
    del engine, model
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return rows


def page(rows: list[dict[str, Any]], day: str) -> str:
    lines = ["# The engine on a GPU, measured", "", f"{day}, `python -m bench.gpu`.", ""]
    for row in rows:
        lines += [f"- {row.pop('part')}: " + ", ".join(f"{name} {value}" for name, value in row.items() if value is not None)]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="4b")
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm/gemmactl-gpu"))
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows = [limits(device, Clock(device))]
    for size in given.sizes.split(","):
        rows += one_size(size, given.folder, rows[0]["memory_gb_s"])
    made = page(rows, time.strftime("%Y-%m-%d"))
    print(made)
    if given.write:
        given.write.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
