"""doctor on a name of which nothing was made, because its image could not be built."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gemmactl.commands.doctor import examined
from gemmactl.errors import Exit, Trouble
from gemmactl.resources.cloud import BuildInfo, LogEntry
from gemmactl.result import Result
from gemmactl.serving.deploy import deploy
from gemmactl.spec import Serve, parse_model
from gemmactl.ui.layout import lay
from tests.fakes.cloud import FakeCloud
from tests.fakes.refusal import refusal
from tests.serving.ear import Ear, place, settings, with_model

WISH = Serve("demo-proj", "us-central1", parse_model("gs://weights/m"), "gemma")
FULL = LogEntry("2026-01-01T00:00:05Z", "ERROR", "#9 12.3 pip install torch: no space left on device", "1")
QUIET = {"fix": False, "yes": True, "retry": False, "for_admin": False}


@pytest.fixture
def cloud() -> FakeCloud:
    """A deploy that died in its build: the account and the repository are there, and no service."""
    made = with_model(FakeCloud())
    made.build = BuildInfo("", "FAILURE", "build step 0 failed: exit status 1", "USER_BUILD_STEP", log_url="https://log")
    made.state.logs = [('build_id="build-1"', FULL)]
    assert deploy(WISH, place(made), Ear(), yes=True).exit is not Exit.OK
    assert made.state.services == {}
    made.calls.clear()
    return made


def look(cloud: FakeCloud, folder: Path, name: str | None, **how: bool) -> Result:
    return examined(place(cloud), settings(folder), name, Ear(), **{**QUIET, **how})


def codes(result: Result) -> list[str]:
    return [found["code"] for found in result.data["findings"]]


@pytest.mark.parametrize("name", ["gemma", None])
def test_the_failed_build_of_the_name_is_the_finding(cloud: FakeCloud, tmp_path: Path, name: str | None) -> None:
    """By its log, with the build's id; only reads are made, and a log makes no remedy."""
    shown = look(cloud, tmp_path, name)
    assert (codes(shown), shown.exit) == (["build-disk", "missing-service"], Exit.FOUND)
    found, absent = shown.data["findings"]
    assert absent["state"] == "advice"
    assert "build-1" in found["evidence"]
    assert found["fix"]["safe"] is False
    assert cloud.writes == []


def test_a_build_without_a_known_word_is_told_in_cloud_builds_own(cloud: FakeCloud, tmp_path: Path) -> None:
    """Never "there is no service" alone: the detail, and how to read the whole log."""
    cloud.state.logs = []
    body, info = cloud.state.builds["build-1"]
    cloud.state.builds["build-1"] = (body, replace(info, detail="something of the builder", failure_type="SURPRISE"))
    found, _ = look(cloud, tmp_path, "gemma").data["findings"]
    assert (found["code"], found["cause"], found["subcategory"]) == ("build-failed", "something of the builder", "surprise")
    assert found["fix"]["commands"] == ["gcloud builds log build-1 --region=us-central1 --project=demo-proj"]


@pytest.mark.parametrize("healed", [False, True])
def test_a_project_without_a_fault_has_no_service(cloud: FakeCloud, tmp_path: Path, healed: bool) -> None:
    """A build for something else, or that went well since, explains nothing; the deploy is next, what was asked is told."""
    if healed:
        body, _ = cloud.state.builds["build-1"]
        cloud.build = BuildInfo("", "SUCCESS")
        cloud.builds.start("us-central1", body)
        cloud.calls.clear()
    name = "gemma" if healed else "other"
    shown = look(cloud, tmp_path, name)
    (only,) = shown.data["findings"]
    assert (only["code"], only["state"], only["title"]) == ("missing-service", "problem", f"there is no service {name}")
    assert shown.next == (f"gemmactl deploy MODEL --name {name} --project demo-proj",)
    assert {(one["check"], one["end"]) for one in shown.data["checked"]} >= {
        ("credentials", "ok"), ("billing", "ok"), ("quota", "ok"), ("your permissions", "ok"), ("the newest build", "ok"),
    }  # fmt: skip
    assert cloud.writes == []


def test_the_screen_names_codes_and_what_was_fine(cloud: FakeCloud, tmp_path: Path) -> None:
    """A code for --explain beside each finding; the checks that ended as ok in one line, policies counted."""
    lines = [line.text for line in lay(look(cloud, tmp_path, "other").blocks, 1000)]
    assert any(line.strip() == "code: missing-service" for line in lines)
    (fine,) = (line for line in lines if line.startswith("looked at and fine: "))
    assert "billing" in fine
    assert "organization policies" in fine


