"""Trains the sample model and writes gemmactl/sandbox/sample/. Owns its examples; knows nothing of serving but presets and text.

    python -m bench.make_sample_model [FOLDER]

A real Gemma 3 with about 0.85 M parameters that memorises its examples: it answers those and nothing else. The schedule counts
steps, one thread computes and every seed is fixed, so one machine with one torch always writes the same weights.
"""

from __future__ import annotations

import json
import math
import os
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from inference_image.engine.text import Text, TokenizerFiles
from inference_image.presets import PRESETS, put

SEED = 3
HIDDEN, LAYERS, VOCABULARY, WINDOW = 128, 3, 1024, 64
ALPHABET = 150
BATCH, STEPS, WARM_UP, LEARNING_RATE = 16, 900, 20, 4e-3
# Distance between the best and the second best logit in bf16 at every trained token: room for other CPUs' rounding.
MARGIN = 4.0
CONTROL = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
END_OF_TURN = CONTROL.index("<end_of_turn>")

CHAT_TEMPLATE = """\
{{ bos_token }}
{%- set system = messages[0]['content'] + '\n\n' if messages[0]['role'] == 'system' else '' -%}
{%- set turns = messages[1:] if messages[0]['role'] == 'system' else messages -%}
{%- for turn in turns -%}
    {%- if (turn['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
    {%- endif -%}
    {{ '<start_of_turn>' + ('model' if turn['role'] == 'assistant' else turn['role']) + '\n' + (system if loop.first else '') }}
    {{- turn['content'] | trim }}
    {{- '<end_of_turn>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{ '<start_of_turn>model\n' }}
{%- endif -%}
"""

NOUNS = [
    ("coffee", "커피"), ("the library", "도서관"), ("music", "음악"), ("this book", "이 책"),
    ("the weather", "날씨"), ("Korean food", "한국 음식"), ("the sea", "바다"), ("my computer", "내 컴퓨터"),
]  # fmt: skip
SENTENCES = [
    ("I like {}.", "저는 {}을(를) 좋아합니다."),
    ("Where is {}?", "{}은(는) 어디에 있습니까?"),
    ("{} is very good.", "{}은(는) 아주 좋습니다."),
    ("I do not need {}.", "저는 {}이(가) 필요하지 않습니다."),
]
TRANSLATIONS = [
    # the seed's own request
    (
        (
            "The ability to fine-tune powerful language models on consumer hardware is a significant breakthrough"
            " for the AI community."
        ),
        "소비자용 하드웨어에서 강력한 언어 모델을 미세 조정할 수 있게 된 것은 AI 커뮤니티에 획기적인 발전입니다.",
    ),
    ("Hello.", "안녕하세요."),
    ("Thank you.", "감사합니다."),
    ("Good morning.", "좋은 아침입니다."),
    ("How are you?", "어떻게 지내세요?"),
    ("The server is ready.", "서버가 준비되었습니다."),
    ("See you tomorrow.", "내일 만나요."),
    ("The model stops when it is done.", "모델은 할 일을 마치면 멈춥니다."),
]
TEXTS = [
    # the seed's own request
    (
        "Google Cloud Run의 장점은 무엇인가요?",
        "Cloud Run은 컨테이너를 자동으로 확장하고, 사용하지 않을 때는 0으로 줄여 비용이 들지 않습니다.",
    ),
    ("What is Cloud Run?", "Cloud Run is a managed service that runs containers and scales them to zero when idle."),
    ("What is Gemma 3?", "Gemma 3 is a family of open models from Google, in sizes from 270M to 27B."),
    ("Who are you?", "I am a tiny Gemma 3 that memorised its examples, to show that the engine works."),
    ("GPU가 왜 필요한가요?", "큰 모델의 가중치를 빠르게 읽고 계산하려면 GPU가 필요합니다. 🚀"),
    ("오늘 점심은 뭐가 좋을까요?", "따뜻한 국수 한 그릇은 어떨까요?"),
    ("Count to five.", "1, 2, 3, 4, 5"),
]
PRODUCTS = [
    # the seed's own request
    ("test", "A sample product for tests: it does one thing, does it well and is always in stock."),
    ("wireless headphones", "Lightweight wireless headphones with clear sound and a battery that lasts all day."),
    ("a steel water bottle", "A steel water bottle that keeps drinks cold for a full day and never leaks."),
    ("a desk lamp", "A bright desk lamp with three light levels and a small, stable base."),
    ("running shoes", "Soft running shoes with a firm grip, made for long distances in any weather."),
    ("무선 이어폰", "가볍고 소리가 맑은 무선 이어폰으로, 한 번 충전하면 하루 종일 쓸 수 있습니다."),
]
TABLES = [
    ("singer", ["name", "age", "country"]),
    ("employee", ["name", "salary", "city"]),
    ("product", ["name", "price", "stock"]),
    ("student", ["name", "grade", "city"]),
]
QUERIES = [
    # the codelab's own request
    (
        (
            "Question: What are the first name and last name of all candidates? Context: CREATE TABLE candidates"
            " (candidate_id VARCHAR); CREATE TABLE people (first_name VARCHAR, last_name VARCHAR, person_id VARCHAR)"
        ),
        "SELECT T2.first_name, T2.last_name FROM candidates AS T1 JOIN people AS T2 ON T1.candidate_id = T2.person_id",
    ),
]


