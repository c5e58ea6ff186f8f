"""A result is published once and whole: killed anywhere it goes on, nobody reads half of it, nothing is ever overwritten."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import crc32c
import pytest

from finetune_image.contract import TuneFailed
from finetune_image.figures import Answer, Ended, Figures
from finetune_image.manifest import RANGE, Sum, text
from finetune_image.publish import Published, latest, publish
from finetune_image.run import File, Run, Wish, parse
from finetune_image.store import Bytes, Folder, Held, Store
from gemmactl.checkpoint import manifest
from gemmactl.checkpoint.files import DirectoryFiles
from gemmactl.checkpoint.inspect import inspect
from inference_image import layout, promises
from inference_image.chunks import Object, open_source
from inference_image.contract import MANIFEST, LoadFailed
from tests.finetune_image import bases
from tests.finetune_image.buckets import storage
from tests.inference_image.checkpoints import MODEL, tensors_of

ID = "0123456789ab"
MODEL_AT, ADAPTER_AT = f"gemmactl/models/sql/{ID}", f"gemmactl/adapters/sql/{ID}"
SAID = Figures(Ended.STEPS, 10, 10, loss=2.0, baseline=3.0, after=(Answer("q", "a", "a"),))


class Killed(BaseException):
    """As a process that is gone: nothing catches it."""


class Mortal:
    """A folder that dies instead of its nth call."""

    def __init__(self, inner: Folder, left: list[int]) -> None:
        self._inner, self._left = inner, left

    @property
    def uri(self) -> str:
        return self._inner.uri

    def at(self, prefix: str) -> Mortal:
        return Mortal(self._inner.at(prefix), self._left)

    def stat(self, name: str) -> Held | None:
        self._live()
        return self._inner.stat(name)

    def list(self, prefix: str = "") -> tuple[Held, ...]:
        self._live()
        return self._inner.list(prefix)

    def read(self, name: str, start: int = 0, end: int | None = None) -> bytes | None:
        self._live()
        return self._inner.read(name, start, end)

    def write(self, name: str, data: bytes | Path, *, only_if: str | None = None) -> Held:
        self._live()
        return self._inner.write(name, data, only_if=only_if)

    def pour(self, name: str, size: int, chunks: Iterable[Bytes], *, only_if: str | None = None) -> Held:
        self._live()
        return self._inner.pour(name, size, chunks, only_if=only_if)

    def copy(self, source: Store, name: str, to: str, *, only_if: str | None = None) -> Held | None:
        self._live()
        return self._inner.copy(source, name, to, only_if=only_if)

    def delete(self, name: str) -> None:
        raise AssertionError("nothing that is published is deleted")

    def _live(self) -> None:
        if not self._left[0]:
            raise Killed
        self._left[0] -= 1


def run_of(run_id: str = ID, **wish: Any) -> Run:
    said = parse({"name": "sql", "model": "google/gemma-3-1b-it", **wish}) if wish else Wish("google/gemma-3-1b-it", "sql")
    return Run(
        run_id, run_id + "0" * 52, said, "", File("gs://b/data/x.jsonl", "f" * 64, 12), base="b" * 64, made_by="gemmactl 9"
    )


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bases.adapter(tmp_path_factory.mktemp("adapter") / "a")


def published(root: Store, adapter: Path, run: Run | None = None, base: Path = MODEL, **more: Any) -> Published:
    return publish(run or run_of(), root, open_source(str(base), {}), adapter, more.pop("figures", SAID), libraries={}, **more)


def accepted(folder: Path) -> bool:
    """Whether a reader would take it: the judgement that inspect, the loader and a merge share."""
    try:
        objects = open_source(str(folder), {}).list()
        layout.require_files({one.name: one.size for one in objects}, str(folder))
    except LoadFailed:
        return False
    return True


def unfinished(names: set[str]) -> bool:
    """The same of any folder, also of an adapter, and wherever it was moved to."""
    try:
        layout.require_published(names, "/elsewhere")
    except LoadFailed as failed:
        return failed.failure.code == "model_unfinished"
    return False


def state(root: Path) -> dict[str, str]:
    return {held.name: held.generation for held in Folder(root).list()}


def test_killed_before_each_call_it_goes_on_and_nobody_reads_half_of_it(adapter: Path, tmp_path: Path) -> None:
    """Every attempt lives one call longer than the one before: what is there stays as it is, until all is there."""
    root, models, adapters = tmp_path / "b", tmp_path / "b" / MODEL_AT, tmp_path / "b" / ADAPTER_AT
    died, seen, before = 0, set(), {}
    while True:
        try:
            published(Mortal(Folder(root), [died]), adapter)  # type: ignore[arg-type]  # at() of another class
            break
        except Killed:
            died += 1
        now = state(root)
        assert now | before == now
        for folder in (models, adapters):
            whole = (folder / MANIFEST).is_file()
            assert accepted(folder) == (whole and folder == models)
            names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
            assert unfinished(names) == (bool(names) and not whole)
        seen.add(len(now))
        before = now
    assert died > 25
    assert len(seen) > 15, "an attempt that dies leaves something behind"
    assert accepted(models)
    assert latest(Folder(root), "gemmactl/models", "sql") == latest(Folder(root), "gemmactl/adapters", "sql") == ID


def test_published_twice_changes_nothing(adapter: Path, tmp_path: Path) -> None:
    """No generation is another one after it; the same bytes come out of a run in another place."""
    first = published(Folder(tmp_path / "a"), adapter)
    before = state(tmp_path / "a")
    assert published(Folder(tmp_path / "a"), adapter) == first
    assert state(tmp_path / "a") == before
    published(Folder(tmp_path / "b"), adapter)
    assert {name: (tmp_path / "b" / name).read_bytes() for name in before} == {
        name: (tmp_path / "a" / name).read_bytes().replace(str(tmp_path / "a").encode(), str(tmp_path / "b").encode())
        for name in before
    }
    assert first == Published(str(tmp_path / "a" / MODEL_AT), str(tmp_path / "a" / ADAPTER_AT))


def test_what_is_published_is_what_its_readers_expect(adapter: Path, tmp_path: Path) -> None:
    """Inspect finds nothing wrong, the manifest proves every range to copy and loader, the base's small files are unchanged."""
    published(Folder(tmp_path), adapter)
    folder = tmp_path / MODEL_AT
    found = inspect(DirectoryFiles(folder), open_base=lambda _: DirectoryFiles(folder))
    assert [one.code for one in found.errors + found.warnings] == []
    written = (folder / MANIFEST).read_bytes()
    parsed = manifest.parse(written, "here")
    assert parsed.text().encode() == written
    there = {held.name: held for held in Folder(folder).list()}
    assert set(parsed.files) == set(there) - {MANIFEST}
    for name, promise in promises.parse(written).items():
        assert promise.about(Object(name, there[name].size, "", there[name].crc32c))
    for path in MODEL.iterdir():
        if not path.name.endswith(".safetensors"):
            assert (folder / path.name).read_bytes() == path.read_bytes()
            assert parsed.files[path.name].version == str(path.stat().st_mtime_ns) or path.name.endswith("index.json")
    prints = json.loads((folder / "gemmactl/fingerprint.json").read_text())
    assert set(prints["files"]) == {p.name for p in MODEL.glob("*.safetensors")}
    origin = json.loads((folder / "gemmactl/lineage.json").read_text())
    assert (origin["run_id"], origin["base"]["fingerprint"], origin["data"]["train"]["sha256"]) == (ID, "b" * 64, "f" * 64)
    assert {p.name for p in (tmp_path / ADAPTER_AT).iterdir()} == {"adapter_config.json", "adapter_model.safetensors", "gemmactl"}
    assert origin == json.loads((tmp_path / ADAPTER_AT / "gemmactl/lineage.json").read_text())


