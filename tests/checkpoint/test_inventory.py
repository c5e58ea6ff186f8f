"""A model folder is looked through before anything is deployed: what serves, what is refused, and how it is said."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from gemmactl.checkpoint.inventory import Inventory, take

from gemmactl.checkpoint.files import BucketFiles, DirectoryFiles
from gemmactl.errors import Exit, Trouble
from gemmactl.resources.cloud import BucketInfo, ObjectInfo

NAMES = tuple(f"model-{i:05d}-of-00003.safetensors" for i in (1, 2, 3))


class BucketOfDirectory:
    """The part of Storage that an inventory asks, over a directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bytes_read = 0

    def bucket(self, name: str) -> BucketInfo | None:
        return BucketInfo(name, "us-central1") if (self.root / name).is_dir() else None

    def list(self, bucket: str, prefix: str = "") -> tuple[ObjectInfo, ...]:
        files = sorted(p for p in (self.root / bucket).rglob("*") if p.is_file())
        names = [(p.relative_to(self.root / bucket).as_posix(), p.stat().st_size) for p in files]
        return tuple(ObjectInfo(n, size, 1, "") for n, size in names if n.startswith(prefix))

    def read(self, bucket: str, name: str, start: int = 0, end: int | None = None) -> bytes | None:
        path = self.root / bucket / name
        if not path.is_file():
            return None
        data = path.read_bytes()[start:end]
        self.bytes_read += len(data)
        return data


