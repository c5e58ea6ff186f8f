"""The manifest: ranges that make up the whole, one text for one value, and no trust in who wrote it."""

from __future__ import annotations

import json
from typing import Any

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemmactl.checkpoint.manifest import Manifest, Record, parse, written
from gemmactl.errors import Trouble
from inference_image.chunks.crc import whole
from inference_image.contract import MANIFEST_SCHEMA

STEP = 64 << 10


def record(data: bytes, step: int = STEP, version: str = "7") -> Record:
    ranges = tuple(google_crc32c.value(data[at : at + step]) for at in range(0, len(data), step))
    return Record(len(data), google_crc32c.value(data), ranges, version)


contents = st.builds(
    lambda seed, size: (seed * (size // len(seed) + 1))[:size], st.binary(min_size=1), st.integers(0, 3 * STEP + 1)
)
names = st.sampled_from(["config.json", "model.safetensors", "gemmactl/lineage.json", "모델.json", "a b.json"])


@given(st.dictionaries(names, contents, max_size=4))
def test_ranges_make_up_the_whole(files: dict[str, bytes]) -> None:
    """What was written is read back; the ranges lie side by side from byte 0, and their sums combine to the whole's."""
    made = Manifest("gs://b/m", "gemmactl 0", {name: record(data) for name, data in files.items()}, STEP)
    found = parse(made.text().encode(), "gs://b/m")
    assert found == made
    for name, one in found.files.items():
        ends = [*range(0, one.size, STEP), one.size]
        parts = [(begin, end, crc) for begin, end, crc in zip(ends, ends[1:], one.ranges, strict=False)]
        assert whole(parts) == (one.crc32c, len(files[name]))


@given(st.dictionaries(names, contents, max_size=4))
def test_one_text_for_one_value(files: dict[str, bytes]) -> None:
    """The order in which files were finished does not show."""
    forth = Manifest("m", "v", {name: record(data) for name, data in files.items()}, STEP)
    back = Manifest("m", "v", dict(reversed(forth.files.items())), STEP)
    assert forth.text() == back.text()


@given(contents, st.integers(min_value=0))
def test_a_wrong_byte_is_found_in_its_range(data: bytes, at: int) -> None:
    """Exactly the range that holds it has another sum."""
    if not data:
        return
    at %= len(data)
    other = record(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    assert [k for k, (a, b) in enumerate(zip(record(data).ranges, other.ranges, strict=True)) if a != b] == [at // STEP]


def document(**change: Any) -> dict[str, Any]:
    one = record(b"x" * (STEP + 1))
    row = {"size": one.size, "crc32c": one.checksum, "version": "1", "ranges": [written(crc) for crc in one.ranges]}
    return {
        "schema": MANIFEST_SCHEMA, "made_by": "g", "source": "s", "range_bytes": STEP, "files": {"a.json": {**row, **change}},
    }  # fmt: skip


def test_the_document_that_the_hostile_ones_are_made_from_is_good() -> None:
    """Or the next test would prove nothing."""
    assert set(parse(json.dumps(document()).encode(), "here").files) == {"a.json"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"[" * 100_000,
        b'{"schema": "gemmactl/manifest.v2"}',
        json.dumps({"schema": MANIFEST_SCHEMA, "files": {}}).encode(),
        json.dumps({**document(), "files": []}).encode(),
        json.dumps({**document(), "range_bytes": 0}).encode(),
        json.dumps({**document(), "range_bytes": True}).encode(),
        json.dumps({**document(), "range_bytes": 1 << 40}).encode(),
        json.dumps({**document(), "source": 7}).encode(),
        *(json.dumps({**document(), "files": {name: document()["files"]["a.json"]}}).encode() for name in (
            "../a", "/etc/passwd", "a\\b", "a//b", "", "C:/x", "a\nb", "a/./b", "x" * 300, "gemmactl/manifest.json",
        )),
        *(json.dumps(document(**change)).encode() for change in (
            {"size": -1}, {"size": "8"}, {"size": 1.5}, {"size": 1 << 60}, {"size": STEP}, {"ranges": "AAAAAA=="}, {"ranges": []},
            {"ranges": ["AAAAAA==", "AAAAAA==", "AAAAAA=="]}, {"ranges": ["AAAAAA==", 7]}, {"ranges": ["AAAAAA==", "AAAA"]},
            {"crc32c": "not base64"}, {"crc32c": None}, {"version": ["1"]}, {"size": 5, "ranges": ["AAAAAA=="]},
        )),
    ],
)  # fmt: skip
def test_a_hostile_manifest_is_refused(data: bytes) -> None:
    """Sizes, counts, names and types that can't be: always a Trouble that names the file, never another error."""
    with pytest.raises(Trouble) as told:
        parse(data, "gs://b/m")
    assert (told.value.code, told.value.facts["object"]) == ("manifest-invalid", "gemmactl/manifest.json")
