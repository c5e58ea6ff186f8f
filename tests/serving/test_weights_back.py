"""A rollback across changed weights: what can be had again is, what is gone is told before anything starts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gemmactl.errors import Exit, Trouble
from gemmactl.resources.cloud import BucketInfo, Json, PolicyTarget
from gemmactl.result import Result
from gemmactl.serving import find, weights_back
from gemmactl.serving.traffic import rollback
from gemmactl.spec import parse_model
from inference_image.pin import Pin, digest_of
from tests.fakes.cloud import FakeCloud
from tests.inference_image.loras import written
from tests.serving.ear import SAMPLE, Answers, Ear, place, settings, with_model
from tests.serving.rolling import WISH, live, run, shares

COMPLETION = {"choices": [{"text": "Hi", "finish_reason": "length"}], "usage": {"completion_tokens": 8}, "model": "m"}
SHARD = "model-00002-of-00004.safetensors"
ONE, TWO, THREE = (f"gemma-0000{n}-tst" for n in (1, 2, 3))


@pytest.fixture
def cloud() -> FakeCloud:
    return with_model(FakeCloud())


def overwritten(cloud: FakeCloud, name: str = SHARD) -> None:
    """The same file once more, its last byte another one."""
    _, content = cloud.state.objects["weights", f"m/{name}"]
    cloud.storage.write("weights", f"m/{name}", content[:-1] + bytes([content[-1] ^ 1]))


def across(cloud: FakeCloud) -> None:
    """Two revisions of one folder, with a shard overwritten between them."""
    run(cloud)
    overwritten(cloud)
    run(cloud)
    assert shares(live(cloud)) == {ONE: 0, TWO: 100} or shares(live(cloud)) == {TWO: 100}


def back(cloud: FakeCloud, folder: Path, ear: Ear | None = None, **more: Any) -> Result:
    more = {"yes": True, **more}
    return rollback(place(cloud), settings(folder), None, ear or Ear(), **more)


def revision(cloud: FakeCloud, name: str) -> Json:
    return next(one for one in cloud.state.revisions.values() if find.tail(one["name"]) == name)


def variables(box: Json) -> dict[str, str]:
    return {one["name"]: one.get("value", "") for one in box["containers"][0]["env"]}


def content(cloud: FakeCloud, uri: str, name: str = SHARD) -> bytes:
    bucket, prefix = weights_back.parts(uri)
    return cloud.state.objects[bucket, f"{prefix}/{name}"][1]


def test_a_bucket_with_versions_needs_nothing(cloud: FakeCloud, tmp_path: Path) -> None:
    """The old revision reads its own generations: requests move, and nothing is written to the bucket."""
    cloud.state.versioned.add("weights")
    across(cloud)
    cloud.calls.clear()
    result = back(cloud, tmp_path, Ear(yes=None), yes=False)
    assert (result.exit, result.data["traffic"]) == (Exit.OK, {ONE: 100})
    assert [one.name for one in cloud.writes] == ["run.update"]


def test_an_overwritten_shard_comes_back_as_a_copy(cloud: FakeCloud, tmp_path: Path) -> None:
    """A bucket with soft delete, as new ones are: the old bytes are copied beside, a new revision like the old one reads them,
    is tested and serves; the folder holds the newer bytes as before, and the revision that was pinned to them still starts.
    """
    across(cloud)
    newer = content(cloud, "gs://weights/m")
    ear = Ear()
    result = back(cloud, tmp_path, ear)
    assert result.exit is Exit.OK, result.problems
    assert shares(live(cloud)).get(THREE) == 100
    old, new = variables(revision(cloud, ONE)), variables(revision(cloud, THREE))
    assert new["GEMMACTL_MODEL"] == f"gs://weights/m-{digest_of(old['GEMMACTL_PIN'])[:10]}"
    assert {k: v for k, v in new.items() if k not in ("GEMMACTL_MODEL", "GEMMACTL_PIN")} == {
        k: v for k, v in old.items() if k not in ("GEMMACTL_MODEL", "GEMMACTL_PIN")
    }
    assert content(cloud, new["GEMMACTL_MODEL"]) == (SAMPLE / SHARD).read_bytes()
    assert content(cloud, "gs://weights/m") == newer
    for name in (TWO, THREE):
        assert weights_back.look(cloud, revision(cloud, name)).startable
    pin = Pin.parse(cloud.state.objects["weights", new["GEMMACTL_PIN"].removeprefix("gs://weights/")][1])
    assert {one.name for one in pin.places[0].objects} == {path.name for path in SAMPLE.iterdir()}
    assert "do not deploy from it meanwhile" in " ".join(ear.said)
    # promote would find nothing newer: what served before is named
    assert result.next == ("gemmactl status gemma --project demo-proj", f"gemmactl rollback gemma --to {TWO} --project demo-proj")


def test_a_copy_that_stopped_half_way_goes_on(cloud: FakeCloud, tmp_path: Path) -> None:
    """What is there is not copied again; the newer file is back although the copy failed."""
    across(cloud)
    newer = content(cloud, "gs://weights/m")

    copies: list[str] = []

    def fail(name: str) -> None:
        copies.extend([name] * (name == "storage.copy"))
        if name == "storage.copy" and len(copies) == 5:
            raise Trouble("broken", why="", remedy="", code="broken")

    cloud.before_call = fail
    with pytest.raises(Trouble, match="broken"):
        back(cloud, tmp_path)
    cloud.before_call = lambda _name: None
    assert content(cloud, "gs://weights/m") == newer
    assert shares(live(cloud)).get(TWO) == 100
    cloud.calls.clear()
    assert back(cloud, tmp_path).exit is Exit.OK
    assert sum(one.name == "storage.copy" for one in cloud.calls) == len(list(SAMPLE.iterdir())) - 4


class Killed(BaseException):
    """No `finally` of a process that is gone reaches the cloud."""


@pytest.mark.parametrize("last", ["storage.copy", "storage.restore"])
def test_a_copy_that_was_killed_while_a_newer_file_made_room_puts_it_back(cloud: FakeCloud, tmp_path: Path, last: str) -> None:
    """The old bytes lie at the newer ones' name: the same command restores these and goes on; both revisions start after it."""
    across(cloud)
    newer, done = content(cloud, "gs://weights/m"), list[object]()

    def kill(name: str) -> None:
        done.append(name)
        swapped = "storage.restore" in done[:-1]
        if Killed in done or (swapped and name == last):
            done.append(Killed)
            raise Killed

    cloud.before_call = kill
    with pytest.raises(Killed):
        back(cloud, tmp_path)
    cloud.before_call = lambda _name: None
    assert content(cloud, "gs://weights/m") != newer
    ear = Ear(yes=False)
    with pytest.raises(Trouble, match="nothing was changed"):
        back(cloud, tmp_path, ear, yes=False)
    assert "do not deploy from it meanwhile" in " ".join(ear.said)
    assert back(cloud, tmp_path).data["made"] == THREE
    assert content(cloud, "gs://weights/m") == newer
    assert all(weights_back.look(cloud, revision(cloud, name)).startable for name in (TWO, THREE))
    assert not [name for _, name in cloud.state.objects if name.endswith("away.json")]


