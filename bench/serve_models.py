"""Models and ways to answer that the engine's benchmark compares, all in float32 on one thread. Knows no HTTP and no table.

Every way gets the same prompts and writes the same number of tokens: ends of text are switched off.
"""

from __future__ import annotations

import json
import random
import shutil
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SAMPLE = Path(__file__).parents[1] / "gemmactl" / "sandbox" / "sample" / "model"
LARGE = {
    "hidden_size": 640, "intermediate_size": 2560, "num_hidden_layers": 9, "num_attention_heads": 4, "num_key_value_heads": 1,
    "head_dim": 256, "sliding_window": 512, "query_pre_attn_scalar": 256,
    "layer_types": ["full_attention" if (layer + 1) % 6 == 0 else "sliding_attention" for layer in range(9)],
}  # fmt: skip
"""Shapes of Gemma 3 270M, half as deep and with the sample's tokens: 60 million parameters."""

Ask = tuple[list[int], int]
"""A prompt, and how many tokens are to follow."""


def folder(kind: str, place: Path) -> Path:
    """The sample model (`small`), or one of random weights with the sample's tokenizer (`large`), written once."""
    if kind == "small":
        return SAMPLE
    import torch
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    made = place / kind
    if not (made / "config.json").exists():
        torch.manual_seed(0)
        own = Gemma3TextConfig.from_pretrained(SAMPLE).to_dict() | LARGE
        model = Gemma3ForCausalLM(Gemma3TextConfig.from_dict({k: v for k, v in own.items() if k != "rope_parameters"}))
        model.to(torch.bfloat16).save_pretrained(made)
        for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
            shutil.copy(SAMPLE / name, made / name)
    return made


def fresh(path: Path) -> Any:
    import torch
    from transformers import Gemma3ForCausalLM

    return Gemma3ForCausalLM.from_pretrained(path, dtype=torch.float32).eval()


def asks(count: int, tokens: int | Sequence[int], seed: int = 0) -> list[Ask]:
    """Prompts of 16 to 40 tokens."""
    chance = random.Random(seed)
    return [
        ([2] + [chance.randrange(6, 1024) for _ in range(chance.randrange(15, 40))],
         tokens if isinstance(tokens, int) else chance.choice(tokens))
        for _ in range(count)
    ]  # fmt: skip


class Padded:
    """transformers' generate() over batches of prompts, padded to the longest; each goes on until its longest answer is done."""

    def __init__(self, path: Path) -> None:
        self._model = fresh(path)

    def __call__(self, wanted: Sequence[Ask], rows: int) -> None:
        import torch

        for at in range(0, len(wanted), rows):
            batch = wanted[at : at + rows]
            width = max(len(ids) for ids, _ in batch)
            ids = torch.zeros(len(batch), width, dtype=torch.long)
            mask = torch.zeros_like(ids)
            for row, (prompt, _) in enumerate(batch):
                ids[row, width - len(prompt) :] = torch.tensor(prompt)
                mask[row, width - len(prompt) :] = 1
            longest = max(count for _, count in batch)
            self._model.generate(
                ids, attention_mask=mask, max_new_tokens=longest, do_sample=False, eos_token_id=-1, pad_token_id=0
            )


class Slots:
    """gemmactl's steps and schedule, without text: what the other two do."""

    def __init__(self, path: Path) -> None:
        import torch

        from inference_image import layout
        from inference_image.engine import model as models
        from inference_image.engine.slots import Slots as Steps
        from inference_image.families import GEMMA3

        raw = layout.text_config(json.loads((path / "config.json").read_text()))
        model, tensors = models.build(GEMMA3, raw, torch.float32, torch.device("cpu")), fresh(path).state_dict()
        models.assign(model, {name: tensors[name] for name in models.needed(model)})
        self._steps = Steps(model, 32, 512)

    def __call__(self, wanted: Sequence[Ask], rows: int) -> None:
        from inference_image.engine.schedule import Running, Schedule

        self._steps.rows = rows
        schedule = Schedule(self._steps, lambda logits, _: logits.argmax(-1).tolist())
        waiting = deque(Running(ids, count) for ids, count in wanted)
        while waiting or schedule.running:
            schedule.free()
            for one in schedule.decode() + schedule.read(lambda: waiting.popleft() if waiting else None):
                one.ended = len(one.tokens) >= one.tag


@contextmanager
def continuous(path: Path) -> Iterator[Any]:
    """Transformers' continuous batching, its manager kept alive between runs."""
    import logging

    from transformers import ContinuousBatchingConfig, GenerationConfig

    logging.getLogger("ContinuousBatchingLogger").setLevel(logging.ERROR)
    plain = GenerationConfig(max_new_tokens=64, do_sample=False, eos_token_id=-1, pad_token_id=0)
    shape = ContinuousBatchingConfig(block_size=32, num_blocks=256, max_batch_tokens=512)
    model = fresh(path)
    with model.continuous_batching_context_manager(generation_config=plain, continuous_batching_config=shape) as manager:

        def answer(wanted: Sequence[Ask], _rows: int) -> None:
            for ids, count in wanted:
                manager.add_request(ids, max_new_tokens=count, eos_token_id=-1)
            left = len(wanted)
            while left:
                result = manager.get_result(timeout=60)
                left -= bool(result and result.is_finished())

        yield answer
