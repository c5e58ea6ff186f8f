"""What went wrong while a ready service served: by its newest error lines, with their time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from gemmactl.doctor.live import ERRORS, Looked, looked
from gemmactl.doctor.served import ERRORS as MOST
from gemmactl.doctor.served import judged, serving
from gemmactl.resources.cloud import LogEntry
from tests.doctor.small_cloud import Logs, Run, SmallCloud
from tests.doctor.test_live import HERE, SERVICE

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
MEMORY = "Memory limit of 32768 MiB exceeded with 33010 MiB used. Consider increasing the memory limit."
TIMEOUT = "The request has been terminated because it has reached the maximum request timeout."
SYSTEM = {"logName": "projects/my-proj/logs/run.googleapis.com%2Fvarlog%2Fsystem"}
REQUESTS = {"logName": "projects/my-proj/logs/run.googleapis.com%2Frequests"}
READY = LogEntry("2026-11-20T11:00:00Z", "INFO", {"message": "ready", "timeline": {}})
SERVES: dict[str, Any] = {
    "name": SERVICE,
    "terminalCondition": {"type": "Ready", "state": "CONDITION_SUCCEEDED"},
    "latestCreatedRevision": f"{SERVICE}/revisions/gemma-00002-abc",
    "latestReadyRevision": f"{SERVICE}/revisions/gemma-00002-abc",
}


def _look(*entries: LogEntry, service: dict[str, Any] = SERVES, refuse: str = "") -> tuple[Looked, SmallCloud]:
    cloud = SmallCloud(run=Run(service), logs=Logs(entries, refuse))
    return looked(cloud, [], service=SERVICE, context=HERE, now=lambda: NOW), cloud  # type: ignore[arg-type]  # a part of a Cloud


def test_a_timeout_of_today_is_a_problem_of_a_ready_service() -> None:
    """Told with its time and how often; Cloud Run's own words are no hearsay. One call more, bounded to errors."""
    lines = [LogEntry(f"2026-11-20T11:3{n}:00.123456789Z", "ERROR", TIMEOUT, raw=REQUESTS) for n in range(3)]
    seen, cloud = _look(READY, *lines)
    (only,) = seen.findings
    assert (only.code, only.state, only.hearsay, only.remedies) == ("request-timeout", "problem", False, ())
    assert "11:32:00" in only.evidence
    assert "3 of the last 3 error lines" in only.cause
    assert dict(seen.checked)[ERRORS] == "finding"
    assert len(cloud.logs.queries) == 2
    assert sum("severity>=ERROR" in query for query in cloud.logs.queries) == 1
    assert MOST <= 50


def test_running_out_of_memory_is_not_healed_by_the_next_start() -> None:
    """A container became ready after it, and will run out of memory again; a crash before that is over."""
    entries = (
        LogEntry("2026-11-20T10:00:00Z", "ERROR", MEMORY, raw=SYSTEM),
        LogEntry("2026-11-20T10:00:01Z", "ERROR", "Uncaught signal: 11, pid=1, tid=1, fault_addr=0.", raw=SYSTEM),
        READY,
    )
    assert [(f.code, f.state) for f in _look(*entries)[0].findings] == [("host-memory", "problem")]
    after = (READY, LogEntry("2026-11-20T11:00:01Z", "ERROR", "Uncaught signal: 11, pid=1, tid=1, fault_addr=0.", raw=SYSTEM))
    assert [f.code for f in _look(*after)[0].findings] == ["process-crashed"]


def test_an_old_error_is_an_advice() -> None:
    """Nothing says whether what happened two days ago would come again; a time that can't be read counts as old."""
    for at in ("2026-11-18T10:00:00Z", "then"):
        (only,) = judged([LogEntry(at, "ERROR", MEMORY, raw=SYSTEM)], "", HERE, NOW)
        assert (only.code, only.state) == ("host-memory", "advice")
        assert at in only.cause


def test_what_a_container_prints_stays_hearsay() -> None:
    """An error that a program printed is told, and changes no setting."""
    (only,) = judged([LogEntry("2026-11-20T11:30:00Z", "ERROR", MEMORY)], "", HERE, NOW)
    assert only.hearsay
    assert not only.safe


def test_errors_are_asked_of_the_revisions_that_have_traffic() -> None:
    """A pinned revision and the newest one; one without a share is left out."""
    shares = [{"revision": "gemma-00001-xyz", "percent": 90}, {"type": "LATEST", "percent": 10}, {"revision": "gemma-00000-old"}]
    assert serving(SERVES | {"trafficStatuses": shares}) == ("gemma-00001-xyz", "gemma-00002-abc")
    assert serving(SERVES) == ("gemma-00002-abc",)
    assert serving({}) == ()
    _, cloud = _look(service=SERVES | {"trafficStatuses": shares})
    assert any('revision_name=("gemma-00001-xyz" OR "gemma-00002-abc")' in query for query in cloud.logs.queries)


def test_a_log_that_may_not_be_read_is_unknown_once() -> None:
    """Both looks at the log lack the same permission: it is named once."""
    seen, _ = _look(refuse="logging.logEntries.list")
    assert [(f.state, f.permission) for f in seen.findings] == [("unknown", "logging.logEntries.list")]


def test_a_quiet_service_is_fine() -> None:
    """No error line: looked at, and ok."""
    seen, _ = _look(READY)
    assert (seen.findings, dict(seen.checked)[ERRORS]) == ((), "ok")