def test_a_removed_shard_is_restored_where_it_was(cloud: FakeCloud, tmp_path: Path) -> None:
    """Nothing newer has its name: restored, and the old revision starts from it as it is."""
    across(cloud)
    cloud.storage.delete("weights", f"m/{SHARD}")
    result = back(cloud, tmp_path)
    assert (result.exit, shares(live(cloud)).get(ONE)) == (Exit.OK, 100)
    assert content(cloud, "gs://weights/m") == (SAMPLE / SHARD).read_bytes()
    assert weights_back.look(cloud, revision(cloud, ONE)).startable


def test_what_is_gone_is_told_before_anything_starts(cloud: FakeCloud, tmp_path: Path) -> None:
    """Exit 4 with the file, what it was and is, and the command that takes a copy; nothing is written."""
    across(cloud)
    cloud.state.older.clear()
    cloud.calls.clear()
    with pytest.raises(Trouble) as caught:
        back(cloud, tmp_path)
    assert (caught.value.exit, caught.value.code) == (Exit.REFUSED, "weights-gone")
    assert f"1 of 10 files: {SHARD} was generation" in caught.value.why
    assert f"gemmactl rollback gemma --to {ONE} --project demo-proj --weights gs://BUCKET/FOLDER" in caught.value.remedy
    assert cloud.writes == []


def test_a_copy_elsewhere_does_when_its_bytes_are_the_same(cloud: FakeCloud, tmp_path: Path) -> None:
    """Each file is compared; the account may read the other bucket; a folder with other bytes is refused before any change."""
    across(cloud)
    cloud.state.older.clear()
    cloud.storage.create_bucket(BucketInfo("backup", "us-central1"))
    for path in SAMPLE.iterdir():
        cloud.storage.write("backup", f"old/{path.name}", path)
    cloud.calls.clear()
    with pytest.raises(Trouble) as caught:
        back(cloud, tmp_path, weights="gs://weights/m")
    assert (caught.value.code, SHARD in caught.value.why, cloud.writes) == ("weights-differ", True, [])
    result = back(cloud, tmp_path, weights="gs://backup/old")
    assert result.exit is Exit.OK, result.problems
    assert shares(live(cloud)).get(THREE) == 100
    assert variables(revision(cloud, THREE))["GEMMACTL_MODEL"] == "gs://backup/old"
    assert variables(revision(cloud, THREE))["GEMMACTL_PIN"].startswith("gs://backup/old/gemmactl/pins/")
    (member,) = cloud.policies.members(PolicyTarget("bucket", "backup"), "roles/storage.objectViewer")
    assert member.startswith("serviceAccount:gm-gemma")


