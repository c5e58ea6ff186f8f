"""The plan of reads and the sums over them: pure, so properties say it all."""

from __future__ import annotations

from itertools import pairwise

import crc32c
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_image.chunks.crc import Summed, combine, prepare, whole
from inference_image.chunks.plan import Range, chained, cover
from inference_image.chunks.source import Buffer
from inference_image.chunks.turns import Turns

ranges = st.builds(
    lambda name, begin, size: Range(name, begin, begin + size),
    st.sampled_from("ab"),
    st.integers(0, 300),
    st.integers(0, 80),
)


def bytes_of(some: list[Range] | tuple[Range, ...]) -> list[tuple[str, int]]:
    return [(one.object, at) for one in some for at in range(one.begin, one.end)]


@given(st.lists(ranges, max_size=12), st.lists(ranges, max_size=4), st.integers(1, 64))
def test_every_wanted_byte_is_read_exactly_once(wanted: list[Range], have: list[Range], chunk: int) -> None:
    """No byte twice, none forgotten, none that is there already or that nobody wants; no request over the chunk size."""
    plan = cover(wanted, have, chunk)
    read = bytes_of(plan)
    assert len(read) == len(set(read))
    assert set(read) == set(bytes_of(wanted)) - set(bytes_of(have))
    assert all(0 < one.end - one.begin <= chunk for one in plan)


def test_neighbours_share_a_request() -> None:
    """Many small tensors side by side are one request, not one each."""
    small = [Range("a", at, at + 5) for at in range(0, 500, 5)]
    assert cover(small, (), 1000) == (Range("a", 0, 500),)


def test_no_sliver_at_the_end() -> None:
    """What is just over one chunk becomes two halves."""
    assert cover([Range("a", 0, 101)], (), 100) == (Range("a", 0, 50), Range("a", 50, 101))


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5), st.randoms(use_true_random=False))
def test_parts_combine_to_the_sum_of_the_whole(data: bytes, cuts: list[int], chance: object) -> None:
    """The sum over parts read in any order is the sum over the object."""
    edges = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    parts = [(a, b, crc32c.crc32c(data[a:b])) for a, b in pairwise(edges)]
    chance.shuffle(parts)  # type: ignore[attr-defined]  # hypothesis' Random
    assert whole(parts) == (crc32c.crc32c(data) if data else 0, len(data))


@given(st.lists(ranges, max_size=12), st.integers(1, 32), st.integers(1, 4), st.integers(1, 200))
def test_chains_are_neighbours_in_their_order(wanted: list[Range], chunk: int, connections: int, most: int) -> None:
    """Every request is in exactly one chain, in order; a chain has no hole, and no more than `most` unless it is one request."""
    plan = cover(wanted, (), chunk)
    chains = chained(plan, connections, most)
    assert tuple(one for chain in chains for one in chain) == plan
    for chain in chains:
        assert all((a.object, a.end) == (b.object, b.begin) for a, b in pairwise(chain))
        assert len(chain) == 1 or chain[-1].end - chain[0].begin <= most


def test_requests_are_shorter_the_nearer_the_end() -> None:
    """Long ones first; at the end as many short ones as there are connections, so that none is waited for alone."""
    plan = cover([Range("a", 0, 1000)], (), 10)
    sizes = [chain[-1].end - chain[0].begin for chain in chained(plan, 4, 80)]
    assert sizes[:3] == [80, 80, 80]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-8:] == [10] * 8


@settings(max_examples=40)
@given(st.lists(ranges, max_size=12), st.integers(1, 16), st.integers(1, 4), st.integers(1, 6), st.data())
def test_turns_give_each_piece_once(wanted: list[Range], chunk: int, connections: int, room: int, data: st.DataObject) -> None:
    """However pieces come back, each is given out once and in its request's order, and none while there is no room."""
    plan = cover(wanted, (), chunk)
    chains = chained(plan, connections, 64)
    turns = Turns(chains)
    given_out: list[Range] = []
    out: list[Range] = []
    while turns or out:
        while len(out) < room and (chain := turns.next(connections)) is not None:
            piece, one = chain.piece, turns.give(chain)
            assert piece == one
            assert one.end <= chain.till
            given_out.append(one)
            out.append(one)
        done = out.pop(data.draw(st.integers(0, len(out) - 1)))
        turns.done(done.object, done.begin)
    assert sorted(given_out) == sorted(plan)
    for each in chains:
        assert [one for one in given_out if one in each] == list(each)


def test_a_request_without_a_piece_comes_first() -> None:
    """Who has nothing to receive into goes before new requests, and those before a second piece for anybody."""
    one, two, three = ([Range(name, at, at + 10) for at in range(0, 40, 10)] for name in "abc")
    turns = Turns([one, two, three])

    def give() -> str:
        chain = turns.next(2)
        return f"{(piece := turns.give(chain)).object}{piece.begin}" if chain is not None else "-"

    assert [give() for _ in range(5)] == ["a0", "b0", "a10", "b10", "-"]
    turns.done("b", 0)
    turns.done("b", 10)
    turns.done("a", 0)
    assert [give() for _ in range(4)] == ["b20", "a20", "b30", "c0"]


def test_the_sum_is_castagnolis() -> None:
    """The compiled part alone says what the whole package does, and what RFC 3720's check value is."""
    add = prepare()
    assert add(b"123456789", 0) == crc32c.crc32c(b"123456789") == 0xE3069283
    assert add(memoryview(bytearray(b"6789")), add(b"12345", 0)) == 0xE3069283


def test_a_hole_has_no_sum() -> None:
    """An object of which a part was left out has no sum of its own."""
    assert whole([(0, 4, 1), (5, 6, 2)]) is None
    assert whole([(0, 4, 1), (3, 6, 2)]) is None


def test_sum_of_a_large_second_part() -> None:
    """combine() is right for lengths beyond 32 bits' reach of a byte loop."""
    zeros = bytes(1 << 20)
    assert combine(crc32c.crc32c(b"head"), crc32c.crc32c(zeros), len(zeros)) == crc32c.crc32c(b"head" + zeros)


def test_summed_counts_what_was_written_not_what_was_offered() -> None:
    """A receive that fills half of its buffer counts as that half."""
    inner = Buffer(6)
    sink = Summed(inner)
    sink.buffer(0, 6)[:3] = b"abc"
    sink.wrote(0, 3)
    sink.buffer(3, 3)[:] = b"def"
    sink.wrote(3, 3)
    assert sink.crc == crc32c.crc32c(b"abcdef")
