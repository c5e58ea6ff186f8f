"""A plan's file after its deploy came to the end."""

from __future__ import annotations

from pathlib import Path

from gemmactl.errors import Exit
from tests.fakes.cloud import FakeCloud
from tests.serving.ear import with_model
from tests.serving.test_plan_file import apply, planned


def test_a_plan_that_was_done_changes_nothing_the_second_time(tmp_path: Path) -> None:
    """Also where APIs of the checks alone were wished beside the first deploy: they are no part of a deploy without changes."""
    cloud = with_model(FakeCloud())
    cloud.enforce_apis = True
    cloud.state.apis |= {"storage.googleapis.com", "logging.googleapis.com", "serviceusage.googleapis.com"}
    path = planned(tmp_path, cloud)
    assert "cloudquotas.googleapis.com" in path.read_text()
    assert apply(path, cloud).exit is Exit.OK
    cloud.calls.clear()
    assert (apply(path, cloud).exit, cloud.writes) == (Exit.OK, [])
