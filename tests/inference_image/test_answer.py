"""An answer's way from the engine's thread to its reader: batches, pauses, and who is woken when."""

from __future__ import annotations

import asyncio

import pytest

from inference_image.engine import Piece, Usage
from inference_image.engine.answer import MANY, Answer, Pauses

LAST = Piece("!", "stop", Usage(1, 2))


def answer_of(*said: Piece | Exception) -> Answer:
    answer = Answer(lambda _: None)
    for one in said:
        answer.put(one)
    return answer


async def batches_of(answer: Answer, pause: float = 0.0) -> list[list[str]]:
    return [[piece.text for piece in pieces] async for pieces in answer.batches(pause)]


def test_what_waits_comes_as_one_batch() -> None:
    """A reader that was busy gets all that came meanwhile at once; a failure comes behind what was before it."""
    assert asyncio.run(batches_of(answer_of(Piece("a"), Piece("b"), LAST))) == [["a", "b", "!"]]

    failed = answer_of(Piece("a"), ValueError("it broke"))
    found = []

    async def failing() -> None:
        async for pieces in failed.batches():
            found.append([piece.text for piece in pieces])

    with pytest.raises(ValueError, match="it broke"):
        asyncio.run(failing())
    assert found == [["a"]]


def test_a_pause_gathers_pieces_and_the_end_cuts_it_short() -> None:
    """Nobody is woken within the pause, however many pieces come, but by the last one."""

    async def run() -> list[list[str]]:
        answer = answer_of(Piece("a"))
        reading = asyncio.create_task(batches_of(answer, pause=3600))
        for text in "bcd":
            await asyncio.sleep(0.001)
            answer.put(Piece(text))
        answer.put(LAST)
        return await asyncio.wait_for(reading, 5)

    assert asyncio.run(run()) == [["a"], ["b", "c", "d", "!"]]


def test_a_pause_ends_by_itself() -> None:
    """What came in the pause is told after it, without an end."""

    async def run() -> list[list[str]]:
        answer = answer_of(Piece("a"))
        seen = []
        async for pieces in answer.batches(pause=0.005):
            seen.append([piece.text for piece in pieces])
            answer.put(LAST if len(seen) == 2 else Piece("b"))
        return seen

    assert asyncio.run(run()) == [["a"], ["b"], ["!"]]


class Told(asyncio.SelectorEventLoop):
    """A loop whose time is told to it."""

    now = 0.0

    def time(self) -> float:
        return self.now


def test_pauses_of_all_readers_end_in_one_turn() -> None:
    """Readers that began at different times look together at the next multiple of the pause, and not before."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Told)
        answers, seen = [answer_of(Piece("a")) for _ in range(2)], [[], []]

        async def read(index: int) -> None:
            async for pieces in answers[index].batches(pause=1000):
                seen[index].append([piece.text for piece in pieces])

        async def at(now: float) -> None:
            loop.now = now
            for _ in range(5):
                await asyncio.sleep(0)

        readers = []
        for index, begun in enumerate((2100.0, 2700.0)):
            readers.append(loop.create_task(read(index)))
            await at(begun)
        for answer in answers:
            answer.put(Piece("b"))
        await at(2999.0)
        assert seen == [[["a"]], [["a"]]]
        await at(3000.0)
        assert seen == [[["a"], ["b"]], [["a"], ["b"]]]
        for answer in answers:
            answer.put(LAST)
        await asyncio.gather(*readers)

    with asyncio.Runner(loop_factory=Told) as runner:
        runner.run(run())


def test_pauses_are_longer_while_many_read() -> None:
    """Twice as long from the turn on that woke more than MANY together, and as before when there are fewer again."""

    async def run() -> list[float]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Told)
        pauses, ends = Pauses(), []
        for readers in (MANY, MANY + 1, 1):
            due = pauses.end(loop.now, 20.0)
            ends.append(due)
            for _ in range(readers):
                pauses.until(loop, due, loop.create_future())
            loop.now = due
            for _ in range(3):
                await asyncio.sleep(0)
        return [*ends, pauses.end(loop.now, 20.0)]

    with asyncio.Runner(loop_factory=Told) as runner:
        assert runner.run(run()) == [20.0, 40.0, 80.0, 100.0]


def test_a_whole_answer_wakes_its_reader_once() -> None:
    """All pieces, or the failure; an answer that has ended and was read has nothing more."""

    async def run() -> tuple[list[str], list[list[str]]]:
        answer = answer_of()
        reading = asyncio.create_task(answer.whole())
        await asyncio.sleep(0)
        for one in (Piece("a"), LAST):
            answer.put(one)
            await asyncio.sleep(0)
        return [piece.text for piece in await asyncio.wait_for(reading, 5)], await batches_of(answer)

    assert asyncio.run(run()) == (["a", "!"], [])
    with pytest.raises(ValueError, match="it broke"):
        asyncio.run(answer_of(Piece("a"), ValueError("it broke")).whole())
