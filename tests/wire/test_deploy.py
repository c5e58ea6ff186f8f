"""The whole main job at the wire: an unmodified process, real host names, recorded; the sandbox answers behind the proxy."""

from __future__ import annotations

import base64
import contextlib
import json
from pathlib import Path

import pytest

from tests.house.test_hosts import documented
from tests.knative.sheets import CODELAB, ENVIRON
from tests.wire.conftest import SAMPLE, Desk, reads

CANARY = "hf_" + "Canary7Kq" * 4


def holders(folder: Path, what: bytes = CANARY.encode()) -> list[Path]:
    """Files that hold the canary as it is. What a running daemon puts away meanwhile holds nothing."""
    found = []
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            if path.is_file() and what in path.read_bytes():
                found.append(path)
    return found


@pytest.mark.timeout(400)
def test_deploy_at_the_wire(desk: Desk) -> None:
    """Over real host names: what nobody confirmed, a plan (3), a second deploy only read; destroy ends it; no secret shows."""
    model = desk.home / "my_model"
    model.symlink_to(SAMPLE)
    unasked = desk.run("deploy", str(model), HF_TOKEN=CANARY)
    assert (unasked.returncode, json.loads(unasked.stdout)["problems"][0]["code"]) == (2, "confirmation-needed"), unasked.stderr
    assert desk.recorder.exchanges
    pending = desk.run("plan", str(model), "--detailed-exitcode", HF_TOKEN=CANARY)
    assert (pending.returncode, json.loads(pending.stdout)["problems"]) == (3, []), pending.stdout + pending.stderr
    assert [f"{e.method} {e.host}{e.path}" for e in desk.recorder.exchanges if not reads(e)] == []
    first = desk.run("deploy", str(model), "--yes", HF_TOKEN=CANARY)
    assert first.returncode == 0, first.stderr + first.stdout
    document = json.loads(first.stdout)
    assert (document["target"], document["ok"]) == ("cloud", True)
    assert document["data"]["smoke"]["text"]
    for verb in (
        ("status",),
        ("logs",),
        ("regions",),
        ("doctor",),
        ("generate", "Hi", "--name", "my-model"),
    ):
        desk.run(*verb)
    names = {h for h in desk.recorder.hosts if not h.startswith("oauth2.")}
    assert {"run.googleapis.com", "storage.googleapis.com", "secretmanager.googleapis.com", "iam.googleapis.com"} <= names
    assert {"serviceusage.googleapis.com", "cloudbuild.googleapis.com", "artifactregistry.googleapis.com"} <= names

    writes_of_first = [e for e in desk.recorder.exchanges if not reads(e)]
    assert writes_of_first
    desk.recorder.exchanges.clear()
    plan = desk.run("plan", str(model), "--detailed-exitcode", HF_TOKEN=CANARY)
    assert plan.returncode == 0, plan.stdout + plan.stderr
    second = desk.run("deploy", str(model), "--yes", HF_TOKEN=CANARY)
    assert second.returncode == 0, second.stderr
    assert [e for e in desk.recorder.exchanges if not reads(e)] == []

    # the cloud's side too: service, logs and daemon; the secret itself is stored encoded
    cloud = desk.home.parent / "sandbox"
    assert holders(cloud, base64.b64encode(CANARY.encode()))
    assert holders(cloud) == []

    desk.recorder.exchanges.clear()
    gone = desk.run("destroy", "my-model", "--yes")
    assert gone.returncode == 0, gone.stdout + gone.stderr
    assert desk.recorder.tunnels <= documented(), "each host stands in docs/hosts.md"
    past_the_proxy = set((desk.home.parent / "heard").read_text().split()) - {"127.0.0.1", "::1"}
    assert past_the_proxy == set(), "every connection is one to the proxy, or to the sandbox's own service"

    with_payload = [e for e in writes_of_first if CANARY.encode() in e.body or base64.b64encode(CANARY.encode()) in e.body]
    assert [e.path.partition("?")[0].rpartition(":")[2] for e in with_payload] == ["addVersion"]
    for run in (pending, first, plan, second, gone):
        assert CANARY not in run.stdout + run.stderr
    assert holders(desk.home) == []


def test_no_credentials_is_said_before_anything_is_asked(desk: Desk) -> None:
    """Without credentials the exit code is 4, the two commands that help are named, and no API was called."""
    out = desk.run("plan", "gs://some-bucket/model", GOOGLE_APPLICATION_CREDENTIALS="", NO_GCE_CHECK="true")
    document = json.loads(out.stdout)
    assert out.returncode == 4, out.stdout + out.stderr
    assert document["problems"][0]["code"] == "no-credentials"
    assert "gcloud auth application-default login" in document["problems"][0]["remedy"]
    assert desk.recorder.exchanges == []


def test_modernise_asks_for_the_digest_of_its_image(desk: Desk) -> None:
    """Both verbs do; behind this proxy no registry answers, and both say that the tag is deployed."""
    (desk.home / "service.yaml").write_text(CODELAB)
    for verb in ("plan", "deploy"):
        done = desk.run(verb, "--from-yaml", "service.yaml", "--modernise", **ENVIRON)
        assert "image-by-tag: mirror.gcr.io does not tell the digest" in done.stderr, done.stdout + done.stderr
