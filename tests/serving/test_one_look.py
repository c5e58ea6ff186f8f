"""How often and how late a look asks: each read once, the cloud's all at the same time, and nothing is kept beyond it."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from gemmactl.errors import Exit, Trouble
from gemmactl.resources.cloud import BucketInfo
from gemmactl.resources.local_model import read_folder
from gemmactl.serving import ahead
from gemmactl.serving.deploy import deploy, plan
from gemmactl.serving.one_look import one_look
from gemmactl.serving.repair import repair
from gemmactl.spec import SecretRef, Serve, Token, parse_model
from tests.fakes.cloud import FakeCloud
from tests.serving.ear import SAMPLE, Ear, place, settings, with_model
from tests.serving.test_adapters import stored

ONCE = ("apis.enabled", "quotas.limits", "run.get", "run.list", "jobs.list")
"""Asked once for all that is to be known: not once for a part and once for the whole."""
WISH = Serve("demo-proj", "us-central1", parse_model("gs://weights/m"), "gemma")


def test_a_deploy_without_a_change_makes_one_round_of_reads() -> None:
    """Each read of the cloud's state is asked before any is answered, then all of the model's files; nothing is asked twice."""
    cloud = with_model(FakeCloud())
    assert deploy(WISH, place(cloud), Ear(yes=True), yes=True).exit is Exit.OK
    cloud.calls.clear()
    assert deploy(WISH, place(cloud), Ear(yes=True), yes=True).exit is Exit.OK
    assert cloud.writes == []
    asked = Counter((call.name, call.subject) for call in cloud.calls)
    files = [call for call in cloud.calls if call.name == "storage.read"]
    assert [one for one, times in asked.items() if times > 1] == []
    assert {name: sum(call.name == name for call in cloud.calls) for name in ONCE} == dict.fromkeys(ONCE, 1)
    state = threading.Barrier(len(cloud.calls) - len(files))
    model = threading.Barrier(len(files))
    cloud.before_call = lambda name: (model if name == "storage.read" else state).wait(30) and None
    again = deploy(WISH, place(cloud), Ear(yes=True), yes=True)
    assert (again.exit, cloud.writes) == (Exit.OK, [])


def test_where_the_last_look_is_remembered_it_is_one_round_in_all(tmp_path: Path) -> None:
    """The files of a model in a bucket are read with all else, as the generations of the last look; an adapter's too."""
    cloud = stored(with_model(FakeCloud()), tmp_path, "loras")
    wish = replace(WISH, adapters=(("style", parse_model("gs://loras/lora")),))
    here = replace(place(cloud), kept=tmp_path / "kept")
    assert deploy(wish, here, Ear(yes=True), yes=True).exit is Exit.OK
    cloud.calls.clear()
    assert deploy(wish, here, Ear(yes=True), yes=True).exit is Exit.OK
    assert cloud.writes == []
    asked = Counter((call.name, call.subject) for call in cloud.calls)
    assert {name for (name, _), times in asked.items() if times > 1} <= {"storage.read"}  # a long file is read in pieces
    all_of_it = threading.Barrier(len(cloud.calls))
    cloud.before_call = lambda _name: all_of_it.wait(30) and None
    again = deploy(wish, here, Ear(yes=True), yes=True)
    assert (again.exit, cloud.writes) == (Exit.OK, [])


def test_of_a_directory_it_is_one_round_in_all() -> None:
    """What its content names, a folder and a pin, is asked with the rest; each policy once, whatever its roles."""
    cloud, wish = with_model(FakeCloud()), replace(WISH, model=parse_model(str(SAMPLE)))
    assert deploy(wish, place(cloud), Ear(yes=True), yes=True).exit is Exit.OK
    cloud.calls.clear()
    assert deploy(wish, place(cloud), Ear(yes=True), yes=True).exit is Exit.OK
    assert cloud.writes == []
    asked = Counter((call.name, call.subject) for call in cloud.calls)
    assert [one for one, times in asked.items() if times > 1] == []
    assert {"storage.list", "storage.read"} <= {name for name, _ in asked}
    all_of_it = threading.Barrier(len(cloud.calls))
    cloud.before_call = lambda _name: all_of_it.wait(30) and None
    again = deploy(wish, place(cloud), Ear(yes=True), yes=True)
    assert (again.exit, cloud.writes) == (Exit.OK, [])


