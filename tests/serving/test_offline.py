"""doctor without a login: the refusal stays, and what this machine alone tells stands beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gemmactl.errors import Exit
from gemmactl.gcp.errors import no_credentials
from gemmactl.result import Item, Result
from gemmactl.serving.offline import KEY_FILE, LOGIN, without_login
from gemmactl.settings import load
from tests.serving.ear import Ear


def _look(folder: Path, gcloud: str | None = "/usr/bin/gcloud", **environ: str) -> Result:
    settings = load(environ, folder, folder)
    return without_login(no_credentials(), settings, folder, Ear(), "my-proj", None, which=lambda _: gcloud)


def _ends(result: Result) -> dict[str, Any]:
    return {one["check"]: one["end"] for one in result.data["checked"]}


def _said(result: Result) -> str:
    return "\n".join(block.head for block in result.blocks if isinstance(block, Item))


def test_the_refusal_stays_and_says_how_to_go_on(tmp_path: Path) -> None:
    """Exit 4 with the same problem; no finding is invented; an error's text needs no login."""
    seen = _look(tmp_path)
    assert (seen.exit, [problem.code for problem in seen.problems]) == (Exit.REFUSED, [LOGIN])
    assert seen.data["findings"] == []
    assert "--from-log" in str(seen.blocks[-1])
    assert _ends(seen) == {"login file": "finding", "gcloud": "ok"}


def test_gcloud_that_is_not_installed_is_told(tmp_path: Path) -> None:
    """Where it is not on the path: where to get it."""
    seen = _look(tmp_path, gcloud=None)
    assert _ends(seen)["gcloud"] == "finding"
    assert "not installed" in _said(seen)


@pytest.mark.parametrize(
    ("content", "end", "words"),
    [
        (None, "finding", "which is not there: correct or unset"),
        ('{"type":', "finding", "is no login"),
        ("[]", "finding", "is no login"),
        ('{"type": "frob", "private_key": "canary"}', "finding", "an unknown type"),
        ('{"type": "service_account", "private_key": "canary"}', "ok", "service_account"),
    ],
)
def test_the_file_of_the_login_is_judged_by_its_type_alone(tmp_path: Path, content: str | None, end: str, words: str) -> None:
    """Absent, cut off, of another kind, or fine; nothing that it holds is shown."""
    file = tmp_path / "key.json"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    seen = _look(tmp_path, **{KEY_FILE: str(file)})
    assert _ends(seen)["login file"] == end
    assert words in _said(seen)
    assert "canary" not in json.dumps(seen.document())


def test_settings_and_a_models_directory_are_judged(tmp_path: Path) -> None:
    """A setting that is not legal by the rule of a deploy, and a folder that is no model."""
    model = tmp_path / "m"
    model.mkdir()
    (model / "config.json").write_text("{", encoding="utf-8")
    file = tmp_path / "gemmactl.yaml"
    file.write_text(f"model: {model}\nmemory: lots\n", encoding="utf-8")
    seen = _look(tmp_path)
    assert (_ends(seen)["gemmactl.yaml"], _ends(seen)["model"]) == ("finding", "finding")
    assert "'lots' is not a size" in _said(seen)
    assert "gemmactl inspect" in _said(seen)
    file.write_text("model: gs://weights/m\nmemory: 32Gi\n", encoding="utf-8")
    assert {k: v for k, v in _ends(_look(tmp_path)).items() if k in ("gemmactl.yaml", "model")} == {"gemmactl.yaml": "ok"}
    file.write_text("memory: 32Gi\n", encoding="utf-8")
    assert _ends(_look(tmp_path))["gemmactl.yaml"] == "unknown"
