"""The schedule over a model whose next token depends on all that its row holds: nothing lost, doubled, overtaken or leaked."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as some

from inference_image.engine.schedule import Running, Schedule, Solid
from tests.inference_image.fake_steps import Remembering, follows


@dataclass(frozen=True)
class Wish:
    prompt: int
    answer: int
    arrives: int
    leaves: int | None
    solids: tuple[tuple[int, int], ...] = ()
    """Text before each, and its tokens."""

    def placed(self) -> list[Solid]:
        """The prompt ends with its solids and the text before them."""
        made, at = [], self.prompt
        for text, tokens in self.solids:
            made.append(Solid(at + text, at + text + tokens))
            at += text + tokens
        return made

    def running(self, number: int) -> Running:
        return Running([number + 3] * (self.prompt + sum(map(sum, self.solids))), self, solids=self.placed())


WISHES = some.lists(
    some.builds(
        Wish,
        prompt=some.integers(1, 40),
        answer=some.integers(1, 12),
        arrives=some.integers(0, 20),
        leaves=some.one_of(some.none(), some.integers(0, 30)),
        solids=some.lists(some.tuples(some.integers(0, 9), some.integers(1, 9)), max_size=4).map(tuple),
    ),
    min_size=1,
    max_size=12,
)


def alone(ids: list[int], count: int) -> list[int]:
    held = list(ids)
    for _ in range(count):
        held.append(follows(held))
    return held[len(ids) :]


def choose(logits: object, rows: object) -> list[int]:
    return logits.argmax(-1).tolist()  # type: ignore[attr-defined]  # a tensor


@given(wishes=WISHES, rows=some.integers(1, 4), chunk=some.integers(1, 24))
@settings(max_examples=150, deadline=None)
def test_every_request_is_computed_as_if_it_were_alone(wishes: list[Wish], rows: int, chunk: int) -> None:
    """Whatever arrives, leaves and shares a batch: each answer is its own, first come is first read, every row is free again.

    No solid is cut, and only one that is larger than a chunk makes a step larger.
    """
    model = Remembering(rows)
    schedule = Schedule(model, choose, chunk)
    sequences = [wish.running(number) for number, wish in enumerate(wishes)]
    arrivals = sorted(sequences, key=lambda one: one.tag.arrives)
    waiting: deque[Running] = deque()
    began: list[Running] = []

    def admit() -> Running | None:
        if not waiting:
            return None
        began.append(waiting.popleft())
        return began[-1]

    moment = 0
    while arrivals or waiting or schedule.running:
        while arrivals and arrivals[0].tag.arrives <= moment:
            waiting.append(arrivals.pop(0))
        for one in list(schedule.running):
            one.ended = one.ended or (one.tag.leaves is not None and one.tag.leaves <= moment)
        schedule.free()
        for one in schedule.decode() + schedule.read(admit):
            one.ended = len(one.tokens) >= one.tag.answer
        assert len(schedule.running) <= rows
        assert len(schedule.reading) <= 1
        moment += 1
        assert moment < 5000, "it never ends"
    assert began == sorted(sequences, key=lambda one: one.tag.arrives)
    for one in sequences:
        assert one.tokens == alone(list(one.ids), len(one.tokens))
        if one.tag.leaves is None:
            assert len(one.tokens) == one.tag.answer
    for parts in model.parts:
        for part in parts:
            end = part.start + len(part.ids)
            assert list(part.solids) == [one for one in part.tag.placed() if part.start <= one.begin and one.end <= end]
            assert not any(one.begin < edge < one.end for one in part.tag.placed() for edge in (part.start, end))
        if sum(len(part.ids) for part in parts) > chunk:
            assert list(parts[0].solids) == [Solid(parts[0].start, parts[0].start + len(parts[0].ids))]
            assert len(parts) == 1


def test_a_long_prompt_does_not_stop_the_others() -> None:
    """While a prompt of many chunks is read, whoever decodes gets a token after each chunk."""
    schedule = Schedule(Remembering(2), choose, 4)
    first, long = Running([5, 6]), Running(list(range(3, 43)))
    queue = deque([first, long])
    while not long.tokens:
        schedule.free()
        schedule.decode()
        schedule.read(lambda: queue.popleft() if queue else None)
    assert len(first.tokens) >= 10
    assert first.tokens == alone([5, 6], len(first.tokens))


def test_short_prompts_are_read_together() -> None:
    """Prompts that fit into one chunk cost one step, however many they are."""
    model = Remembering(8)
    schedule = Schedule(model, choose, 64)
    queue = deque(Running([number] * 6) for number in range(8))
    told = schedule.read(lambda: queue.popleft() if queue else None)
    assert len(told) == 8
    assert model.steps == [48]