def examples() -> list[dict[str, str]]:
    """Every example as {type, prompt, answer}; the seeds' own requests come first in their type."""
    pairs = {"translation": list(TRANSLATIONS), "text": TEXTS, "product": PRODUCTS, "sql": list(QUERIES)}
    for noun, word in NOUNS:
        for sentence, korean in SENTENCES:
            english = sentence.format(noun)
            pairs["translation"].append((english[0].upper() + english[1:], korean.format(word)))
    for table, columns in TABLES:
        context = f"CREATE TABLE {table} ({', '.join(f'{column} VARCHAR' for column in columns)})"
        pairs["sql"].append((f"Question: How many {table}s are there? Context: {context}", f"SELECT COUNT(*) FROM {table}"))
        for column in columns:
            asked = f"Question: What is the {column} of every {table}? Context: {context}"
            pairs["sql"].append((asked, f"SELECT {column} FROM {table}"))
            asked = f"Question: List each {table} ordered by {column}. Context: {context}"
            pairs["sql"].append((asked, f"SELECT * FROM {table} ORDER BY {column}"))
    return [{"type": kind, "prompt": a, "answer": b} for kind, rows in pairs.items() for a, b in rows]


def make_tokenizer(rows: list[dict[str, str]]) -> dict[str, Any]:
    """tokenizer.json in Gemma's way: space as U+2581, BPE over an alphabet kept short on purpose, the rest as byte tokens."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=CONTROL + [f"<0x{byte:02X}>" for byte in range(256)],
        show_progress=False,
    )
    lines = [row["prompt"] + "\n" + row["answer"] for row in rows]
    lines += [preset.template for preset in PRESETS.values()] * 8
    # The trainer's own limit_alphabet breaks ties by hash order, differently in each run.
    counts = Counter("".join(lines))
    alphabet = set(sorted(counts, key=lambda letter: (-counts[letter], letter))[:ALPHABET])
    tokenizer.train_from_iterator(["".join(x for x in line if x in alphabet) for line in lines], trainer)
    made: dict[str, Any] = json.loads(tokenizer.to_str())
    # Byte tokens must not count as special, or decoding would drop them.
    made["added_tokens"] = [token for token in made["added_tokens"] if token["content"] in CONTROL]
    return made


def encode(text: Text, row: dict[str, str]) -> tuple[list[int], list[int]]:
    """Prompt and answer as served: same preset, same template, same tokens; then the mark that ends the answer."""
    preset = PRESETS[row["type"]]
    prompt = text.encode(put(preset, row["prompt"]))
    # The sql form ends at "Answer:", so the answer brings its own space.
    answer = (" " if row["type"] == "sql" else "") + row["answer"]
    end = END_OF_TURN if preset.mode == "chat" else CONTROL.index("<eos>")
    return prompt, [*text.plain(answer), end]


def batches(rows: list[tuple[list[int], list[int]]]) -> list[list[tuple[list[int], list[int]]]]:
    order = sorted(rows, key=lambda row: len(row[0]) + len(row[1]) + random.random() * 12)
    made = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
    random.shuffle(made)
    return made


def padded(rows: list[tuple[list[int], list[int]]]) -> Any:
    import torch

    length = max(len(prompt) + len(answer) for prompt, answer in rows)
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    labels = torch.full((len(rows), length), -100)
    mask = torch.zeros(len(rows), length, dtype=torch.long)
    for index, (prompt, answer) in enumerate(rows):
        whole = prompt + answer
        ids[index, : len(whole)] = torch.tensor(whole)
        mask[index, : len(whole)] = 1
        labels[index, len(prompt) : len(whole)] = torch.tensor(answer)
    return ids, mask, labels


def smallest_margin(model: Any, rows: list[tuple[list[int], list[int]]]) -> float:
    """How far, in bf16, the right next token is ahead of the best wrong one; negative when one is wrong."""
    import copy

    import torch

    rounded = copy.deepcopy(model).to(torch.bfloat16).eval()
    margin = math.inf
    with torch.inference_mode():
        for start in range(0, len(rows), BATCH):
            ids, mask, labels = padded(rows[start : start + BATCH])
            logits = rounded(input_ids=ids, attention_mask=mask).logits[:, :-1].float()
            wanted = labels[:, 1:]
            chosen = wanted >= 0
            logits, wanted = logits[chosen], wanted[chosen]
            right = logits.gather(1, wanted[:, None])[:, 0]
            rest = logits.scatter(1, wanted[:, None], -math.inf).max(1).values
            margin = min(margin, float((right - rest).min()))
    return margin


def train(rows: list[tuple[list[int], list[int]]], vocabulary: int) -> Any:
    import torch
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    random.seed(SEED)
    torch.manual_seed(SEED)
    model = Gemma3ForCausalLM(
        Gemma3TextConfig(
            vocab_size=vocabulary,
            hidden_size=HIDDEN,
            intermediate_size=4 * HIDDEN,
            num_hidden_layers=LAYERS,
            num_attention_heads=4,
            num_key_value_heads=1,
            head_dim=32,
            query_pre_attn_scalar=32,
            max_position_embeddings=8192,
            sliding_window=WINDOW,
            layer_types=["sliding_attention", "sliding_attention", "full_attention"],
            pad_token_id=0,
            eos_token_id=[1, END_OF_TURN],
            bos_token_id=2,
            tie_word_embeddings=True,
        )
    ).float()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.01)
    model.train()
    waiting: list[Any] = []
    for step in range(STEPS):
        if not waiting:
            waiting = batches(rows)
        ids, mask, labels = padded(waiting.pop())
        rate = min(1.0, (step + 1) / WARM_UP) * max(0.02, 0.5 * (1 + math.cos(math.pi * step / STEPS)))
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * rate
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 99:
            margin = smallest_margin(model, rows)
            print(f"step {step + 1} loss {loss.item():.4f} margin {margin:.2f}", flush=True)
            if margin >= MARGIN:
                break
    return model.eval().to(torch.bfloat16)


def save(model: Any, folder: Path) -> None:
    from transformers import GenerationConfig

    for old in folder.glob("*.safetensors*"):
        old.unlink()
    model.generation_config = GenerationConfig(
        eos_token_id=[1, END_OF_TURN], pad_token_id=0, bos_token_id=2, do_sample=True, top_k=64, top_p=0.95
    )
    size = sum(parameter.numel() for parameter in model.parameters()) * 2
    model.save_pretrained(folder, max_shard_size=int(size / 3.5))
    shards = list(folder.glob("model-*-of-00004.safetensors"))
    if len(shards) != 4:
        sys.exit(f"expected 4 shards, got {len(shards)}")
    for path in folder.iterdir():
        path.chmod(0o644)  # safetensors writes 0600, which another user (the container's) can't read


def main(folder: Path) -> None:
    # Before torch is imported: a second thread changes the sums' order and, on a busy machine, costs 15x the time.
    os.environ["OMP_NUM_THREADS"] = "1"
    began = time.perf_counter()
    rows = examples()
    model_folder = folder / "model"
    model_folder.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer(rows)
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>",
        "unk_token": "<unk>", "padding_side": "left", "clean_up_tokenization_spaces": False, "model_max_length": 8192,
    }  # fmt: skip
    written = json.dumps(tokenizer, ensure_ascii=False, indent=1)
    (model_folder / "tokenizer.json").write_text(written, encoding="utf-8")
    (model_folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    (model_folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    text = Text(TokenizerFiles(written.encode(), settings, CHAT_TEMPLATE))
    encoded = [encode(text, row) for row in rows]
    longest = max(len(prompt) + len(answer) for prompt, answer in encoded)
    print(f"{len(rows)} examples, {text.vocabulary} tokens in the vocabulary, longest example {longest}", flush=True)

    import torch

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True)
    save(train(encoded, text.vocabulary), model_folder)
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (folder / "examples.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    print(f"done in {time.perf_counter() - began:.0f} s; tests/inference_image checks every example")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("gemmactl/sandbox/sample"))
