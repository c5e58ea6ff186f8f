"""Going back with vLLM, whose weights are an argument or a mounted folder: what it reads moves too, or nothing does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gemmactl.errors import Exit, Trouble
from gemmactl.resources.cloud import BucketInfo, Json, PolicyTarget
from gemmactl.serving.traffic import rollback
from gemmactl.serving.weights_moved import Moved
from gemmactl.spec import Serve
from tests.fakes.cloud import FakeCloud
from tests.serving.ear import SAMPLE, Answers, Ear, place, settings, with_model
from tests.serving.rolling import live, run, shares
from tests.serving.test_vllm import COMPLETION
from tests.serving.test_vllm import WISH as STREAM
from tests.serving.test_weights_back import ONE, SHARD, THREE, TWO, content, overwritten, revision, variables

FUSE = replace(STREAM, loader="fuse")
OLD, NEW = "gs://weights/m", "gs://weights/m-0123456789"


def across(wish: Serve) -> FakeCloud:
    """Two revisions of vLLM over one folder, with a shard overwritten between them; and a copy in another bucket."""
    cloud = with_model(FakeCloud())
    run(cloud, wish, Answers(content=COMPLETION))
    overwritten(cloud)
    run(cloud, wish, Answers(content=COMPLETION))
    assert shares(live(cloud)).get(TWO) == 100
    cloud.storage.create_bucket(BucketInfo("backup", "us-central1"))
    for path in SAMPLE.iterdir():
        cloud.storage.write("backup", f"old/{path.name}", path)
    return cloud


def back(cloud: FakeCloud, folder: Path, **more: Any) -> None:
    here = place(cloud, Answers(content=COMPLETION))
    result = rollback(here, settings(folder), None, Ear(), yes=True, **more)
    assert result.exit is Exit.OK, result.problems
    assert shares(live(cloud)).get(THREE) == 100


def mounted(made: Json) -> str:
    """The folder that a revision's only volume shows."""
    (volume,) = made["volumes"]
    (option,) = volume["gcs"].get("mountOptions", ["only-dir="])
    assert volume["gcs"]["readOnly"]
    return f"gs://{volume['gcs']['bucket']}/{option.removeprefix('only-dir=')}".rstrip("/")


@pytest.mark.parametrize("weights", [None, "gs://backup/old"])
def test_a_mounted_folder_is_the_one_with_the_old_bytes(tmp_path: Path, weights: str | None) -> None:
    """Under the same path vLLM finds what the old revision was deployed with, not what overwrote it."""
    cloud = across(FUSE)
    back(cloud, tmp_path, weights=weights)
    made, old = revision(cloud, THREE), revision(cloud, ONE)
    assert mounted(made) == variables(made)["GEMMACTL_MODEL"] != OLD == mounted(old)
    assert weights is None or mounted(made) == weights
    assert content(cloud, mounted(made)) == (SAMPLE / SHARD).read_bytes()
    for field in ("args", "volumeMounts"):
        assert made["containers"][0][field] == old["containers"][0][field]
    roles = {role for role, who in cloud.state.policies.get(PolicyTarget("bucket", "backup"), {}).items() if who}
    assert roles == ({"roles/storage.objectViewer"} if weights else set())


def test_the_streamer_may_read_another_bucket_itself(tmp_path: Path) -> None:
    """Its argument names the copy, and its account has on that bucket what a deploy gives it."""
    cloud = across(STREAM)
    back(cloud, tmp_path, weights="gs://backup/old")
    assert revision(cloud, THREE)["containers"][0]["args"][:2] == ["serve", "gs://backup/old"]
    first, other = (cloud.state.policies[PolicyTarget("bucket", name)] for name in ("weights", "backup"))
    assert {role for role, who in first.items() if who} == {role for role, who in other.items() if who}


def test_what_would_read_the_old_folder_still_is_refused_before_anything(tmp_path: Path) -> None:
    """Exit 4 with what names it; no copy, no question, no change of the service."""
    cloud = across(STREAM)
    revision(cloud, ONE)["containers"][0]["args"].append('--override={"path":"gs://weights/m"}')
    cloud.calls.clear()
    with pytest.raises(Trouble) as caught:
        rollback(place(cloud), settings(tmp_path), None, Ear(yes=None))
    assert (caught.value.exit, caught.value.code, cloud.writes) == (Exit.REFUSED, "weights-stay", [])
    assert f"{ONE} can't be made to read its weights from gs://weights/m-" in caught.value.what
    assert "of its container names gs://weights/m among other words" in caught.value.why


def box(*args: str, mount: str = "", **more: Any) -> Json:
    mounts = [{"name": "model", "mountPath": mount}] if mount else []
    env = [{"name": "GEMMACTL_MODEL", "value": OLD}]
    return {"command": ["vllm"], "args": ["serve", *args], "env": env, "volumeMounts": mounts, **more}


def moved(made: Json, folder: str = "", *, to: str = NEW) -> Json:
    """The template of a revision with one container, to whom a folder of the bucket is shown."""
    gcs = {"bucket": "weights", "mountOptions": ["implicit-dirs", *([f"only-dir={folder}"] if folder else [])]}
    given = {"name": "services/s/revisions/s-1", "containers": [made], "volumes": [{"name": "model", "gcs": gcs}]}
    return Moved({OLD: to}, "pin").template(given)


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ("--model=gs://weights/m", "--model=gs://weights/m-0123456789"),
        ("gs://weights/m/", "gs://weights/m-0123456789/"),
        ("--chat-template=gs://weights/m/a.jinja", "--chat-template=gs://weights/m-0123456789/a.jinja"),
        ("--chat-template=/mnt/all/m/a.jinja", "--chat-template=/mnt/all/m-0123456789/a.jinja"),
        ("gs://weights/m2", "gs://weights/m2"),
        ("gs://weights/m/sub/a", "gs://weights/m/sub/a"),
    ],
)
def test_an_argument_that_is_the_folder_or_a_file_of_it_moves(was: str, now: str) -> None:
    """As a flag's value and as a path below a mounted bucket, too; other folders stay."""
    made = moved(box("/mnt/all/m", was, mount="/mnt/all"))
    assert made["containers"][0]["args"] == ["serve", "/mnt/all/m-0123456789", now]
    assert made["volumes"][0]["gcs"] == {"bucket": "weights", "mountOptions": ["implicit-dirs"]}


def test_a_mount_of_the_whole_new_bucket() -> None:
    """A copy at a bucket's root needs no only-dir; other options stay."""
    made = moved(box("/mnt/model", mount="/mnt/model"), "m", to="gs://backup")
    assert made["volumes"][0]["gcs"] == {"bucket": "backup", "mountOptions": ["implicit-dirs"]}


@pytest.mark.parametrize(
    ("made", "folder", "why"),
    [
        (box("/baked/in"), "other", "neither its arguments nor its mounted folders"),
        (
            box("/mnt/all/m", mount="/mnt/all"),
            "",
            "it reads /mnt/all/m, and the mounted gs://weights does not show gs://backup/m",
        ),
        (box("/m", volumeMounts=[{"name": "model", "mountPath": "/m", "subPath": "m"}]), "", "/m shows gs://weights/m"),
    ],
)
def test_a_template_that_can_not_move_whole_is_refused(made: Json, folder: str, why: str) -> None:
    """Never a revision that says one folder and reads another."""
    with pytest.raises(Trouble) as caught:
        moved(made, folder, to="gs://backup/m")
    assert (caught.value.exit, caught.value.code) == (Exit.REFUSED, "weights-stay")
    assert why in caught.value.why
