"""Which hosts a deploy of each kind contacts, at the wire: those that docs/hosts.md lists for it, and no other."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import pytest

from gemmactl import vllm
from gemmactl.local.hub import SITE
from gemmactl.sandbox.faults import Fault
from tests.house.test_hosts import documented
from tests.inference_image.fake_storage import Bucket, running
from tests.local.fake_hub import Hub
from tests.wire.conftest import SAMPLE, Terminal

HUB = urlsplit(SITE).netloc
KEY = "projects/gemmactl-sandbox/locations/us-central1/keyRings/ring/cryptoKeys/models"
KMS = "cloudkms.googleapis.com"
ONLY_WHEN_ASKED = {vllm.MIRROR, HUB, KMS, "compute.googleapis.com", "sts.googleapis.com", "iamcredentials.googleapis.com"}


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ((str(SAMPLE), "--engine", "vllm"), vllm.MIRROR),
        (("hf:owner/name",), HUB),
        ((str(SAMPLE), "--kms-key", KEY), KMS),
    ],
    ids=["vllm", "hf", "kms-key"],
)
def test_a_deploy_contacts_what_is_listed_for_it(terminal: Terminal, words: tuple[str, ...], asked: str) -> None:
    """All up to the service itself, which Cloud Run refuses here: no container needs to start for that."""
    terminal.world.faults.add(Fault("POST /v2/.*/services", "INVALID_ARGUMENT", "not today", times=0))
    hub = Bucket()
    for file in SAMPLE.iterdir():
        hub.put(file.name, file.read_bytes())
    with running(hub, Hub) as address:
        terminal.recorder.beside[HUB] = address.removeprefix("http://")
        done = terminal.run("deploy", *words, "--name", "gemma", "--yes", **({"HF_TOKEN": "hf_x"} if asked == HUB else {}))
    (problem,) = json.loads(done.stdout)["problems"]
    assert "not today" in problem["why"]
    assert terminal.recorder.tunnels <= documented()
    assert terminal.recorder.tunnels & ONLY_WHEN_ASKED == {asked}
    assert terminal.heard <= {"127.0.0.1"}, "every connection is one to the proxy"
