"""A repository's clean-up policy on its way to Artifact Registry and back. Knows no image."""

from __future__ import annotations

import json
from typing import Any

from google.cloud.artifactregistry_v1 import CleanupPolicy

from gemmactl.gcp.cloud import connect
from gemmactl.resources.cloud import RepositoryInfo
from tests.gcp.scripted import scripted

NAME = "projects/p/locations/us-central1/repositories/gemmactl"
THEIRS = {"id": "keep-release", "action": "KEEP", "condition": {"tagState": "TAGGED", "tagPrefixes": ["release"]}}


def test_policies_of_other_names_stay() -> None:
    """A change sends the whole map of policies: what somebody else put there goes along as it is."""
    kept: dict[str, Any] = {"name": NAME, "format": "DOCKER", "cleanupPolicies": {"keep-release": THEIRS}}

    def answer(method: str, path: str, body: Any) -> tuple[int, Any]:
        if method == "PATCH":
            kept.update(body)
        return 200, kept

    with scripted(answer) as script:
        cloud = connect("p", script)
        cloud.repositories.update(RepositoryInfo(NAME, "DOCKER", {"managed-by": "gemmactl"}, 10, 90))
        found = cloud.repositories.get(NAME)
    sent = CleanupPolicy.to_dict(CleanupPolicy.from_json(json.dumps(kept["cleanupPolicies"]["keep-release"])))
    assert sent == CleanupPolicy.to_dict(CleanupPolicy.from_json(json.dumps(THEIRS)))
    assert {*kept["cleanupPolicies"]} == {"keep-release", "keep-newest", "delete-old"}
    assert found == RepositoryInfo(NAME, "DOCKER", {"managed-by": "gemmactl"}, 10, 90)
