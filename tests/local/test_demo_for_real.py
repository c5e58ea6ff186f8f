"""`gemmactl sandbox demo` as a user runs it: the real server, the real model, the pretended cloud."""

import json
from pathlib import Path
from typing import Any

import pytest

from gemmactl.local.demo import one_of_each
from tests.app.shell import Ran, Shell

CANARY = "hf_CANARYcanaryCANARYcanary"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """One run for all the checks; a token of the user's environment has nothing to do with it."""
    shell = Shell(tmp_path_factory.mktemp("demo"), limit=230)
    return shell("sandbox", "demo", "--format", "json", HF_TOKEN=CANARY)


def data(ran: Ran, verb: str, which: int = 0) -> dict[str, Any]:
    commands = [c for c in ran.document()["data"]["commands"] if c["argv"][0] == verb]
    found: dict[str, Any] = commands[which]["data"]
    return found


def test_it_ends_well(ran: Ran) -> None:
    """Exit 0, target sandbox, the exit codes of the story, and no secret in any sink."""
    assert ran.code == 0, ran.err
    document = ran.document()
    assert document["target"] == "sandbox"
    assert [c["exit"] for c in document["data"]["commands"]] == [0, 0, 0, 0, 0, 0, 1, 6, 0, 0, 0, 0]
    assert CANARY not in ran.out + ran.err


def test_the_answers_are_the_memorised_ones(ran: Ran) -> None:
    """Through upload, deploy, streaming load and HTTP every type answers exactly."""
    assert [data(ran, "generate", i)["text"] for i in range(4)] == [e["answer"] for e in one_of_each()]


def test_doctor_names_principal_permission_and_role(ran: Ran) -> None:
    """The denied role is found by the plan and by the container's last word."""
    findings = [f for f in data(ran, "doctor")["findings"] if f["state"] == "problem"]
    assert {f["role"] for f in findings} == {"roles/storage.objectViewer"}
    assert all(f["principal"].startswith("serviceAccount:gm-demo-gemma-") for f in findings)
    assert data(ran, "doctor", 1)["holds"] == data(ran, "doctor", 1)["done"]


def test_plan_after_all_is_empty_and_destroy_keeps_the_model(ran: Ran) -> None:
    """No change is pending; the models' bucket is kept and listed."""
    assert data(ran, "plan")["changes"] == 0
    steps = {s["address"]: s["op"] for s in data(ran, "destroy")["steps"]}
    assert [op for address, op in steps.items() if "gemmactl-models" in address and address.startswith("bucket")] == ["retain"]
    assert steps["service us-central1/demo-gemma"] == "delete"


def test_what_is_pretended_is_said(ran: Ran) -> None:
    """On stderr, before anything runs."""
    assert ran.err.splitlines()[0] == "SANDBOX (this machine, no cloud, $0)"
    assert "memorised" in ran.err
    assert "pretended" in ran.err


def test_nothing_is_left_behind(ran: Ran) -> None:
    """No process of the demo's sandbox lives on, once the last one has had its moment to end."""
    import os
    import time

    def command(pid: str) -> str:
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""

    home = json.dumps(ran.document()["data"].get("home", ""))
    assert home

    def left() -> list[str]:
        lives = [command(pid) for pid in os.listdir("/proc") if pid.isdigit()]  # noqa: PTH208 - names of processes, not paths
        return [line for line in lives if ran.document()["data"]["home"] in line]

    # the lock goes before the interpreter does
    for _ in range(200):
        if not left():
            break
        time.sleep(0.05)
    assert not left()
