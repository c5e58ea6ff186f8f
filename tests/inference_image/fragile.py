"""A server over a model that does what its prompt says: fail, die, talk too much. `python -m` it with a drain's seconds.

A second word, `crash`, has its load die.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from inference_image.contract import EXIT_LOAD_FAILED, LoadFailed
from inference_image.engine.generate import Engine
from inference_image.engine.schedule import Part
from inference_image.engine.text import Text, TokenizerFiles
from inference_image.server import log
from inference_image.server.process import serve
from inference_image.settings import Settings
from inference_image.stream import CheckpointStream
from inference_image.timeline import Timeline
from tests.inference_image.checkpoints import MODEL
from tests.inference_image.fake_steps import certain

Finish = Callable[[CheckpointStream, Settings, Timeline], Engine]


class Panic(BaseException):
    """What pyo3 raises for a panic of a Rust library: no Exception."""


class Obedient:
    """Says `a`, a token every 10 ms for each of eight; does what prompts say, and gives them to every sink of an interpreter."""

    rows = 8

    def __init__(self, text: Text) -> None:
        self._text = text
        self._letter = text.plain("a")[0]

    def prompt(self, parts: Sequence[Part]) -> Any:
        for part in parts:
            decoder = self._text.decoder()
            self._obey("".join(decoder.step(token) for token in part.ids))
        return certain([self._letter for part in parts if part.last])

    def decode(self, tokens: Sequence[int], positions: Sequence[int], tags: Sequence[Any]) -> Any:
        time.sleep(0.01)
        return certain([self._letter] * len(tokens))

    def move(self, source: int, target: int, tokens: int) -> None:
        """All rows say the same."""

    def _obey(self, prompt: str) -> None:
        if "fail" in prompt:
            raise RuntimeError(prompt) from ValueError(prompt)
        if "die" in prompt:
            threading.Thread(target=_chatter, daemon=True).start()
            raise Panic(prompt)
        if "talk" in prompt:
            self._talk(prompt)

    def _talk(self, prompt: str) -> None:
        """A library's log line, asyncio's and a warning; a thread and a finaliser that die."""
        logging.getLogger("transformers.generation").warning(f"strange input {prompt}")  # noqa: G004 - what libraries do
        logging.getLogger("uvicorn.error").error("Exception in ASGI application\n", exc_info=RuntimeError(prompt))
        logging.getLogger("asyncio").error(f"Exception in callback print('{prompt}')\nhandle: <{prompt}>")  # noqa: G004 - asyncio's form
        warnings.warn(f"deprecated: {prompt}", stacklevel=1)

        def end() -> None:
            raise RuntimeError(prompt)

        dying = threading.Thread(target=end)
        dying.start()
        dying.join()

        class Last:
            def __del__(self) -> None:
                raise RuntimeError(prompt)

        Last()


def _chatter() -> None:
    """Lines without an end: none may come after the last one."""
    while True:
        log.write("INFO", "still here")
        time.sleep(0.0005)


def finish(stream: CheckpointStream, settings: Settings, timeline: Timeline) -> Engine:
    """An engine without a model."""
    stream.landing.stop()
    logging.getLogger("transformers").addHandler(logging.StreamHandler())  # as transformers does when it is imported
    files = TokenizerFiles((MODEL / "tokenizer.json").read_bytes(), {}, None)
    text = Text(files)
    return Engine(Obedient(text), text, name="m", stop_ids=frozenset(), max_context=100_000, max_queue=20)


def crash(stream: CheckpointStream, settings: Settings, timeline: Timeline) -> Engine:
    """What nobody foresaw, in the middle of a load."""
    stream.landing.stop()
    threading.Thread(target=_chatter, daemon=True).start()
    raise ZeroDivisionError("division by zero")


def main(drain_seconds: float, work: Finish = finish) -> int:
    environ = {**os.environ, "GEMMACTL_MODEL": str(MODEL), "GEMMACTL_READER": "threads"}
    try:
        return serve(Settings.from_environ(environ), environ=environ, finish=work, drain_seconds=drain_seconds)
    except LoadFailed as failed:
        log.last(failed.failure.line())
        return EXIT_LOAD_FAILED


if __name__ == "__main__":
    os._exit(main(float(sys.argv[1]), crash if sys.argv[2:] == ["crash"] else finish))
