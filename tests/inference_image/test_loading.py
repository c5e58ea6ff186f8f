"""Loading a checkpoint: bit-equal to transformers in every key layout, and refused with its own code when broken."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from inference_image import layout
from inference_image.chunks import open_source
from inference_image.chunks.source import Patience
from inference_image.contract import Code, LoadFailed
from inference_image.engine import Engine, as_load_failed, begin, finish, load
from inference_image.settings import Settings
from inference_image.timeline import Timeline
from tests.inference_image import fake_storage
from tests.inference_image.checkpoints import MODEL, Stored, copy_of_sample, edit_json, rewrite, shard, tensors_of
from tests.inference_image.fake_storage import Bucket, status, wrong_byte
from tests.inference_image.served import transformers_own


def settings_of(folder: Path | str, **more: object) -> Settings:
    return Settings(model=str(folder), threads=1, **more)  # type: ignore[arg-type]


def logits_of(model: object) -> object:
    import torch

    torch.manual_seed(0)
    ids = torch.randint(6, 1024, (2, 100))
    with torch.inference_mode():
        return model(input_ids=ids).logits  # type: ignore[operator]


def ours(folder: Path | str, **more: object) -> object:
    """The logits of a folder loaded by us."""
    engine = load(settings_of(folder, **more), environ={})
    try:
        with transformers_own(engine) as model:
            return logits_of(model)
    finally:
        engine.close()


@pytest.fixture(scope="module")
def reference() -> object:
    """The sample's logits by from_pretrained."""
    from transformers import Gemma3ForCausalLM

    return logits_of(Gemma3ForCausalLM.from_pretrained(MODEL, dtype="bfloat16"))


@pytest.fixture(scope="module")
def multimodal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample's text weights inside a Gemma3ForConditionalGeneration, as transformers saves it."""
    import torch
    from transformers import Gemma3Config, Gemma3ForCausalLM, Gemma3ForConditionalGeneration

    text = Gemma3ForCausalLM.from_pretrained(MODEL, dtype="bfloat16")
    vision = {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 56,
        "patch_size": 14, "vision_use_head": False,
    }  # fmt: skip
    config = Gemma3Config(
        text_config=text.config.to_dict(), vision_config=vision, mm_tokens_per_image=4, image_token_index=3,
        boi_token_index=4, eoi_token_index=5,
    )  # fmt: skip
    whole = Gemma3ForConditionalGeneration(config).to(torch.bfloat16)
    whole.model.language_model.load_state_dict(text.model.state_dict())
    whole.tie_weights()
    folder = tmp_path_factory.mktemp("multimodal")
    whole.save_pretrained(folder, max_shard_size=700_000)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(MODEL / name, folder / name)
    return folder


