"""The codelab's variables as a run in their bucket: dataset and base held fast, the same run at every attempt."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from finetune_image.__main__ import main
from finetune_image.contract import EXIT_FAILED, Code, TuneFailed
from finetune_image.data.split import load
from finetune_image.fetch import data_file
from finetune_image.run import Run
from finetune_image.seed_env import DATASET
from finetune_image.seed_run import libraries, prepared
from finetune_image.store import Folder
from tests.finetune_image.codelab_hub import ROWS, CodelabHub, rows
from tests.finetune_image.test_seed_env import JOB
from tests.inference_image import fake_storage
from tests.inference_image.fake_storage import Bucket
from tests.local.fake_hub import COMMIT

PAIRS = [(f"What is {i}?", f"CREATE TABLE t{i} (a INT)", f"SELECT {i} FROM t{i}") for i in range(20)]


@dataclass
class Scene:
    hub: Bucket
    environ: dict[str, str]
    store: Folder
    said: list[str]

    def run(self) -> str:
        return prepared(self.environ, self.store, self.said.append)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    hub = Bucket({f"datasets/{ROWS}": rows(PAIRS), "datasets/README.md": b"#", "models/config.json": b"{}"})
    with fake_storage.running(hub, CodelabHub) as here:
        yield Scene(hub, {**JOB, "DATASET_LIMIT": "5", "HF_ENDPOINT": here, "HF_TOKEN": "t"}, Folder(tmp_path), [])


def test_the_run_of_the_variables(scene: Scene) -> None:
    """The dataset lies in the bucket by its content, the base is a commit, the run's id is of what decides its weights."""
    uri = scene.run()
    run = Run.parse(Path(uri, "run.json").read_bytes())
    assert uri == f"{scene.store.uri}/gemmactl/runs/gemma-2b-sql-finetuned/{run.run_id}"
    assert run.run_id == run.identity[:12] == run.wish.identity(run.base, run.train.sha256, run.libraries)[:12]
    assert (run.wish.model, run.wish.data.train) == (f"hf:google/gemma-2b@{COMMIT}", DATASET)
    assert Path(run.train.uri).read_bytes() == rows(PAIRS)
    assert run.train.sha256 in run.train.uri
    assert "trl==" in libraries()


def test_the_rows_are_those_that_the_script_chose(scene: Scene, tmp_path: Path) -> None:
    """shuffle(seed=42).select(range(5)), each in the template, whole, and none held out."""
    run = Run.parse(Path(scene.run(), "run.json").read_bytes())
    found = load(data_file(run.train, {}, tmp_path / "here"), run.wish.data, None)
    assert (len(found.train), len(found.eval)) == (5, 0)
    # source: datasets.Dataset.shuffle: numpy.random.default_rng(seed).permutation(rows)
    chosen = [PAIRS[at] for at in np.random.default_rng(42).permutation(len(PAIRS))[:5]]
    assert [row["text"] for row in found.train] == [f"Question: {q}\nContext: {c}\nAnswer: {a}" for q, c, a in chosen]


def test_every_attempt_finds_the_same_run(scene: Scene) -> None:
    """Nothing is written twice, and what is done otherwise than the script did it is said once, with the run's own folder."""
    first = scene.run()
    said = [json.loads(line)["message"] for line in scene.said]
    assert f"result: gs://{JOB['BUCKET_NAME']}/gemmactl/models/gemma-2b-sql-finetuned/{first[-12:]}, not files" in said[0]
    assert any("precision: bfloat16, not float16" in line for line in said)
    before = {one.name: one.generation for one in scene.store.list()}
    assert (scene.run(), {one.name: one.generation for one in scene.store.list()}) == (first, before)
    assert len(scene.said) == len(said)


@pytest.mark.parametrize(("name", "value"), [("LORA_R", "4"), ("DATASET_LIMIT", "-1"), ("MAX_SEQ_LENGTH", "256")])
def test_other_settings_are_another_run(scene: Scene, name: str, value: str) -> None:
    """And so is another dataset."""
    first = scene.run()
    scene.environ[name] = value
    second = scene.run()
    scene.hub.objects[f"datasets/{ROWS}"] = rows(PAIRS[:3])
    assert len({first, second, scene.run()}) == 3


def test_what_can_not_be_read(scene: Scene) -> None:
    """A dataset that is not there, one of several files, a model that is not there: each by its code and place."""
    scene.hub.objects["datasets/more.jsonl"] = b"{}"
    with pytest.raises(TuneFailed) as caught:
        scene.run()
    assert (caught.value.failure.code, "more.jsonl" in caught.value.failure.detail) == (Code.DATA_INVALID, True)
    scene.environ["MODEL_NAME"] = "nobody/nothing"
    with pytest.raises(TuneFailed) as caught:
        scene.run()
    assert caught.value.failure.code is Code.MODEL_NOT_FOUND


def test_the_entry_reads_the_variables(capsys: pytest.CaptureFixture[str]) -> None:
    """A container that got them and no run: the variable that can't be is the last line of its log."""
    assert main({"BUCKET_NAME": "b", "LORA_R": "many"}) == EXIT_FAILED
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (last["finetune_failed"]["code"], last["finetune_failed"]["where"]) == ("settings_invalid", "LORA_R")
