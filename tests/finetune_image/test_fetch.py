"""The base and the data come here as they were when the run was made, or the run says what changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from finetune_image.contract import EXIT_DONE, EXIT_TERMINATED, Code, TuneFailed
from finetune_image.fetch import data_file, model_folder, place_of
from finetune_image.halt import Halt
from finetune_image.run import File, Run
from finetune_image.worker import Setting, attempt
from inference_image.chunks import Source, open_source
from tests.finetune_image.buckets import NAME, WORKER, Place, storage
from tests.finetune_image.tiny_loop import TinyHands, run_of

FILES = {
    "config.json": b"{}",
    "model.safetensors": bytes(range(256)) * 40_000,
    "pytorch_model.bin": b"old",
    "original/x.json": b"x",
}
DATA = b'{"text": "a"}\n'


@dataclass(frozen=True)
class Bearer:
    """The worker's token, as chunks asks for it."""

    token: str

    def header(self) -> str:
        return f"Bearer {self.token}"

    def renew(self, refused: str) -> None:
        """It never expires."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A bucket with a base and a data file."""
    with storage(tmp_path_factory.mktemp("home")) as made:
        bucket = made.bucket("")
        for name, data in {**{f"base/{name}": data for name, data in FILES.items()}, "data/a.jsonl": DATA}.items():
            bucket.write(name, data)
        yield made


def source(place: Place, uri: str) -> Source:
    return open_source(uri, place.environ, credentials=Bearer(place.world.tokens.access(WORKER)))


def based(tmp_path: Path, model: str, **pins: str) -> Run:
    made = run_of(tmp_path)
    return replace(
        made, wish=replace(made.wish, model=model), pins={name.replace("_json", ".json"): pin for name, pin in pins.items()}
    )


def code_of(caught: pytest.ExceptionInfo[TuneFailed]) -> Code:
    return caught.value.failure.code


def test_a_base_in_a_bucket_comes_whole_and_goes_again(place: Place, tmp_path: Path) -> None:
    """Weights and what says how to use them, byte for byte; other files stay there, and nothing stays here."""
    with model_folder(based(tmp_path, f"gs://{NAME}/base"), {}, tmp_path / "here", source(place, f"gs://{NAME}/base")) as model:
        assert {path.name: path.read_bytes() for path in model.folder.iterdir()} == {
            name: FILES[name] for name in ("config.json", "model.safetensors")
        }
        assert model.size == len(FILES["model.safetensors"])
    assert not model.folder.exists()


@pytest.mark.parametrize("pins", [{"config_json": "1"}, {"tokenizer_json": "1"}])
def test_another_base_than_the_run_was_made_for(place: Place, tmp_path: Path, pins: dict[str, str]) -> None:
    """A file with another generation, or one that is gone: refused before a byte of it is read, by name."""
    run = based(tmp_path, f"gs://{NAME}/base", **pins)
    there = source(place, run.wish.model)
    with pytest.raises(TuneFailed) as caught, model_folder(run, {}, tmp_path / "here", there):
        pass
    assert code_of(caught) is Code.MODEL_INVALID
    assert next(iter(pins)).replace("_json", ".json") in caught.value.failure.where


@pytest.mark.parametrize(
    ("model", "code"), [("gs://weights/none", Code.MODEL_NOT_FOUND), ("/no/such/place", Code.MODEL_NOT_FOUND)]
)
def test_a_base_that_is_nowhere(place: Place, tmp_path: Path, model: str, code: Code) -> None:
    """No object, no directory: said of the place as the user wrote it."""
    there = source(place, model)
    with pytest.raises(TuneFailed) as caught, model_folder(based(tmp_path, model), {}, tmp_path / "here", there):
        pass
    assert code_of(caught) is Code.MODEL_NOT_FOUND
    assert model in caught.value.failure.where


def test_a_half_published_base_is_refused(tmp_path: Path) -> None:
    """A model that another fine-tune is still writing is no base: said before hours are trained on it."""
    (tmp_path / "base" / "gemmactl").mkdir(parents=True)
    (tmp_path / "base" / "model.safetensors").write_bytes(b"12345")
    (tmp_path / "base" / "gemmactl" / "lineage.json").write_text("{}")
    run = based(tmp_path, str(tmp_path / "base"))
    with pytest.raises(TuneFailed) as caught, model_folder(run, {}, tmp_path / "here"):
        pass
    assert code_of(caught) is Code.MODEL_INVALID
    assert "half-published" in caught.value.failure.detail
    with model_folder(run, {}, tmp_path / "here", published=False) as model:
        assert model.size == 5


def test_a_directory_is_used_as_it_is(tmp_path: Path) -> None:
    """--local with a folder: nothing is copied, nothing is deleted."""
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "model.safetensors").write_bytes(b"12345")
    with model_folder(based(tmp_path, str(tmp_path / "base")), {}, tmp_path / "here") as model:
        assert (model.folder, model.size) == (tmp_path / "base", 5)
    assert (tmp_path / "base" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("said", "place_"),
    [
        ("google/gemma-3-4b-it", "hf:google/gemma-3-4b-it"),
        ("hf:a/b@main", "hf:a/b@main"),
        ("gs://b/m", "gs://b/m"),
        ("/m/x", "/m/x"),
    ],
)
def test_what_a_model_names(said: str, place_: str) -> None:
    """owner/name is one of the Hub; everything else says what it is."""
    assert place_of(said) == place_


@pytest.mark.parametrize("kind", ["bucket", "file"])
def test_data_is_known_by_its_bytes(place: Place, tmp_path: Path, kind: str) -> None:
    """The very bytes that the run was made for, or data_changed; gone is data_not_found."""
    (tmp_path / "a.jsonl").write_bytes(DATA)
    folder = f"gs://{NAME}/data" if kind == "bucket" else str(tmp_path)
    store = place.bucket("data") if kind == "bucket" else None
    good = File(f"{folder}/a.jsonl", hashlib.sha256(DATA).hexdigest())
    assert data_file(good, {}, tmp_path / "here", store).read_bytes() == DATA
    for wrong, code in (
        (replace(good, sha256="0" * 64), Code.DATA_CHANGED),
        (replace(good, uri=f"{folder}/b.jsonl"), Code.DATA_NOT_FOUND),
    ):
        with pytest.raises(TuneFailed) as caught:
            data_file(wrong, {}, tmp_path / "here", store)
        assert code_of(caught) is code


def test_a_run_in_a_bucket(place: Place, tmp_path: Path) -> None:
    """The same attempts with Cloud Storage as the run's place: stopped, gone on, done, nothing of a checkpoint left."""
    bucket = place.bucket("tuned")
    run_of(tmp_path, place=bucket.at("run"))
    hands, halt = TinyHands(bucket, steps=3, accumulation=1), Halt()
    hands.beat = lambda event, _count: halt.signalled() if event == "on_epoch_end" else None
    setting = Setting(beats=0)

    def once(halt: Halt | None = None) -> int:
        there = bucket.at("run")
        return attempt("gs://", {}, hands=hands, halt=halt, store=there, scratch=tmp_path, setting=setting, out=lambda _: None)

    assert once(halt) == EXIT_TERMINATED
    assert bucket.stat("run/checkpoints/step-000003/COMPLETE")
    hands.beat = lambda *_: None
    assert [once(), once()] == [EXIT_DONE, EXIT_DONE]
    assert len(hands.built) == 2
    assert [held.name for held in bucket.list("models/")] == [
        f"models/0123456789ab/{name}" for name in ("MANIFEST", "config.json", "model.safetensors")
    ]
    assert not bucket.list("run/checkpoints/")
