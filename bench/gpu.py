"""The engine on a GPU against transformers and the GPU's own limit, with weights of the real shapes that a random number made.

    python -m bench.gpu [--sizes 4b,12b,12b-int8] [--folder DIR] [--keep FILE] [--write docs/bench/gpu.md]

One JSON line per measurement on stderr, kept in --keep as they come, the page on stdout. Without a GPU it runs on `--sizes tiny`,
to see that it runs. `bound`: bytes of all weights over the measured bandwidth of memory.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
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
    """The folder of a size, written once; what it becomes on its way (`12b-int8`) is none of the folder's."""
    size = size.partition("-")[0]
    made = place / size
    if not (made / "config.json").exists():
        make_weights.SHAPES.update(SHAPES)
        make_weights.write(made, size, 1 if size == "tiny" else 4)
        for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
            shutil.copy(SAMPLE / name, made / name)
    return made


def loaded(path: Path, size: str, *, began: float | None = None) -> tuple[Any, dict[str, Any]]:
    """Our engine over a folder, and its timeline."""
    from inference_image.engine import load
    from inference_image.settings import Settings
    from inference_image.timeline import Timeline

    timeline = Timeline(began=time.monotonic() if began is None else began)
    more = {"quantize": "int8"} if size.endswith("int8") else {}
    settings = Settings(model=str(path), max_context=CONTEXT, dtype="bfloat16", reader="process", **more)
    return load(settings, environ={}, timeline=timeline), timeline.record()


def load_row(engine: Any, record: dict[str, Any], size: str) -> dict[str, Any]:
    phases = {phase["name"]: round(phase["start"] + phase["seconds"], 2) for phase in record["phases"]}
    keep = {
        name: record.get(name) for name in ("rows", "graphs", "kernels", "kv_bytes", "bytes", "gb_per_s", "dtype", "quantize")
    }
    ends = {name: phases[name] for name in ("read weights", "fill model", "rehearse", "first token") if name in phases}
    return told(part="load", size=size, rows_now=engine.steps.rows, **keep, ends=ends)


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


def static(model: Any, clock: Clock, size: str) -> dict[str, Any]:
    """generate() with a static cache, which transformers compiles. Last: compiling gives back memory that recorded steps use."""
    import torch

    model.set_attn_implementation("sdpa")
    with torch.inference_mode():
        seconds = clock.best(lambda: generate(model, 1, cache_implementation="static"), 1)
    return told(part="generate() with a static cache, compiled", size=size, rows=1, tokens_s=round(TOKENS / seconds, 1))


def decode(engine: Any, clock: Clock, bound: float, size: str, most: int) -> list[dict[str, Any]]:
    """A step of ours by our kernels and by transformers' modules, both recorded; whole answers of ours and of generate()."""
    import torch

    from inference_image.engine import attention
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
            model.set_attn_implementation("sdpa")
            with torch.inference_mode():
                row["generate"] = round(rows * TOKENS / clock.best(lambda rows=rows: generate(model, rows), 1), 1)
            model.set_attn_implementation(attention.NAME)
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
    """Prompts by our kernels and by transformers' modules."""
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


def fresh(size: str, place: Path, way: str) -> dict[str, Any]:
    """A process from its birth to its first token, the second of two: the first leaves compiled Python files behind."""
    for _ in range(2):
        began = time.perf_counter()
        ended = subprocess.run(
            [sys.executable, "-m", "bench.gpu", "--folder", str(place), "--first-token", way, "--sizes", size],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        seconds = time.perf_counter() - began
    last = ended.stdout.strip().splitlines()[-1:] or [json.dumps({"failed": ended.stderr[-300:]})]
    return told(part="from birth to the first token", size=size, way=way, process_s=round(seconds, 2), **json.loads(last[0]))


def first_token(size: str, place: Path, way: str) -> dict[str, Any]:
    """What such a process does; the bytes are in the page cache."""
    began = time.monotonic()
    path = weights(size, place)
    if way == "ours":
        engine, record = loaded(path, size, began=began)
        engine.close()
        ends = {one["name"]: [round(one["start"], 2), round(one["start"] + one["seconds"], 2)] for one in record["phases"]}
        return {"seconds": round(time.monotonic() - began, 2), "gb_per_s": record["gb_per_s"], "phases": ends}
    import torch
    from transformers import Gemma3ForCausalLM

    model = Gemma3ForCausalLM.from_pretrained(
        path, dtype=torch.bfloat16, device_map="cuda" if torch.cuda.is_available() else "cpu"
    )
    model.generate(torch.tensor(prompts(1), device=model.device), max_new_tokens=1, do_sample=False)
    return {"seconds": round(time.monotonic() - began, 2)}


PARTS = ("birth", "load", "decode", "prompt", "requests", "divergence", "static", "continuous")


def one_size(size: str, place: Path, bandwidth: float, parts: Sequence[str]) -> list[dict[str, Any]]:
    plain = "-" not in size
    rows = [fresh(size, place, "ours")] if "birth" in parts else []
    if plain and rows:
        rows.append(fresh(size, place, "from_pretrained"))
    engine, record = loaded(weights(size, place), size)
    model = engine.steps.model
    clock = Clock(model.device)
    held = sum(one.numel() * one.element_size() for one in {one.data_ptr(): one for one in state(model)}.values())
    most = 0 if not plain else 1 if size == "12b" else max(BATCHES)
    work: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "load": lambda: [load_row(engine, record, size)],
        "decode": lambda: decode(engine, clock, bandwidth * 1e9 / held, size, most),
        "prompt": lambda: prefill(engine, clock, size),
        "requests": lambda: whole_engine(engine, size),
        "divergence": lambda: [divergence(engine, size)] if plain else [],
        "static": lambda: [static(model, clock, size)] if size in {"4b", "tiny"} else [],
        "continuous": lambda: [continuous(model, clock, size)] if size in {"4b", "tiny"} else [],
    }
    for part in (one for one in work if one in parts):
        try:
            rows += work[part]()
        except Exception as error:
            rows.append(told(part=part, size=size, failed=f"{type(error).__name__}: {error}"[:200]))
    engine.close()
    return rows


def state(model: Any) -> list[Any]:
    """All that a step reads of a model's weights: parameters, and int8 with its scales."""
    return [*model.parameters(), *(one for name, one in model.named_buffers() if "weight" in name)]


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
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--first-token", choices=("ours", "from_pretrained"))
    given = parser.parse_args()
    if given.first_token:
        print(json.dumps(first_token(given.sizes, given.folder, given.first_token)))
        return
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows = [limits(device, Clock(device))]
    for size in given.sizes.split(","):
        rows += one_size(size, given.folder, rows[0]["memory_gb_s"], given.parts.split(","))
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
        if given.keep:
            given.keep.write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = page(rows, time.strftime("%Y-%m-%d"))
    print(made)
    if given.write:
        given.write.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
