"""Following a run to its end on the in-memory cloud: further starts, Ctrl-C, a connection that is gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gemmactl.errors import Exit, Trouble
from tests.tune.running import Desk, train


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def _refused(desk: Desk, **flags: Any) -> Trouble:
    with pytest.raises(Trouble) as caught:
        desk.run(**flags)
    return caught.value


def test_attempts_that_are_used_up_are_begun_anew(desk: Desk) -> None:
    """An execution that reached its deadline with progress is started again, and that is said."""

    def out_of_time() -> None:
        desk.tell(train(20, 2.0))
        desk.attempt(why="deadline")
        desk.end(75)

    desk.played = [out_of_time, desk.done]
    assert desk.run(max_hours=3.0).exit is Exit.OK
    assert len(desk.cloud.state.executions) == 2
    assert any("started again as finetune-sql-00002" in line for line in desk.ear.said)


@pytest.mark.parametrize(
    "attempt",
    [{"why": "deadline", "seconds": 3 * 3600.0}, {"why": "deadline", "step": 0}, {"why": "killed"}],
    ids=["max-hours", "no-progress", "killed"],
)
def test_what_would_end_alike_is_not_begun_anew(desk: Desk, attempt: dict[str, Any]) -> None:
    """max_hours is kept; without progress, or killed without a word, a person decides."""

    def over() -> None:
        desk.attempt(**attempt)
        desk.end(75)

    desk.played = [over]
    caught = _refused(desk, max_hours=3.0)
    assert (caught.code, caught.exit) == ("run-stopped", Exit.FAILURE)
    assert caught.remedy.startswith("gemmactl finetune resume sql --project demo-proj")
    assert len(desk.cloud.state.executions) == 1


def test_ctrl_c_leaves_it_running(desk: Desk) -> None:
    """Exit 130; it says how to come back and how to stop it; nothing was cancelled."""

    def pressed() -> None:
        raise KeyboardInterrupt

    desk.played = [pressed]
    caught = _refused(desk)
    assert (caught.exit, caught.code) == (Exit.INTERRUPTED, "interrupted")
    assert "gemmactl finetune status sql --project demo-proj" in caught.remedy
    assert [c for c in desk.cloud.calls if c.name == "jobs.cancel"] == []


def test_a_connection_that_is_gone_for_a_moment_ends_nothing(desk: Desk) -> None:
    """A look that fails is made again, however many there were before; half a minute without an answer is told."""
    down = [False]

    def before(name: str) -> None:
        if down[0] and name in ("jobs.execution", "jobs.executions"):
            raise Trouble("no network", why="dns", remedy="wait", code="network")

    desk.cloud.before_call = before

    def fall() -> None:
        down[0] = True

    def rise() -> None:
        down[0] = False

    desk.played = [*(fall, rise) * 8, desk.done]
    assert desk.run().exit is Exit.OK
    desk.played = [fall]
    desk.run(follow=False, again=True)
    down[0] = False
    desk.played = [fall]
    assert _refused(desk, again=True).code == "network"
