"""The queue, the answers and their ends, over a model that the test controls."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from inference_image.contract import RequestCode
from inference_image.engine import Answer, Engine, Piece, Refused, Request, Usage
from inference_image.engine.text import Text, TokenizerFiles
from inference_image.presets import PRESETS
from tests.inference_image.checkpoints import MODEL
from tests.inference_image.fake_steps import Scripted


@pytest.fixture(scope="module")
def text() -> Text:
    return Text(TokenizerFiles((MODEL / "tokenizer.json").read_bytes(), {}, (MODEL / "chat_template.jinja").read_text()))


@pytest.fixture
def scripted(text: Text) -> Scripted:
    return Scripted([*text.plain("안녕 ### Res ok"), 1, *text.plain("never")])


@pytest.fixture
def queue(text: Text, scripted: Scripted) -> Iterator[Engine]:
    engine = Engine(scripted, text, name="m", stop_ids=frozenset({1, 5}), max_context=100, max_queue=2)
    yield engine
    scripted.gate.release(10_000)
    engine.close()


def free(scripted: Scripted) -> None:
    scripted.gate.release(10_000)


def test_an_answer_ends_at_a_stop_token(queue: Engine, scripted: Scripted) -> None:
    """Pieces are the text before the end of sequence; the last one has the reason and counts the ending token."""
    free(scripted)
    pieces = list(queue.submit(Request((2, 9), 90)))
    assert "".join(piece.text for piece in pieces) == "안녕 ### Res ok"
    assert pieces[-1].stop_reason == "stop"
    assert pieces[-1].usage == Usage(2, scripted.tokens.index(1) + 1)
    assert all(piece.stop_reason is None for piece in pieces[:-1])


def test_a_stop_string_ends_the_answer_and_the_computing(queue: Engine, scripted: Scripted) -> None:
    """The text before the stop comes, and not one step more is computed."""
    free(scripted)
    pieces = list(queue.submit(Request((2,), 90, stops=("### Res",))))
    assert "".join(piece.text for piece in pieces) == "안녕"
    assert pieces[-1].stop_reason == "stop"
    assert pieces[-1].usage == Usage(1, scripted.decoded + 1)
    assert scripted.decoded < len(scripted.tokens) - 3


def test_max_tokens_is_length(queue: Engine, scripted: Scripted) -> None:
    """An answer that max_tokens cut says so."""
    free(scripted)
    last = list(queue.submit(Request((2,), 2)))[-1]
    assert (last.stop_reason, last.usage) == ("length", Usage(1, 2))


def test_cancel_stops_within_a_step(queue: Engine, scripted: Scripted) -> None:
    """A cancelled answer ends with the step that is under way, and says so."""
    answer = queue.submit(Request((2,), 90))
    scripted.began.wait(5)
    answer.cancel()
    scripted.gate.release(1)
    last = list(answer)[-1]
    assert (last.stop_reason, last.usage) == ("cancelled", Usage(1, 1))
    assert scripted.decoded == 0


def test_cancel_of_a_waiting_request_computes_nothing(queue: Engine, scripted: Scripted) -> None:
    """What is cancelled in the queue leaves it at once, and the others come in their order."""
    first = queue.submit(Request((2, 1), 90))
    scripted.began.wait(5)
    second, third = queue.submit(Request((2, 2), 90)), queue.submit(Request((2, 3), 90))
    second.cancel()
    assert list(second) == [Piece("", "cancelled", Usage(2, 0))]
    free(scripted)
    assert list(first)[-1].stop_reason == list(third)[-1].stop_reason == "stop"
    assert scripted.prompts == [(2, 1), (2, 3)]


def test_a_full_queue_refuses_with_a_time(queue: Engine, scripted: Scripted) -> None:
    """Beyond the queue's length a request is refused, with a wait that somebody can obey."""
    for _ in range(3):
        queue.submit(Request((2,), 90))
        scripted.began.wait(5)
    assert queue.busy == 3
    with pytest.raises(Refused) as refused:
        queue.submit(Request((2,), 90))
    assert refused.value.code is RequestCode.QUEUE_FULL
    assert refused.value.retry_after is not None
    assert refused.value.retry_after >= 1


def test_the_time_of_a_full_queue_is_as_far_apart_as_answers_end(text: Text, scripted: Scripted) -> None:
    """One answer in 30 s since there was work, then none for 20 more: a place in 15 s, then in 25."""
    now = [100.0]
    engine = Engine(scripted, text, name="m", stop_ids=frozenset(), max_context=100, max_queue=2, clock=lambda: now[0])

    def wait() -> int | None:
        with pytest.raises(Refused) as refused:
            engine.submit(Request((2,), 90))
        return refused.value.retry_after

    try:
        first, *_ = [engine.submit(Request((2,), length)) for length in (1, 90, 90)]
        assert scripted.began.wait(5)
        assert wait() == 1
        now[0] = 130.0
        scripted.gate.release(1)
        assert list(first)[-1].stop_reason == "length"
        until = time.monotonic() + 5
        while engine.busy > 2 and time.monotonic() < until:
            time.sleep(0.001)
        engine.submit(Request((2,), 90))
        assert wait() == 15
        now[0] = 150.0
        assert wait() == 25
    finally:
        free(scripted)
        engine.close()


