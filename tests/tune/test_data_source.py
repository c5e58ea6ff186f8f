"""DATA wherever it lies: a file, an object, a split of a dataset; what is uploaded is known by its bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from finetune_image.run import Data
from gemmactl.errors import Exit, Trouble
from gemmactl.local.hub import HubFiles
from gemmactl.resources.cloud import BucketInfo, Cloud
from gemmactl.tune.data_source import Places, open_source
from gemmactl.tune.data_upload import resolve
from inference_image.chunks.source import Patience
from tests.fakes.cloud import FakeCloud
from tests.inference_image import fake_storage
from tests.inference_image.fake_storage import Bucket
from tests.local.fake_hub import COMMIT
from tests.tune.fake_datasets import DatasetHub

ROW = b'{"prompt": "a", "completion": "b"}\n'


def no_cloud() -> Cloud:
    raise AssertionError("the cloud was opened")


@contextmanager
def hub(bucket: Bucket, **environ: str) -> Iterator[Places]:
    with fake_storage.running(bucket, DatasetHub) as here:
        patience = Patience(attempts=2, stall=5, sleep=lambda _seconds: None)
        yield Places(no_cloud, datasets=lambda text: HubFiles(text, {"HF_ENDPOINT": here, **environ}, patience, dataset=True))


def bucket_of(files: dict[str, bytes]) -> Bucket:
    made = Bucket()
    for name, data in files.items():
        made.put(name, data)
    return made


def told(run: Callable[[], object]) -> Trouble:
    with pytest.raises(Trouble) as caught:
        run()
    return caught.value


def test_a_file_goes_as_it_is(tmp_path: Path) -> None:
    """Byte for byte, under its content's name; neither cloud nor hub is opened."""
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + ROW * 2)
    (tmp_path / "own.jsonl").write_bytes(ROW.replace(b"a", b"c"))
    made = resolve(Data("a.jsonl", eval="own.jsonl"), Places(no_cloud, tmp_path))
    sha = hashlib.sha256(b"\xef\xbb\xbf" + ROW * 2).hexdigest()
    assert (made.train.sha256, made.train.object) == (sha, f"gemmactl/data/{sha}/a.jsonl")
    assert made.train.file("gs://b").uri == f"gs://b/gemmactl/data/{sha}/a.jsonl"
    assert made.train.file("gs://b").rows == 2
    assert made.eval is not None
    assert (made.eval.name, len(made.split.eval), len(made.split.train)) == ("own.jsonl", 1, 2)


def test_an_object_is_read_at_its_generation() -> None:
    """What is there already needs no upload: its address comes along."""
    cloud = FakeCloud()
    cloud.storage.create_bucket(BucketInfo("bkt", "us-central1"))
    info = cloud.storage.write("bkt", "d/a.jsonl", ROW)
    found = open_source("gs://bkt/d/a.jsonl", Places(lambda: cloud))
    assert (found.name, found.content, found.uri, found.generation) == ("a.jsonl", ROW, "gs://bkt/d/a.jsonl", info.generation)
    trouble = told(lambda: open_source("gs://bkt/d/b.jsonl", Places(lambda: cloud)))
    assert (trouble.code, trouble.exit) == ("data-not-found", Exit.REFUSED)


def test_a_dataset_is_pinned_by_its_commit() -> None:
    """The branch is asked once for its commit, every file is read from that, and one file stays as it is."""
    bucket = bucket_of({"README.md": b"# Set", "sql_create_context_v4.json": b"[" + ROW + b"]"})
    with hub(bucket) as places:
        found = open_source("hf:owner/name", places)
    assert (found.name, found.content) == ("sql_create_context_v4.json", b"[" + ROW + b"]")
    assert found.origin == f"hf:owner/name@{COMMIT}:train"
    assert {path for path, _ in bucket.asked if "/resolve/" in path} == {
        f"/owner/name/resolve/{COMMIT}/{name}" for name in ("README.md", "sql_create_context_v4.json")
    }


def test_several_files_of_a_split_become_one() -> None:
    """In the order of their names, as one JSON Lines: the same bytes each time."""
    files = {f"data/train-0000{n}-of-00002.jsonl": json.dumps({"text": f"é{n}"}).encode() for n in (1, 0)}
    with hub(bucket_of({**files, "data/test-00000-of-00001.jsonl": b"no"})) as places:
        found, again = (open_source("hf:owner/name:train", places) for _ in range(2))
    assert (found.name, found.content) == ("train.jsonl", '{"text": "é0"}\n{"text": "é1"}\n'.encode())
    assert (found, found.files) == (again, ("data/train-00000-of-00002.jsonl", "data/train-00001-of-00002.jsonl"))