def _shard(data: int) -> bytes:
    header = json.dumps({"a": {"dtype": "BF16", "shape": [data // 2], "data_offsets": [0, data]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(data)


def _model(folder: Path, *, config: object = None, total: int | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "gemma3_text"} if config is None else config))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text("{}")
    (folder / "generation_config.json").write_text("{}")
    weight_map = {f"layer.{i}": name for i, name in enumerate(NAMES)}
    metadata = {"total_size": total if total is not None else 30_000}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": metadata, "weight_map": weight_map}))
    for name in NAMES:
        (folder / name).write_bytes(_shard(10_000))
    return folder


def _refusal(folder: Path) -> Trouble:
    with pytest.raises(Trouble) as caught:
        take(DirectoryFiles(folder))
    assert caught.value.exit is Exit.REFUSED
    assert caught.value.why
    assert caught.value.remedy
    return caught.value


def test_a_whole_model_has_its_size_family_and_no_remarks(tmp_path: Path) -> None:
    """Three shards and an index: bytes of the files, names in order, nothing to remark."""
    folder = _model(tmp_path / "m")
    total = sum((folder / n).stat().st_size for n in NAMES)
    assert take(DirectoryFiles(folder)) == Inventory(str(folder), total, NAMES, "gemma3_text")


def test_a_bucket_gives_the_same_answer_and_reads_little(tmp_path: Path) -> None:
    """The same folder as objects: same inventory, and of the weights only the headers are read."""
    folder = _model(tmp_path / "my-models" / "ft" / "gemma")
    storage = BucketOfDirectory(tmp_path)
    found = take(BucketFiles(storage, "my-models", "ft/gemma"))  # type: ignore[arg-type]  # a part of a Cloud
    local = take(DirectoryFiles(folder))
    assert found.place == "gs://my-models/ft/gemma"
    assert (found.bytes, found.shards, found.family, found.remarks) == (local.bytes, local.shards, local.family, local.remarks)
    assert storage.bytes_read < 5_000


def test_a_single_file_needs_no_index(tmp_path: Path) -> None:
    """model.safetensors alone is a model too; the multimodal type is served as well."""
    folder = _model(tmp_path / "m", config={"model_type": "gemma3"})
    for name in (*NAMES, "model.safetensors.index.json"):
        (folder / name).unlink()
    (folder / "model.safetensors").write_bytes(_shard(64))
    found = take(DirectoryFiles(folder))
    assert (found.shards, found.family) == (("model.safetensors",), "gemma3")


def _without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _with(name: str, data: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(data) and None


@pytest.mark.parametrize(
    ("damage", "code", "name", "words"),
    [
        (_without("config.json"), "config-missing", "config.json", "has no config.json"),
        (_without("tokenizer.json"), "tokenizer-missing", "tokenizer.json", "has no tokenizer.json"),
        (_without(NAMES[1]), "shard-missing", NAMES[1], f"lacks {NAMES[1]} of 3 shards"),
        (_with("config.json", b"<html>"), "config-invalid", "config.json", "is not JSON"),
        (_with("config.json", b"[1]"), "config-invalid", "config.json", "not a JSON object"),
        (_with("config.json", b""), "file-empty", "config.json", "is empty"),
        (_with("config.json", b'{"model_type": "llama"}'), "family-unsupported", "config.json", "'llama'"),
        (_with("config.json", b"{}"), "family-unsupported", "config.json", "has no model_type"),
        (
            _with("config.json", b'{"model_type": "gemma3", "quantization_config": {"quant_method": "bitsandbytes"}}'),
            "dtype-unsupported",
            "config.json",
            "quantized",
        ),
        (_with("tokenizer.json", b""), "file-empty", "tokenizer.json", "is empty"),
        (_with("model.safetensors.index.json", b"{}"), "index-invalid", "model.safetensors.index.json", "names no shards"),
        (
            _with("model.safetensors.index.json", b'{"weight_map": {"a": "../x.safetensors"}}'),
            "index-invalid",
            "model.safetensors.index.json",
            "../x.safetensors",
        ),
        (_with(NAMES[0], b""), "file-empty", NAMES[0], "is empty"),
        (
            _with(NAMES[0], b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4961251752\n"),
            "header-invalid",
            NAMES[0],
            "Git LFS pointer",
        ),
        (
            _with(NAMES[2], b"<?xml version='1.0'?><Error>denied</Error>" * 9),
            "header-invalid",
            NAMES[2],
            "not a safetensors file",
        ),
        (_with(NAMES[2], b"abc"), "header-invalid", NAMES[2], "not a safetensors file"),
        (_with(NAMES[2], _shard(10_000)[:-1]), "shard-truncated", NAMES[2], "its header says"),
        (_with(NAMES[2], _shard(10_000)[:40]), "shard-truncated", NAMES[2], "its header says"),
    ],
)
def test_each_fault_is_refused_by_name(tmp_path: Path, damage: Callable[[Path], None], code: str, name: str, words: str) -> None:
    """Exit 4, the object named in the facts, the sentence telling what is wrong with it."""
    folder = _model(tmp_path / "m")
    damage(folder)
    trouble = _refusal(folder)
    assert (trouble.code, trouble.facts["object"]) == (code, name)
    assert words in trouble.what


def test_all_missing_shards_are_named_up_to_five(tmp_path: Path) -> None:
    """A half-done upload names the files that are missing."""
    folder = _model(tmp_path / "m")
    for name in NAMES:
        (folder / name).unlink()
    assert all(name in _refusal(folder).what for name in NAMES)


def test_one_level_too_high_names_the_right_folder(tmp_path: Path) -> None:
    """The bucket's root was given while the model lies in a folder: the seed author's own story."""
    _model(tmp_path / "my-models" / "gemma-merged")
    trouble = _refusal(tmp_path / "my-models")
    assert trouble.code == "config-missing"
    assert f"{tmp_path / 'my-models'}/gemma-merged" in trouble.remedy
    with pytest.raises(Trouble, match="no config") as caught:
        take(BucketFiles(BucketOfDirectory(tmp_path), "my-models"))  # type: ignore[arg-type]  # a part of a Cloud
    assert "gs://my-models/gemma-merged" in caught.value.remedy


def test_a_misspelled_folder_of_a_bucket_names_its_neighbours(tmp_path: Path) -> None:
    """Nothing lies there, but beside it a model does."""
    _model(tmp_path / "my-models" / "ft" / "gemma")
    with pytest.raises(Trouble) as caught:
        take(BucketFiles(BucketOfDirectory(tmp_path), "my-models", "ft/gema"))  # type: ignore[arg-type]  # a part of a Cloud
    assert caught.value.code == "model-not-found"
    assert caught.value.remedy == "did you mean gs://my-models/ft/gemma?"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("adapter_model.safetensors", "LoRA adapter"),
        ("gemma.gguf", "GGUF"),
        ("pytorch_model.bin", "pickle"),
        ("weights/model.safetensors", "lie in"),
        ("model-00001-of-00002.safetensors", "holds no weights"),
        ("notes.txt", "holds no weights"),
    ],
)
def test_folders_without_weights_say_what_they_hold(tmp_path: Path, name: str, words: str) -> None:
    """An adapter, another format, a subfolder, shards without an index: each has its own way out."""
    folder = _model(tmp_path / "m")
    for gone in (*NAMES, "model.safetensors.index.json"):
        (folder / gone).unlink()
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"x")
    trouble = _refusal(folder)
    assert trouble.code == "shard-missing"
    assert words in trouble.what


def test_float16_and_absent_extras_are_remarks(tmp_path: Path) -> None:
    """What does not stop a deploy is remarked: float16, no generation config, no chat template, another total size."""
    folder = _model(tmp_path / "m", config={"model_type": "gemma3", "text_config": {"torch_dtype": "float16"}}, total=99)
    for name in ("generation_config.json", "tokenizer_config.json"):
        (folder / name).unlink()
    assert [r.code for r in take(DirectoryFiles(folder)).remarks] == [
        "float16",
        "total-size",
        "generation-config",
        "chat-template",
    ]


def test_a_path_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    """A directory that does not exist is an empty one, and said to be misspelled."""
    assert _refusal(tmp_path / "nowhere").code == "model-not-found"


def test_why_there_is_nothing_is_said(tmp_path: Path) -> None:
    """A file, an empty directory, no directory, no bucket: four different mistakes."""
    (tmp_path / "a-file").write_text("x")
    (tmp_path / "empty").mkdir()
    storage = BucketOfDirectory(tmp_path)
    for files, why in (
        (DirectoryFiles(tmp_path / "a-file"), "it is a file; a model is the directory around it"),
        (DirectoryFiles(tmp_path / "empty"), "no file lies in it or one level below"),
        (DirectoryFiles(tmp_path / "nowhere"), "there is no such directory"),
        (BucketFiles(storage, "nowhere", "m"), "there is no bucket nowhere"),  # type: ignore[arg-type]  # a part of a Cloud
        (BucketFiles(storage, "empty", "m"), "the folder is empty or misspelled"),  # type: ignore[arg-type]  # a part of a Cloud
    ):
        with pytest.raises(Trouble) as caught:
            take(files)
        assert caught.value.why == why


def test_neighbours_are_named_by_likeness_and_only_when_the_folder_is_the_wrong_one(tmp_path: Path) -> None:
    """The best guess comes first; a folder with shards needs its config.json, not another folder."""
    for name in ("aaa", "bbb", "ccc", "gemma-sql"):
        _model(tmp_path / name)
    with pytest.raises(Trouble) as caught:
        take(DirectoryFiles(tmp_path / "gemma-sq"))
    assert caught.value.remedy.startswith(f"did you mean {tmp_path / 'gemma-sql'} or")
    (tmp_path / "gemma-sql" / "config.json").unlink()
    with pytest.raises(Trouble) as caught:
        take(DirectoryFiles(tmp_path / "gemma-sql"))
    assert "did you mean" not in caught.value.remedy