def test_doctor_asks_nothing_twice(tmp_path: Path) -> None:
    """Bucket, secret and policies concern the plan, several checks and the model: each is asked once, and only read."""
    cloud, secret = with_model(FakeCloud()), "projects/demo-proj/secrets/team"
    cloud.secrets.create(secret, "us-central1", {})
    cloud.secrets.add_version(secret, b"key")
    wish = replace(WISH, secrets=(("KEY", SecretRef("team", "1")),), hf_token=Token("hf_canary"))
    assert deploy(wish, place(cloud), Ear(yes=True), yes=True).exit is Exit.OK
    cloud.calls.clear()
    seen = repair(place(cloud), settings(tmp_path), "gemma", Ear(), fix=False, yes=False)
    assert {"bucket", "bucket access", "secrets", "secret values"} <= {one["check"] for one in seen.data["checked"]}
    assert cloud.writes == []
    asked = Counter((call.name, call.subject) for call in cloud.calls)
    assert {"storage.bucket", "secrets.version_state"} <= {name for name, _ in asked}
    assert [one for one, times in asked.items() if times > 1] == []


def test_a_large_directory_is_read_where_it_is_needed(tmp_path: Path) -> None:
    """Its bytes are not read ahead of a look that may refuse it; nor is one that can't be read, which the look tells of."""
    wish = replace(WISH, model=parse_model(str(tmp_path)))
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(ahead.LONG)  # a sparse file: no byte of it is on the disk
    assert ahead.folder(wish) is None
    assert ahead.folder(replace(WISH, model=parse_model(str(tmp_path / "gone")))) is None
    assert ahead.folder(WISH) is None
    found = ahead.folder(replace(WISH, model=parse_model(str(SAMPLE))))
    assert found == read_folder(SAMPLE)


def test_a_plan_after_a_change_in_the_cloud_sees_it() -> None:
    """No answer outlives the look that it was asked for."""
    cloud = with_model(FakeCloud())
    deploy(WISH, place(cloud), Ear(yes=True), yes=True)
    here = place(cloud)
    assert plan(WISH, here, again="", detailed=True).exit is Exit.OK
    cloud.state.policies.clear()
    assert plan(WISH, here, again="", detailed=True).exit is Exit.PENDING


def test_a_question_is_asked_once_by_however_many() -> None:
    """Who comes while it is being asked waits for that answer; other arguments are another question; a refusal is kept too."""
    cloud, started = FakeCloud(), threading.Event()
    cloud.storage.create_bucket(BucketInfo("b", "us-central1"))
    cloud.storage.write("b", "x", b"1")
    reads = one_look(cloud)
    cloud.calls.clear()
    cloud.before_call = lambda _name: started.wait(10) and None
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(reads.storage.read, "b", "x") for _ in range(4)]
        started.set()
    assert {one.result() for one in answers} == {b"1"}
    assert reads.storage.read("b", "x", 0, 1) == b"1"
    cloud.enforce_apis = True
    for _ in range(2):
        with pytest.raises(Trouble):
            reads.run.list("us-central1")
    assert Counter(call.name for call in cloud.calls) == {"storage.read": 2, "run.list": 1}


def test_a_service_that_was_read_is_everybodys_own() -> None:
    """Who changes the tree of JSON changes it for nobody else."""
    cloud = with_model(FakeCloud())
    deploy(WISH, place(cloud), Ear(yes=True), yes=True)
    reads, name = one_look(cloud), "projects/demo-proj/locations/us-central1/services/gemma"
    first = reads.run.get(name)
    assert first is not None
    first["template"].clear()
    second = reads.run.get(name)
    assert second is not None
    assert second["template"]


def test_writes_and_permissions_are_never_kept() -> None:
    """What changes the cloud goes through each time, and so does the question what the caller may."""
    cloud = FakeCloud()
    reads = one_look(cloud)
    cloud.calls.clear()
    for _ in range(2):
        reads.apis.enable(["run.googleapis.com"])
    assert Counter(call.name for call in cloud.calls) == {"apis.enable": 2}
