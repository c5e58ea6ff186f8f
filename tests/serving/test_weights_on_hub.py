"""Going back to a revision that serves a commit of the Hub: what pins it, and whether it is still there."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest

from gemmactl.checkpoint.files import DirectoryFiles
from gemmactl.errors import Exit, Trouble, refused
from gemmactl.local.hub import HubFiles
from gemmactl.resources.cloud import BucketInfo
from gemmactl.serving.deploy import deploy
from gemmactl.serving.folder import Hub
from gemmactl.serving.traffic import rollback
from gemmactl.serving.weights_on_hub import look
from gemmactl.spec import parse_model
from tests.fakes.cloud import FakeCloud
from tests.local.fake_hub import COMMIT
from tests.serving.ear import SAMPLE, Ear, place, settings
from tests.serving.rolling import WISH, live, shares
from tests.serving.test_weights_back import ONE, TWO, revision

REPOSITORY = "hf:owner/name"
PINNED = f"{REPOSITORY}@{COMMIT}"


def hub_of(there: Collection[str], code: str = "hub-missing") -> Hub:
    """A Hub that shows these and answers any other name with `code`."""

    def hub(text: str) -> DirectoryFiles:
        if text in there:
            return DirectoryFiles(SAMPLE)
        raise refused(f"{text} is not told", why="Invalid rev id", remedy="", code=code)

    return hub


def across(model: str = PINNED) -> FakeCloud:
    """Two revisions of a model of the Hub."""
    cloud = FakeCloud()
    wish = replace(WISH, model=parse_model(model))
    for one in (wish, replace(wish, timeout=900)):
        done = deploy(one, replace(place(cloud), hub=hub_of({model})), Ear(), yes=True)
        assert done.exit is Exit.OK, done.problems
    assert shares(live(cloud)).get(TWO) == 100
    cloud.calls.clear()
    return cloud


def back(cloud: FakeCloud, folder: Path, hub: Hub, weights: str | None = None) -> str:
    """What was said on the way."""
    ear = Ear()
    result = rollback(replace(place(cloud), hub=hub), settings(folder), None, ear, weights=weights, yes=True)
    assert (result.exit, result.data["traffic"]) == (Exit.OK, {ONE: 100})
    return " ".join(ear.said)


def test_a_commit_pins_its_revision(tmp_path: Path) -> None:
    """That is what is said, with the Hub's word that it is there."""
    said = back(across(), tmp_path, hub_of({PINNED}))
    assert f"{ONE} is pinned by its commit: {PINNED}" in said
    assert "the Hub still has it" in said
    assert "not pinned" not in said


@pytest.mark.parametrize("there", [{REPOSITORY}, set()])
def test_a_commit_that_is_gone_is_told_before_a_request_moves(tmp_path: Path, there: set[str]) -> None:
    """The repository may stand or not: the container has no token that shows it more. Exit 4, nothing written."""
    cloud = across()
    with pytest.raises(Trouble) as caught:
        back(cloud, tmp_path, hub_of(there))
    assert (caught.value.exit, caught.value.code, cloud.writes) == (Exit.REFUSED, "commit-gone", [])
    assert PINNED in caught.value.what


@pytest.mark.parametrize("code", ["hub-access", "network", "hub-missing"])
def test_a_hub_that_does_not_tell_is_said_so(tmp_path: Path, code: str) -> None:
    """Nobody knows then, also where the container's own token may see a repository that this machine can't: requests move."""
    cloud = across()
    if code == "hub-missing":
        revision(cloud, ONE)["containers"][0]["env"].append({"name": "HF_TOKEN", "valueSource": {}})
    said = back(cloud, tmp_path, hub_of((), code))
    assert f"{ONE} is pinned by its commit: {PINNED}" in said
    assert f"the Hub does not say here whether it still has it: {PINNED} is not told; Invalid rev id" in said


def test_a_branch_is_no_pin(tmp_path: Path) -> None:
    """It serves what the branch holds now, and no folder."""
    said = back(across(REPOSITORY), tmp_path, hub_of(()))
    assert f"{ONE} is not pinned" in said
    assert f"it serves what the branch of {REPOSITORY} holds now" in said


def test_a_copy_for_a_revision_without_a_list_is_refused(tmp_path: Path) -> None:
    """Its files can't be compared with anything; it was not ignored silently."""
    cloud = across()
    cloud.storage.create_bucket(BucketInfo("backup", "us-central1"))
    cloud.calls.clear()
    with pytest.raises(Trouble) as caught:
        back(cloud, tmp_path, hub_of({PINNED}), "gs://backup/m")
    assert (caught.value.exit, caught.value.code, cloud.writes) == (Exit.REFUSED, "weights-unknown", [])


def test_the_hub_itself_is_asked(environ: dict[str, str]) -> None:
    """Over its API with the client of deploy, which knows a commit's name without a question: one is there, another is not."""
    box = {"env": [{"name": "GEMMACTL_MODEL", "value": PINNED}]}
    (said,) = look({"name": f"revisions/{ONE}", "containers": [box]}, lambda text: HubFiles.briefly(text, environ))
    assert (said.sign, said.lines) == ("=", ("the Hub still has it",))
    box["env"][0]["value"] = f"{REPOSITORY}@{'f' * 40}"
    with pytest.raises(Trouble, match="is no longer on the Hub"):
        look({"name": f"revisions/{ONE}", "containers": [box]}, lambda text: HubFiles.briefly(text, environ))