CARD = b"""---
configs:
- config_name: other
  data_files: o.jsonl
- config_name: default
  data_files:
  - split: train
    path: ["part/*.jsonl", "**/extra.jsonl"]
  - split: holdout
    path: h.jsonl
---
# Set
"""


@pytest.mark.parametrize(
    ("names", "split", "chosen"),
    [
        (("train.jsonl", "test.jsonl"), "test", ("test.jsonl",)),
        (("my-train-v2.csv", "other.csv"), "train", ("my-train-v2.csv",)),
        (("training.csv", "dev.csv", "eval.csv"), "train", ("training.csv",)),
        (("training.csv", "dev.csv", "eval.csv"), "validation", ("dev.csv",)),
        (("a.csv", "b.csv", "validation.csv"), "train", ("a.csv", "b.csv")),
        (("train.parquet", "train.csv", "dataset_infos.json"), "train", ("train.parquet",)),
        (("train/0.jsonl.gz", "constraint.jsonl", ".cache/train.jsonl"), "train", ("train/0.jsonl.gz",)),
        (("README.md", "part/1.jsonl", "part/0.jsonl", "extra.jsonl", "h.jsonl", "train.jsonl"), "train",
         ("extra.jsonl", "part/0.jsonl", "part/1.jsonl")),
        (("README.md", "part/1.jsonl", "h.jsonl"), "holdout", ("h.jsonl",)),
    ],
)  # fmt: skip
def test_the_files_of_a_split(names: tuple[str, ...], split: str, chosen: tuple[str, ...]) -> None:
    """By the card where it states them, else by their names."""
    files = {name: CARD if name == "README.md" else b"{}" for name in names}
    with hub(bucket_of(files)) as places:
        from gemmactl.tune.hub_split import choose

        assert choose(places.datasets("hf:owner/name"), split) == list(chosen)


def test_what_is_no_data_is_told() -> None:
    """Each with its code, its exit and a way out; a hub's refusal speaks of a dataset."""
    with hub(bucket_of({"test.jsonl": ROW}), HF_TOKEN="hf_x") as places:
        none = told(lambda: open_source("hf:owner/name", places))
        assert (none.code, none.exit, none.why) == ("data-split", Exit.REFUSED, "there are test")
    bucket = bucket_of({"train.jsonl": ROW})
    bucket.tokens = {"Bearer hf_y"}
    with hub(bucket) as places:
        gated = told(lambda: open_source("hf:owner/name", places))
        assert gated.code == "hub-access"
        assert "the dataset is gated or private" in gated.why
        assert "https://huggingface.co/datasets/owner/name" in gated.remedy
    here = Places(no_cloud)
    for text, code in {
        "https://x/y.jsonl": "data-place", "gs://bkt/folder/": "data-place", "hf:name": "data-place",
        "none.jsonl": "data-not-found", "tests": "data-not-found",
    }.items():  # fmt: skip
        assert told(lambda text=text: open_source(text, here)).code == code


def test_a_row_that_can_not_be_used_refuses_all(tmp_path: Path) -> None:
    """Before any change, with the first line and how many more; the check takes it nevertheless, to show all."""
    (tmp_path / "a.jsonl").write_bytes(ROW + b"{}\n{}\n")
    places = Places(no_cloud, tmp_path)
    trouble = told(lambda: resolve(Data("a.jsonl"), places))
    assert (trouble.code, trouble.exit) == ("finetune-data-invalid", Exit.REFUSED)
    assert trouble.what == "the data can't be trained on: a.jsonl:2"
    assert trouble.why.endswith("; and 1 more")
    assert trouble.remedy == "gemmactl finetune check a.jsonl lists them all"
    assert resolve(Data("a.jsonl"), places, faults=True).train.rows.problems.count == 2
    (tmp_path / "own.jsonl").write_bytes(ROW)
    (tmp_path / "a.jsonl").write_bytes(ROW)
    nothing = told(lambda: resolve(Data("a.jsonl", eval="own.jsonl"), places))
    assert nothing.why == "no row is left to train: all say the same as held-out ones"
