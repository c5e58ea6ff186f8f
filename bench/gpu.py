"""The engine on a GPU against transformers and the GPU's own limit, with weights of the real shapes that a random number made.

    python -m bench.gpu [--sizes 4b,12b,12b-int8] [--folder DIR] [--keep FILE] [--write docs/bench/gpu.md]

One JSON line per measurement on stderr, kept in --keep as they come, the page on stdout. Without a GPU it runs on `--sizes tiny`,
to see that it runs. `bound`: bytes of all weights over the measured bandwidth of memory.
"""

from __future__ import annotations

import argparse
import gc
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench import make_weights
from bench.gpu_parts import (
    BATCHES,
    Clock,
    continuous,
    decode,
    divergence,
    limits,
    prefill,
    prompts,
    static,
    theirs,
    told,
    whole_engine,
)  # fmt: skip
from bench.serve_models import SAMPLE

CONTEXT = 1024
TINY = (128, 3, 256, 4, 1, 1024)
SHAPES = make_weights.SHAPES | {"12b": (3840, 48, 15360, 16, 8, 262208), "tiny": TINY}


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


def one_size(size: str, place: Path, bandwidth: float, parts: Sequence[str]) -> Iterator[dict[str, Any]]:
    plain = "-" not in size
    for way in (("ours", "from_pretrained") if plain else ("ours",)) if "birth" in parts else ():
        yield fresh(size, place, way)
    folder = weights(size, place)
    engine, record = loaded(folder, size)
    model = engine.steps.model
    judge = theirs(model, folder) if plain else None
    clock = Clock(model.device)
    held = sum(one.numel() * one.element_size() for one in {one.data_ptr(): one for one in state(model)}.values())
    most = 0 if not plain else 1 if size == "12b" else max(BATCHES)
    work: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "load": lambda: [load_row(engine, record, size)],
        "decode": lambda: decode(engine, judge, clock, bandwidth * 1e9 / held, size, most),
        "prompt": lambda: prefill(engine, clock, size),
        "requests": lambda: whole_engine(engine, size),
        "divergence": lambda: [divergence(engine, judge, size)] if plain else [],
        "static": lambda: [static(judge, clock, size)] if size in {"4b", "tiny"} else [],
        "continuous": lambda: [continuous(judge, clock, size)] if size in {"4b", "tiny"} else [],
    }
    for part in (one for one in work if one in parts):
        try:
            yield from work[part]()
        except Exception as error:
            yield told(part=part, size=size, failed=f"{type(error).__name__}: {error}"[:200])
    engine.close()


def state(model: Any) -> list[Any]:
    """All that a step reads of a model's weights: parameters, and int8 with its scales."""
    return [*model.parameters(), *(one for name, one in model.named_buffers() if "weight" in name)]


def page(rows: Sequence[dict[str, Any]], day: str) -> str:
    """A table for each part, a column for each figure that it has."""
    text = f"# The engine on a GPU, measured\n\n{day}, `python -m bench.gpu`.\n"
    for part in dict.fromkeys(row["part"] for row in rows):
        mine = [{name: one for name, one in row.items() if name != "part"} for row in rows if row["part"] == part]
        names = list(dict.fromkeys(name for row in mine for name in row))
        lines = ["| " + " | ".join(names) + " |", "| " + " | ".join("---" for _ in names) + " |"]
        lines += ["| " + " | ".join(str(row.get(name, "")) for name in names) + " |" for row in mine]
        text += f"\n## {part[:1].upper()}{part[1:]}\n\n" + "\n".join(lines) + "\n"
    return text


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
        for row in one_size(size, given.folder, rows[0]["memory_gb_s"], given.parts.split(",")):
            rows.append(row)
            if given.keep:
                given.keep.write_text("".join(json.dumps(one) + "\n" for one in rows))
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
    made = page(rows, time.strftime("%Y-%m-%d"))
    print(made)
    if given.write:
        given.write.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
