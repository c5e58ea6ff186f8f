"""Cloud Storage's API is off: the model is unknown until a deploy enabled it, and is looked at right after that."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gemmactl.errors import Exit, Trouble
from gemmactl.result import Verbatim
from gemmactl.serving.deploy import deploy, plan
from gemmactl.serving.for_admin import for_admin
from gemmactl.serving.plan_file import Keep
from gemmactl.serving.preflight import look
from gemmactl.spec import Serve, parse_model
from gemmactl.ui.layout import lay
from tests.fakes.cloud import FakeCloud
from tests.serving.ear import Ear, place, with_model

WISH = Serve("demo-proj", "us-central1", parse_model("gs://weights/m"), "gemma")


@pytest.fixture
def cloud() -> FakeCloud:
    made = with_model(FakeCloud())
    made.enforce_apis = True
    made.state.apis |= {"iam.googleapis.com", "run.googleapis.com"}
    return made


def test_a_plan_says_that_the_model_is_unknown_until_then(cloud: FakeCloud) -> None:
    """One step, what waits for it, no made-up size and no money; nothing is written, and no plan's file either."""
    result = plan(WISH, place(cloud), again="gemmactl deploy gs://weights/m", detailed=True)
    assert (result.exit, [s["address"] for s in result.data["steps"]], cloud.writes) == (Exit.PENDING, ["apis"], [])
    assert (result.data["waits_for"], result.data["sizing"], result.data["costs"]) == ("storage.googleapis.com", None, None)
    text = "\n".join(line.text for line in lay(result.blocks, 1000))
    assert "gs://weights/m (unknown until storage.googleapis.com is enabled)" in text
    assert "asleep" not in text


def test_it_can_not_be_kept_as_a_plan(cloud: FakeCloud, tmp_path: Path) -> None:
    """What will be done is not known yet."""
    result = plan(WISH, place(cloud), again="", out=Keep(tmp_path / "plan.json", "gemmactl plan"))
    assert not (tmp_path / "plan.json").exists()
    assert "no plan was written: the model is unknown" in "\n".join(line.text for line in lay(result.blocks, 1000))


def test_a_deploy_looks_at_the_model_right_after_that_step(cloud: FakeCloud) -> None:
    """The APIs alone, then all as if they had been on: sizes derived, weights pinned, and nothing to change afterwards."""
    ear = Ear()
    result = deploy(WISH, place(cloud), ear, yes=True)
    assert result.exit is Exit.OK, result.problems
    assert result.data["done"][0] == "apis"
    assert len(result.data["done"]) == len(set(result.data["done"])) > 5
    (live,) = cloud.state.services.values()
    variables = {one["name"] for one in live["template"]["containers"][0]["env"]}
    assert {"GEMMACTL_PIN", "GEMMACTL_MAX_CONTEXT"} <= variables
    assert any("now the model is looked at" in line for line in ear.said)
    assert plan(WISH, place(cloud), again="").data["changes"] == 0


def test_it_is_asked_before_each_half(cloud: FakeCloud) -> None:
    """A no to the first enables nothing; a yes to it is no yes to the rest."""

    class Once(Ear):
        def confirm(self, question: str, *, flag: str) -> bool:
            self.asked.append(question)
            return len(self.asked) == 1

    with pytest.raises(Trouble):
        deploy(WISH, place(cloud), Ear(yes=False), yes=False)
    assert cloud.writes == []
    ear = Once()
    with pytest.raises(Trouble) as caught:
        deploy(WISH, place(cloud), ear, yes=False)
    assert (caught.value.code, [call.name for call in cloud.writes]) == ("not-confirmed", ["apis.enable"])
    assert ear.asked == ["Enable these APIs, look at the model, and plan the rest?", "Apply this plan?"]


def test_a_model_that_can_not_be_served_ends_it_there(cloud: FakeCloud) -> None:
    """Seen only then: exit 4 with the engine's word, and nothing but the APIs was touched."""
    key = ("weights", "m/config.json")
    generation, _ = cloud.state.objects[key]
    cloud.state.objects[key] = (generation, json.dumps({"model_type": "gemma3_text", "hidden_size": -1}).encode())
    with pytest.raises(Trouble) as caught:
        deploy(WISH, place(cloud), Ear(), yes=True)
    assert (caught.value.exit, caught.value.code) == (Exit.REFUSED, "config-invalid")
    assert "nothing but APIs was made" in caught.value.why
    assert [call.name for call in cloud.writes] == ["apis.enable"]


def test_a_service_that_is_there_keeps_all_until_the_model_is_known(cloud: FakeCloud) -> None:
    """Somebody switched the API off later: no change of size, engine or pin is made up, and the next deploy changes none."""
    deploy(WISH, place(cloud), Ear(), yes=True)
    cloud.state.apis.discard("storage.googleapis.com")
    cloud.calls.clear()
    assert [s["address"] for s in plan(WISH, place(cloud), again="").data["steps"]] == ["apis"]
    assert deploy(WISH, place(cloud), Ear(), yes=True).exit is Exit.OK
    assert [call.name for call in cloud.writes] == ["apis.enable"]


def always_off(cloud: FakeCloud) -> Callable[[str], None]:
    def off(call: str) -> None:
        if call.startswith("storage."):
            facts = {"status": 403, "reason": "SERVICE_DISABLED", "service": "storage.googleapis.com"}
            raise Trouble("off", why="never enabled", remedy="", code="api-disabled", facts=facts)

    return off


def test_one_that_stays_off_is_refused_and_not_enabled_again(cloud: FakeCloud) -> None:
    """Its calls count elsewhere: the way out is named, after one try where a step was due, and at once where none is."""
    cloud.before_call = always_off(cloud)
    with pytest.raises(Trouble) as caught:
        deploy(WISH, place(cloud), Ear(), yes=True)
    assert (caught.value.exit, [call.name for call in cloud.writes]) == (Exit.REFUSED, ["apis.enable"])
    assert "gcloud services enable storage.googleapis.com --project=demo-proj" in caught.value.remedy
    cloud.calls.clear()
    with pytest.raises(Trouble) as caught:
        plan(WISH, place(cloud), again="")
    assert (caught.value.exit, cloud.writes) == (Exit.REFUSED, [])
    assert "set-quota-project demo-proj" in caught.value.remedy


def test_who_does_not_wait_is_refused_with_the_line_that_enables_it(cloud: FakeCloud) -> None:
    """Nobody enables it for status and the like."""
    with pytest.raises(Trouble) as caught:
        look(replace(WISH), cloud)
    assert caught.value.exit is Exit.REFUSED
    assert caught.value.remedy == "gcloud services enable storage.googleapis.com --project=demo-proj"


def test_an_administrator_gets_his_half_all_the_same(cloud: FakeCloud) -> None:
    """The script enables the API; which model it is for is said to be unknown."""
    cloud.held = frozenset()
    ear = Ear()
    result = for_admin(WISH, place(cloud), ear, form="gcloud", again="gemmactl deploy gs://weights/m")
    (block,) = result.blocks
    assert isinstance(block, Verbatim)
    assert "storage.googleapis.com" in block.text
    assert any("unknown until storage.googleapis.com is enabled" in line for line in ear.said)
