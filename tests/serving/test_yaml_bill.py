"""A service's own YAML says as much as a deploy: what it costs, how long it takes, and the words of a container that failed."""

import pytest

from gemmactl import prices
from gemmactl.errors import Exit
from gemmactl.resources.cloud import LogEntry
from gemmactl.result import Item
from gemmactl.serving.from_yaml import deploy, plan
from gemmactl.spec_rules import gib
from tests.fakes.cloud import FakeCloud
from tests.knative.sheets import codelab
from tests.serving.ear import Ear, place
from tests.serving.rolling import FAILURE
from tests.serving.test_from_yaml import with_weights


def test_a_files_plan_says_how_long_and_how_much() -> None:
    """Hour, month and ceiling of the GPU that the file asks for; what the container loads is not known, and said so."""
    shown = plan(codelab(), place(with_weights(FakeCloud())), again="again")
    costs = shown.data["costs"]
    hour, ceiling = costs["instance_hour"]["usd"], costs["ceiling_month"]
    limits = (codelab().service.containers or ())[0].resources
    assert limits is not None
    listed = prices.per_hour("nvidia-l4", int(limits.cpu or 0), gib(limits.memory or ""), "us-central1").usd
    assert hour == pytest.approx(listed, rel=1e-3)
    assert ceiling["usd"] == pytest.approx(hour * 730 * ceiling["instances"], rel=1e-3)
    said = str(shown.blocks)
    assert "time and money on Google Cloud" in said
    assert "start: not known" in said


def test_a_files_container_that_fails_is_heard() -> None:
    """Its words are on the screen, not only the exception's last line; nothing is said of a smoke test that files have not."""
    cloud = with_weights(FakeCloud())
    words = "Traceback (most recent call last):\n  File 'x.py', line 1\nValueError: no model_type"
    cloud.state.logs = [('revision_name="serve-gemma-sql-00001-tst"', LogEntry("1", "ERROR", words))]
    cloud.rollout = FAILURE
    result = deploy(codelab(), place(cloud), Ear(), yes=True)
    item = next(b for b in result.blocks if isinstance(b, Item) and b.head == "what serve-gemma-sql-00001-tst wrote")
    assert (result.exit, item.lines[-1]) == (Exit.GATE, "ValueError: no model_type")
    assert "smoke test" not in str(result.blocks)
