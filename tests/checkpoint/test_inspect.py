"""What inspect reads, says and offers, beside naming faults: round trips, facts, corrections, samples, hostile input."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from gemmactl.checkpoint import corrections, reading
from gemmactl.checkpoint.files import BucketFiles, DirectoryFiles, Entry, Files
from gemmactl.checkpoint.inspect import Report, inspect, require
from gemmactl.checkpoint.manifest import Manifest, Record
from gemmactl.errors import Exit, Trouble
from gemmactl.resources.cloud import BucketInfo
from inference_image import contract
from tests.checkpoint import zoo
from tests.fakes.cloud import FakeCloud

CORRECTABLE = (
    "index missing, text",
    "a vocabulary resized without its config, vision",
    "a head that is not there, text",
    "a head that is not there, vision",
    "the end of a turn never learnt, text",
    "no chat template, vision",
)
UNREADABLE = (
    "",
    "config.json",
    "config.json:=1",
    "../x.json:a=1",
    "generation_config.json:eos_token_id=[1,",
    "chat_template.jinja=@nobody",
    "chat_template.jinja={{ x }}",
    "tokenizer.json:a=1",
)


def never(name: str) -> Files:
    raise AssertionError(name)


def look(folder: Path, **more: object) -> Report:
    return inspect(DirectoryFiles(folder), **{"open_base": never, **more})  # type: ignore[arg-type]  # options of one test


def codes(report: Report, *severities: str) -> list[str]:
    return [f.code for f in report.findings if f.severity in (severities or ("error", "warning"))]


def _many_shards(folder: Path, count: int = 10) -> None:
    """The sample in ten shards whose headers are longer than the first read."""
    zoo.text(folder)
    tensors = {}
    for name in zoo.SHARDS:
        from tests.inference_image.checkpoints import tensors_of

        tensors |= tensors_of((folder / name).read_bytes())
        (folder / name).unlink()
    names = sorted(tensors)
    weight_map = {}
    for number in range(count):
        name = f"model-{number + 1:05d}-of-{count:05d}.safetensors"
        part = {n: tensors[n] for n in names[number::count]}
        from tests.inference_image.checkpoints import shard

        (folder / name).write_bytes(shard(part, {"padding": "x" * reading.HEAD}))
        weight_map |= dict.fromkeys(part, name)
    zoo.write(folder, zoo.INDEX, {"metadata": {}, "weight_map": weight_map})


@dataclass
class Slow:
    """A folder far away: the reads of one round trip only end when all of them are under way."""

    inner: DirectoryFiles
    waves: list[int]
    done: int = 0
    lists: int = 0
    bytes: int = 0
    gate: threading.Condition = field(default_factory=threading.Condition)
    arrived: int = 0

    @property
    def place(self) -> str:
        return self.inner.place

    @property
    def entries(self) -> Mapping[str, Entry]:
        self.lists += 1
        return self.inner.entries

    @property
    def sizes(self) -> Mapping[str, int]:
        return {n: e.size for n, e in self.entries.items()}

    @property
    def emptiness(self) -> str:
        return self.inner.emptiness

    def read(self, name: str, start: int, end: int) -> bytes:
        with self.gate:
            wave = self.done
            self.arrived += 1
            self.bytes += end - start
            if self.arrived == self.waves[wave]:
                self.done, self.arrived = wave + 1, 0
                self.gate.notify_all()
            assert self.gate.wait_for(lambda: self.done > wave, timeout=30), f"wave {wave}: {self.arrived} of {self.waves[wave]}"
        return self.inner.read(name, start, end)

    def nearby(self, leaf: str) -> tuple[str, ...]:
        return self.inner.nearby(leaf)

    def below(self) -> tuple[str, ...]:
        return self.inner.below()

    def write_new(self, name: str, data: bytes) -> None:
        raise AssertionError(name)

    def again(self) -> Files:
        return self


def test_ten_shards_are_three_round_trips_deep(tmp_path: Path) -> None:
    """One list, one wave of first reads, one of long headers: each wave waits for all its reads, so none may wait for another."""
    _many_shards(tmp_path / "m")
    small = sum((tmp_path / "m" / n).exists() for n in reading.SMALL)
    far = Slow(DirectoryFiles(tmp_path / "m"), [small + 10, 10])
    report = inspect(far, open_base=never)
    assert (far.lists, far.done, report.errors) == (1, 2, ())
    assert len(report.weights.shards) == 10


def test_little_is_read_beside_the_tokenizer(tmp_path: Path) -> None:
    """Of a model with large tensors only headers and small files are read: kilobytes."""
    zoo.text(tmp_path / "m")
    tokenizer = (tmp_path / "m" / "tokenizer.json").stat().st_size
    report = look(tmp_path / "m")
    assert report.bytes_read - tokenizer < 4 * reading.HEAD + (64 << 10)


def test_a_bucket_is_looked_at_as_a_directory_is(tmp_path: Path) -> None:
    """The same folder as objects gives the same report, and nothing is written."""
    zoo.whole(tmp_path / "m")
    cloud = FakeCloud()
    cloud.storage.create_bucket(BucketInfo("weights", "us-central1"))
    for path in (tmp_path / "m").iterdir():
        cloud.storage.write("weights", f"ft/gemma/{path.name}", path)
    cloud.calls.clear()
    found = inspect(BucketFiles(cloud.storage, "weights", "ft/gemma"), open_base=never)
    here = look(tmp_path / "m")
    assert replace(found, place="") == replace(here, place="")
    assert found.place == "gs://weights/ft/gemma"
    assert cloud.writes == []


def test_the_report_says_what_it_is(tmp_path: Path) -> None:
    """Family, parameters, formats, bytes that text serving loads and leaves out, stops, template."""
    zoo.whole(tmp_path / "m")
    report = look(tmp_path / "m")
    assert report.family
    assert (report.family.key, report.kind, report.form.key) == ("gemma3", "gemma3", "full")
    assert report.weights.parameters == 845632
    assert report.weights.load == 2 * 845632
    assert report.weights.other == sum(len(data) for _, _, data in zoo.VISION.values())
    assert report.weights.vision
    assert report.weights.vision.tokens == 4
    assert report.weights.dtypes == ("BF16",)
    assert (report.tokens.vocabulary, report.tokens.stops, report.tokens.template) == (1024, (1, 5), "own")


@pytest.mark.parametrize("name", CORRECTABLE)
def test_what_small_files_can_correct_is_corrected(tmp_path: Path, name: str) -> None:
    """The corrections of a finding, written beside the weights, make it go away, and nothing that was there is changed."""
    animal = next(a for a in zoo.ZOO if a.name == name)
    folder = tmp_path / "m"
    animal.make(folder)
    report = look(folder)
    if name.startswith("a vocabulary"):
        # the tokenizer fits a model of 1024; the config said more
        assert codes(report) == ["vocabulary-resized"]
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    for path, data in corrections.gathered(report.correctable, report.overrides).files.items():
        DirectoryFiles(folder).write_new(path, data)
    assert codes(look(folder)) == []
    assert all(p.read_bytes() == data for p, data in before.items())


def test_corrections_can_be_carried_by_a_deployment(tmp_path: Path) -> None:
    """Where nothing may be written the same corrections are flags, and the flags are the container's variable."""
    animal = next(a for a in zoo.ZOO if a.name == "the end of a turn never learnt, text")
    animal.make(tmp_path / "m")
    (tmp_path / "m" / "chat_template.jinja").unlink()
    report = look(tmp_path / "m")
    flags = corrections.flags(report.correctable, "gemma3")
    assert flags == ("chat_template.jinja=@gemma3", "generation_config.json:eos_token_id=[1,5]") or set(flags) == {
        "chat_template.jinja=@gemma3",
        "generation_config.json:eos_token_id=[1,5]",
    }
    variable = json.dumps(corrections.parse_flags(flags))
    assert codes(look(tmp_path / "m", variable=variable)) == []


