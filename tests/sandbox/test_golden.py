"""What real gcloud sends for the seeds' commands is understood, field by field, and answered in the same form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Cloud

RECORDINGS = json.loads((Path(__file__).parent / "golden" / "gcloud.json").read_text())["recordings"]


def replay(cloud: Cloud, name: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Send a recording's requests, with this sandbox's project and the etag that was read; (answer, recorded answer) each."""
    told = []
    etag = ""
    for exchange in RECORDINGS[name]["exchanges"]:
        body = json.loads(json.dumps(exchange["body"]).replace("demo-proj", "gemmactl-sandbox"))
        if body and "etag" in body.get("policy", {}):
            body["policy"]["etag"] = etag
        url = cloud.world.base_url + exchange["path"].replace("demo-proj", "gemmactl-sandbox")
        answer = cloud.session().request(exchange["method"], url, params=exchange["query"], json=body)
        assert answer.status_code == 200, answer.text
        etag = answer.json().get("etag", "")
        told.append((answer.json(), exchange["response"]))
    return told


@pytest.mark.parametrize("name", sorted(RECORDINGS))
def test_gclouds_requests_are_answered_in_the_form_it_expects(cloud: Cloud, name: str) -> None:
    """Every key of the recorded answer that is not empty stands in ours, at the top and in an operation's response."""
    if not name.startswith("20"):
        cloud.enable("artifactregistry", "secretmanager", "iam")
    for earlier in {"23": ["22"], "24": ["21", "22"]}.get(name[:2], []):
        replay(cloud, next(n for n in RECORDINGS if n.startswith(earlier)))
    for ours, theirs in replay(cloud, name):
        for key in ("response", None):
            have, want = (ours.get(key, {}), theirs.get(key, {})) if key else (ours, theirs)
            missing = {k for k, v in want.items() if v not in ({}, [], "", None)} - have.keys()
            # `displayName` of an account is sent and told back; the recorder invented a mode that is no mode
            assert missing <= {"mode"}, (name, missing)


def test_enabling_twice_in_one_request_is_told_as_asked(cloud: Cloud) -> None:
    """A request of gcloud names an API twice; the answer has six services, all enabled."""
    name = next(n for n in RECORDINGS if n.startswith("20"))
    ((ours, theirs),) = replay(cloud, name)
    assert ours["done"] is True
    states = [(s["config"]["name"], s["state"]) for s in ours["response"]["services"]]
    assert states == [(s["name"].rpartition("/")[2], s["state"]) for s in theirs["response"]["services"]]
