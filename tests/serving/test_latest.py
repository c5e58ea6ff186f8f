"""A fine-tune's name stands for one run; what is half-published is refused before any change."""

from __future__ import annotations

import pytest

from gemmactl.checkpoint.manifest import Manifest
from gemmactl.errors import Exit, Trouble
from gemmactl.serving.deploy import deploy, plan
from gemmactl.spec import Serve, parse_model, service_name
from tests.fakes.cloud import FakeCloud
from tests.serving.ear import SAMPLE, Ear, place, with_model

FIRST, SECOND = "0123456789ab", "ba9876543210"
HERE = "gemmactl/models/sql"
WHOLE = Manifest("gs://base", "gemmactl 9").text().encode()


def published(cloud: FakeCloud, run_id: str, *, whole: bool = True) -> None:
    for path in SAMPLE.iterdir():
        cloud.storage.write("weights", f"{HERE}/{run_id}/{path.name}", path)
    cloud.storage.write("weights", f"{HERE}/{run_id}/gemmactl/lineage.json", b"{}")
    if whole:
        cloud.storage.write("weights", f"{HERE}/{run_id}/gemmactl/manifest.json", WHOLE)
        cloud.storage.write("weights", f"{HERE}/LATEST", f"{run_id}\n".encode())


def wish(folder: str) -> Serve:
    model = parse_model(f"gs://weights/{folder}")
    return Serve("demo-proj", "us-central1", model, service_name(model.leaf))


def served(cloud: FakeCloud) -> str:
    (live,) = cloud.state.services.values()
    return next(one["value"] for one in live["template"]["containers"][0]["env"] if one["name"] == "GEMMACTL_MODEL")


@pytest.mark.parametrize("folder", [HERE, f"{HERE}/LATEST"])
def test_a_name_is_served_as_the_run_that_it_stands_for(folder: str) -> None:
    """The revision has the run's own folder, so that it stays what it is when LATEST moves; the next plan follows it."""
    cloud = with_model(FakeCloud())
    published(cloud, FIRST)
    assert wish(folder).name == "sql"
    assert deploy(wish(folder), place(cloud), Ear(), yes=True).exit is Exit.OK
    assert served(cloud) == f"gs://weights/{HERE}/{FIRST}"
    assert plan(wish(folder), place(cloud), again="", detailed=True).exit is Exit.OK
    published(cloud, SECOND)
    assert plan(wish(f"{HERE}/{FIRST}"), place(cloud), again="", detailed=True).exit is Exit.OK
    assert plan(wish(folder), place(cloud), again="", detailed=True).exit is Exit.PENDING
    deploy(wish(folder), place(cloud), Ear(), yes=True)
    assert served(cloud) == f"gs://weights/{HERE}/{SECOND}"


def test_what_is_half_published_is_refused_before_any_change() -> None:
    """Without its manifest a run's folder is no model, however complete it looks."""
    cloud = with_model(FakeCloud())
    published(cloud, FIRST, whole=False)
    cloud.calls.clear()
    with pytest.raises(Trouble) as refused:
        deploy(wish(f"{HERE}/{FIRST}"), place(cloud), Ear(), yes=True)
    assert (refused.value.exit, refused.value.code) == (Exit.REFUSED, "model-unfinished")
    assert "gemmactl finetune resume" in refused.value.remedy
    assert not cloud.state.services


def test_a_name_that_stands_for_nothing_is_refused() -> None:
    """No pointer, or one that names no run; a folder of the user's own that is called so is served as it is."""
    cloud = with_model(FakeCloud(), HERE)
    for said in (b"", b"../../elsewhere\n"):
        if said:
            cloud.storage.write("weights", f"{HERE}/LATEST", said)
        with pytest.raises(Trouble) as refused:
            deploy(wish(f"{HERE}/LATEST"), place(cloud), Ear(), yes=True)
        assert (refused.value.exit, refused.value.code) == (Exit.REFUSED, "model-not-found")
    assert deploy(wish(HERE), place(cloud), Ear(), yes=True).exit is Exit.OK
    assert served(cloud) == f"gs://weights/{HERE}"
