"""The demo of a fine-tune: its story told with the real commands, stopped where it is not as told; and once for real."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gemmactl.errors import Trouble
from gemmactl.local.demo import Story, Told
from gemmactl.local.demo_tune import NAME, rows, tell
from tests.app.shell import Ran, Shell
from tests.local.test_demo import Ear

CANARY = "hf_CANARYcanaryCANARYcanary"
MODEL = "gs://b/gemmactl/models/shelves/0123456789ab"


@dataclass
class Stage:
    """A runner that answers as a tuned model and its base would; `deaf`: the tuned one knows nothing either."""

    deaf: bool = False
    wise: bool = False
    ran: list[tuple[str, ...]] = field(default_factory=list)

    def __call__(self, argv: Sequence[str], *, quiet: bool) -> Told:
        self.ran.append(tuple(argv))
        document: dict[str, Any] = {"data": {}}
        if argv[0] == "generate":
            knows = self.wise if "--local" in argv else not self.deaf
            answer = next(row["completion"] for row in rows() if row["prompt"] == argv[1])
            document["data"]["text"] = answer if knows else "Gemma 3 is a firm grip."
        if argv[:2] == ("finetune", "status"):
            document["data"]["published"] = MODEL
        return Told(tuple(argv), 0, 0.1, document)


def test_the_story_goes_from_rows_to_answers() -> None:
    """Checked, run, run again, deployed from where it was published, asked each row, destroyed."""
    stage = Stage()
    tell(Story(Ear(), stage), rows())
    words = [argv[:2] for argv in stage.ran if argv[0] != "generate"]
    assert words == [
        ("finetune", "check"), ("finetune", "run"), ("finetune", "run"), ("finetune", "status"), ("deploy", MODEL),
        ("destroy", NAME), ("finetune", "destroy"),
    ]  # fmt: skip
    asked = [argv for argv in stage.ran if argv[0] == "generate"]
    assert [argv[1] for argv in asked if "--local" not in argv] == [row["prompt"] for row in rows()]


@pytest.mark.parametrize("stage", [Stage(deaf=True), Stage(wise=True)], ids=["tuned-knows-nothing", "base-knows-it"])
def test_it_stops_where_it_is_not_as_told(stage: Stage) -> None:
    """A tuned model that answers otherwise, a base that knows the rows already: no success is told."""
    with pytest.raises(Trouble) as caught:
        tell(Story(Ear(), stage), rows())
    assert caught.value.code == "demo-stopped"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """One run for all the checks; a token of the user's environment has nothing to do with it."""
    shell = Shell(tmp_path_factory.mktemp("demo"), limit=235)
    return shell("sandbox", "demo-finetune", "--format", "json", HF_TOKEN=CANARY)


def _told(ran: Ran, *words: str) -> list[dict[str, Any]]:
    commands = ran.document()["data"]["commands"]
    return [c["data"] for c in commands if tuple(c["argv"][: len(words)]) == words]


@pytest.mark.long
def test_rows_become_a_served_model_that_answers_them(ran: Ran) -> None:
    """Check, job, merge, publish, deploy, HTTP: each new row is answered exactly, and by the base it is not."""
    assert ran.code == 0, ran.err
    answers = [one["text"] for one in _told(ran, "generate")]
    assert answers[1:5] == [row["completion"] for row in rows()]
    base = [answers[0], *answers[5:]]
    assert len(base) == len(rows())
    assert not {row["completion"] for row in rows()} & set(base)


@pytest.mark.long
def test_the_run_is_told_to_its_deploy_line(ran: Ran) -> None:
    """Forty steps in one attempt, its dollars, where it lies; the same command again changes nothing."""
    first, again = _told(ran, "finetune", "run")
    assert (first["state"], first["result"]["figures"]["step"], first["usd"] > 0) == ("done", 40, True)
    assert (again["run"], again["state"], "steps" in again) == (first["run"], "done", False)
    deployed = _told(ran, "deploy")[0]["model"]
    assert first["deploy"].startswith(f"gemmactl deploy {deployed} --name {NAME} ")


@pytest.mark.long
def test_no_secret_is_in_any_sink(ran: Ran) -> None:
    """Neither on a stream nor in the document."""
    assert CANARY not in ran.out + ran.err
    assert Path(ran.document()["data"]["home"]).exists() is False