def renamed(source: Path, target: Path, change: Callable[[str], str]) -> Path:
    """A checkpoint with other keys."""
    shutil.copytree(source, target)
    weight_map = {}
    for path in sorted(target.glob("*.safetensors")):
        tensors = {change(name): one for name, one in tensors_of(path.read_bytes()).items()}
        path.write_bytes(shard(tensors))
        weight_map |= dict.fromkeys(tensors, path.name)
    (target / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return target


def infix(key: str) -> str:
    return key.replace("vision_tower.", "vision_tower.vision_model.") if "vision_model" not in key else key


LAYOUTS: dict[str, Callable[[str], str]] = {
    "5.x": lambda key: key,
    "hub, 4.51 and 4.57": infix,
    "internal names": lambda key: ("model." + key).replace("model.language_model.model.", "model.language_model."),
    "language_model without model": lambda key: key.replace("language_model.model.", "language_model."),
    "PEFT leftover": lambda key: "base_model.model." + key,
}


@pytest.mark.parametrize("style", list(LAYOUTS))
def test_multimodal_checkpoints_serve_their_text_bit_equal(
    multimodal: Path, reference: object, tmp_path: Path, style: str
) -> None:
    """Text-only serving of each key layout gives the very logits of the text model; vision is left out."""
    import torch

    folder = renamed(multimodal, tmp_path / "m", LAYOUTS[style])
    assert torch.equal(ours(folder), reference)  # type: ignore[arg-type]


@pytest.mark.parametrize("style", ["5.x", "PEFT leftover"])
@pytest.mark.parametrize("chunk", [1 << 20, 70_001])
def test_text_checkpoints_are_bit_equal(reference: object, tmp_path: Path, style: str, chunk: int) -> None:
    """A text checkpoint gives from_pretrained's logits, also when ranges end anywhere inside of tensors and headers."""
    import torch

    folder = renamed(MODEL, tmp_path / "m", LAYOUTS[style])
    assert torch.equal(ours(folder, chunk=chunk), reference)  # type: ignore[arg-type]


def test_tiny_ranges_are_bit_equal(reference: object) -> None:
    """Headers longer than a chunk are read on; tensors of many ranges are whole before they are used."""
    import torch

    assert torch.equal(ours(MODEL, chunk=4096, staging=1), reference)  # type: ignore[arg-type]


def test_one_file_without_an_index(reference: object, tmp_path: Path) -> None:
    """model.safetensors alone needs no index; a header of odd length is legal."""
    import torch

    folder = copy_of_sample(tmp_path / "m")
    every: dict[str, Stored] = {}
    for path in sorted(folder.glob("*.safetensors")):
        every |= tensors_of(path.read_bytes())
        path.unlink()
    (folder / "model.safetensors.index.json").unlink()
    whole = shard(every)
    length = struct.unpack("<Q", whole[:8])[0]
    odd = struct.pack("<Q", length + 1) + whole[8 : 8 + length] + b" " + whole[8 + length :]
    (folder / "model.safetensors").write_bytes(odd)
    assert torch.equal(ours(folder), reference)  # type: ignore[arg-type]


def test_shards_of_any_name_are_read(reference: object, tmp_path: Path) -> None:
    """The index says what the shards are called; a folder may hold an adapter and pickles beside them."""
    import torch

    folder = copy_of_sample(tmp_path / "m")
    for path in sorted(folder.glob("*.safetensors")):
        path.rename(folder / path.name.replace("model-", "part-"))
    index = (folder / "model.safetensors.index.json").read_text()
    (folder / "model.safetensors.index.json").write_text(index.replace("model-0000", "part-0000"))
    (folder / "adapter_model.safetensors").write_bytes(b"")
    (folder / "optimizer.pt").write_bytes(b"")
    assert torch.equal(ours(folder), reference)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", ["F32", "F16"])
def test_wider_sources_are_cast_on_arrival(reference: object, tmp_path: Path, dtype: str) -> None:
    """float32 weights that came from bfloat16 serve the same bits; float16 ones come close."""
    import torch

    kind = {"F32": torch.float32, "F16": torch.float16}[dtype]

    def cast(tensors: dict[str, Stored]) -> None:
        for name, (_, shape, data) in tensors.items():
            wide = torch.frombuffer(bytearray(data), dtype=torch.bfloat16).to(kind)
            tensors[name] = (dtype, shape, wide.view(torch.uint8).numpy().tobytes())

    folder = copy_of_sample(tmp_path / "m")
    for path in sorted(folder.glob("*.safetensors")):
        rewrite(folder, cast, path.name)
    got = ours(folder, staging=1)
    if dtype == "F32":
        assert torch.equal(got, reference)  # type: ignore[arg-type]
    else:
        assert float((got - reference).abs().max()) < 0.5  # type: ignore[operator]


def test_float32_computes_in_float32(tmp_path: Path) -> None:
    """A model in float32 equals from_pretrained in float32."""
    import torch
    from transformers import Gemma3ForCausalLM

    theirs = logits_of(Gemma3ForCausalLM.from_pretrained(MODEL, dtype="float32"))
    assert torch.equal(ours(MODEL, dtype="float32"), theirs)  # type: ignore[arg-type]


def test_on_cpu_the_landed_bytes_are_the_model(engine: Engine) -> None:
    """No second copy: parameters lie in the memory into which the bytes were received, at their places in the shard."""
    model = engine.steps.model  # type: ignore[attr-defined]  # the slots' own
    parameters = dict(model.named_parameters())
    for path in MODEL.glob("*.safetensors"):
        data = path.read_bytes()
        table = layout.parse_header(data, path.name, len(data))
        assert len({parameters[one.name].data_ptr() - one.begin for one in table}) == 1
    assert model.lm_head.weight is model.get_input_embeddings().weight


@pytest.mark.parametrize("same", [True, False])
def test_a_stored_head_is_tied_only_when_it_is_the_embedding(reference: object, tmp_path: Path, *, same: bool) -> None:
    """A dump's lm_head equal to the embedding changes nothing; one trained apart is used, as transformers uses it."""
    import torch
    from transformers import Gemma3ForCausalLM

    def add(tensors: dict[str, Stored]) -> None:
        dtype, shape, data = tensors["model.embed_tokens.weight"]
        half = torch.frombuffer(bytearray(data), dtype=torch.bfloat16) / 2
        tensors["lm_head.weight"] = (dtype, shape, data if same else half.view(torch.uint8).numpy().tobytes())

    folder = copy_of_sample(tmp_path / "m")
    holder = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]["model.embed_tokens.weight"]
    rewrite(folder, add, holder)
    theirs = logits_of(Gemma3ForCausalLM.from_pretrained(folder, dtype="bfloat16"))
    assert torch.equal(ours(folder), theirs)  # type: ignore[arg-type]
    assert torch.equal(theirs, reference) is same  # type: ignore[arg-type]


