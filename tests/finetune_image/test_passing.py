"""Trouble that passes costs a run nothing: what could not be saved is saved later, and no FAILED is written for it."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import pytest
from google.auth.exceptions import RefreshError, TransportError

from finetune_image.contract import ATTEMPTS, EXIT_DONE, EXIT_FAILED, EXIT_TERMINATED, Code, TuneFailed
from finetune_image.fetch import model_folder
from finetune_image.figures import Ended, Figures
from finetune_image.gcs import Bucket
from finetune_image.gcs_wire import Answer, Wire
from finetune_image.halt import Halt
from finetune_image.ledger import Attempt, Ledger, parse
from finetune_image.real_hands import RealHands
from finetune_image.run import Stop
from finetune_image.store import Bytes, Held
from inference_image.chunks import Object, Source
from inference_image.chunks.credentials import GoogleCredentials
from inference_image.chunks.source import Patience
from inference_image.chunks.wire import Transient
from inference_image.contract import Code as Refusal
from inference_image.contract import LoadFailed
from tests.finetune_image.buckets import NAME, WORKER, Place, Token, storage
from tests.finetune_image.test_attempts import at_event, once
from tests.finetune_image.tiny_loop import Shelf, TinyHands, run_of

HOUR = 3600.0
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


def test_a_place_out_of_reach_twice_is_no_end(tmp_path: Path) -> None:
    """The same network error at the same spot in two attempts: the third one goes on, since it passes."""
    place = Refusing("baseline.json", 2)
    assert attempts(tmp_path, place, 3) == [EXIT_FAILED, EXIT_FAILED, EXIT_DONE]


def test_a_slow_place_does_not_hold_up_the_loop() -> None:
    """While a sign of life waits for its place, a step is noted all the same; the next one brings it."""
    asked, answers = threading.Event(), threading.Event()

    class Slow(Shelf):
        def pour(self, name: str, size: int, chunks: Iterable[Bytes], *, only_if: str | None = None) -> Held:
            asked.set()
            answers.wait(30)
            return super().pour(name, size, chunks, only_if=only_if)

    place = Slow()
    ledger = Ledger(place, "e", None)
    beat, note = threading.Thread(target=ledger.beat), threading.Thread(target=ledger.note, kwargs={"step": 7})
    beat.start()
    asked.wait(30)
    note.start()
    note.join(2)
    held_up = note.is_alive()
    answers.set()
    beat.join()
    note.join()
    assert not held_up
    ledger.beat()
    assert parse(place.read(ATTEMPTS) or b"")[0].step == 7


def test_an_attempt_that_goes_on_keeps_the_whole_reserve(tmp_path: Path) -> None:
    """What publishing takes is known from the first attempt: a later one that has no more than that reads no model."""
    place = Shelf()
    run_of(tmp_path, Stop(0, max_hours=1.0), minutes=1e9, place=place.at("run"))
    hands, halt = TinyHands(place, size=48_000_000_000), Halt()
    hands.beat = at_event(8, halt.signalled)
    assert once(tmp_path, hands, halt, place.at("run")) == EXIT_TERMINATED
    spent = Attempt(2, "e", 0.0, HOUR, ended=HOUR - 1020, why="deadline").charged(None)  # 1000 s left, publishing takes 1260
    place.at("run").write(ATTEMPTS, (place.at("run").read(ATTEMPTS) or b"") + json.dumps(asdict(spent)).encode() + b"\n")
    assert once(tmp_path, hands, store=place.at("run")) == EXIT_DONE
    assert len(hands.built) == 1
    assert json.loads(place.at("run").read("DONE") or b"")["figures"]["ended"] == "budget"


# --- tokens and addresses -----------------------------------------------------------------------------


class Slowly(Token):
    """A machine's credentials whose metadata server can't be reached `times` times, as google-auth raises it."""

    def __init__(self, token: str, times: int) -> None:
        super().__init__(token)
        self.times, self._later = times, token
        self.token = ""

    @property
    def valid(self) -> bool:
        return False

    def refresh(self, request: Any) -> None:
        if self.times:
            self.times -= 1
            try:
                raise TransportError("Compute Engine Metadata server unavailable")
            except TransportError as error:
                raise RefreshError(error) from error

    def before_request(self, request: Any, method: str, url: str, headers: dict[str, str]) -> None:
        self.refresh(request)
        headers["authorization"] = f"Bearer {self._later}"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with storage(tmp_path_factory.mktemp("home")) as made:
        yield made


def test_a_token_that_comes_late_is_waited_for(place: Place) -> None:
    """google-auth calls a metadata server that needs a moment final; for hours of training it is not."""
    waits: list[float] = []
    token = Slowly(place.world.tokens.access(WORKER), 3)
    patience = Patience(attempts=4, sleep=waits.append)
    assert Bucket(f"gs://{NAME}/x", place.environ, patience=patience, credentials=token).stat("a") is None
    assert len(waits) == 3
    token.times = 9
    with pytest.raises(TuneFailed, match=r"network_failed.*4 tries.*Metadata server unavailable"):
        Bucket(f"gs://{NAME}/x", place.environ, patience=patience, credentials=token).stat("a")


def test_the_address_of_an_upload_is_told_nobody() -> None:
    """Who has it may write there without credentials: it is in no error, and so in no log."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        session = (
            f"http://127.0.0.1:{closed.getsockname()[1]}/upload/storage/v1/b/weights/o?uploadType=resumable&upload_id=CANARY"
        )
        said = Wire({}, Patience(), Token("t")).once("PUT", session, data=b"x")
    assert isinstance(said, str)
    assert "refused" in said
    assert "CANARY" not in said


