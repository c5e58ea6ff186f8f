"""What a rollout tells while it runs, how long it is waited for, and how it is left. In memory, on a clock of its own."""

from __future__ import annotations

import _thread
from dataclasses import replace

import pytest

from gemmactl.errors import Trouble
from gemmactl.kernel import events as ev
from gemmactl.kernel.apply import apply
from gemmactl.kernel.plan import make_plan
from gemmactl.kernel.resource import Work
from gemmactl.resources.cloud import LogEntry
from gemmactl.resources.service import Service
from gemmactl.resources.service_phases import phase
from tests.fakes.cloud import FakeCloud, refusal
from tests.resources.test_service import NAME, WISH
from tests.resources.wishes import quick, work

PROGRESS = {"progress": {"stage": "read weights", "bytes_done": 3_200_000_000, "bytes_total": 8_600_000_000, "eta_s": 54.2}}
LINES = [
    LogEntry("1", "INFO", "Starting new instance. Reason: DEPLOYMENT_ROLLOUT"),
    LogEntry("2", "INFO", {"message": "x", **PROGRESS}),
    LogEntry("3", "INFO", {"message": "ready in 41.3 s", "timeline": {"ready": 41.3}}),
]


def told(cloud: FakeCloud, polls: int = 40) -> list[ev.Progress]:
    """Progress of a rollout that takes a while."""
    cloud.polls, heard = polls, []
    WISH.create(cloud, Work("s", heard.append, quick(), 10_000.0))
    return [e for e in heard if isinstance(e, ev.Progress)]


def test_a_rollout_tells_image_start_gigabytes_and_ready() -> None:
    """Each line of the new revision's log is told once it is there, with the share that is loaded; other lines are not."""
    cloud = FakeCloud()

    def write(name: str) -> None:
        if name == "logs.entries" and len(cloud.state.logs) < len(LINES):
            cloud.state.logs.append(('revision_name="s-00001-tst"', LINES[len(cloud.state.logs)]))
        if name == "run.revision":
            cloud.state.revisions[f"{NAME}/revisions/s-00001-tst"]["conditions"] = [
                {"type": "ContainerReady", "state": "CONDITION_SUCCEEDED"}
            ]

    cloud.before_call = write
    seen = [(e.text.removeprefix("s-00001-tst: "), e.fraction) for e in told(cloud)]
    assert [text for text, _ in dict.fromkeys(seen)] == [
        "rolling out",
        "container started",
        "loaded 3.2 of 8.6 GB, about 54 s to go",
        "ready 41 s after its start",
        "https://s-123456789012.us-central1.run.app",
    ]
    assert dict(seen)["loaded 3.2 of 8.6 GB, about 54 s to go"] == pytest.approx(0.372, abs=0.001)


def test_logs_that_may_not_be_read_end_nothing() -> None:
    """The rollout is told by the revision's conditions; the log is asked once, not again and again."""
    cloud = FakeCloud()

    def forbid(name: str) -> None:
        if name == "logs.entries":
            cloud.calls.append(name)  # type: ignore[arg-type]  # counted by its name alone
            raise refusal(403, "Permission 'logging.logEntries.list' denied")

    cloud.before_call = forbid
    texts = [e.text for e in told(cloud)]
    assert "s-00001-tst: image is fetched" in texts
    assert cloud.calls.count("logs.entries") == 1  # type: ignore[arg-type]  # as above


@pytest.mark.parametrize("payload", ["hello", {"progress": 7}, {"progress": {"bytes_done": "x", "bytes_total": 0}}, {}])
def test_lines_of_others_tell_nothing(payload: object) -> None:
    """Whatever a container writes under our keys, it is data."""
    assert phase(LogEntry("1", "INFO", payload)) is None  # type: ignore[arg-type]  # hostile on purpose


def test_a_rollout_without_end_is_given_up_at_its_limit() -> None:
    """The operation is polled until the service's own limit, 54 minutes, and the trouble says how to go on."""
    cloud, clock = FakeCloud(), quick()
    cloud.polls = 10**9
    with pytest.raises(Trouble) as caught:
        WISH.create(cloud, Work("s", clock=clock, deadline=Service.limit))
    assert (caught.value.code, Service.limit) == ("step-timeout", 240 + 1800 + 900 + 300)
    assert clock.now() == pytest.approx(Service.limit, abs=1)
    assert "re-attaches" in caught.value.remedy


def test_a_service_that_never_settles_is_given_up_too() -> None:
    """A rollout that an earlier deploy left behind: joined, and not for ever; the same for its removal."""
    cloud = FakeCloud()
    WISH.create(cloud, work())
    cloud.state.services[NAME]["reconciling"] = True
    live = WISH.read(cloud)
    assert live is not None
    for act in (lambda w: WISH.update(cloud, live, w), lambda w: WISH.delete(cloud, live, w)):
        clock = quick()
        cloud.rolling[f"{NAME}/operations/deleted"] = (10**9, {})
        with pytest.raises(Trouble) as caught:
            act(Work("s", clock=clock, deadline=Service.limit))
        assert caught.value.code == "step-timeout"


# --- left
@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_leaves_a_rollout_and_the_next_apply_joins_it() -> None:
    """The wait ends at once, the rollout goes on, nothing is called failed; then the same plan waits and writes nothing."""
    cloud, heard = FakeCloud(), []
    cloud.polls = 10**9

    def interrupt(name: str) -> None:
        if name == "run.finished":
            cloud.before_call = lambda _name: None
            _thread.interrupt_main()

    cloud.before_call = interrupt
    outcome = apply(make_plan([WISH], cloud), cloud, events=heard.append)
    assert (outcome.interrupted, outcome.left, outcome.failed) == (True, (WISH.address,), {})
    assert ev.Detached(WISH.address) in heard
    (operation,) = cloud.rolling
    cloud.rolling[operation] = (2, cloud.rolling[operation][1])
    cloud.calls.clear()

    def end(name: str) -> None:
        if name == "run.get" and operation in cloud.rolling:
            cloud.run.finished(operation)

    cloud.before_call = end
    assert apply(make_plan([WISH], cloud), cloud, clock=quick()).ok
    assert cloud.writes == []
    assert make_plan([replace(WISH)], cloud).work == ()
