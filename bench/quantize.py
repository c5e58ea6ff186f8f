"""What int8 costs and gives on a CPU: bytes, answers, error, tokens a second. Knows no GPU and no service.

    python -m bench.quantize [--rounds 5] [--size 270m]

Speeds of bfloat16 and int8 are taken in turns in one process, on random weights in the shape of a Gemma 3: look at the ratio.
Answers are those of the sample model, which says one exact text for each of its examples or is wrong.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

from inference_image import families
from inference_image.quantize import LARGEST, Int8, dequantize, empty, quantize, scale_name

SAMPLE = Path(__file__).resolve().parent.parent / "gemmactl" / "sandbox" / "sample"
SIZES = {
    "270m": {"hidden_size": 640, "num_hidden_layers": 18, "num_attention_heads": 4, "intermediate_size": 2048},
    "1b": {"hidden_size": 1152, "num_hidden_layers": 26, "num_attention_heads": 4, "intermediate_size": 6912},
}
"""As published, but for a vocabulary of an eighth: the head would be all that is measured."""


def models(size: str) -> tuple[Any, Any]:
    """The same random weights in bfloat16 and in int8."""
    import torch
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    from inference_image.engine import model as engine

    torch.manual_seed(0)
    config = Gemma3TextConfig(**SIZES[size], num_key_value_heads=1, head_dim=256, vocab_size=32768, sliding_window=512)
    wide = Gemma3ForCausalLM(config).to(torch.bfloat16).eval()
    small = deepcopy(wide)
    names, tensors = engine.quantize(small, families.GEMMA3), {}
    for name in engine.needed(wide):
        values = wide.get_parameter(name).data
        tensors[name] = values
        if name in names:
            made = empty(values.shape, values.dtype, values.device)
            quantize(values, made)
            tensors |= {name: made.weight, scale_name(name): made.scale}
    engine.assign(small, tensors)
    return wide, small


def weight_bytes(model: Any) -> int:
    return sum(one.numel() * one.element_size() for name, one in model.state_dict().items() if not name.startswith("lm_head."))


def seconds(model: Any, prompt: int, tokens: int) -> tuple[float, float]:
    """Of a prompt in one piece, and of each token after it."""
    import torch
    from transformers import DynamicCache

    cache = DynamicCache(config=model.config)
    with torch.inference_mode():
        began = time.perf_counter()
        model(input_ids=torch.arange(prompt)[None], past_key_values=cache, logits_to_keep=1)
        read = time.perf_counter()
        for token in range(tokens):
            model(input_ids=torch.tensor([[token]]), past_key_values=cache)
        return read - began, (time.perf_counter() - read) / tokens


def exact(mode: str) -> tuple[int, int]:
    """Examples of the sample model that are answered word for word, and how many there are."""
    from inference_image.engine import load
    from inference_image.settings import Settings

    rows = json.loads((SAMPLE / "examples.json").read_text(encoding="utf-8"))
    engine = load(Settings(model=str(SAMPLE / "model"), threads=1, quantize=mode), environ={})
    right = 0
    for row in rows:
        answer = engine.submit(engine.request(engine.presets.rows[row["type"]], row["prompt"]))
        right += "".join(piece.text for piece in answer) == row["answer"]
    engine.close()
    return right, len(rows)


def errors() -> None:
    """Relative error of weights: a scale for each row, and for each 128 values of one."""
    import torch

    torch.manual_seed(0)
    for name, values in (
        ("Gaussian", torch.randn(1024, 3840)),
        ("Student t, 5 degrees", torch.distributions.StudentT(5.0).sample((1024, 3840))),
    ):
        made = empty(values.shape, torch.bfloat16, values.device)
        quantize(values, made)
        by_row = dequantize(Int8(made.weight, made.scale.float()))
        groups = values.view(1024, -1, 128)
        scale = groups.abs().amax(-1, keepdim=True) / LARGEST
        by_group = ((groups / scale).round() * scale).view_as(values)
        row, group = (float((one - values).norm() / values.norm()) for one in (by_row, by_group))
        print(f"{name}: {row:.2%} with a scale for each row, {group:.2%} for each 128 values")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", choices=SIZES, default="270m")
    parser.add_argument("--only-speed", action="store_true")
    given = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    wide, small = models(given.size)
    print(f"bytes: {weight_bytes(small) / weight_bytes(wide):.3f} of bfloat16")
    runs = [[seconds(model, prompt=128, tokens=16) for model in (wide, small)] for _ in range(given.rounds)]
    for at, what in enumerate(("prompt of 128", "a token")):
        ratio = statistics.median(one[0][at] / one[1][at] for one in runs)
        best = [min(one[which][at] for one in runs) * 1000 for which in (0, 1)]
        print(f"{what}: bfloat16 {best[0]:.1f} ms, int8 {best[1]:.1f} ms, {ratio:.2f} times as fast (median of ratios)")
    if not given.only_speed:
        errors()
        for mode in ("none", "int8"):
            print(f"sample model, {mode}: {'{} of {}'.format(*exact(mode))} examples word for word")


if __name__ == "__main__":
    main()
