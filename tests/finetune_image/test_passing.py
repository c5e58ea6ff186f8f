"""Trouble that passes costs a run nothing: what could not be saved is saved later, and no FAILED is written for it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from finetune_image.contract import EXIT_DONE, EXIT_FAILED, Code, TuneFailed
from finetune_image.store import Bytes, Held
from tests.finetune_image.test_attempts import once
from tests.finetune_image.tiny_loop import Shelf, TinyHands, run_of

LOSSES = {5: 0.1, 9: 0.5}


class Refusing(Shelf):
    """A Shelf that can't be reached `times` times, for objects that have `word` in their names."""

    def __init__(
        self, word: str, times: int, inner: Shelf | None = None, prefix: str = "", left: list[int] | None = None
    ) -> None:
        super().__init__(prefix, inner.there if inner else None)
        self._word, self._left = word, left or [times]

    def at(self, prefix: str) -> Refusing:
        return Refusing(self._word, 0, self, f"{self._prefix}{prefix}/", self._left)

    def pour(self, name: str, size: int, chunks: Iterable[Bytes], *, only_if: str | None = None) -> Held:
        if self._word in self._prefix + name and self._left[0]:
            self._left[0] -= 1
            raise TuneFailed(Code.NETWORK_FAILED, name, "10 tries in a row failed")
        return super().pour(name, size, chunks, only_if=only_if)


def attempts(tmp_path: Path, place: Shelf, count: int) -> list[int]:
    run_of(tmp_path, place=place.at("run"))
    hands = TinyHands(place, steps=9, losses=LOSSES)
    return [once(tmp_path, hands, store=place.at("run")) for _ in range(count)]


def published(place: Shelf) -> bytes | None:
    return place.at("models/0123456789ab").read("model.safetensors")


def test_the_best_checkpoint_arrives_late(tmp_path: Path) -> None:
    """The best step's checkpoint can't be saved for a while: it is brought with the next one, and its weights are the result."""
    undisturbed = Shelf()
    assert attempts(tmp_path, undisturbed, 1) == [EXIT_DONE]
    for times, codes in ((1, [EXIT_DONE]), (3, [EXIT_DONE]), (5, [EXIT_FAILED, EXIT_DONE])):
        place = Refusing("step-000005", times)
        assert attempts(tmp_path, place, len(codes)) == codes, times
        assert published(place) == published(undisturbed)
        assert place.at("run").stat("FAILED") is None
