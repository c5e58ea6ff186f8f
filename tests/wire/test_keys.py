"""A service with API keys at the wire: made, called, and its key in no place but its holder's."""

from __future__ import annotations

import base64
import json
import time
import urllib.error
import urllib.request

import pytest

from tests.wire.conftest import SAMPLE, Desk
from tests.wire.test_deploy import holders


def asked(url: str, **headers: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.long
@pytest.mark.timeout(400)
def test_a_service_that_asks_for_keys(desk: Desk) -> None:
    """Deploy --auth api-key, a key made and used; the container learns of it by itself, and no file, log or request has it."""
    model = desk.home / "my_model"
    model.symlink_to(SAMPLE)
    deployed = desk.run("deploy", str(model), "--auth", "api-key", "--yes")
    assert deployed.returncode == 0, deployed.stderr + deployed.stdout
    document = json.loads(deployed.stdout)
    assert document["data"]["smoke"]["text"]
    assert "up to $" in deployed.stderr
    url = document["data"]["url"]
    for path in ("/", "/v1/models", "/ready", "/metrics"):
        assert asked(url + path)[0] == 401
    assert asked(url + "/health")[0] == 200

    made = desk.run("keys", "create", "my-model", "--label", "ci")
    assert made.returncode == 0, made.stderr
    key = json.loads(made.stdout)["data"]["key"]
    while (found := asked(url + "/v1/models", Authorization=f"Bearer {key}"))[0] == 401:
        time.sleep(0.2)  # the file was read a moment ago, for the smoke test
    status, models = found
    assert (status, json.loads(models)["object"]) == (200, "list")
    answer = desk.run("generate", "Good morning.", "--name", "my-model", GEMMACTL_API_KEY=key)
    assert answer.returncode == 0, answer.stderr + answer.stdout
    listed = desk.run("keys", "list", "my-model")
    (row,) = json.loads(listed.stdout)["data"]["keys"]

    hidden = (key.encode(), base64.b64encode(key.encode()))
    for run in (deployed, answer, listed):
        assert key not in run.stdout + run.stderr
    assert key not in made.stderr
    assert holders(desk.home.parent, key.encode()) == []
    # the container itself is asked with the key, Google's APIs are told its hash
    google = [e for e in desk.recorder.exchanges if e.host.endswith(".googleapis.com")]
    assert not [e.path for e in google for secret in hidden if secret in e.body]
    unasked = desk.run("keys", "revoke", "my-model", row["id"])
    assert (unasked.returncode, json.loads(unasked.stdout)["problems"][0]["code"]) == (2, "confirmation-needed")
    gone = desk.run("keys", "revoke", "my-model", row["id"], "--yes")
    assert json.loads(gone.stdout)["data"]["left"] == 0
