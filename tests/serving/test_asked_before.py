"""What a look remembers of the last one: it asks earlier for it, and believes nothing of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gemmactl.errors import Exit, Trouble
from gemmactl.resources.cloud import BucketInfo
from gemmactl.result import Result
from gemmactl.serving import asked_before
from gemmactl.serving.deploy import deploy, plan
from gemmactl.serving.one_look import foreseeing, one_look, questions
from gemmactl.serving.place import Place
from gemmactl.spec import Serve, parse_model
from tests.fakes.cloud import FakeCloud
from tests.serving.ear import Ear, place, with_model

WISH = Serve("demo-proj", "us-central1", parse_model("gs://weights/m"), "gemma")
SHARD = "m/model-00002-of-00004.safetensors"


@pytest.fixture
def cloud() -> FakeCloud:
    return with_model(FakeCloud())


@pytest.fixture
def here(cloud: FakeCloud, tmp_path: Path) -> Place:
    """Where the service serves, and two looks at it were made: the second one knew its pin."""
    found = replace(place(cloud), kept=tmp_path)
    assert deploy(WISH, found, Ear(yes=True), yes=True).exit is Exit.OK
    look(found)
    cloud.calls.clear()
    return found


def look(here: Place) -> Result:
    return plan(WISH, here, again="", detailed=True)


def kept(here: Place) -> Path:
    assert here.kept
    (found,) = here.kept.iterdir()
    return found


def test_a_shard_that_was_overwritten_is_seen_and_looked_into(cloud: FakeCloud, here: Place) -> None:
    """The same bytes under a new generation are another file to the plan; bytes that are no model are refused."""
    held = cloud.state.objects["weights", SHARD][1]
    cloud.storage.write("weights", SHARD, held)
    assert look(here).exit is Exit.PENDING
    cloud.storage.write("weights", SHARD, held[:1000])
    with pytest.raises(Trouble) as caught:
        look(here)
    assert (caught.value.exit, caught.value.facts["object"]) == (Exit.REFUSED, SHARD.removeprefix("m/"))


def test_a_shard_that_came_or_went_is_seen(cloud: FakeCloud, here: Place) -> None:
    """Names are those of the list of now, not of the last one."""
    held = cloud.state.objects["weights", SHARD][1]
    cloud.storage.delete("weights", SHARD)
    with pytest.raises(Trouble):
        look(here)
    cloud.storage.write("weights", SHARD, held)
    cloud.storage.write("weights", "m/model-00005-of-00004.safetensors", held)
    steps = {step["address"]: str(step) for step in look(here).data["steps"]}
    assert any("model-00005-of-00004.safetensors" in text for text in steps.values())


def test_it_holds_questions_and_no_answer(here: Place) -> None:
    """Names, places and generations; nobody but the owner reads them; a look that asks the same leaves the file alone."""
    text = kept(here).read_text(encoding="utf-8")
    rows = json.loads(text)["questions"]
    assert {(row[0], row[1]) for row in rows} == {("read", "weights"), ("list", "weights")}
    assert SHARD in {row[2] for row in rows}
    assert "gemma3" not in text
    assert kept(here).stat().st_mode & 0o077 == 0
    before = kept(here).stat().st_mtime_ns
    look(here)
    assert kept(here).stat().st_mtime_ns == before


LIES: dict[str, Any] = {
    "no JSON": "{",
    "no object": "[]",
    "nothing": {},
    "another version": {"version": 2, "questions": [["read", "weights", SHARD, 0, 8, 1]]},
    "no row": {"version": 1, "questions": [["write", "weights", SHARD, 0, 8, 1]]},
    "words for numbers": {"version": 1, "questions": [["read", "weights", SHARD, "0", "8", "1"]]},
    "a read of a whole shard": {"version": 1, "questions": [["read", "weights", SHARD, 0, 5 << 30, 1]]},
    "a whole shard in small reads": {
        "version": 1,
        "questions": [["read", "weights", SHARD, at << 22, (at + 1) << 22, 1] for at in range(100)],
    },
    "backwards": {"version": 1, "questions": [["read", "weights", SHARD, 8, 0, 1]]},
    "a file without its generation": {"version": 1, "questions": [["read", "weights", SHARD, 0, 0, 0]]},
    "too many": {"version": 1, "questions": [["list", "weights", str(n), 0, 0, 0] for n in range(300)]},
}


@pytest.mark.parametrize("what", LIES)
def test_a_file_that_no_look_wrote_is_not_heard(what: str, cloud: FakeCloud, tmp_path: Path) -> None:
    """Not a single question of it is put; nor is anything said of it."""
    file, lie = tmp_path / "x.json", LIES[what]
    file.write_text(lie if isinstance(lie, str) else json.dumps(lie))
    asked_before.ask(file, one_look(cloud))
    asked_before.ask(tmp_path / "none.json", one_look(cloud))
    assert cloud.calls == []


def test_what_it_says_of_other_files_changes_no_plan(cloud: FakeCloud, here: Place) -> None:
    """Other generations, ranges and objects are read for nothing: the plan is that of a look that remembers nothing."""
    cloud.storage.create_bucket(BucketInfo("other", "us-central1"))
    cloud.storage.write("other", SHARD, b"other weights")
    wrong = [
        ["read", "other", SHARD, 0, 8, 1],
        ["read", "weights", SHARD, 0, 65536, 999],
        ["read", "weights", "m/config.json", 0, 4, cloud.state.objects["weights", "m/config.json"][0].generation],
        ["list", "other", "m/", 0, 0, 0],
    ]
    kept(here).write_text(json.dumps({"version": 1, "questions": wrong}))
    fooled, plain = look(here), look(replace(here, kept=None))
    assert (fooled.exit, fooled.data) == (plain.exit, plain.data)
    assert plain.exit is Exit.OK
    # and what it asked in vain is not asked a second time
    assert {row[1] for row in json.loads(kept(here).read_text())["questions"]} == {"weights"}


def test_a_place_that_cannot_be_written_to_costs_nothing_but_the_round(cloud: FakeCloud, tmp_path: Path) -> None:
    """A look does not fail for what it can't remember."""
    (tmp_path / "taken").write_text("")
    assert look(replace(place(cloud), kept=tmp_path / "taken")).exit is Exit.PENDING


def test_the_oldest_looks_go(cloud: FakeCloud, tmp_path: Path) -> None:
    """A machine that deploys many models keeps the newest hundred."""
    reads = one_look(cloud)
    reads.storage.list("weights", "m/", direct=True)
    for number in range(asked_before.FILES + 2):
        asked_before.keep(asked_before.path(tmp_path, str(number)), reads)
    assert len(list(tmp_path.iterdir())) == asked_before.FILES


def test_what_is_asked_ahead_is_no_question_of_the_look(cloud: FakeCloud) -> None:
    """The answers are shared, so nothing is asked twice; the questions are told apart."""
    reads = one_look(cloud)
    ahead = foreseeing(reads)
    ahead.storage.list("weights", "m/", direct=True)
    assert questions(reads) == frozenset()
    reads.storage.list("weights", "m/", direct=True)
    assert questions(reads) == questions(ahead) != frozenset()
    assert len(cloud.calls) == 1