def test_a_first_deploy_that_was_refused_is_told_why(tmp_path: Path) -> None:
    """Nothing was made: the permission that is missing, the billing that is off and the bucket of gemmactl.yaml are seen."""
    cloud = with_model(FakeCloud())
    cloud.lacking = frozenset({"iam.serviceAccounts.create"})
    cloud.state.billed = False
    (tmp_path / "gemmactl.yaml").write_text("model: gs://nowhere/gemma\n", encoding="utf-8")
    shown = look(cloud, tmp_path, None)
    told = {found["code"]: found for found in shown.data["findings"]}
    assert {"caller-lacks-permission", "billing-off", "bucket-missing"} <= set(told)
    assert told["caller-lacks-permission"]["permission"] == "iam.serviceAccounts.create"
    assert told["missing-service"]["state"] == "advice"
    assert shown.next[-1] == "gemmactl deploy gs://nowhere/gemma --name gemma --project demo-proj"
    assert cloud.writes == []


def test_who_may_not_even_ask_for_services_is_told_of_the_project(tmp_path: Path) -> None:
    """A refused look at the service is one unknown beside the project's checks, never a missing service."""

    def refuse(name: str) -> None:
        if name == "run.get":
            raise refusal(403, "denied", permission="run.services.get")

    cloud = with_model(FakeCloud())
    cloud.before_call = refuse
    shown = look(cloud, tmp_path, "gemma")
    assert "run.services.get" in {found["permission"] for found in shown.data["findings"] if found["state"] == "unknown"}
    assert "missing-service" not in codes(shown)
    assert ("project", "ok") in {(one["check"], one["end"]) for one in shown.data["checked"]}


def test_fix_enables_what_is_off_where_nothing_was_deployed(tmp_path: Path) -> None:
    """Cloud Run's API too, without which no service can be asked for; the deploy is next."""
    cloud = with_model(FakeCloud())
    cloud.enforce_apis = True
    cloud.state.apis = {f"{name}.googleapis.com" for name in ("cloudresourcemanager", "storage", "iam", "serviceusage")}
    fixed = look(cloud, tmp_path, "gemma", fix=True)
    assert fixed.exit is Exit.OK
    assert "run.googleapis.com" in cloud.state.apis
    assert fixed.next == ("gemmactl deploy MODEL --name gemma --project demo-proj",)
    assert [line.partition(" --")[0].split()[:3] for line in fixed.data["undo"]] == [["gcloud", "services", "disable"]]


def test_retry_without_a_service_is_refused(cloud: FakeCloud, tmp_path: Path) -> None:
    """Nothing tells what to deploy again: it is said before anything is changed."""
    with pytest.raises(Trouble) as caught:
        look(cloud, tmp_path, "gemma", fix=True, retry=True)
    assert (caught.value.code, caught.value.exit) == ("nothing-to-retry", Exit.USAGE)
    assert cloud.writes == []


def test_builds_that_may_not_be_seen_are_said_to_be_unknown(cloud: FakeCloud, tmp_path: Path) -> None:
    """The service is missing, and whether a build tells why is not known; the permission is named."""

    def refuse(name: str) -> None:
        if name == "builds.newest":
            raise refusal(403, "denied", permission="cloudbuild.builds.list")

    cloud.before_call = refuse
    shown = look(cloud, tmp_path, "gemma")
    (hidden,) = (found for found in shown.data["findings"] if found["state"] == "unknown")
    assert hidden["permission"] == "cloudbuild.builds.list"
    assert {"check": "the newest build", "end": "unknown"} in shown.data["checked"]


def test_a_log_that_may_not_be_read_is_unknown_beside_the_builds_own_words(cloud: FakeCloud, tmp_path: Path) -> None:
    """What the build itself says is told, and that more is hidden."""

    def refuse(name: str) -> None:
        if name == "logs.entries":
            raise refusal(403, "denied", permission="logging.logEntries.list")

    cloud.before_call = refuse
    found = look(cloud, tmp_path, "gemma").data["findings"]
    assert [one["state"] for one in found] == ["problem", "unknown", "advice"]
    assert found[1]["permission"] == "logging.logEntries.list"


def test_a_service_whose_new_image_was_not_built_is_told_why(tmp_path: Path) -> None:
    """The service serves on; the image that a deploy wanted is not there, and its build says why."""
    cloud = with_model(FakeCloud())
    assert deploy(WISH, place(cloud), Ear(), yes=True).exit is Exit.OK
    ((body, _),) = cloud.state.builds.values()
    cloud.state.images.clear()
    cloud.build = BuildInfo("", "FAILURE", "build step 0 failed", "USER_BUILD_STEP")
    cloud.state.logs = [('build_id="build-2"', FULL)]
    cloud.builds.start("us-central1", body)
    found = look(cloud, tmp_path, "gemma").data["findings"]
    assert [one["code"] for one in found if one["state"] == "problem"] == ["build-disk"]
