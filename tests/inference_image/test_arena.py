"""The memory that ranges are received into, and the ring of slabs in it."""

from __future__ import annotations

import mmap
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_image.chunks.arena import PAGE, Arena, can_share, shared_file
from inference_image.landing import Ring, slab_of


@pytest.mark.parametrize("shared", [False, True])
def test_released_pages_read_as_zeros(*, shared: bool) -> None:
    """release() empties the pages inside of its range and no others, whoever else maps them."""
    if shared and not can_share():
        pytest.skip("no files in memory here")
    descriptor = shared_file() if shared else None
    arena = Arena(3 * PAGE, descriptor)
    arena.view(0, 3 * PAGE)[:] = b"x" * 3 * PAGE
    arena.release(10, 3 * PAGE - 10)
    assert bytes(arena.view(PAGE, 2 * PAGE)) == bytes(PAGE)
    assert bytes(arena.view(0, PAGE)) == b"x" * PAGE
    assert bytes(arena.view(2 * PAGE, 3 * PAGE)) == b"x" * PAGE
    if descriptor is not None:
        os.close(descriptor)


def test_what_one_mapping_writes_the_other_reads() -> None:
    """A file in memory is one memory: the process that reads fills what this one serves."""
    descriptor = shared_file()
    first, second = Arena(5 * PAGE, descriptor), Arena(5 * PAGE, descriptor)
    first.view(4 * PAGE, 4 * PAGE + 5)[:] = b"bytes"
    assert bytes(second.view(4 * PAGE, 4 * PAGE + 5)) == b"bytes"
    os.close(descriptor)


def test_address_space_takes_no_memory() -> None:
    """Room for more than the machine has is no memory before something is received into it."""
    arena = Arena(1 << 40)
    assert arena.size == 1 << 40
    assert arena.memory[1 << 39] == 0


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 6))
def test_a_ring_never_has_more_slabs_out_than_it_holds(steps: list[bool], count: int) -> None:
    """take() gives distinct slabs, None when all are out; the one given back last comes first."""
    ring = Ring(0, 1000, count)
    out: list[int] = []
    for take in steps:
        if take:
            slab = ring.take()
            assert (slab is None) == (len(out) == count)
            if slab is not None:
                assert slab not in out
                out.append(slab)
        elif out:
            last = out.pop()
            ring.give(last)
            assert ring.take() == last
            out.append(last)
    assert ring.out == len(out)
    assert ring.most_out <= count


def test_no_more_memory_is_used_than_was_asked_for() -> None:
    """Slabs that piled up before are used again; one that would be touched for the first time is not given out, and wanted."""
    ring = Ring(0, 1000, 9)
    piled = [ring.take() for _ in range(3)]
    assert ring.take(3) is None
    assert ring.take(2) is None
    assert ring.give(piled[0] or 0)
    assert ring.take(2) == piled[0]
    assert ring.take(4) not in {None, *piled}
    assert ring.end == 4 * ring.stride


def test_a_slab_given_back_is_told_where_one_was_wanted() -> None:
    """Who plans is woken for a slab that he waits for, and not for each of the others."""
    ring = Ring(0, 1000, 2)
    one, two = ring.take(), ring.take()
    assert one is not None
    assert two is not None
    assert not ring.give(one)
    assert ring.take() == one
    assert ring.take() is None
    assert ring.give(one)
    assert not ring.give(two)


@given(st.integers(0, 1 << 40), st.integers(0, 50), st.integers(1, 1 << 24))
def test_bytes_keep_their_alignment_in_a_slab(begin: int, number: int, size: int) -> None:
    """A tensor that is aligned in its object is aligned in memory, and a read stays inside of its slab."""
    ring = Ring(7 * mmap.PAGESIZE, size, 64)
    slab = 7 * mmap.PAGESIZE + number * ring.stride
    place = Ring.place(slab, begin)
    assert (place - begin) % 64 == 0
    assert slab <= place
    assert place + size <= slab + ring.stride
    assert slab_of(place) == slab