def test_a_copy_elsewhere_is_of_the_folder_that_lacks_files(cloud: FakeCloud, tmp_path: Path) -> None:
    """An adapter's files are gone: its copy is compared with it and read in its place, and the model stays where it is."""
    for path in written(tmp_path / "lora").iterdir():
        for folder in ("lora", "copy"):
            cloud.storage.write("weights", f"{folder}/{path.name}", path)
    wish = replace(WISH, adapters=(("a", parse_model("gs://weights/lora")),))
    run(cloud, wish)
    for path in written(tmp_path / "other", lora_alpha=4).iterdir():
        cloud.storage.write("weights", f"lora/{path.name}", path)
    run(cloud, wish)
    cloud.state.older.clear()
    with pytest.raises(Trouble) as caught:
        back(cloud, tmp_path, weights="gs://weights/m")
    assert (caught.value.code, "gs://weights/lora" in caught.value.why) == ("weights-differ", True)
    assert back(cloud, tmp_path, weights="gs://weights/copy").exit is Exit.OK
    made = variables(revision(cloud, THREE))
    assert (made["GEMMACTL_MODEL"], json.loads(made["GEMMACTL_ADAPTERS"])) == ("gs://weights/m", {"a": "gs://weights/copy"})
    assert weights_back.look(cloud, revision(cloud, THREE)).startable


def test_nothing_is_brought_back_without_a_yes(cloud: FakeCloud, tmp_path: Path) -> None:
    """A no leaves bucket and service as they were."""
    across(cloud)
    cloud.calls.clear()
    with pytest.raises(Trouble) as caught:
        back(cloud, tmp_path, Ear(yes=False), yes=False)
    assert (caught.value.code, cloud.writes) == ("not-confirmed", [])


def test_a_pin_that_is_gone_says_how_it_comes_back(cloud: FakeCloud, tmp_path: Path) -> None:
    """Without it nobody knows what to look for: refused, with the command that restores it."""
    across(cloud)
    text = variables(revision(cloud, ONE))["GEMMACTL_PIN"]
    cloud.storage.delete("weights", text.removeprefix("gs://weights/"))
    with pytest.raises(Trouble) as caught:
        back(cloud, tmp_path)
    assert (caught.value.exit, caught.value.code) == (Exit.REFUSED, "pin-gone")
    assert f"gcloud storage restore {text}#" in caught.value.remedy


def test_newer_bytes_without_an_md5_stay_where_they_are(cloud: FakeCloud, tmp_path: Path) -> None:
    """Restored after the old ones they would not be taken for what the newer revision was pinned to: nothing is moved."""
    across(cloud)
    info, data = cloud.state.objects["weights", f"m/{SHARD}"]
    cloud.state.objects["weights", f"m/{SHARD}"] = (replace(info, md5=""), data)
    cloud.calls.clear()
    with pytest.raises(Trouble) as caught:
        back(cloud, tmp_path)
    assert (caught.value.code, cloud.writes) == ("weights-gone", [])
    assert "can be restored until" in caught.value.why


def test_vllm_gets_a_noncurrent_version_back_as_a_copy(cloud: FakeCloud, tmp_path: Path) -> None:
    """It reads whatever is newest, so what the bucket keeps is copied beside by its generation, after a yes; the folder and its
    newer file are not touched.
    """
    cloud.state.versioned.add("weights")
    wish = replace(WISH, engine="vllm", image=None, engine_given=True)
    wire = Answers(content=COMPLETION)

    def again(ear: Ear, *, yes: bool) -> Result:
        return rollback(place(cloud, wire), settings(tmp_path), None, ear, yes=yes)

    run(cloud, wish, wire)
    before = content(cloud, "gs://weights/m")
    overwritten(cloud)
    run(cloud, wish, wire)
    newer = content(cloud, "gs://weights/m")
    with pytest.raises(Trouble) as caught:
        again(Ear(yes=False), yes=False)
    assert (caught.value.code, shares(live(cloud)).get(TWO)) == ("not-confirmed", 100)
    ear = Ear()
    result = again(ear, yes=True)
    assert result.exit is Exit.OK, result.problems
    assert shares(live(cloud)).get(THREE) == 100
    folder = f"gs://weights/m-{digest_of(variables(revision(cloud, ONE))['GEMMACTL_PIN'])[:10]}"
    box = revision(cloud, THREE)["containers"][0]
    assert folder in " ".join(box["args"])
    assert (content(cloud, folder), content(cloud, "gs://weights/m")) == (before, newer)
    assert weights_back.look(cloud, revision(cloud, THREE)).startable
    assert any("kept by the bucket as a noncurrent version" in line for line in ear.said)
    assert not any("make room" in line for line in ear.said)


def test_vllm_counts_only_what_is_there(cloud: FakeCloud) -> None:
    """It reads whatever is newest: an older version in the bucket is no help, and a pin that is gone no hindrance."""
    cloud.state.versioned.add("weights")
    run(cloud)
    overwritten(cloud)
    ours = revision(cloud, ONE)
    box = {**ours["containers"][0], "command": ["vllm"], "args": ["serve", "gs://weights/m"]}
    theirs = {**ours, "containers": [box]}
    assert (weights_back.look(cloud, ours).startable, weights_back.look(cloud, theirs).startable) == (True, False)
    cloud.storage.delete("weights", variables(ours)["GEMMACTL_PIN"].removeprefix("gs://weights/"))
    assert (bool(weights_back.look(cloud, ours).lost), weights_back.look(cloud, theirs).lost) == (True, "")