@pytest.mark.parametrize("size", [0, 1, RANGE, 2 * RANGE, 2 * RANGE + 7])
def test_the_sums_of_a_large_file(size: int) -> None:
    """Of the whole and of each range, however the bytes came: what the manifest's readers compute themselves."""
    data = bytes(range(251)) * (size // 251) + bytes(size % 251)
    passing = Sum()
    for start in range(0, size, 3_000_001):
        passing.add(memoryview(data)[start : start + 3_000_001])
    record = passing.record()
    assert (record.size, record.crc32c, record.sha256) == (size, crc32c.crc32c(data), hashlib.sha256(data).hexdigest())
    assert record.ranges == tuple(crc32c.crc32c(data[at : at + RANGE]) for at in range(0, size, RANGE))
    (promise,) = promises.parse(text("here", "", {"shard": record}).encode()).values()
    assert promise.about(Object("shard", size, "", record.crc32c))


@pytest.mark.parametrize(
    "name", [f"{MODEL_AT}/model-00002-of-00004.safetensors", f"{MODEL_AT}/config.json", f"{ADAPTER_AT}/adapter_model.safetensors"]
)
def test_other_bytes_under_a_name_are_a_clash(name: str, adapter: Path, tmp_path: Path) -> None:
    """Nothing is overwritten, and no manifest vouches for a mixture; not either when the whole was changed afterwards."""
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_bytes(b"somebody else's")
    with pytest.raises(TuneFailed, match=r"publish_clash.*other bytes"):
        published(Folder(tmp_path), adapter)
    assert (tmp_path / name).read_bytes() == b"somebody else's"
    assert not ((tmp_path / name).parent / MANIFEST).exists()
    (tmp_path / name).unlink()
    published(Folder(tmp_path), adapter)
    (tmp_path / name).write_bytes(b"somebody else's")
    with pytest.raises(TuneFailed, match=r"publish_clash.*not what the manifest says"):
        published(Folder(tmp_path), adapter)


def test_another_attempt_s_report_is_as_good(adapter: Path, tmp_path: Path) -> None:
    """It may have measured other seconds: what is there stays, and the manifest is about that."""
    folder = tmp_path / MODEL_AT / "gemmactl"
    folder.mkdir(parents=True)
    (folder / "report.md").write_text("the first attempt's")
    published(Folder(tmp_path), adapter)
    assert (folder / "report.md").read_text() == "the first attempt's"
    inside = manifest.parse((folder / "manifest.json").read_bytes(), "").files["gemmactl/report.md"]
    assert inside.size == len("the first attempt's")


def test_latest_stands_for_the_newest(adapter: Path, tmp_path: Path) -> None:
    """A newer run moves it, and publishing the older one again does not move it back."""
    root = Folder(tmp_path)
    second = "f" * 12
    published(root, adapter)
    published(root, adapter, run_of(second))
    assert latest(root, "gemmactl/models", "sql") == second
    published(root, adapter)
    assert latest(root, "gemmactl/models", "sql") == second
    assert latest(root, "gemmactl/models", "other") is None


def test_weights_that_are_worse_than_the_adapter_are_no_model(adapter: Path, tmp_path: Path) -> None:
    """The measure sees the merged folder; more than 1 % above the adapter's loss, if that is anything, it gets no manifest."""
    seen: list[Store] = []

    def measured(loss: float) -> Callable[[Store], float]:
        return lambda store: seen.append(store) or loss  # type: ignore[func-returns-value]  # appends, then the loss

    with pytest.raises(TuneFailed, match=r"merge_inexact.*2\.0300.*2\.0000"):
        published(Folder(tmp_path), adapter, measure=measured(2.03))
    assert (seen[0].stat("config.json"), seen[0].stat(MANIFEST)) != (None, None)
    assert not accepted(tmp_path / MODEL_AT)
    with pytest.raises(TuneFailed, match="merge_inexact"):
        published(Folder(tmp_path), adapter, measure=measured(float("nan")))
    assert published(Folder(tmp_path), adapter, measure=measured(2.01)).merged_loss == 2.01
    assert "| held-out loss of the merged weights | 2.0100 |" in (tmp_path / MODEL_AT / "gemmactl/report.md").read_text()
    assert "not measured" in (tmp_path / ADAPTER_AT / "gemmactl/report.md").read_text()
    assert published(Folder(tmp_path / "b"), adapter, figures=replace(SAID, loss=1e-3), measure=measured(3e-3)).merged_loss


def test_only_what_was_wished(adapter: Path, tmp_path: Path) -> None:
    """Adapter alone, or merged weights alone, in other shards than the base's."""
    alone = published(Folder(tmp_path / "a"), adapter, run_of(output={"merged": False}))
    assert (alone.model, (tmp_path / "a/gemmactl/models").exists()) == ("", False)
    merged = published(Folder(tmp_path / "b"), adapter, run_of(output={"adapter": False, "shard": 1 << 20}))
    assert (merged.adapter, (tmp_path / "b/gemmactl/adapters").exists()) == ("", False)
    assert [p.name for p in sorted(Path(merged.model).glob("*.safetensors"))] == [
        f"model-0000{n}-of-00002.safetensors" for n in (1, 2)
    ]
    assert accepted(Path(merged.model))


def test_a_base_that_changed_is_not_merged_into(adapter: Path, tmp_path: Path) -> None:
    """The run was made for certain generations of it."""
    run = replace(run_of(), pins={"config.json": "1", "gone-since.json": "2"})
    with pytest.raises(TuneFailed, match=r"model_invalid: config\.json.*changed since"):
        published(Folder(tmp_path), adapter, run)


def test_in_a_bucket_what_stays_is_copied_by_the_place(adapter: Path, tmp_path: Path) -> None:
    """The base's untouched shard never passes through here on its way up; everything else is the same as in a directory."""
    with storage(tmp_path / "home") as place:
        root, base = place.bucket(""), place.bucket("base")
        for path in MODEL.iterdir():
            base.write(path.name, path)
        made = published(root, adapter, near=base)
        assert made.model == f"gs://weights/{MODEL_AT}"
        assert latest(root, "gemmactl/models", "sql") == ID
        folder = published(Folder(tmp_path / "b"), adapter)
        there = {held.name: (held.size, held.crc32c) for held in root.at(MODEL_AT).list()}
        here = {held.name: (held.size, held.crc32c) for held in Folder(Path(folder.model)).list()}
        assert {name for name in here if here[name] != there.get(name)} == {MANIFEST}
        twin = next(n for n in sorted(p.name for p in MODEL.glob("*.safetensors")) if tensors_of((MODEL / n).read_bytes()) ==
                    tensors_of((Path(folder.model) / n).read_bytes()))  # fmt: skip
        assert root.at(MODEL_AT).read(twin) == (MODEL / twin).read_bytes()
        before = {held.name: held.generation for held in root.list()}
        assert published(root, adapter, near=base) == made
        assert {held.name: held.generation for held in root.list()} == before
