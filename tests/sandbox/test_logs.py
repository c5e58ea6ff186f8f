"""Cloud Logging: the filters that gemmactl sends, and the refusal of all others."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import PROJECT, Cloud
from hypothesis import given
from hypothesis import strategies as st

from gemmactl.sandbox.log_filter import matcher
from gemmactl.sandbox.logs import Logs
from gemmactl.sandbox.wire import ApiError
from gemmactl.sandbox.world import SystemClock

ENTRY = {
    "insertId": "a1",
    "logName": "projects/p/logs/run.googleapis.com%2Fstderr",
    "resource": {"type": "cloud_run_revision", "labels": {"service_name": "gemma", "revision_name": "gemma-00001-abc"}},
    "labels": {"run.googleapis.com/execution_name": "x-1"},
    "severity": "ERROR",
    "timestamp": "2026-11-22T10:00:00.500000Z",
    "jsonPayload": {"message": "out of memory", "phase": {"bytes": 12}},
}


@pytest.mark.parametrize(
    ("text", "hit"),
    [
        ("", True),
        ('resource.type="cloud_run_revision" AND resource.labels.service_name="gemma"', True),
        ('resource.type="cloud_run_revision"\nresource.labels.service_name=gemma', True),
        ('resource.type="build"', False),
        ("severity>=WARNING", True),
        ("severity>ERROR", False),
        ("severity=ERROR severity<CRITICAL", True),
        ('timestamp>="2026-11-22T10:00:00Z"', True),
        ('timestamp>="2026-11-22T11:00:00+01:00"', True),
        ('timestamp<"2026-11-22T10:00:00.5Z"', False),
        ('timestamp="2026-11-22T10:00:00.5Z"', True),
        ('jsonPayload.message:"MEMORY"', True),
        ('jsonPayload.message:"quota"', False),
        ("jsonPayload.phase.bytes>=12", True),
        ("jsonPayload.phase.bytes>100", False),
        ('textPayload:"x"', False),
        ('labels."run.googleapis.com/execution_name"="x-1"', True),
        ('logName="projects/p/logs/run.googleapis.com%2Fstderr"', True),
        ('logName=("a" OR "projects/p/logs/run.googleapis.com%2Fstderr")', True),
        ('NOT severity="ERROR"', False),
        ('-resource.type="build"', True),
        ('resource.labels.revision_name=~"^gemma-0000\\\\d"', True),
        ('resource.labels.service_name!="gemma"', False),
        ('insertId="a1"', True),
        ("jsonPayload.phase:*", True),
        ("jsonPayload.timeline:*", False),
        ('NOT jsonPayload.timeline:* AND insertId="a1"', True),
        ('severity=ERROR AND "OF Memory"', True),
        ('"of memory" AND "cloud_run"', True),
        ('NOT "quota"', True),
        ('"quota"', False),
    ],
)
def test_filters_select(text: str, hit: bool) -> None:
    """Comparisons joined by AND or line breaks, with Cloud Logging's meanings."""
    assert matcher(text)(ENTRY) is hit


@pytest.mark.parametrize(
    "text",
    [
        'a="b"',
        "severity>=LOUD",
        'severity="ERROR" OR severity="INFO"',
        "hello world",
        'timestamp>="yesterday"',
        'severity="ERROR" AND',
        "(",
        'insertId=~"("',
        "insertId=*",
    ],
)
def test_a_filter_that_is_not_understood_is_refused(text: str) -> None:
    """Never a wrong selection: an unknown field, operator or value is a 400."""
    with pytest.raises(ApiError) as caught:
        matcher(text)
    assert (caught.value.code, caught.value.status) == (400, "INVALID_ARGUMENT")


@given(st.text(max_size=40))
def test_any_text_is_a_filter_or_a_400(text: str) -> None:
    """No input brings the parser down."""
    try:
        matcher(text)(ENTRY)
    except ApiError as error:
        assert error.code == 400  # noqa: PT017 - both ways are right: no error, or this one


def fill(cloud: Cloud, many: int = 3) -> None:
    for i in range(many):
        cloud.world.logs.write("run.googleapis.com/stderr", "cloud_run_revision", {"service_name": "gemma"}, f"line {i}", "INFO")


def entries(cloud: Cloud, email: str = "you@sandbox.invalid", **body):
    request = {"resourceNames": [PROJECT], **body}
    return cloud.session(email).post(f"{cloud.world.base_url}/v2/entries:list", json=request)


def test_entries_list_orders_and_pages(cloud: Cloud) -> None:
    """Oldest first unless asked; pages join without gap or double."""
    fill(cloud, 5)
    first = entries(cloud, pageSize=2).json()
    second = entries(cloud, pageSize=9, pageToken=first["nextPageToken"]).json()
    assert [e["textPayload"] for e in first["entries"] + second["entries"]] == [f"line {i}" for i in range(5)]
    assert "nextPageToken" not in second
    newest = entries(cloud, pageSize=1, orderBy="timestamp desc").json()["entries"]
    assert [e["textPayload"] for e in newest] == ["line 4"]
    assert newest[0]["logName"] == f"{PROJECT}/logs/run.googleapis.com%2Fstderr"
    assert entries(cloud, filter='resource.type="build"').json() == {}


def test_logs_need_their_permission(cloud: Cloud) -> None:
    """Reading is a permission; so is writing."""
    assert entries(cloud, "dev@sandbox.invalid").status_code == 403
    cloud.world.iam.grant("user:dev@sandbox.invalid", "roles/logging.viewer", PROJECT)
    assert entries(cloud, "dev@sandbox.invalid").status_code == 200
    written = {"logName": "x", "resource": {"type": "global"}, "entries": [{"jsonPayload": {"a": 1}, "severity": "ERROR"}]}
    url = f"{cloud.world.base_url}/v2/entries:write"
    assert cloud.session("dev@sandbox.invalid").post(url, json=written).status_code == 403
    assert cloud.session().post(url, json=written).status_code == 200
    assert entries(cloud, filter="severity>=ERROR").json()["entries"][0]["jsonPayload"] == {"a": 1}


@pytest.mark.parametrize(
    "body", [{"filtre": "x"}, {"resourceNames": ["projects/other"]}, {"orderBy": "severity"}, {"filter": "("}]
)
def test_a_list_request_that_does_not_fit_is_a_400(cloud: Cloud, body: dict) -> None:
    """Unknown key, another project, another order, a bad filter."""
    assert entries(cloud, **body).status_code == 400


def test_logs_survive_a_kill_in_the_middle_of_a_line(tmp_path: Path) -> None:
    """Half a line at the end of the file is dropped, whole ones stay, and writing goes on."""
    file = tmp_path / "logs.jsonl"
    now = SystemClock().now
    logs = Logs(file, "p", now)
    logs.write("x", "global", {}, "one")
    logs.close()
    with file.open("a") as out:
        out.write('{"textPayload": "ha')
    again = Logs(file, "p", now)
    again.write("x", "global", {}, "two")
    again.close()
    assert [e["textPayload"] for e in Logs(file, "p", now).entries("")] == ["one", "two"]
