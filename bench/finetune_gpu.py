"""A fine-tune on a GPU: tokens per second and peak memory, bfloat16 against four bits, with weights of the real shapes.

    python -m bench.finetune_gpu [--sizes 4b,12b] [--length 1024] [--steps 12] [--folder DIR] [--json FILE] [--write PAGE]

Weights are random: a step takes the same time over any numbers. Each case is a process of its own, so that its peak is its
own; the micro-batch is what the trainer's own probe finds. One JSON line a case on stderr, the page on stdout; --json keeps them.
Without a GPU it runs on `--sizes tiny`, to see that it runs.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

WARM = 4
"""Steps before the clock starts: kernels are chosen, the optimizer's memory is taken."""
CASES: dict[str, dict[str, Any]] = {
    "bfloat16, packed": {"quantize": "none"},
    "nf4, packed": {"quantize": "nf4"},
    "nf4, packed, activations computed twice": {"quantize": "nf4", "train": {"activation_checkpointing": True}},
    "bfloat16, one row a sequence": {"quantize": "none", "train": {"packing": False}},
}


def rows(count: int, tokens: int) -> list[dict[str, str]]:
    """Prompt and answer of about `tokens` tokens together, half to twice of it: letters that no tokenizer joins."""
    chance = random.Random(0)

    def words(most: int) -> str:
        return " ".join(chance.choice("abcdefghij") for _ in range(max(4, most)))

    return [
        {"prompt": words(int(size * 0.8)), "completion": words(int(size * 0.2))}
        for size in (int(tokens * 2 ** chance.uniform(-1, 1)) for _ in range(count))
    ]


def one(size: str, case: str, folder: Path, length: int, steps: int) -> dict[str, Any]:
    """Train `steps` steps, tell of those after WARM."""
    import torch
    from transformers import TrainerCallback

    from finetune_image.run import File, Run, parse
    from finetune_image.trainer import build

    cuda = torch.cuda.is_available()
    told = CASES[case]
    train = {"max_length": length, "max_steps": steps, "logging_steps": 1, **told.get("train", {})}
    if size == "tiny":
        train["batch_tokens"] = 2 * length
    wish = parse({**told, "train": train, "data": {"eval": 0}})
    marks: list[tuple[float, int]] = []

    class Clock(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if logs and "num_tokens" in logs:
                if cuda:
                    torch.cuda.synchronize()
                marks.append((time.perf_counter(), int(logs["num_tokens"])))

    began = time.perf_counter()
    given = rows((2 * length if size == "tiny" else 8192) * steps // 90, 120)
    made = build(
        Run("bench", "bench", wish, "bench", File("rows", "0")), folder, given, [], folder / "out",
        device="cuda:0" if cuda else "cpu", callbacks=[Clock()],
    )  # fmt: skip
    ready = time.perf_counter()
    made.trainer.train()
    (first, had), (last, have) = marks[WARM - 1], marks[-1]
    stats = made.stats
    return {
        "size": size, "case": case, "length": length, "device": torch.cuda.get_device_name() if cuda else "cpu",
        "torch": torch.__version__, "tokens_per_s": round((have - had) / (last - first), 1),
        "peak_gb": round(torch.cuda.max_memory_allocated() / 1e9, 2) if cuda else None, "build_s": round(ready - began, 1),
        "micro": stats.micro, "accumulation": stats.accumulation, "checkpointing": stats.checkpointing,
        "tokens_a_step": round(have / made.steps), "trainable": stats.trainable, "parameters": stats.parameters,
    }  # fmt: skip


def page(lines: list[dict[str, Any]], day: str) -> str:
    """The results as a page; without any it says so."""
    head = (
        "# A fine-tune on a GPU\n\n"
        "Tokens per second and peak memory of the trainer on random weights of Gemma 3's shapes: packed rows of 60 to 240\n"
        "tokens, LoRA r 16 on all linear layers of the language model. Each case is a process of its own. Made by\n"
        "`python -m bench.finetune_gpu --write FILE`.\n\n"
    )
    table = (
        "| shape | case | GPU | tokens/s | peak GB | micro-batch x accumulation | activations |\n"
        "| --- | --- | --- | ---: | ---: | --- | --- |\n"
    )
    if not lines:
        cases = [(size, case) for size in ("4b", "12b") for case in CASES]
        table += "".join(f"| {size} | {case} |  | not measured | not measured |  |  |\n" for size, case in cases)
        return head + "Not measured: no GPU was at hand. What is said of speed elsewhere is an estimate.\n\n" + table
    for row in lines:
        if "error" in row:
            table += f"| {row['size']} | {row['case']} |  | {row['error']} |  |  |  |\n"
            continue
        kept = "computed twice" if row["checkpointing"] else "kept"
        peak = "" if row["peak_gb"] is None else row["peak_gb"]
        table += (
            f"| {row['size']} | {row['case']} | {row['device']} | {row['tokens_per_s']} | {peak} |"
            f" {row['micro']} x {row['accumulation']} | {kept} |\n"
        )
    return head + f"{day}.\n\n" + table


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", default="4b,12b")
    parser.add_argument("--length", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--folder", type=Path, default=Path("finetune-bench"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--case")
    parser.add_argument("--nothing", action="store_true", help="the page of a machine without a GPU")
    given = parser.parse_args()
    if given.case:
        print(json.dumps(one(given.sizes, given.case, given.folder, given.length, given.steps)))
        return
    lines: list[dict[str, Any]] = []
    for size in () if given.nothing else given.sizes.split(","):
        from bench.gpu import weights

        folder = weights(size, given.folder)
        for case in CASES:
            told = [sys.executable, "-m", "bench.finetune_gpu", "--sizes", size, "--case", case, "--folder", str(folder)]
            told += ["--length", str(given.length), "--steps", str(given.steps)]
            ended = subprocess.run(told, capture_output=True, text=True, check=False)
            said = ended.stderr.strip().splitlines() or ["?"]
            if ended.returncode:
                print(ended.stderr[-3000:], file=sys.stderr)
            line = json.loads(ended.stdout) if ended.returncode == 0 else {"size": size, "case": case, "error": said[-1][:100]}
            print(json.dumps(line), file=sys.stderr, flush=True)
            lines.append(line)
        shutil.rmtree(folder, ignore_errors=True)
    if given.json:
        given.json.write_text("".join(json.dumps(line) + "\n" for line in lines))
    made = page(lines, time.strftime("%Y-%m-%d"))
    if given.write:
        given.write.write_text(made, encoding="utf-8")
    print(made)


if __name__ == "__main__":
    main()
