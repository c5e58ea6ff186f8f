"""What a manifest promises of ranges, and the verdict over what was read in parts."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise

import crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemmactl.checkpoint.manifest import Manifest, Record
from inference_image.chunks.plan import Range, reading, tapered
from inference_image.chunks.source import Object
from inference_image.chunks.verify import judge
from inference_image.contract import Code, LoadFailed
from inference_image.promises import Promise, parse

STEP = 64 << 10
DATA = bytes(range(256)) * 1000


def record(data: bytes, step: int = STEP) -> Record:
    return Record(len(data), crc32c.crc32c(data), tuple(crc32c.crc32c(data[at : at + step]) for at in range(0, len(data), step)))


def promise(data: bytes = DATA) -> Promise:
    text = Manifest("gs://b/m", "1", {"model.safetensors": record(data)}, STEP).text()
    return parse(text.encode())["model.safetensors"]


def test_the_engine_reads_what_gemmactl_writes() -> None:
    """Size, checksum and ranges of a manifest as gemmactl writes it."""
    told = promise()
    assert (told.size, told.crc32c, told.step) == (len(DATA), crc32c.crc32c(DATA), STEP)
    assert told.ranges == record(DATA).ranges
    assert told.about(Object("model.safetensors", len(DATA), "1", crc32c.crc32c(DATA)))


@pytest.mark.parametrize(
    "change",
    [
        lambda doc: doc.update(schema="gemmactl/manifest.v9"),
        lambda doc: doc.update(range_bytes=0),
        lambda doc: doc.update(files=[]),
        lambda doc: doc["files"]["model.safetensors"].update(ranges=["AAAAAA=="]),
        lambda doc: doc["files"]["model.safetensors"].update(crc32c="AA=="),
        lambda doc: doc["files"]["model.safetensors"].update(size="1"),
        lambda doc: doc["files"]["model.safetensors"].pop("size"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_none(change: Callable[[dict[str, object]], object]) -> None:
    """Whoever wrote it is not trusted: a document of another form is told as a ValueError, and nothing else."""
    document = json.loads(Manifest("gs://b/m", "1", {"model.safetensors": record(DATA)}, STEP).text())
    change(document)
    with pytest.raises(ValueError, match=r"."):
        parse(json.dumps(document).encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{", b"[" * 100_000, b'{"schema": 5}'])
def test_no_manifest_is_a_value_error(data: bytes) -> None:
    """Garbage never breaks the load."""
    with pytest.raises(ValueError, match=r"."):
        parse(data)


def test_a_promise_about_other_bytes_counts_for_nothing() -> None:
    """Another size, another sum in the store, or ranges that don't make the whole: it is not about this object."""
    told, size = promise(), len(DATA)
    assert not told.about(Object("model.safetensors", size + 1, "1", told.crc32c))
    assert not told.about(Object("model.safetensors", size, "1", told.crc32c ^ 1))
    assert not Promise(size, told.crc32c, (told.ranges[0] ^ 1, *told.ranges[1:]), STEP).about(Object("m", size, "1", None))


spans = st.tuples(st.integers(0, len(DATA)), st.integers(1, 50_000)).map(lambda one: (one[0], min(len(DATA), one[0] + one[1])))


@given(st.lists(spans, max_size=5), st.integers(1, 100_000), st.integers(1_000, 80_000), st.sampled_from([0, STEP, None]))
def test_every_wanted_byte_is_read_once_and_can_be_proven(
    wanted: list[tuple[int, int]], head: int, chunk: int, step: int | None
) -> None:
    """No byte twice; with checksums of ranges each run of reads ends where one ends; without, all is read."""
    plan = reading([Range("o", a, b) for a, b in wanted if a < b], Range("o", 0, head), len(DATA), chunk, step)
    taken = sorted([(0, head), *((one.begin, one.end) for one in (*plan.kept, *plan.summed))])
    assert all(first[1] <= second[0] for first, second in pairwise(taken))
    covered = sorted({(0, head), *((one.begin, one.end) for one in plan.kept)})
    for begin, end in wanted:
        inside = sum(max(0, min(end, b) - max(begin, a)) for a, b in covered)
        assert inside == max(0, end - begin)
    parts = [(a, b, crc32c.crc32c(DATA[a:b])) for a, b in taken]
    one = Object("o", len(DATA), "1", crc32c.crc32c(DATA))
    verdict = judge(one, parts, promise().sum)
    assert verdict.crc32c == one.crc32c
    assert verdict.verified or step == 0
    assert (sum(b - a for a, b in taken) == len(DATA)) or step is not None


@given(st.lists(st.integers(0, 100), max_size=6, unique=True), st.integers(0, 250), st.integers(1, 40))
def test_a_taper_changes_sizes_only(cuts: list[int], tail: int, chunk: int) -> None:
    """The last requests are small ones, and together they are the same bytes."""
    edges = [0, *sorted(cuts), 200]
    whole = [Range("o", a, b) for a, b in pairwise(edges) if a < b]
    made = tapered(whole, tail, chunk)
    assert [(a.end, b.begin) for a, b in pairwise(made)] == [(a.end, a.end) for a, _ in pairwise(made)]
    assert (made[0].begin, made[-1].end) == (0, 200)
    assert not tail or made[-1].end - made[-1].begin <= chunk


@pytest.mark.parametrize("at", [0, STEP + 5, len(DATA) - 1])
def test_a_wrong_byte_is_found_wherever_it_is(at: int) -> None:
    """In an object that was read whole by the store's sum, in a part of one by the manifest's."""
    wrong = bytearray(DATA)
    wrong[at] ^= 1
    one = Object("model-1.safetensors", len(DATA), "1", crc32c.crc32c(DATA))
    with pytest.raises(LoadFailed, match="the store says") as failed:
        judge(one, [(0, len(DATA), crc32c.crc32c(wrong))], None)
    assert (failed.value.failure.code, failed.value.failure.object) == (Code.CHECKSUM_MISMATCH, "model-1.safetensors")
    begin = at // STEP * STEP
    end = min(len(DATA), begin + STEP)
    with pytest.raises(LoadFailed, match="the manifest says"):
        judge(one, [(begin, end, crc32c.crc32c(wrong[begin:end]))], promise().sum)


def test_parts_without_a_promise_are_not_verified() -> None:
    """What nobody has a sum of is loaded as unverified, never as proven."""
    one = Object("o", len(DATA), "1", crc32c.crc32c(DATA))
    assert not judge(one, [(0, 100, 7)], None).verified
    assert not judge(one, [(0, STEP, crc32c.crc32c(DATA[:STEP])), (STEP + 5, STEP + 10, 7)], promise().sum).verified
    assert not judge(Object("o", len(DATA), "1"), [(0, len(DATA), crc32c.crc32c(DATA))], None).verified