def test_too_long_is_refused_by_name(queue: Engine) -> None:
    """Prompt and max_tokens beyond the context are refused, never cut."""
    with pytest.raises(Refused) as refused:
        queue.submit(Request((2,) * 11, 90))
    assert refused.value.code is RequestCode.CONTEXT_LENGTH_EXCEEDED
    assert refused.value.facts == {"prompt_tokens": 11, "max_context": 100}


def test_a_request_without_max_tokens_fits_the_context(queue: Engine) -> None:
    """The preset's own length gives way to the room that the prompt leaves."""
    request = queue.request(PRESETS["text"], "Hi")
    assert len(request.ids) + request.max_tokens == 100


def test_a_model_without_a_template_serves_raw_types() -> None:
    """A chat type on a base model's fine-tune is refused with the types that work; the others go on."""
    bare = Text(TokenizerFiles((MODEL / "tokenizer.json").read_bytes(), {}, None))
    engine = Engine(Scripted([]), bare, name="m", stop_ids=frozenset(), max_context=100, max_queue=2)
    with pytest.raises(Refused) as refused:
        engine.request(PRESETS["text"], "Hi")
    assert refused.value.facts == {"types": ["translation", "sql"]}
    assert engine.request(PRESETS["sql"], "Hi").ids
    engine.close()


def test_a_failure_belongs_to_its_request(queue: Engine, scripted: Scripted) -> None:
    """An exception of the model ends that answer; the engine goes on."""
    scripted.error = RuntimeError("boom")
    free(scripted)
    with pytest.raises(RuntimeError, match="boom"):
        list(queue.submit(Request((2,), 90)))
    scripted.error = None
    assert queue.failed is None
    assert list(queue.submit(Request((2,), 90)))[-1].stop_reason == "stop"


def test_a_lost_device_ends_the_engine(queue: Engine, scripted: Scripted) -> None:
    """What a GPU can't recover from fails all that runs and waits, and whoever watches the engine sees it."""
    scripted.error = RuntimeError("CUDA error: an illegal memory access was encountered")
    running, waiting = queue.submit(Request((2,), 90)), queue.submit(Request((2,), 90))
    free(scripted)
    for answer in (running, waiting):
        with pytest.raises(RuntimeError, match="CUDA error"):
            list(answer)
    queue._thread.join(5)
    assert queue.failed is scripted.error
    assert queue.busy == 0
    with pytest.raises(Refused):
        queue.submit(Request((2,), 90))


def test_rows_are_computed_together(text: Text) -> None:
    """As many requests as the model has rows run at once; the next waits for a row, not for all of them."""
    scripted = Scripted(text.plain("abcdefgh"), rows=2)
    engine = Engine(scripted, text, name="m", stop_ids=frozenset(), max_context=100, max_queue=9)
    answers = [engine.submit(Request((2,), tokens)) for tokens in (2, 6, 3)]
    free(scripted)
    counts = [list(answer)[-1].usage.completion_tokens for answer in answers]  # type: ignore[union-attr]  # the last piece has it
    assert counts == [2, 6, 3]
    assert scripted.decoded <= 7
    assert engine.stats().rows == 2
    engine.close()
    assert engine.stats().running == engine.stats().waiting == 0


def test_a_row_costs_time_that_is_told(queue: Engine, scripted: Scripted) -> None:
    """The last piece has the seconds in the queue, to the first token and after it."""
    free(scripted)
    timing = list(queue.submit(Request((2,), 90)))[-1].timing
    assert timing is not None
    assert min(timing.queued, timing.first, timing.rest) >= 0


def test_a_closed_engine_takes_nothing(text: Text) -> None:
    """close() cancels what waits and refuses what comes."""
    runner = Scripted(text.plain("abc"))
    engine = Engine(runner, text, name="m", stop_ids=frozenset(), max_context=100, max_queue=2)
    running, waiting = engine.submit(Request((2,), 9)), engine.submit(Request((2,), 9))
    runner.began.wait(5)
    closing = threading.Thread(target=engine.close)
    closing.start()
    assert list(waiting)[-1].stop_reason == "cancelled"
    runner.gate.release(10)
    closing.join(5)
    assert list(running)[-1].stop_reason == "cancelled"
    with pytest.raises(Refused):
        engine.submit(Request((2,), 9))


def test_pieces_reach_an_event_loop(queue: Engine, scripted: Scripted, text: Text) -> None:
    """`async for` gives the same pieces, each as soon as it is there."""

    async def read() -> list[str]:
        answer = queue.submit(Request((2,), 90))
        seen = []
        scripted.gate.release(len(text.plain("안녕")))
        async for piece in answer:
            if not seen:
                scripted.gate.release(10_000)
            seen.append(piece.text)
        return seen

    seen = asyncio.run(asyncio.wait_for(read(), 10))
    assert "".join(seen) == "안녕 ### Res ok"
    assert len(seen) > 2


def test_an_end_between_two_looks_is_not_lost() -> None:
    """The last piece may come while its reader looks and finds nothing: it is the next thing that the reader sees."""

    class Late(Answer):
        """Its last piece comes just behind the first look."""

        looks = 0

        def _take(self) -> tuple[list[Piece], BaseException | None]:
            found = super()._take()
            self.looks += 1
            if self.looks == 1:
                self.put(Piece("all", "stop"), now=True)
            return found

    async def read() -> list[Piece]:
        return [piece async for piece in Late(lambda _: None)]

    assert asyncio.run(asyncio.wait_for(read(), 5)) == [Piece("all", "stop")]
