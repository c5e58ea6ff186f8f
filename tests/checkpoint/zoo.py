"""A zoo of model folders, sound and broken: each animal says how it is made, what inspect must say of it, and how the engine ends.

Made from the sample model's own weights, so that what is sound really loads. Knows neither inspect nor the engine.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inference_image import layout
from inference_image.contract import Code
from tests.inference_image.checkpoints import Stored, copy_of_sample, edit_json, rewrite, rewrite_single, shard, tensors_of
from tests.inference_image.small_families import CONFIGS, SIZES

INDEX = "model.safetensors.index.json"
FIRST = "model-00001-of-00004.safetensors"
LAST = "model-00004-of-00004.safetensors"
SHARDS = tuple(f"model-0000{n}-of-00004.safetensors" for n in (1, 2, 3, 4))
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 4961251752\n"
Change = Callable[[Path], None]


@dataclass(frozen=True)
class Animal:
    """`says`: every error and warning that inspect must find, no more; `refusal`: the engine's code, None when it loads."""

    name: str
    make: Change
    says: frozenset[str] = frozenset()
    refusal: Code | None = None
    below: str = ""
    """The folder to look at, below the one that was made."""
    notes: frozenset[str] = field(default_factory=frozenset)
    """Notes that must be among the findings."""

    def __str__(self) -> str:
        return self.name


# --- the two sound animals that all others are made from ---------------------------------------------------


def text(folder: Path) -> None:
    """Gemma 3, text only: the sample."""
    copy_of_sample(folder)


def rename(folder: Path, own: Callable[[str], str]) -> None:
    """Other keys in every shard; the index follows."""
    for name in SHARDS:
        rewrite(folder, lambda t: _replace(t, {own(k): v for k, v in t.items()}), name)


def _replace(tensors: dict[str, Stored], new: dict[str, Stored]) -> None:
    tensors.clear()
    tensors.update(new)


def add(folder: Path, tensors: dict[str, Stored], name: str = LAST) -> None:
    rewrite(folder, lambda t: t.update(tensors), name)


def drop(folder: Path, which: Callable[[str], bool]) -> None:
    for name in SHARDS:
        rewrite(folder, lambda t: _replace(t, {k: v for k, v in t.items() if not which(k)}), name)


def zeros(*shape: int, dtype: str = "BF16") -> Stored:
    return (dtype, list(shape), bytes(math.prod(shape) * {"BF16": 2, "F16": 2, "F32": 4, "I32": 4, "U8": 1}[dtype]))


EYES = {
    "model_type": "siglip_vision_model", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "image_size": 56,
    "num_attention_heads": 2, "patch_size": 14,
}  # fmt: skip
_SEEING = {"model_type": "gemma3", "text_config": {"hidden_size": 128}, "vision_config": EYES, "mm_tokens_per_image": 4}
VISION = {
    name.replace("vision_tower.", "vision_tower.vision_model."): zeros(*shape)
    for name, shape in layout.vision(_SEEING).expected().items()
}


def whole(folder: Path) -> None:
    """Gemma 3 with a vision tower, in the hub's layout."""
    text(folder)
    rename(folder, lambda key: f"language_model.{key}")
    add(folder, VISION)
    config = read(folder, "config.json")
    inner = {k: v for k, v in config.items() if k != "architectures"}
    document = {
        "architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3", "text_config": inner,
        "vision_config": EYES, "mm_tokens_per_image": 4, "dtype": "bfloat16", "eos_token_id": [1, 5],
    }  # fmt: skip
    write(folder, "config.json", document)


