"""copy to a hub, with huggingface_hub itself in a process of its own: weights first, the manifest in the last commit."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gemmactl.checkpoint.manifest import RANGE
from tests.app.shell import Shell
from tests.inference_image import fake_storage
from tests.local.fake_hub_writes import Repository, WritableHub

pytest.importorskip("huggingface_hub", reason="part of the extra `local`")

SHARD = random.Random(5).randbytes(RANGE + 1000)
FILES = {"config.json": b"{}", "model.safetensors": SHARD, "tokenizer.json": b"[]"}


@pytest.fixture
def hub() -> Repository:
    return Repository(tokens={"Bearer hf_secret"})


@pytest.fixture
def environ(hub: Repository) -> Iterator[dict[str, str]]:
    with fake_storage.running(hub, WritableHub) as here:
        yield {"HF_ENDPOINT": here, "HF_TOKEN": "hf_secret", "HF_HUB_DISABLE_TELEMETRY": "1"}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    for name, data in FILES.items():
        (tmp_path / "src" / name).write_bytes(data)
    return tmp_path / "src"


def copy(shell: Shell, model: Path, environ: dict[str, str], *flags: str) -> tuple[int, dict[str, Any]]:
    ran = shell("copy", str(model), "hf:owner/name", "--format", "json", *flags, **environ)
    assert "hf_secret" not in ran.out + ran.err
    return ran.code, json.loads(ran.out)


def test_to_a_hub(tmp_path: Path, hub: Repository, environ: dict[str, str], model: Path) -> None:
    """Byte-exact; the manifest comes with the last commit; again changes nothing; another file is refused, then replaced."""
    shell = Shell(tmp_path)
    code, document = copy(shell, model, environ)
    assert (code, document["data"]["copied"]) == (0, ["model.safetensors", "tokenizer.json", "config.json"]), document
    assert {n: d for n, d in hub.objects.items() if n != "gemmactl/manifest.json"} == FILES
    assert hub.commits == [["model.safetensors"], ["tokenizer.json", "config.json", "gemmactl/manifest.json"]]
    assert copy(shell, model, environ)[1]["data"]["copied"] == []
    assert len(hub.commits) == 2
    (model / "config.json").write_bytes(b"[]")
    code, document = copy(shell, model, environ)
    assert (code, document["problems"][0]["code"], len(hub.commits)) == (4, "copy-differs", 2)
    assert copy(shell, model, environ, "--overwrite")[0] == 0
    assert (hub.objects["config.json"], hub.commits[2]) == (b"[]", ["gemmactl/manifest.json"])


def test_a_commit_of_somebody_else_and_a_token_that_may_not_write(
    tmp_path: Path, hub: Repository, environ: dict[str, str], model: Path
) -> None:
    """Neither is passed over: nothing of ours is committed."""
    hub.race = True
    code, document = copy(Shell(tmp_path), model, environ)
    assert (code, document["problems"][0]["code"], hub.commits) == (1, "copy-raced", [["theirs"]])
    code, document = copy(Shell(tmp_path), model, {**environ, "HF_TOKEN": ""})
    assert (code, document["problems"][0]["code"]) == (4, "hub-access")
    assert "HF_TOKEN" in document["problems"][0]["why"]
