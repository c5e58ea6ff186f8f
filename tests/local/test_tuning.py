"""finetune run --local: what is laid out for the worker and what is refused; and once for real."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from finetune_image.contract import DONE, FAILED, RUNS
from finetune_image.run import Run
from gemmactl.local.demo_tune import ROWS
from gemmactl.local.shelf import Library, Shelf
from gemmactl.tune import runs
from tests.app.shell import SAMPLE, Ran, Shell, inside

WORDS = ("finetune", "run", "shelves.jsonl", "--model", str(SAMPLE), "--local", "--epochs", "40", "--lr", "1e-2", "--eval", "0")


def _here(folder: Path, *more: str) -> Ran:
    shutil.copy(ROWS, folder / "shelves.jsonl")
    return inside(folder, *WORDS, *more, "--format", "json")


def test_a_dry_run_names_the_run_and_changes_nothing(tmp_path: Path) -> None:
    """The same words are the same run; other settings are another one; no folder is made."""
    first, again, other = (
        _here(tmp_path, "--dry-run"),
        _here(tmp_path, "--dry-run"),
        _here(tmp_path, "--dry-run", "--lora-r", "4"),
    )
    assert first.code == 0, first.err
    ids = [one.document()["data"]["run"] for one in (first, again, other)]
    assert (ids[0] == ids[1], ids[0] == ids[2]) == (True, False)
    assert first.document()["target"] == "local"
    assert [path.name for path in tmp_path.iterdir()] == ["shelves.jsonl"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--project", "demo-proj"), "--project can't go with --local"),
        (("--bucket", "gs://b"), "is no directory"),
        (("--set", "lora.rank=3"), "lora.rank"),
    ],
)
def test_what_means_nothing_here_is_refused(tmp_path: Path, more: tuple[str, ...], words: str) -> None:
    """Exit 2, before anything is read."""
    ran = _here(tmp_path, *more)
    problem = ran.document()["problems"][0]
    assert (ran.code, words in f"{problem['what']} {problem['why']}") == (2, True)
    assert "the file" not in f"{problem['why']} {problem['remedy']}"


def test_a_shelf_reads_a_run_as_a_bucket_does(tmp_path: Path) -> None:
    """The state of a run in a directory is told by the code that tells it of a bucket."""
    folder = tmp_path / "b" / RUNS / "n" / "0123456789ab"
    folder.mkdir(parents=True)
    (folder / FAILED).write_text(json.dumps({"code": "no_gpu"}))
    (folder / ".x.pouring").write_text("half")
    (tmp_path / "b" / "other").write_text("x")
    shelf = Shelf(tmp_path)
    found = runs.read(Library(shelf), "b", "n", "0123456789ab")  # type: ignore[arg-type]  # it asks for the storage alone
    assert (found.failure, found.done) == ({"code": "no_gpu"}, None)
    assert [one.name for one in shelf.list("b", f"{RUNS}/n/")] == [f"{RUNS}/n/0123456789ab/{FAILED}"]
    assert (shelf.stat("b", "none"), shelf.read("b", "none"), shelf.read("b", RUNS)) == (None, None, None)


@pytest.mark.long
def test_rows_become_a_model_here_and_the_same_words_are_done(tmp_path: Path) -> None:
    """Trained, merged and published into a directory, whose model then answers; the second time nothing is trained."""
    shutil.copy(ROWS, tmp_path / "shelves.jsonl")
    shell = Shell(tmp_path, limit=200)
    first = shell(*WORDS, "--format", "json")
    assert first.code == 0, first.err
    data = first.document()["data"]
    assert Path(data["model"], "config.json").is_file()
    assert Path(data["uri"], DONE).is_file()
    run = Run.parse(Path(data["uri"], "run.json").read_text())
    assert run.run_id == data["run"]
    asked = shell("generate", "What is on shelf four?", "--type", "text", "--local", data["model"])
    assert asked.out == "A battery that lasts all day.\n"
    again = shell(*WORDS, "--format", "json")
    assert (again.code, again.document()["data"]["result"]) == (0, data["result"])
