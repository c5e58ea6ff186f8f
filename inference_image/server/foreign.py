"""Owns what others write: lines of uvicorn, asyncio, transformers and warnings as JSON, exceptions without their text.

An exception's text, a warning's or a library's line may hold a part of a prompt. Before the first request there is none: all is
told. From then on a line says who wrote it, where and how bad it is, and of its text only what is the same for every request.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

from inference_image.server import log
from inference_image.server.record import anatomy

_CONSTANT = ("uvicorn", "asyncio")
"""Their messages are sentences with the varying part behind % or a bracket; others may put anything into an f-string."""
_VARYING = re.compile(r"[(<\[{'\"\n]")
_LONGEST = 2000


class OneWay(logging.Logger):
    """A logger whose lines reach the root's handlers alone: transformers brings a handler and a format of its own, later."""

    def callHandlers(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        logging.getLogger().callHandlers(record)


class Lines(logging.Handler):
    """Every line as one of ours. `quiet`: have requests been taken in?"""

    def __init__(self, quiet: Callable[[], bool], write: Callable[..., None] = log.write) -> None:
        super().__init__()
        self._quiet, self._write = quiet, write

    def emit(self, record: logging.LogRecord) -> None:
        if self._quiet():
            constant = record.name.partition(".")[0] in _CONSTANT
            text = _VARYING.split(str(record.msg).strip(), maxsplit=1)[0].strip() if constant else "(text left out)"
        else:
            text = record.getMessage()
        exception = record.exc_info[1] if record.exc_info else None
        self._write(
            record.levelname if record.levelno >= logging.DEBUG else "DEBUG",
            f"{record.name}: {text}"[:_LONGEST],
            place=f"{record.pathname.rpartition('/')[2]}:{record.lineno}",
            **({"exception": anatomy(exception)} if exception is not None else {}),
        )


def died(what: str, error: BaseException | None, **fields: Any) -> None:
    """An end that nobody expected."""
    log.write("ERROR", what, **fields, **({"exception": anatomy(error)} if error is not None else {}))


def install(quiet: Callable[[], bool]) -> None:
    """For the whole process, once, by its owner: handlers of logging, and the last words of threads."""
    logging.setLoggerClass(OneWay)
    root = logging.getLogger()
    root.handlers[:] = [Lines(quiet)]

    def warn(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: object) -> None:
        text = "(text left out)" if quiet() else str(message)
        log.write("WARNING", f"{category.__name__}: {text}"[:_LONGEST], place=f"{filename.rpartition('/')[2]}:{lineno}")

    warnings.showwarning = warn  # type: ignore[assignment]  # the last two, a file and a source line, are never asked for

    threading.excepthook = lambda args: died("a thread died", args.exc_value, thread=args.thread.name if args.thread else "")
    sys.unraisablehook = lambda args: died("an exception that nobody could take", args.exc_value)
    sys.excepthook = lambda _kind, error, _trace: died("the process died", error)
