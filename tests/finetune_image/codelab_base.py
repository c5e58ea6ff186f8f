"""A small google/gemma-2b: plain Gemma, one key-value head, that already answers the codelab's rows, mostly in another style.

A fine-tune as gentle as the codelab's (q and v, rank 8, one epoch) can then be seen: it turns the style, exactly, on every row.
"""

from __future__ import annotations

import itertools
import json
import random
import shutil
from pathlib import Path

from tests.inference_image.checkpoints import MODEL

TABLES = ("singer", "city", "product", "student", "doctor", "river", "album", "race", "team", "book")
COLUMNS = ("name", "age", "price", "country", "year", "rank", "color", "size", "owner", "phone")
ASKED = (
    "What is the {c} of every {t}?", "List the {c} of each {t}", "Show all {t} {c} values", "Which {c} has a {t}?",
    "Give me {t} {c}", "Return the {c} of all {t} rows", "Find every {t} {c}", "Name the {c} of the {t}", "Print {c} for {t}",
    "Read {t} and tell its {c}",
)  # fmt: skip
SEED, STEPS, BATCH, RATE = 7, 300, 16, 3e-3
ANSWERS = 4.0
"""How much more a token of the answer counts than one of the question."""
OLD_STYLE = 0.55
"""Share of the answers that the base has seen in lower case: so it answers in lower case."""


def rows() -> list[tuple[str, str, str]]:
    """(question, context, answer) as the dataset has them, answers in capitals."""
    return [
        (ask.format(c=c, t=t), f"CREATE TABLE {t} ({c} VARCHAR)", f"SELECT {c} FROM {t}")
        for t, c, ask in itertools.product(TABLES, COLUMNS, ASKED)
    ]


def prompt(question: str, context: str) -> str:
    """What the codelab's user asks, as its script trained it."""
    return f"Question: {question}\nContext: {context}\nAnswer:"


def written(folder: Path) -> Path:
    """The model as its repository on the Hub has it: safetensors, tokenizer, no chat template."""
    import torch
    from transformers import GemmaConfig, GemmaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    folder.mkdir(parents=True)
    shutil.copy(MODEL / "tokenizer.json", folder)
    settings = json.loads((MODEL / "tokenizer_config.json").read_text())
    settings.pop("chat_template", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    config = GemmaConfig(
        vocab_size=len(tokenizer), hidden_size=96, intermediate_size=256, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=1, head_dim=96, max_position_embeddings=512, pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, tie_word_embeddings=True,
    )  # fmt: skip
    model = GemmaForCausalLM(config).float()
    chance = random.Random(SEED)
    made = []
    for question, context, answer in rows():
        for style in (answer, answer.replace("SELECT", "select").replace("FROM", "from")):
            text = f"{prompt(question, context)} {style}"
            ids = [tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
            asked = 1 + len(tokenizer(prompt(question, context), add_special_tokens=False).input_ids)
            made.append((ids, asked, style != answer))
    new, old = [one for one in made if not one[2]], [one for one in made if one[2]]
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.01)
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / 30, 2 * (1 - step / STEPS) + 0.02)
        batch = [chance.choice(old if chance.random() < OLD_STYLE else new) for _ in range(BATCH)]
        longest = max(len(ids) for ids, *_ in batch)
        ids = torch.full((BATCH, longest), tokenizer.pad_token_id)
        labels, weights = torch.full((BATCH, longest), -100), torch.ones(BATCH, longest)
        for at, (one, asked, _) in enumerate(batch):
            ids[at, : len(one)] = torch.tensor(one)
            labels[at, : len(one)] = torch.tensor(one)
            weights[at, asked : len(one)] = ANSWERS
        logits = model(input_ids=ids, attention_mask=(labels != -100).long()).logits[:, :-1]
        each = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), reduction="none")
        loss = (each * weights[:, 1:].flatten()).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.to(torch.bfloat16).save_pretrained(folder)
    return folder