# --- what must not be served ------------------------------------------------------------------------


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def write(name: str, text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(text) and None  # type: ignore[func-returns-value]


def edit(name: str, **changes: object) -> Callable[[Path], None]:
    return lambda folder: edit_json(folder / name, **changes)


def tensors(change: Callable[[dict[str, Stored]], object]) -> Callable[[Path], None]:
    return lambda folder: rewrite(folder, lambda rows: change(rows) and None)  # type: ignore[func-returns-value]


def first_key(rows: dict[str, Stored]) -> str:
    return next(name for name, (_, shape, _) in rows.items() if len(shape) == 2 and shape[0] != shape[1])


def poison(rows: dict[str, Stored]) -> None:
    dtype, shape, data = rows[first_key(rows)]
    rows[first_key(rows)] = (dtype, shape, b"\xc0\x7f" + data[2:])


def transpose(rows: dict[str, Stored]) -> None:
    dtype, shape, data = rows[first_key(rows)]
    rows[first_key(rows)] = (dtype, shape[::-1], data)


def as_int8(rows: dict[str, Stored]) -> None:
    _, shape, data = rows[first_key(rows)]
    rows[first_key(rows)] = ("I8", shape, data[: len(data) // 2])


def truncate(folder: Path) -> None:
    path = folder / "model-00002-of-00004.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def break_header(folder: Path) -> None:
    path = folder / "model-00002-of-00004.safetensors"
    path.write_bytes(path.read_bytes()[:8] + b"X" + path.read_bytes()[9:])


def untrain(folder: Path) -> None:
    for path in sorted(folder.glob("*.safetensors")):
        rewrite(folder, lambda rows: rows.update({k: (d, s, bytes(len(b))) for k, (d, s, b) in rows.items()}), path.name)


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4961251752\n"

BROKEN: dict[str, tuple[Callable[[Path], object], Code]] = {
    "no folder": (shutil.rmtree, Code.MODEL_NOT_FOUND),
    "no config": (remove("config.json"), Code.CONFIG_MISSING),
    "config is no JSON": (write("config.json", "{"), Code.CONFIG_INVALID),
    "config of another family": (edit("config.json", model_type="qwen3"), Code.FAMILY_UNSUPPORTED),
    "config that transformers refuses": (edit("config.json", layer_types=["odd", "odd", "odd"]), Code.CONFIG_INVALID),
    "quantised": (edit("config.json", quantization_config={"bits": 4}), Code.DTYPE_UNSUPPORTED),
    "config of another family that is served": (edit("config.json", model_type="gemma2"), Code.KEYS_UNEXPECTED),
    "an embedding model": (edit("config.json", use_bidirectional_attention=True), Code.FAMILY_UNSUPPORTED),
    "config is a pointer": (write("config.json", POINTER), Code.CONFIG_INVALID),
    "config is too large": (write("config.json", "{}" + " " * (1 << 20)), Code.CONFIG_INVALID),
    "heads that don't divide": (edit("config.json", num_key_value_heads=3), Code.CONFIG_INVALID),
    "no tokenizer": (remove("tokenizer.json"), Code.TOKENIZER_MISSING),
    "tokenizer is a pointer": (write("tokenizer.json", POINTER), Code.TOKENIZER_INVALID),
    "template is hostile": (write("chat_template.jinja", "{{ 'x' * 10000000000 }}"), Code.TOKENIZER_INVALID),
    "template is too large": (write("chat_template.jinja", " " * (1 << 17)), Code.TOKENIZER_INVALID),
    "a shard is a pointer": (write("model-00002-of-00004.safetensors", POINTER), Code.HEADER_INVALID),
    "a shard is empty": (write("model-00002-of-00004.safetensors", ""), Code.SHARD_TRUNCATED),
    "tokenizer is none": (write("tokenizer.json", "{}"), Code.TOKENIZER_INVALID),
    "index is no JSON": (write("model.safetensors.index.json", "{"), Code.INDEX_INVALID),
    "several shards, no index": (remove("model.safetensors.index.json"), Code.INDEX_INVALID),
    "a shard is missing": (remove("model-00003-of-00004.safetensors"), Code.SHARD_MISSING),
    "a shard is cut": (truncate, Code.SHARD_TRUNCATED),
    "a header is broken": (break_header, Code.HEADER_INVALID),
    "a key is missing": (tensors(lambda rows: rows.pop(first_key(rows))), Code.KEYS_MISSING),
    "a key is wrong": (tensors(lambda rows: rows.update({"model.odd": rows[first_key(rows)]})), Code.KEYS_UNEXPECTED),
    "a shape is wrong": (edit("config.json", vocab_size=1000), Code.SHAPE_MISMATCH),
    "a tensor is transposed": (tensors(transpose), Code.SHAPE_MISMATCH),
    "a tensor is int8": (tensors(as_int8), Code.DTYPE_UNSUPPORTED),
    "a weight is NaN": (tensors(poison), Code.WEIGHTS_NAN),
    "all weights are zero": (untrain, Code.SELF_TEST_FAILED),
}


@pytest.mark.parametrize("what", list(BROKEN))
def test_a_broken_checkpoint_is_never_served(tmp_path: Path, what: str) -> None:
    """Each defect refuses to start with its own code; transformers would serve random weights for some."""
    change, code = BROKEN[what]
    folder = copy_of_sample(tmp_path / "m")
    change(folder)
    with pytest.raises(LoadFailed) as failed:
        load(settings_of(folder), environ={}).close()
    assert failed.value.failure.code is code, failed.value


def test_too_little_memory_is_told_before_it_kills() -> None:
    """Weights beyond the container's memory are host_memory with both sizes, not a silent SIGKILL."""
    timeline = Timeline()
    settings = settings_of(MODEL)
    with pytest.raises(LoadFailed, match="GiB") as failed:
        finish(begin(settings, timeline, environ={}), settings, timeline, memory=lambda: 1 << 20)
    assert failed.value.failure.code is Code.HOST_MEMORY


def test_cuda_without_a_gpu_is_gpu_unavailable() -> None:
    """A wish for a GPU is never served on CPU."""
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(LoadFailed) as failed:
        load(settings_of(MODEL, device="cuda"), environ={})
    assert failed.value.failure.code is Code.GPU_UNAVAILABLE


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError(), Code.HOST_MEMORY),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), Code.HOST_MEMORY),
        (OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), Code.GPU_MEMORY),
        (RuntimeError("The NVIDIA driver on your system is too old (found version 12020)."), Code.GPU_UNAVAILABLE),
        (RuntimeError("CUDA error: no kernel image is available"), Code.GPU_UNAVAILABLE),
        (ZeroDivisionError("division by zero\nsecond line"), Code.CRASHED),
    ],
)
def test_unplanned_exceptions_have_codes_too(error: Exception, code: Code) -> None:
    """What torch or Python raise becomes a code; the unforeseen is crashed, with type and message on one line."""
    failure = as_load_failed(error).failure
    assert failure.code is code
    assert "\n" not in failure.line()
    if code is Code.CRASHED:
        assert failure.detail == "ZeroDivisionError: division by zero"


