"""A bucket of another project: where it is, as its refusal tells."""

from __future__ import annotations

from gemmactl.errors import Trouble
from gemmactl.serving.regions import Question, regions
from tests.serving.ear import place
from tests.serving.test_regions import MODEL, project


def test_a_bucket_of_another_project_is_where_its_refusal_says() -> None:
    """Public weights are often somebody else's: the distance is known, and nothing about the bucket is called unknown."""
    cloud = project()

    def refuse(name: str) -> None:
        if name == "storage.bucket":
            facts = {"location": "EUROPE-WEST4", "pair": []}
            raise Trouble("another's", why="x", remedy="x", code="bucket-of-another-project", facts=facts)

    cloud.before_call = refuse
    result = regions(place(cloud), Question(MODEL))
    assert "europe-west4" in result.next[0]
    assert result.data["bucket"]["location"].lower() == "europe-west4"
    assert not any("bucket" in name for name in result.data["unknown"])
