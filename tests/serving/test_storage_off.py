"""plan where Cloud Storage's API is off: the model can't be looked at, and nothing can be enabled yet."""

import pytest

from gemmactl.errors import Exit, Trouble
from gemmactl.serving.deploy import plan
from gemmactl.spec import Serve, parse_model
from tests.fakes.cloud import FakeCloud
from tests.serving.ear import place, with_model

WISH = Serve("demo-proj", "us-central1", parse_model("gs://weights/m"), "gemma")


def test_the_way_out_is_named() -> None:
    """A deploy could enable it only after its plan, which needs the model: the remedy is the one line that enables it first."""
    cloud = with_model(FakeCloud())

    def off(call: str) -> None:
        if call.startswith("storage."):
            facts = {"status": 403, "reason": "SERVICE_DISABLED", "service": "storage.googleapis.com"}
            raise Trouble("off", why="never enabled", remedy="gemmactl deploy enables it", code="api-disabled", facts=facts)

    cloud.before_call = off
    with pytest.raises(Trouble) as caught:
        plan(WISH, place(cloud), again="")
    assert caught.value.exit is Exit.REFUSED
    assert caught.value.remedy == "gcloud services enable storage.googleapis.com --project=demo-proj"
    assert cloud.writes == []