# --- over the wire ------------------------------------------------------------------------------------


@pytest.fixture
def bucket() -> Bucket:
    made = Bucket()
    for path in MODEL.iterdir():
        made.put(f"m/{path.name}", path.read_bytes())
    return made


@pytest.fixture
def address(bucket: Bucket) -> Iterator[str]:
    with fake_storage.running(bucket) as url:
        yield url


def from_store(address: str, patience: Patience, timeline: Timeline) -> Engine:
    settings = settings_of("gs://bucket/m", chunk=50_000, connections=4)
    source = open_source(settings.model, {"STORAGE_EMULATOR_HOST": address}, patience=patience)
    return load(settings, timeline=timeline, source=source)


def test_a_faulty_store_gives_the_same_bits(bucket: Bucket, address: str, patience: Patience, reference: object) -> None:
    """Through 503s, cuts and resets the model is bit-equal, and the record proves every object's sum."""
    import torch

    bucket.faults = [None, status(503), fake_storage.cut(100), None, fake_storage.cut(5, reset=True), status(429)] * 4
    timeline = Timeline()
    # Threads share the faults by chance: one object may meet many of them, never more than there are.
    engine = from_store(address, replace(patience, attempts=1 + len(bucket.faults)), timeline)
    with transformers_own(engine) as model:
        assert torch.equal(logits_of(model), reference)  # type: ignore[arg-type]
    engine.close()
    record = timeline.record()
    assert all(one["verified"] and one["generation"] == "1001" for one in record["objects"])
    assert len(record["objects"]) == len(list(MODEL.iterdir()))
    assert record["bytes"] == timeline.bytes_total == 1691264
    assert {"read weights", "import torch", "first token"} <= {phase["name"] for phase in record["phases"]}


