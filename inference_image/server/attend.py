"""Owns waiting for answers while watching that somebody still wants them. Knows no form of an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.types import Receive

from inference_image.contract import RequestCode
from inference_image.engine.answer import Answer
from inference_image.engine.generate import Engine
from inference_image.engine.request import Piece, Refused, Request
from inference_image.server.record import Record


@dataclass
class Client:
    """Who waits for an answer."""

    left: bool = False


def submitted(engine: Engine, requests: Sequence[Request]) -> list[Answer]:
    """All requests or none. Raises Refused."""
    answers: list[Answer] = []
    try:
        for request in requests:
            answers.append(engine.submit(request))  # noqa: PERF401 - those before a refused one must be cancelled
    except Refused:
        for answer in answers:
            answer.cancel()
        raise
    return answers


@asynccontextmanager
async def attended(receive: Receive, answers: Sequence[Answer]) -> AsyncIterator[Client]:
    """Answers that nobody reads any more are not computed on: they are cancelled when the client leaves, and at the end."""
    client = Client()

    def cancel() -> None:
        for answer in answers:
            answer.cancel()

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            continue
        client.left = True
        cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield client
    finally:
        watcher.cancel()
        cancel()


async def collected(receive: Receive, answers: Sequence[Answer], record: Record) -> list[list[Piece]] | None:
    """All pieces of all answers; None when the client left meanwhile.

    Raises Refused: engine_failed, draining for an answer that the service's end cut, or as what the engine refused it late.
    """
    async with attended(receive, answers) as client:
        try:
            pieces = [await answer.whole() for answer in answers]
        except Refused:
            raise
        except Exception as error:
            raise engine_failed(error) from error
    for answer, one in zip(answers, pieces, strict=True):
        record.heard(one, answer.began)
    if client.left:
        return None
    if any(one[-1].stop_reason == "cancelled" for one in pieces):
        raise stopped()
    return pieces


async def merged(answers: Sequence[Answer], pause: float) -> AsyncGenerator[tuple[int, list[Piece]]]:
    """What comes of several answers, with the index of each, until all have ended."""
    if len(answers) == 1:
        async for pieces in answers[0].batches(pause):
            yield 0, pieces
        return
    # One place for each: a slow reader lets pieces wait where they are merged into one batch.
    came: asyncio.Queue[tuple[int, list[Piece] | Exception]] = asyncio.Queue(len(answers))

    async def pump(index: int, answer: Answer) -> None:
        try:
            async for pieces in answer.batches(pause):
                await came.put((index, pieces))
        except Exception as error:  # noqa: BLE001 - told to the one who waits
            await came.put((index, error))

    pumps = [asyncio.create_task(pump(index, answer)) for index, answer in enumerate(answers)]
    try:
        left = len(answers)
        while left:
            index, got = await came.get()
            if isinstance(got, Exception):
                raise got
            left -= got[-1].stop_reason is not None
            yield index, got
    finally:
        for one in pumps:
            one.cancel()


def engine_failed(error: Exception) -> Refused:
    """The exception's text may hold parts of a prompt: only its type is told."""
    return Refused(RequestCode.ENGINE_FAILED, f"the engine failed on this request: {type(error).__name__}")


def stopped() -> Refused:
    return Refused(RequestCode.DRAINING, "this instance stopped before the answer was complete", retry_after=1)
