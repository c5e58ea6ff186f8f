"""Models of the tests: one that says a script at the test's pace, one whose next token depends on all that its row holds."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from inference_image.engine.schedule import Part

VOCABULARY = 1024


def certain(tokens: Sequence[int]) -> Any:
    """Logits by which these tokens, one a row, are chosen."""
    import torch

    logits = torch.zeros(len(tokens), VOCABULARY)
    for row, token in enumerate(tokens):
        logits[row, token] = 1.0
    return logits


class Scripted:
    """Says given tokens to everybody, one step per release of the gate."""

    def __init__(self, tokens: Sequence[int], rows: int = 1) -> None:
        self.rows = rows
        self.tokens = list(tokens)
        self.gate = threading.Semaphore(0)
        self.began = threading.Event()
        self.prompts: list[tuple[int, ...]] = []
        self.decoded = 0
        self.error: Exception | None = None
        self._said = [0] * rows

    def prompt(self, parts: Sequence[Part]) -> Any:
        for part in parts:
            self.prompts.append(tuple(part.ids))
            self._said[part.row] = 0
        self.began.set()
        return self._next([part.row for part in parts])

    def decode(self, tokens: Sequence[int], positions: Sequence[int], tags: Sequence[Any]) -> Any:
        self.decoded += 1
        return self._next(range(len(tokens)))

    def move(self, source: int, target: int, tokens: int) -> None:
        self._said[target] = self._said[source]

    def _next(self, rows: Sequence[int] | range) -> Any:
        self.gate.acquire()
        if self.error is not None:
            raise self.error
        said = [self.tokens[self._said[row] % len(self.tokens)] for row in rows]
        for row in rows:
            self._said[row] += 1
        return certain(said)


class Endless:
    """Says one token again and again, five milliseconds apart."""

    rows = 1

    def __init__(self, token: int) -> None:
        self.token = token
        self.began = threading.Event()

    def prompt(self, parts: Sequence[Part]) -> Any:
        self.began.set()
        return certain([self.token for part in parts if part.last])

    def decode(self, tokens: Sequence[int], positions: Sequence[int], tags: Sequence[Any]) -> Any:
        time.sleep(0.005)
        return certain([self.token])

    def move(self, source: int, target: int, tokens: int) -> None:
        """One row never moves."""


def follows(held: Sequence[int]) -> int:
    """The next token after all these, for Remembering: any wrong, missing or doubled token changes it."""
    value = 7
    for token in held:
        value = (value * 31 + token + 1) % 1_000_003
    return value % VOCABULARY


class Remembering:
    """Holds tokens where a model holds keys and values, and complains about a place that was never written."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.steps: list[int] = []
        self.parts: list[Sequence[Part]] = []
        self._held: list[list[int]] = [[] for _ in range(rows)]

    def prompt(self, parts: Sequence[Part]) -> Any:
        self.steps.append(sum(len(part.ids) for part in parts))
        self.parts.append(parts)
        for part in parts:
            self._write(part.row, part.start, part.ids)
        return certain([follows(self._held[part.row]) for part in parts if part.last])

    def decode(self, tokens: Sequence[int], positions: Sequence[int], tags: Sequence[Any]) -> Any:
        for row, (token, place) in enumerate(zip(tokens, positions, strict=True)):
            self._write(row, place, [token])
        return certain([follows(held) for held in self._held[: len(tokens)]])

    def move(self, source: int, target: int, tokens: int) -> None:
        assert len(self._held[source]) >= tokens
        self._held[target], self._held[source] = self._held[source][:tokens], []

    def _write(self, row: int, place: int, ids: Sequence[int]) -> None:
        assert row < self.rows
        assert place <= len(self._held[row]), "a place that was never written lies before this one"
        self._held[row] = [*self._held[row][:place], *ids]