def test_a_wrong_byte_is_checksum_mismatch(bucket: Bucket, address: str, patience: Patience) -> None:
    """One wrong bit on the way is found before anything is served."""
    bucket.faults = [None] * 20 + [wrong_byte()]
    with pytest.raises(LoadFailed) as failed:
        from_store(address, patience, Timeline())
    assert failed.value.failure.code is Code.CHECKSUM_MISMATCH


def test_a_model_replaced_while_it_loads_is_object_changed(bucket: Bucket, address: str, patience: Patience) -> None:
    """Half of the old model and half of the new one is no model."""

    def replace(handler: fake_storage.Handler, *_: object) -> bool:
        handler.bucket.put("m/model-00004-of-00004.safetensors", bytes(264184))
        return False

    bucket.faults = [None] * 6 + [replace]
    with pytest.raises(LoadFailed) as failed:
        from_store(address, patience, Timeline())
    assert failed.value.failure.code is Code.OBJECT_CHANGED


def test_a_gpu_without_bfloat16_computes_in_float32() -> None:
    """Asked of the GPU, and only where nothing else was said; a CPU computes in bfloat16."""
    import torch

    from inference_image.engine.model import choose_dtype

    gpu = torch.device("cuda")
    assert choose_dtype("auto", gpu, lambda: False) is torch.float32
    assert choose_dtype("auto", gpu, lambda: True) is torch.bfloat16
    assert choose_dtype("bfloat16", gpu, lambda: False) is torch.bfloat16
    assert choose_dtype("auto", torch.device("cpu")) is torch.bfloat16