def read(folder: Path, name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
    return value


def write(folder: Path, name: str, value: Any) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def edit_text(folder: Path, **changes: Any) -> None:
    """Settings of the language model, wherever the config keeps them."""
    config = read(folder, "config.json")
    if "text_config" in config:
        config["text_config"] |= changes
        write(folder, "config.json", config)
    else:
        edit_json(folder / "config.json", **changes)


def put(name: str, data: bytes) -> Change:
    def change(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)

    return change


def gone(*names: str) -> Change:
    return lambda folder: [(folder / name).unlink() for name in names] and None


def cast(folder: Path, dtype: str) -> None:
    """The same weights stored as F32 or F16, value for value."""

    def wide(stored: Stored) -> Stored:
        numbers = struct.unpack(f"<{len(stored[2]) // 2}H", stored[2])
        floats = [struct.unpack("<f", struct.pack("<I", n << 16))[0] for n in numbers]
        return (dtype, stored[1], struct.pack(f"<{len(floats)}{'f' if dtype == 'F32' else 'e'}", *floats))

    for name in SHARDS:
        rewrite(folder, lambda t: _replace(t, {k: wide(v) for k, v in t.items()}), name)


# --- faults that both kinds can have ------------------------------------------------------------------------


def _index_of_another_save(folder: Path) -> None:
    index = read(folder, INDEX)
    keys = list(index["weight_map"])
    index["weight_map"] = dict(zip(keys, reversed(list(index["weight_map"].values())), strict=True))
    write(folder, INDEX, index)


def _long_header(folder: Path) -> None:
    (folder / FIRST).write_bytes(struct.pack("<Q", 64 << 20) + b"{" + b" " * 100)


def _half_header(folder: Path) -> None:
    data = (folder / FIRST).read_bytes()
    (folder / FIRST).write_bytes(data[:40])


def _cut(folder: Path) -> None:
    data = (folder / LAST).read_bytes()
    (folder / LAST).write_bytes(data[:-1])


def _longer(folder: Path) -> None:
    (folder / LAST).write_bytes((folder / LAST).read_bytes() + b"tail")


def _header(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    data = (folder / FIRST).read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    rows = json.loads(data[8 : 8 + length])
    change(rows)
    header = json.dumps(rows).encode()
    (folder / FIRST).write_bytes(struct.pack("<Q", len(header)) + header + data[8 + length :])


def _overlap(folder: Path) -> None:
    def change(rows: dict[str, Any]) -> None:
        names = [n for n in rows if n != "__metadata__"]
        rows[names[1]]["data_offsets"] = rows[names[0]]["data_offsets"]

    _header(folder, change)


def _nan(folder: Path) -> None:
    def change(tensors: dict[str, Stored]) -> None:
        name = next(k for k, v in tensors.items() if len(v[1]) == 2)
        dtype, shape, data = tensors[name]
        tensors[name] = (dtype, shape, b"\xc0\x7f" + data[2:])

    rewrite(folder, change)


def _lora_inside(folder: Path) -> None:
    key = next(iter(tensors_of((folder / LAST).read_bytes()))).rpartition(".")[0]
    add(folder, {f"{key}.lora_A.default.weight": zeros(4, 128), f"{key}.lora_B.default.weight": zeros(128, 4)})


def _gptq(folder: Path) -> None:
    def own(tensors: dict[str, Stored]) -> None:
        for name in [n for n in tensors if n.endswith("q_proj.weight")]:
            tensors.pop(name)
            tensors[name.replace(".weight", ".qweight")] = zeros(16, 128, dtype="I32")

    for name in SHARDS:
        rewrite(folder, own, name)


def _resized(folder: Path) -> None:
    edit_text(folder, vocab_size=1100)


def _larger_tokenizer(folder: Path) -> None:
    tokenizer = read(folder, "tokenizer.json")
    for number in range(3):
        tokenizer["model"]["vocab"][f"<extra{number}>"] = 1024 + number
    write(folder, "tokenizer.json", tokenizer)


def _no_end_of_turn(folder: Path) -> None:
    for name in ("config.json", "generation_config.json"):
        edit_json(folder / name, eos_token_id=1)
    edit_text(folder, eos_token_id=1)


def _unknown_end_of_turn(folder: Path) -> None:
    said = (folder / "tokenizer.json").read_text(encoding="utf-8").replace("<end_of_turn>", "<|im_end|>")
    (folder / "tokenizer.json").write_text(said, encoding="utf-8")


def edit_tokenizer(**parts: Any) -> Change:
    """Other parts, or other settings of its model."""

    def change(folder: Path) -> None:
        tokenizer = read(folder, "tokenizer.json")
        tokenizer |= {**parts, "model": {**tokenizer["model"], **parts.get("model", {})}}
        write(folder, "tokenizer.json", tokenizer)

    return change


def _tokenizer_says(old: str, new: str) -> Change:
    """Another text in place of its first occurrence: what no JSON writer makes."""

    def change(folder: Path) -> None:
        path = folder / "tokenizer.json"
        path.write_text(json.dumps(read(folder, path.name)).replace(old, new, 1), encoding="utf-8")

    return change


def _empty_token(folder: Path) -> None:
    row = {**read(folder, "tokenizer.json")["added_tokens"][0], "id": 1024, "content": "", "special": False}
    edit_tokenizer(added_tokens=[*read(folder, "tokenizer.json")["added_tokens"], row])(folder)


def _huge_rope(folder: Path) -> None:
    ropes = {"full_attention": {"rope_theta": 1 << 64, "rope_type": "default"}, "sliding_attention": {"rope_theta": 10_000}}
    edit_text(folder, rope_parameters=ropes)


def _presets(said: str) -> Change:
    """gemmactl/presets.yaml with these types."""

    def change(folder: Path) -> None:
        (folder / "gemmactl").mkdir()
        (folder / "gemmactl" / "presets.yaml").write_text(f"schema: gemmactl/presets.v1\n{said}\n" if said else "")

    return change


def _silenced(folder: Path) -> None:
    """A type with a system text, and a template that refuses one, as Gemma 2's own does."""
    _presets("types: {x: {mode: chat, system: Be brief., template: '{prompt}'}}")(folder)
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}{{ messages[0].content }}"
    (folder / "chat_template.jinja").write_text(refusing)


def _many_stale(folder: Path) -> None:
    for number in range(1024):
        (folder / f"a-{number}.safetensors").write_bytes(b"old")


def _untied(folder: Path) -> None:
    edit_text(folder, tie_word_embeddings=False)


CHATML = (
    "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

FAULTS: tuple[tuple[str, Change, set[str], Code | None], ...] = (
    ("config missing", gone("config.json"), {"config-missing"}, Code.CONFIG_MISSING),
    ("config is a page", put("config.json", b"<html>denied</html>"), {"config-invalid"}, Code.CONFIG_INVALID),
    ("config is a list", put("config.json", b"[1]"), {"config-invalid"}, Code.CONFIG_INVALID),
    ("config nested without end", put("config.json", b'{"a":' * 90_000), {"config-invalid"}, Code.CONFIG_INVALID),
    ("config says nothing", put("config.json", b"{}"), {"family-unsupported"}, Code.FAMILY_UNSUPPORTED),
    ("layers that are no number", lambda f: edit_text(f, num_hidden_layers="3"), {"config-invalid"}, Code.CONFIG_INVALID),
    ("heads that don't divide", lambda f: edit_text(f, num_key_value_heads=3), {"config-invalid"}, Code.CONFIG_INVALID),
    ("half-published by a fine-tune", put("gemmactl/lineage.json", b"{}"), {"model-unfinished"}, Code.MODEL_UNFINISHED),
    ("tokenizer missing", gone("tokenizer.json"), {"tokenizer-missing"}, Code.TOKENIZER_MISSING),
    ("tokenizer is no JSON", put("tokenizer.json", b"not json"), {"tokenizer-invalid"}, Code.TOKENIZER_INVALID),
    ("tokenizer without a vocabulary", put("tokenizer.json", b'{"model": {"type": "BPE"}}'), {"tokenizer-invalid"}, Code.TOKENIZER_INVALID),
    ("tokenizer larger than the model", _larger_tokenizer, {"tokenizer-larger"}, Code.TOKENIZER_INVALID),
    ("tokenizer with a normalizer that nobody knows", edit_tokenizer(normalizer={"type": "Zip"}), {"tokenizer-invalid"}, Code.TOKENIZER_INVALID),
    ("tokenizer with a decoder that lacks a field", edit_tokenizer(decoder={"type": "Strip", "content": " "}), {"tokenizer-invalid"}, Code.TOKENIZER_INVALID),
    ("tokenizer with a cut that is none", edit_tokenizer(pre_tokenizer={"type": "Sequence", "pretokenizers": [{"type": "FixedLength", "length": 0}]}), {"tokenizer-invalid"}, Code.TOKENIZER_INVALID),
    ("tokenizer with a prefix that is a number", edit_tokenizer(model={"continuing_subword_prefix": 5}), {"tokenizer-invalid"}, Code.TOKENIZER_INVALID),
    ("tokenizer with a prefix that its merges lack", edit_tokenizer(model={"continuing_subword_prefix": "###"}), {"tokenizer-invalid"}, Code.TOKENIZER_INVALID),
    ("tokenizer whose unknown token is none", edit_tokenizer(model={"unk_token": "<none>", "byte_fallback": False}), {"tokenizer-invalid"}, Code.TOKENIZER_INVALID),
    ("tokenizer with half a sign", _tokenizer_says('"model": {', '"model": {"x": "\\ud800", '), {"tokenizer-invalid"}, Code.TOKENIZER_INVALID),
    ("tokenizer with a number that is none", _tokenizer_says('"dropout": null', '"dropout": NaN'), {"tokenizer-invalid"}, Code.TOKENIZER_INVALID),
    ("tokenizer with a token's number twice", _tokenizer_says('{"id": 0, ', '{"id": 0, "id": 0, '), {"tokenizer-invalid"}, Code.TOKENIZER_INVALID),
    ("tokenizer too deep", _tokenizer_says('"post_processor": null', '"post_processor": ' + "[" * 200 + "]" * 200), {"tokenizer-invalid"}, Code.TOKENIZER_INVALID),
    ("tokenizer broken as BPE, of no type", _tokenizer_says('"type": "BPE", "dropout": null', '"dropout": 7'), {"tokenizer-invalid"}, Code.TOKENIZER_INVALID),
    ("tokenizer is null", put("tokenizer.json", b"null"), {"tokenizer-invalid"}, Code.TOKENIZER_INVALID),
    ("index is no JSON", put(INDEX, b"{"), {"index-invalid"}, Code.INDEX_INVALID),
    ("index leaves the folder", put(INDEX, b'{"weight_map": {"a": "../x.safetensors"}}'), {"index-invalid"}, Code.INDEX_INVALID),
    ("index without a map", put(INDEX, b"{}"), {"index-invalid"}, Code.INDEX_INVALID),
    ("index of another save", _index_of_another_save, {"index-mismatch"}, Code.KEYS_MISSING),
    ("index missing", gone(INDEX), {"index-missing"}, Code.INDEX_INVALID),
    ("a shard missing", gone(SHARDS[1]), {"shard-missing"}, Code.SHARD_MISSING),
    ("all shards missing", gone(*SHARDS), {"shard-missing"}, Code.SHARD_MISSING),
    ("a shard cut by a byte", _cut, {"shard-truncated"}, Code.SHARD_TRUNCATED),
    ("a shard cut in its header", _half_header, {"shard-truncated"}, Code.SHARD_TRUNCATED),
    ("a shard with a tail", _longer, {"header-invalid"}, Code.HEADER_INVALID),
    ("a shard that is a pointer", put(FIRST, POINTER), {"header-invalid"}, Code.HEADER_INVALID),
    ("a shard that is a page", put(FIRST, b"<?xml version='1.0'?><Error>denied</Error>" * 9), {"header-invalid"}, Code.HEADER_INVALID),
    ("a header of 64 MiB", _long_header, {"header-invalid"}, Code.HEADER_INVALID),
    ("tensors that overlap", _overlap, {"header-invalid"}, Code.HEADER_INVALID),
    ("a layer missing", lambda f: drop(f, lambda k: ".layers.1." in k), {"keys-missing"}, Code.KEYS_MISSING),
    ("a norm missing", lambda f: drop(f, lambda k: k.endswith("layers.2.input_layernorm.weight")), {"keys-missing"}, Code.KEYS_MISSING),
    ("keys of another class", lambda f: rename(f, lambda k: f"transformer.{k}"), {"keys-foreign"}, Code.KEYS_UNEXPECTED),
    ("an adapter left inside", _lora_inside, {"adapter-not-merged"}, Code.KEYS_UNEXPECTED),
    ("quantized without saying so", _gptq, {"quantized"}, Code.KEYS_UNEXPECTED),
    ("a vocabulary resized without its config", _resized, {"vocabulary-resized"}, Code.SHAPE_MISMATCH),
    ("config of another size", lambda f: edit_text(f, intermediate_size=1024), {"shape-mismatch"}, Code.SHAPE_MISMATCH),
    ("a layer more than the config", lambda f: edit_text(f, num_hidden_layers=2, layer_types=["sliding_attention"] * 2), {"keys-unexpected"}, Code.KEYS_UNEXPECTED),
    ("a head that is not there", _untied, {"head-missing"}, Code.KEYS_MISSING),
    ("quantized by config", lambda f: edit_json(f / "config.json", quantization_config={"quant_method": "gptq", "bits": 4}), {"quantized"}, Code.DTYPE_UNSUPPORTED),
    ("a template that is no Jinja", put("chat_template.jinja", b"{% for m in messages %}{{ m }"), {"template-invalid"}, Code.TOKENIZER_INVALID),
    ("a template that reaches out", put("chat_template.jinja", b"{{ ''.__class__.__mro__[1].__subclasses__() }}"), {"template-invalid"}, Code.TOKENIZER_INVALID),
    ("a template without end", put("chat_template.jinja", b"{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}"), {"template-invalid"}, Code.TOKENIZER_INVALID),
    ("a template that includes", put("chat_template.jinja", b"{% include '/etc/passwd' %}"), {"template-invalid"}, Code.TOKENIZER_INVALID),
    ("overrides that are no corrections", lambda f: write(f, "gemmactl/overrides.json", {"../config.json": {}}), {"overrides-invalid"}, Code.CONFIG_INVALID),
    ("presets that are none", _presets("types: {x: {mode: tool}}"), {"presets-invalid"}, Code.PRESETS_INVALID),
    ("presets that are empty", _presets(""), {"presets-invalid"}, Code.PRESETS_INVALID),
    ("presets for a template that takes none", _silenced, {"presets-invalid", "template-foreign"}, Code.PRESETS_INVALID),
    ("more shards than any model has", _many_stale, {"index-invalid"}, Code.INDEX_INVALID),
    # what serves, with a surprise
    ("presets of its own", _presets("types: {x: {mode: chat, system: Be brief., template: '{prompt}'}, sql: null}"), set(), None),
    ("a rotary base beyond 64 bits", _huge_rope, set(), None),
    ("a token without a text", _empty_token, set(), None),
    ("float16 by config", lambda f: edit_json(f / "config.json", dtype="float16"), {"float16"}, None),
    ("the end of a turn never learnt", _no_end_of_turn, {"end-of-turn-missing"}, None),
    ("no chat template", gone("chat_template.jinja"), {"template-missing"}, None),
    ("another's chat template", put("chat_template.jinja", CHATML.encode()), {"template-foreign"}, None),
    ("code of its own", lambda f: edit_json(f / "config.json", auto_map={"AutoModel": "modeling.Evil"}), {"remote-code"}, None),
    ("another's end of turn", _unknown_end_of_turn, {"end-of-turn-unknown"}, None),
)  # fmt: skip


def both() -> Iterator[Animal]:
    """Each fault on the text model and on the one with a vision tower."""
    for name, change, says, refusal in FAULTS:
        for kind, born in (("text", text), ("vision", whole)):

            def make(folder: Path, born: Change = born, change: Change = change) -> None:
                born(folder)
                change(folder)

            yield Animal(f"{name}, {kind}", make, frozenset(says), refusal)


def made(born: Change, *changes: Change) -> Change:
    def make(folder: Path) -> None:
        born(folder)
        for change in changes:
            change(folder)

    return make


# --- key layouts, formats and families ------------------------------------------------------------------------


def _single(folder: Path) -> None:
    tensors: dict[str, Stored] = {}
    for name in SHARDS:
        tensors |= tensors_of((folder / name).read_bytes())
        (folder / name).unlink()
    (folder / INDEX).unlink()
    (folder / "model.safetensors").write_bytes(shard(tensors))


def _stored_head(folder: Path) -> None:
    for name in SHARDS:
        found = {k: v for k, v in tensors_of((folder / name).read_bytes()).items() if k.endswith("embed_tokens.weight")}
        for value in found.values():
            add(folder, {"lm_head.weight": value})


def _rename(old: str, new: str) -> Change:
    return lambda folder: rename(folder, lambda key: key.replace(old, new, 1) if key.startswith(old) else key)


def _wrapped(folder: Path) -> None:
    rename(folder, lambda key: f"base_model.model.{key}")


def _flat_vision(folder: Path) -> None:
    rename(folder, lambda key: key.replace("vision_tower.vision_model.", "vision_tower."))


def _family(**config: Any) -> Change:
    """The same files under another type: only config.json is another's."""

    def make(folder: Path) -> None:
        text(folder)
        edit_json(folder / "config.json", **config)

    return make


def _old_spelling(folder: Path) -> None:
    config = read(folder, "config.json")
    config["torch_dtype"] = config.pop("dtype")
    config.pop("rope_parameters")
    config |= {"rope_theta": 1e6, "rope_local_base_freq": 1e4, "rope_scaling": None, "sliding_window_pattern": 3}
    config.pop("layer_types")
    config.pop("_sliding_window_pattern")
    write(folder, "config.json", config)


LAYOUTS: tuple[Animal, ...] = (
    Animal("text", text),
    Animal("vision, the hub's layout", whole, notes=frozenset({"vision-present", "keys-renamed"})),
    Animal("vision, 5.x layout", made(whole, _flat_vision), notes=frozenset({"vision-present"})),
    Animal("vision, module names", made(whole, _rename("language_model.model.", "model.language_model."), _rename("vision_tower.", "model.vision_tower."), _rename("multi_modal", "model.multi_modal")), notes=frozenset({"vision-present"})),
    Animal("vision, no inner model", made(whole, _rename("language_model.model.", "language_model."))),
    Animal("vision tower left out", made(whole, lambda f: drop(f, lambda k: k.startswith(("vision", "multi")))), frozenset({"vision-absent"})),
    Animal("half a vision tower", made(whole, lambda f: drop(f, lambda k: "post_layernorm" in k)), frozenset({"vision-incomplete"})),
    Animal("a vision config of another tower", made(whole, lambda f: edit_json(f / "config.json", vision_config={"model_type": "clip"})), frozenset({"vision-incomplete"})),
    Animal("PEFT's prefix, text", made(text, _wrapped), frozenset({"peft-prefix"})),
    Animal("PEFT's prefix, vision", made(whole, _wrapped), frozenset({"peft-prefix"})),
    Animal("PEFT's prefix twice", made(text, _wrapped, _wrapped), frozenset({"peft-prefix"})),
    Animal("one file", made(text, _single)),
    Animal("one file, vision", made(whole, _single)),
    Animal("float32", made(text, lambda f: cast(f, "F32")), notes=frozenset({"float32"})),
    Animal("float16", made(text, lambda f: cast(f, "F16")), frozenset({"float16"})),
    Animal("a head stored beside its tie", made(text, _stored_head), notes=frozenset({"head-stored"})),
    Animal("4.51's spelling", made(text, _old_spelling)),
    Animal("no generation config", made(text, gone("generation_config.json")), notes=frozenset({"generation-config-missing"})),
    Animal("vision tensors beside a text model", made(text, lambda f: add(f, VISION)), notes=frozenset({"vision-unused"})),
    Animal("pickles beside", made(text, put("training_args.bin", b"\x80")), notes=frozenset({"pickle-beside"})),
    Animal("scripts beside", made(text, put("modeling.py", b"import os")), notes=frozenset({"code-beside"})),
    Animal("a shard of an older save", made(text, put("model-00001-of-00002.safetensors", b"old")), notes=frozenset({"shards-stale"})),
    Animal("weights with NaN", made(text, _nan), refusal=Code.WEIGHTS_NAN),
)  # fmt: skip


def other(name: str, **more: Any) -> Change:
    """A small model of another family; its numbers repeat, and are no two alike side by side."""

    def make(folder: Path) -> None:
        text(folder)
        for old in (*SHARDS, INDEX):
            (folder / old).unlink()
        config = {**SIZES, **CONFIGS[name], **more}
        write(folder, "config.json", config)
        numbers = b"".join(struct.pack("<f", 0.01 * (n % 251 - 125))[2:] for n in range(0, 251 * 7, 7))
        tensors: dict[str, Stored] = {}
        for key, shape in layout.expected(layout.text_config(config)).items():
            size = 2 * math.prod(shape)
            tensors[key] = ("BF16", list(shape), (numbers * (size // len(numbers) + 1))[:size])
        (folder / "model.safetensors").write_bytes(shard(tensors))

    return make


def _inside(folder: Path) -> None:
    """A multimodal Gemma 3n, whose shared layers store what nothing reads."""
    other("gemma3n")(folder)
    path = folder / "model.safetensors"
    own = {f"model.language_model.{key.removeprefix('model.')}": one for key, one in tensors_of(path.read_bytes()).items()}
    more = {f"model.{name}.x.weight": zeros(4, 4) for name in ("vision_tower", "audio_tower", "embed_vision", "embed_audio")}
    spare = {f"model.language_model.layers.3.self_attn.{name}.weight": zeros(4, 4) for name in ("k_proj", "v_proj", "k_norm")}
    path.write_bytes(shard({**own, **more, **spare}))
    write(folder, "config.json", {"model_type": "gemma3n", "text_config": read(folder, "config.json"), "vision_config": {}})


def _without(ending: str) -> Change:
    return lambda folder: rewrite_single(folder, lambda t: t.pop(next(key for key in t if key.endswith(ending))) and None)


_SAYS = frozenset({"family-unsupported"})
_SLOW = frozenset({"engine-generic"})
_TURNS = frozenset({"end-of-turn-unknown", "template-foreign"})
FAMILIES: tuple[Animal, ...] = (
    Animal("gemma", other("gemma"), notes=_SLOW),
    Animal("gemma2", other("gemma2"), notes=_SLOW),
    Animal("gemma3n", other("gemma3n"), notes=_SLOW),
    Animal("gemma3n with eyes and ears", _inside, notes=_SLOW | {"vision-unserved", "keys-renamed"}),
    Animal("gemma4", other("gemma4"), _TURNS, notes=_SLOW),
    Animal("gemma4 with experts", other("gemma4 with experts"), _TURNS, notes=_SLOW),
    Animal("gemma2 that looks both ways", made(other("gemma2"), lambda f: edit_json(f / "config.json", use_bidirectional_attention=True)), _SAYS, Code.FAMILY_UNSUPPORTED),
    Animal("gemma3 that calls itself gemma2", _family(model_type="gemma2"), frozenset({"keys-unexpected"}), Code.KEYS_UNEXPECTED),
    Animal("gemma3n without a router", made(other("gemma3n"), _without("altup.modality_router.weight")), frozenset({"keys-missing"}), Code.KEYS_MISSING),
    Animal("gemma4 without a layer's scalar", made(other("gemma4"), _without("layer_scalar")), _TURNS | {"keys-missing"}, Code.KEYS_MISSING),
    Animal("gemma4 of another width", made(other("gemma4"), lambda f: edit_json(f / "config.json", hidden_size_per_layer_input=8)), _TURNS | {"shape-mismatch"}, Code.SHAPE_MISMATCH),
    Animal("gemma4 that shares with nobody", made(other("gemma4"), lambda f: edit_json(f / "config.json", num_kv_shared_layers=4)), _TURNS | {"config-invalid"}, Code.CONFIG_INVALID),
    Animal("embeddings by attention", _family(use_bidirectional_attention=True), _SAYS, Code.FAMILY_UNSUPPORTED),
    Animal("embeddings by class", _family(architectures=["Gemma3TextModel"]), _SAYS, Code.FAMILY_UNSUPPORTED),
    Animal("llama", _family(model_type="llama"), _SAYS, Code.FAMILY_UNSUPPORTED),
    Animal("a type that is a list", _family(model_type=["gemma3"]), _SAYS, Code.FAMILY_UNSUPPORTED),
    Animal("awq", _family(quantization_config={"quant_method": "awq"}), frozenset({"quantized"}), Code.DTYPE_UNSUPPORTED),
    Animal("compressed-tensors", _family(quantization_config={"quant_method": "compressed-tensors"}), frozenset({"quantized"}), Code.DTYPE_UNSUPPORTED),
    Animal("bitsandbytes", _family(quantization_config={"quant_method": "bitsandbytes"}), frozenset({"quantized"}), Code.DTYPE_UNSUPPORTED),
    Animal("a format that nobody knows", _family(quantization_config={"quant_method": "zip"}), frozenset({"quantized"}), Code.DTYPE_UNSUPPORTED),
)  # fmt: skip


# --- folders that are no model ----------------------------------------------------------------------------------


def _empty(folder: Path) -> None:
    folder.mkdir()


def _files(**files: bytes) -> Change:
    def make(folder: Path) -> None:
        folder.mkdir()
        for name, data in files.items():
            (folder / name.replace("__", ".")).write_bytes(data)

    return make


def _one_lower(folder: Path) -> None:
    folder.mkdir()
    text(folder / "merged")


def _weights_lower(folder: Path) -> None:
    text(folder)
    (folder / "weights").mkdir()
    for name in (*SHARDS, INDEX):
        (folder / name).rename(folder / "weights" / name)


def adapter(folder: Path, tensors: dict[str, Stored] | None = None, base: Path | str | None = None, **config: Any) -> None:
    """A LoRA adapter on the sample, which is made beside it."""
    folder.mkdir()
    if base is None:
        base = folder.parent / f"{folder.name}-base"
        text(base)
    stem = "base_model.model.model.layers.0.self_attn.q_proj"
    own = {f"{stem}.lora_A.weight": zeros(8, 128), f"{stem}.lora_B.weight": zeros(128, 8)}
    document = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj"], "base_model_name_or_path": str(base)}
    write(folder, "adapter_config.json", {**document, **config})
    (folder / "adapter_model.safetensors").write_bytes(shard(own if tensors is None else tensors))


def _on(stem: str, rank: int = 8, width: int = 128) -> dict[str, Stored]:
    return {
        f"base_model.model.{stem}.lora_A.weight": zeros(rank, width),
        f"base_model.model.{stem}.lora_B.weight": zeros(128, rank),
    }


_ALONE = frozenset({"adapter-only"})
_EYE = "model.vision_tower.vision_model.encoder.layers.0.self_attn.q_proj"


def _seeing_base(folder: Path) -> Path:
    base = folder.parent / f"{folder.name}-base"
    whole(base)
    return base


def _adapters() -> Iterator[Animal]:
    rows: tuple[tuple[str, Change, set[str]], ...] = (
        ("adapter", lambda f: adapter(f), set()),
        ("adapter on a seeing base", lambda f: adapter(f, _on("model.language_model.layers.0.self_attn.q_proj"), _seeing_base(f)), set()),
        ("adapter whose base is away", lambda f: adapter(f, base="/nowhere/at/all"), {"adapter-base-unreachable"}),
        ("adapter without a base", lambda f: adapter(f, base_model_name_or_path=""), {"adapter-base-missing"}),
        ("adapter that matches nothing", lambda f: adapter(f, _on("model.layers.0.attention.query")), {"adapter-matches-nothing"}),
        ("adapter partly unknown", lambda f: adapter(f, {**_on("model.layers.0.self_attn.q_proj"), **_on("model.layers.9.self_attn.q_proj")}), {"adapter-keys-unknown"}),
        ("adapter of another width", lambda f: adapter(f, _on("model.layers.0.self_attn.q_proj", width=256)), {"adapter-shape"}),
        ("adapter of another rank", lambda f: adapter(f, _on("model.layers.0.self_attn.q_proj", rank=4)), {"adapter-shape"}),
        ("adapter without a rank", lambda f: adapter(f, r=0), {"adapter-rank", "adapter-shape"}),
        ("adapter on vision alone", lambda f: adapter(f, _on(_EYE, width=32), _seeing_base(f)), {"adapter-matches-nothing", "adapter-vision"}),
        ("adapter on vision too", lambda f: adapter(f, {**_on(_EYE, width=32), **_on("model.language_model.layers.0.self_attn.q_proj")}, _seeing_base(f)), {"adapter-vision"}),
        ("adapter with targets of another model", lambda f: adapter(f, target_modules=["c_attn"]), {"adapter-targets"}),
        ("adapter with a target too many", lambda f: adapter(f, target_modules=["q_proj", "c_attn"]), {"adapter-targets"}),
        ("adapter with DoRA", lambda f: adapter(f, use_dora=True), {"adapter-kind"}),
        ("adapter of another kind", lambda f: adapter(f, peft_type="PROMPT_TUNING"), {"adapter-kind"}),
        ("adapter config broken", lambda f: (adapter(f), (f / "adapter_config.json").write_bytes(b"{"))[0], {"adapter-config-invalid"}),
        ("adapter as a pickle", lambda f: (adapter(f), (f / "adapter_model.safetensors").rename(f / "adapter_model.bin"))[0], {"adapter-weights-missing"}),
    )  # fmt: skip
    for name, make, says in rows:
        yield Animal(name, make, _ALONE | frozenset(says), Code.CONFIG_MISSING)


PLACES: tuple[Animal, ...] = (
    Animal("an empty folder", _empty, frozenset({"model-not-found"}), Code.MODEL_NOT_FOUND),
    Animal("one level too high", _one_lower, frozenset({"wrong-folder"}), Code.MODEL_NOT_FOUND),
    Animal("one level too low", made(_one_lower, lambda f: (f / "merged" / "logs").mkdir(), put("merged/logs/run.txt", b"x")), frozenset({"wrong-folder"}), Code.CONFIG_MISSING, below="merged/logs"),
    Animal("weights one level lower", _weights_lower, frozenset({"wrong-folder"}), Code.SHARD_MISSING),
    Animal("GGUF alone", _files(model__gguf=b"GGUF"), frozenset({"gguf-only"}), Code.CONFIG_MISSING),
    Animal("pickles alone", made(text, gone(*SHARDS, INDEX), put("pytorch_model.bin", b"\x80")), frozenset({"pickle-only"}), Code.SHARD_MISSING),
    Animal("notes alone", _files(notes__txt=b"x"), frozenset({"config-missing"}), Code.CONFIG_MISSING),
    Animal("config and tokenizer alone", made(text, gone(*SHARDS, INDEX)), frozenset({"shard-missing"}), Code.SHARD_MISSING),
    *_adapters(),
)  # fmt: skip

ZOO: tuple[Animal, ...] = (*both(), *LAYOUTS, *FAMILIES, *PLACES)
