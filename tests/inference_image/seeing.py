"""A small model that sees, made for tests with random weights, and what transformers says with it."""

from __future__ import annotations

import base64
import io
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inference_image.presets import Chat, Message, Part, Picture
from tests.inference_image.checkpoints import MODEL

TOKENS = 4
"""Of an image."""
SIDE = 28
MARKS = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
START, END, SOFT = 1024, 1025, 1026
ROWS = 1032
VISION = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": SIDE,
    "patch_size": 7, "vision_use_head": False,
}  # fmt: skip

GEMMA = """\
{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set first_user_prefix = messages[0]['content'] + '

' -%}
    {%- else -%}
        {%- set first_user_prefix = messages[0]['content'][0]['text'] + '

' -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Conversation roles must alternate user/assistant/user/assistant/...") }}
    {%- endif -%}
    {%- if (message['role'] == 'assistant') -%}
        {%- set role = "model" -%}
    {%- else -%}
        {%- set role = message['role'] -%}
    {%- endif -%}
    {{ '<start_of_turn>' + role + '
' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'image' -%}
                {{ '<start_of_image>' }}
            {%- elif item['type'] == 'text' -%}
                {{ item['text'] | trim }}
            {%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("Invalid content type") }}
    {%- endif -%}
    {{ '<end_of_turn>
' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<start_of_turn>model
'}}
{%- endif -%}
"""
"""The template of Gemma 3, as its checkpoints carry it."""


def picture(number: int, size: tuple[int, int] = (40, 30), kind: str = "PNG", mode: str = "RGB", **save: Any) -> bytes:
    """A file with a pattern that no other number has."""
    from PIL import Image

    pixels = bytes((x * (3 + number) + y * 7 * number + 40 * number) % 256 for y in range(size[1]) for x in range(size[0] * 4))
    made = Image.frombytes("RGBA", size, pixels).convert(mode)
    file = io.BytesIO()
    made.save(file, kind, **save)
    return file.getvalue()


def save_seeing(folder: Path) -> Path:
    """The model's folder, as transformers saves it, in float32."""
    import torch
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    torch.manual_seed(5)
    text = json.loads((MODEL / "config.json").read_text(encoding="utf-8"))
    # A head of its own: behind a tied one random weights say the last token again and again.
    config = Gemma3Config(
        text_config=text | {"vocab_size": ROWS, "tie_word_embeddings": False}, vision_config=VISION, mm_tokens_per_image=TOKENS,
        boi_token_index=START, eoi_token_index=END, image_token_index=SOFT, eos_token_id=[1, 5], tie_word_embeddings=False,
    )  # fmt: skip
    whole = Gemma3ForConditionalGeneration(config)
    for one in whole.parameters():
        if one.dim() > 1:
            one.data.normal_(std=0.15)
    whole.save_pretrained(folder, max_shard_size="2MB")
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        shutil.copy(MODEL / name, folder / name)
    (folder / "chat_template.jinja").write_text(GEMMA, encoding="utf-8")
    _teach(folder)
    return folder


def _teach(folder: Path) -> None:
    """The tokenizer knows the tokens of an image, and the processor how large one is."""
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    for number, content in zip((START, END, SOFT), MARKS.values(), strict=True):
        tokenizer["added_tokens"].append({"id": number, "content": content, **flags})
        tokenizer["model"]["vocab"][content] = number
    path.write_text(json.dumps(tokenizer), encoding="utf-8")
    path = folder / "tokenizer_config.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**told, "extra_special_tokens": MARKS}), encoding="utf-8")
    half = [0.5, 0.4, 0.6]
    size = {"height": SIDE, "width": SIDE}
    file = {"image_processor_type": "Gemma3ImageProcessor", "size": size, "image_mean": half, "image_std": half, "resample": 2}
    (folder / "preprocessor_config.json").write_text(json.dumps(file), encoding="utf-8")


class Transformers:
    """transformers' own processor and model for a folder."""

    def __init__(self, folder: Path) -> None:
        from transformers import Gemma3ForConditionalGeneration, Gemma3Processor, PreTrainedTokenizerFast
        from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil

        self.processor = Gemma3Processor(
            Gemma3ImageProcessorPil.from_pretrained(folder),
            PreTrainedTokenizerFast.from_pretrained(folder),
            chat_template=(folder / "chat_template.jinja").read_text(encoding="utf-8"),
            image_seq_length=TOKENS,
        )
        self.model = Gemma3ForConditionalGeneration.from_pretrained(folder, dtype="float32").eval()

    def inputs(self, messages: Sequence[Mapping[str, Any]]) -> Any:
        return self.processor.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )

    def answer(self, messages: Sequence[Mapping[str, Any]], count: int) -> tuple[list[int], list[int]]:
        """(prompt, greedy answer) as token ids."""
        inputs = self.inputs(messages)
        length = inputs["input_ids"].shape[1]
        made = self.model.generate(**inputs, max_new_tokens=count, do_sample=False, eos_token_id=-1, pad_token_id=0)
        return inputs["input_ids"][0].tolist(), made[0, length:].tolist()


def shown(data: bytes) -> dict[str, str]:
    """An image as an item of a message, for transformers."""
    return {"type": "image", "url": "data:image/png;base64," + base64.b64encode(data).decode()}


def said(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def conversation(messages: Sequence[Mapping[str, Any]]) -> tuple[Chat, list[bytes]]:
    """The same conversation as the engine takes it, and its image files."""
    turns, files = [], []
    for message in messages:
        content = message["content"]
        items = [said(content)] if isinstance(content, str) else content
        files += [base64.b64decode(one["url"].partition(",")[2]) for one in items if one["type"] == "image"]
        parts = tuple(Picture() if one["type"] == "image" else Part(one["text"], trusted=False) for one in items)
        turns.append(Message(message["role"], parts, listed=not isinstance(content, str)))
    return Chat(tuple(turns)), files
