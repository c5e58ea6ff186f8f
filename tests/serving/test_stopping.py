"""stop and start: no instance, nothing lost, and every verb that meets a stopped service says so. In memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemmactl.errors import Exit, Trouble
from gemmactl.serving.ask import Prompt, ask
from gemmactl.serving.status import status
from gemmactl.serving.stopping import start, stop
from tests.fakes.cloud import FakeCloud
from tests.serving.ear import Answers, Ear, place, settings, with_model
from tests.serving.rolling import NEWEST, NEXT, Looking, live, pending, run


@pytest.fixture
def cloud() -> FakeCloud:
    made = with_model(FakeCloud())
    run(made)
    return made


def test_stop_ends_instances_and_start_brings_all_back(cloud: FakeCloud, tmp_path: Path) -> None:
    """Manual scaling to 0 and back: template, traffic, revisions and the service's own limits are what they were."""
    live(cloud)["scaling"] = {"minInstanceCount": 1, "maxInstanceCount": 3}
    before = {key: live(cloud)[key] for key in ("template", "traffic", "labels", "annotations")}
    assert stop(place(cloud), settings(tmp_path), None, Ear()).next == ("gemmactl start gemma --project demo-proj",)
    assert live(cloud)["scaling"]["scalingMode"] == "MANUAL"
    assert not live(cloud)["scaling"].get("manualInstanceCount")
    assert pending(cloud) == []
    assert stop(place(cloud), settings(tmp_path), "gemma", Ear()).data["changed"] is False
    started = start(place(cloud), settings(tmp_path), "gemma", Ear())
    assert (started.data["changed"], started.data["min_instances"]) == (True, 1)
    assert "1 instance from now on, asked or not, and billed" in str(started.blocks)
    assert live(cloud)["scaling"] == {"scalingMode": "AUTOMATIC", "minInstanceCount": 1, "maxInstanceCount": 3}
    assert {key: live(cloud)[key] for key in before} == before
    assert len(cloud.state.revisions) == 1
    assert start(place(cloud), settings(tmp_path), None, Ear()).data["changed"] is False


def test_the_count_of_zero_is_sent(cloud: FakeCloud, tmp_path: Path) -> None:
    """0 is said, not left out: manual scaling without a count is another wish."""
    sent: list[dict[str, object]] = []
    before = cloud.run.update

    class Told(type(cloud.run)):  # type: ignore[misc]  # the fake's own class
        def update(self, body, mask, *, validate_only=False):
            sent.append(body)
            return before(body, mask, validate_only=validate_only)

    cloud.run = Told(cloud)
    stop(place(cloud), settings(tmp_path), None, Ear())
    assert sent[0]["scaling"] == {"scalingMode": "MANUAL", "manualInstanceCount": 0}


def test_what_meets_a_stopped_service_says_so(cloud: FakeCloud, tmp_path: Path) -> None:
    """Generate names the command and asks nobody; status says stopped; a deploy that changes nothing wakes nothing."""
    here, wire = place(cloud, Answers()), Answers()
    stop(here, settings(tmp_path), None, Ear())
    with pytest.raises(Trouble) as caught:
        ask(place(cloud, wire), settings(tmp_path), None, Prompt("Hi"), Ear())
    assert (caught.value.code, caught.value.remedy) == ("service-stopped", "gemmactl start gemma --project demo-proj")
    shown = status(here, settings(tmp_path), "gemma", Ear())
    assert (shown.data["stopped"], shown.data["health"]["state"]) == (True, "stopped")
    assert status(here, settings(tmp_path), None, Ear()).data["services"][0]["stopped"] is True
    same = run(cloud, wire=wire)
    assert (same.exit, same.data["smoke"], wire.sent) == (Exit.OK, None, [])
    assert "gemmactl start gemma" in str(same.blocks)


def test_a_deploy_keeps_a_stopped_service_stopped(cloud: FakeCloud, tmp_path: Path) -> None:
    """The new revision is tested at its tag, which Cloud Run starts all the same, and has the requests when it starts again."""
    stop(place(cloud), settings(tmp_path), None, Ear())
    wire = Looking(cloud)
    result = run(cloud, NEXT, wire)
    assert (result.exit, "stopped and stays so" in str(result.blocks)) == (Exit.OK, True)
    assert ["gm-next---" in url for url, _ in wire.seen] == [True]
    assert (live(cloud)["traffic"], live(cloud)["scaling"]["scalingMode"]) == ([NEWEST], "MANUAL")