def test_an_upload_that_keeps_nothing_ends() -> None:
    """A store that takes each piece and has none of it: waited for as any trouble, and not for ever."""
    waits: list[float] = []

    class Nothing(Wire):
        asked = 0

        def once(self, *_: Any, **__: Any) -> Answer:
            self.asked += 1
            assert self.asked < 50, "for ever"
            return Answer(308, {}, b"", 0)

    class Place(Bucket):
        def __init__(self) -> None:
            super().__init__(f"gs://{NAME}/x", {})
            self._wire = Nothing({}, Patience(attempts=4, sleep=waits.append), Token("t"))

    with pytest.raises(TuneFailed, match="network_failed"):
        Place()._send("session", b"abc", 0, 3, "gs://x", {})
    assert len(waits) == 3


def test_a_failure_does_not_wait_for_the_rest_of_the_base(tmp_path: Path) -> None:
    """One piece of a base that is refused: the thousands behind it are not asked for any more."""
    asked: list[int] = []

    class Refused:
        uri = "gs://b/m"

        def list(self) -> tuple[Object, ...]:
            return (Object("model.safetensors", 500 * (8 << 20), "1"),)

        def read(self, one: Object, begin: int, end: int, sink: Any) -> None:
            asked.append(begin)
            if begin:
                time.sleep(0.02)
            raise LoadFailed(Refusal.ACCESS_DENIED, one.name, "status 403")

    run = run_of(tmp_path)
    run = replace(run, wish=replace(run.wish, model="gs://b/m"))
    with pytest.raises(TuneFailed, match="access_denied"), model_folder(run, {}, tmp_path / "here", cast(Source, Refused())):
        pass
    assert len(asked) < 400


def test_a_base_is_read_with_a_token_that_comes_late() -> None:
    """The reader of the base, too, takes a metadata server that can't be reached for something that passes."""
    credentials = GoogleCredentials()
    credentials._inner = Slowly("t", 1)
    with pytest.raises(Transient, match="no token"):
        credentials.header()


def test_the_last_of_a_budget_is_not_measured_again(tmp_path: Path) -> None:
    """Nobody knows then whether the base was in 4 bits: a 12B in bfloat16 would not fit, and the money is spent."""
    run, hands = run_of(tmp_path), RealHands({})
    unknown = Figures(Ended.BUDGET, 2, 6, loss=1.0, stats={"tokens_trained": 20})
    assert hands._measure(run, tmp_path, unknown) is None
    assert hands._measure(run, tmp_path, replace(unknown, stats={"nf4": True})) is None
    assert hands._measure(run, tmp_path, replace(unknown, stats={"nf4": False})) is not None