@pytest.mark.parametrize("text", UNREADABLE)
def test_an_override_that_can_not_be_read_says_what_is_expected(text: str) -> None:
    """Another file, no key, no JSON, an unknown template: each is refused with the form that works."""
    with pytest.raises(ValueError, match=r"FILE:KEY=JSON|KEY=JSON|=@NAME|JSON after"):
        corrections.parse_flags([text])


def test_a_file_that_is_there_is_never_replaced(tmp_path: Path) -> None:
    """Only gemmactl's own overrides may be written again."""
    zoo.text(tmp_path / "m")
    with pytest.raises(Trouble) as caught:
        DirectoryFiles(tmp_path / "m").write_new("config.json", b"{}")
    assert caught.value.code == "file-exists"
    for text in (b"{}", b"{ }"):
        DirectoryFiles(tmp_path / "m").write_new(contract.OVERRIDES, text)
    assert (tmp_path / "m" / contract.OVERRIDES).read_bytes() == b"{ }"


def test_a_refusal_names_the_first_fault_and_counts_the_rest(tmp_path: Path) -> None:
    """Exit 4 with the finding's own code, its remedy, and every finding in the facts."""
    zoo.text(tmp_path / "m")
    zoo.gone("tokenizer.json", zoo.SHARDS[1])(tmp_path / "m")
    with pytest.raises(Trouble) as caught:
        require(look(tmp_path / "m"))
    trouble = caught.value
    assert (trouble.exit, trouble.code) == (Exit.REFUSED, "tokenizer-missing")
    assert "and 1 more: shard-missing" in trouble.why
    assert {"tokenizer-missing", "shard-missing"} <= {f["code"] for f in trouble.facts["findings"]}


def test_a_folder_that_is_not_what_its_manifest_says_is_told(tmp_path: Path) -> None:
    """A shard that was replaced after the copy, and a file that is gone; an unchanged folder says nothing."""
    zoo.text(tmp_path / "m")
    cloud = FakeCloud()
    cloud.storage.create_bucket(BucketInfo("weights", "us-central1"))
    for path in (tmp_path / "m").iterdir():
        cloud.storage.write("weights", f"m/{path.name}", path)
    files = BucketFiles(cloud.storage, "weights", "m")
    records = {
        name: Record(entry.size, crc := int.from_bytes(base64.b64decode(entry.crc32c), "big"), (crc,))
        for name, entry in files.entries.items()
    }
    cloud.storage.write("weights", f"m/{contract.MANIFEST}", Manifest("here", "test", records).text().encode())
    assert codes(inspect(files.again(), open_base=never)) == []
    shard = bytearray((tmp_path / "m" / zoo.SHARDS[0]).read_bytes())
    shard[-1] ^= 1
    cloud.storage.write("weights", f"m/{zoo.SHARDS[0]}", bytes(shard))
    cloud.storage.delete("weights", "m/generation_config.json")
    (found,) = inspect(files.again(), open_base=never).warnings
    assert (found.code, found.evidence) == ("manifest-differs", f"generation_config.json, {zoo.SHARDS[0]}")
    assert found.what == "since the manifest was written, 1 file is gone and 1 file is changed"
    cloud.storage.write("weights", f"m/{contract.MANIFEST}", b"{}")
    assert codes(inspect(files.again(), open_base=never)) == ["manifest-invalid"]
