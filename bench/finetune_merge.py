"""What merging an adapter into its base costs: our streaming merge beside PEFT's merge_and_unload and save_pretrained.

    python -m bench.finetune_merge [--runs N] [--size 270m|1b] [--write docs/bench/finetune-merge.md]

A base with Gemma 3's shapes and random numbers, an adapter of rank 16 on every linear layer. Each merge is a process of its own,
in turns; its seconds are those of the whole process, imports too, its memory is the most that was resident. Both write to the
same disk, and both read a base that the kernel has in memory. Afterwards every changed value is held to the float64 sum.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from bench import make_weights

HERE = Path(__file__).resolve().parent.parent
RANK, ALPHA = 16, 32
FASTER, LEANER = 2.0, 4.0

OURS = """
import sys
from pathlib import Path
from finetune_image.merge import merged, plan
from finetune_image.store import ABSENT, Folder
from inference_image.chunks import open_source
base, adapter, out = sys.argv[1:]
made = plan(open_source(base, {}), Path(adapter))
for shard in made.shards:
    Folder(Path(out)).pour(shard.name, shard.size, merged(made, shard), only_if=ABSENT)
if made.index:
    Folder(Path(out)).write("model.safetensors.index.json", made.index)
"""
PEFT = """
import sys
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM
base, adapter, out = sys.argv[1:]
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16), adapter)
model.merge_and_unload(safe_merge=SAFE).save_pretrained(out)
"""
NOTHING = "import torch"
WAYS = {
    "**gemmactl**, tensor by tensor": OURS,
    "PEFT: merge_and_unload, save_pretrained": PEFT.replace("SAFE", "False"),
    "PEFT: merge_and_unload(safe_merge=True), save_pretrained": PEFT.replace("SAFE", "True"),
}
(OWN, PLAIN, SAFE) = WAYS


HEAD = """\
Gemma 3's shapes ({size}, {gb:.2f} GB of bfloat16, random numbers, four shards), LoRA of rank {rank} on every linear layer.
Each merge is a process of its own, in turns: seconds of the whole process, imports too (median, smallest to largest),
and the most memory that was resident. Base in the kernel's memory, results on the same disk. Made by
`python -m bench.finetune_merge --write FILE`."""
FOOT = """\
The error is that of every changed value against the sum in float64. A value that is not the nearest bfloat16 was
rounded twice: the adapter's product first, the sum after it."""


@dataclass(frozen=True)
class Cost:
    """Of one process. `resident`: the most that it held at once, in MB of 10^6 bytes."""

    seconds: float
    resident: float


