"""What a service's own YAML costs and how long it takes: told as for a deploy, as far as the file says it."""

import pytest

from gemmactl import prices
from gemmactl.serving.from_yaml import plan
from gemmactl.spec_rules import gib
from tests.fakes.cloud import FakeCloud
from tests.knative.sheets import codelab
from tests.serving.ear import place
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
