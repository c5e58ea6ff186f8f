"""export: a live service as YAML on stdout, and the law that deploying it again changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gemmactl.errors import Trouble
from gemmactl.result import Verbatim
from gemmactl.serving.deploy import deploy
from gemmactl.serving.export import export
from gemmactl.serving.from_yaml import deploy as deploy_yaml
from gemmactl.serving.from_yaml import plan as plan_yaml
from gemmactl.spec import Serve, parse_model
from tests.fakes.cloud import FakeCloud
from tests.knative.sheets import codelab, sheet
from tests.serving.ear import Answers, Ear, place, settings, with_model
from tests.serving.test_from_yaml import SERVICE as CODELAB
from tests.serving.test_from_yaml import with_weights

WISH = Serve("demo-proj", "us-central1", parse_model("gs://weights/m"), "gemma")
SERVICE = "projects/demo-proj/locations/us-central1/services/gemma"
COMPLETION = {"choices": [{"text": "Ich", "finish_reason": "length"}], "usage": {"completion_tokens": 24}, "model": "m"}


def exported(cloud: FakeCloud, folder: Path, name: str, ear: Ear | None = None) -> str:
    """The file; the document has the same text."""
    result = export(place(cloud), settings(folder), name, ear or Ear())
    (block,) = result.blocks
    assert isinstance(block, Verbatim)
    assert result.data["yaml"] == block.text
    return block.text


@pytest.mark.parametrize("engine", ["gemmactl", "vllm"])
def test_an_exported_service_is_planned_empty(tmp_path: Path, engine: Any) -> None:
    """Every field that Cloud Run shows is in the file as it is: with our label, image by digest, account and all."""
    cloud = with_model(FakeCloud())
    wish = Serve("demo-proj", "us-central1", parse_model("gs://weights/m"), "gemma", engine=engine, engine_given=True)
    deploy(wish, place(cloud, Answers(content=COMPLETION) if engine == "vllm" else None), Ear(), yes=True)
    ear = Ear()
    found = sheet(exported(cloud, tmp_path, "gemma", ear))
    assert not [line for line in ear.said if "not in the file" in line]
    cloud.calls.clear()
    assert plan_yaml(found, place(cloud), again="").data["changes"] == 0
    assert cloud.writes == []


def test_the_codelabs_service_too(tmp_path: Path) -> None:
    """One that gemmactl did not make is exported all the same."""
    cloud = with_weights(FakeCloud())
    deploy_yaml(codelab(), place(cloud), Ear(), yes=True)
    found = sheet(exported(cloud, tmp_path, "serve-gemma-sql"))
    assert plan_yaml(found, place(cloud), again="").data["changes"] == 0
    cloud.state.services[CODELAB]["template"]["scaling"]["maxInstanceCount"] = 3
    assert plan_yaml(found, place(cloud), again="").data["changes"] == 1


def test_what_the_file_leaves_out_is_told(tmp_path: Path) -> None:
    """A field that gemmactl does not carry is named on stderr; a revision's own name and mark are nobody's wish."""
    cloud = with_weights(FakeCloud())
    deploy_yaml(codelab(), place(cloud), Ear(), yes=True)
    cloud.state.services[CODELAB]["scaling"] = {"scalingMode": "AUTOMATIC"}  # what `start` leaves, and no wish
    template = cloud.state.services[CODELAB]["template"]
    template |= {"sessionAffinity": True, "revision": "x-1", "labels": {"gemmactl-retry-of": "x-0"}}
    template["containers"][0]["readinessProbe"] = {"periodSeconds": 3}
    ear = Ear()
    text = exported(cloud, tmp_path, "serve-gemma-sql", ear)
    told = {line.split(": ")[1].split(",")[0] for line in ear.said if "not in the file" in line}
    assert told == {"template.sessionAffinity", "template.containers[0].readinessProbe"}
    assert "retry" not in text


def test_a_service_that_is_not_there_is_no_file(tmp_path: Path) -> None:
    """A sentence, and nothing on stdout."""
    with pytest.raises(Trouble) as caught:
        export(place(FakeCloud()), settings(tmp_path), "gone", Ear())
    assert caught.value.code == "service-missing"