def run(code: str, *arguments: str) -> Cost:
    began = time.perf_counter()
    environ = {**os.environ, "PYTHONPATH": str(HERE), "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], env=environ, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"a merge ended with {process.returncode}")
    return Cost(time.perf_counter() - began, used.ru_maxrss * 1024 / 1e6)


def make_adapter(folder: Path, size: str) -> None:
    """Random LoRA on every linear layer, as large as a trained one's."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    made: dict[str, Any] = {}
    for name, shape in make_weights.tensors(size):
        if name.endswith("_proj.weight"):
            stem = f"base_model.model.{name.removesuffix('.weight')}"
            made[f"{stem}.lora_A.weight"] = torch.randn(RANK, shape[1]) * 0.02
            made[f"{stem}.lora_B.weight"] = torch.randn(shape[0], RANK) * 0.01
    folder.mkdir()
    save_file(made, folder / "adapter_model.safetensors")
    targets = sorted({name.split(".")[-2] for name, _ in make_weights.tensors(size) if name.endswith("_proj.weight")})
    said = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": RANK, "lora_alpha": ALPHA, "target_modules": targets}
    (folder / "adapter_config.json").write_text(json.dumps(said))


def closeness(base: Path, adapter: Path, out: Path) -> tuple[float, float]:
    """(share of changed values that are not the nearest bfloat16 of the float64 sum, root of the mean square of the error)."""
    # in a process of its own: what a parent holds counts as resident in the first moment of its children
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_closeness, base, adapter, out).result()


def _closeness(base: Path, adapter: Path, out: Path) -> tuple[float, float]:
    from safetensors import safe_open

    def opened(folder: Path) -> dict[str, Any]:
        files = [safe_open(path, "pt") for path in sorted(folder.glob("*.safetensors"))]
        return {name: file for file in files for name in file.keys()}  # noqa: SIM118 - it is no mapping

    old, new, halves = opened(base), opened(out), opened(adapter)
    count, off, square = 0, 0, 0.0
    for key in halves:
        if not key.endswith("lora_A.weight"):
            continue
        name = key.removeprefix("base_model.model.").replace("lora_A.", "")
        a, b = (halves[k].get_tensor(k).double() for k in (key, key.replace("lora_A", "lora_B")))
        total = old[name].get_tensor(name).double() + (ALPHA / RANK) * (b @ a)
        found = new[name].get_tensor(name)
        off += int((found != total.bfloat16()).sum())
        square += float(((found.double() - total) ** 2).sum())
        count += total.numel()
        del total, found
    return off / count, (square / count) ** 0.5


def page(size: str, given: int, costs: dict[str, list[Cost]], close: dict[str, tuple[float, float]], bare: Cost) -> str:
    """docs/bench/finetune-merge.md."""
    medians = {name: statistics.median(one.seconds for one in found) for name, found in costs.items()}
    peaks = {name: max(one.resident for one in found) for name, found in costs.items()}
    quick, lean = medians[PLAIN] / medians[OWN], peaks[PLAIN] / peaks[OWN]
    nearer = close[OWN][1] <= min(close[PLAIN][1], close[SAFE][1])
    ratios = [p.seconds / o.seconds for o, p in zip(costs[OWN], costs[PLAIN], strict=True)]
    bars = (
        (f"seconds, PEFT's over ours: >= {FASTER:.0f}", f"{quick:.2f} ({min(ratios):.2f}-{max(ratios):.2f})", quick >= FASTER),
        (f"peak memory, PEFT's over ours: >= {LEANER:.0f}", f"{lean:.2f}", lean >= LEANER),
        ("at least as near to the sum in float64", f"{close[OWN][1]:.3e} against {close[PLAIN][1]:.3e}", nearer),
    )
    date, machine = time.strftime("%Y-%m-%d"), f"{platform.system()} {platform.machine()}"
    load = f"shared with other work (load average {os.getloadavg()[0]:.0f})"
    torch = f"`import torch` alone: {bare.seconds:.1f} s, {bare.resident:.0f} MB."
    rows = [
        f"| {name} | {medians[name]:.1f} ({min(c.seconds for c in found):.1f}-{max(c.seconds for c in found):.1f}) | "
        f"{given / 1e9 / medians[name]:.2f} | {peaks[name]:.0f} | {close[name][0]:.2%} | {close[name][1]:.3e} | {len(found)} |"
        for name, found in costs.items()
    ]
    return "\n".join(
        [
            "# Merging an adapter into its base",
            "",
            *HEAD.format(size=size, gb=given / 1e9, rank=RANK).splitlines(),
            "",
            f"{date}, Python {platform.python_version()} on {machine}, {os.cpu_count()} cores, {load}. {torch}",
            "",
            "Not measured: real Cloud Storage, where both would wait for the network; a GPU, which neither needs.",
            "",
            "## Bars",
            "",
            "| bar | measured | verdict |",
            "| --- | --- | --- |",
            *(f"| {what} | {found} | {'ok' if good else 'missed'} |" for what, found, good in bars),
            "",
            "## Merges",
            "",
            "| what | seconds | GB/s | peak MB | not the nearest bfloat16 | error, root mean square | runs |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
            *rows,
            "",
            *FOOT.splitlines(),
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--size", choices=sorted(make_weights.SHAPES), default="1b")
    parser.add_argument("--write", type=Path)
    parser.add_argument("--scratch", type=Path, help="a folder on a disk with three times the base's size")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.scratch) as scratch:
        base, adapter, out = (Path(scratch) / name for name in ("base", "adapter", "out"))
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            size = pool.submit(make_weights.write, base, given.size, 4).result()
            pool.submit(make_adapter, adapter, given.size).result()
        costs: dict[str, list[Cost]] = {name: [] for name in WAYS}
        close = {}
        bare = min((run(NOTHING) for _ in range(3)), key=lambda one: one.seconds)
        for _ in range(given.runs):
            for name, code in WAYS.items():
                os.sync()
                costs[name].append(run(code, str(base), str(adapter), str(out)))
                print(f"{name}: {costs[name][-1]}", flush=True)
                if name not in close:
                    close[name] = closeness(base, adapter, out)
                shutil.rmtree(out)
    text = page(given.size, size, costs, close, bare)
    print(text)
    if given.write:
        given.write.write_text(text)


if __name__ == "__main__":
    main()
