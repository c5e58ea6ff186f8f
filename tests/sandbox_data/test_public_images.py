"""Images that everybody may pull: who reads them, what stands in for them, and whole deploys of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from gemmactl import vllm
from gemmactl.client import openai
from gemmactl.commands.doctor import examined
from gemmactl.errors import Exit, Trouble
from gemmactl.gcp.cloud import connect
from gemmactl.resources.cloud import BucketInfo, PolicyTarget
from gemmactl.result import Result
from gemmactl.sandbox import vllm_standin
from gemmactl.sandbox.apis_api import switch_on
from gemmactl.sandbox.endpoint import Endpoint
from gemmactl.sandbox.public_images import VERTEX
from gemmactl.sandbox.world import World
from gemmactl.serving import from_yaml
from gemmactl.serving.deploy import deploy, plan
from gemmactl.serving.modern_image import pinned
from gemmactl.serving.place import Place
from gemmactl.serving.traffic import rollback
from gemmactl.settings import Value
from gemmactl.spec import Serve, parse_model
from tests.knative.sheets import CODELAB, sheet
from tests.sandbox_data.conftest import boot, shut
from tests.serving.ear import SAMPLE, Ear, settings

P, REGION = "gemmactl-sandbox", "us-central1"
WISH = Serve(P, REGION, parse_model("gs://weights/m"), "gemma", engine="vllm", engine_given=True)
NAME = f"projects/{P}/locations/{REGION}/services/gemma"
YAML = f"projects/{P}/locations/{REGION}/services/serve-gemma-sql"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made, server = boot(tmp_path / "home", pace=0.3)
    for api in ("storage", "artifactregistry", "run"):
        switch_on(made, f"{api}.googleapis.com")
    yield made
    shut(made, server)


@pytest.fixture
def here(world: World) -> Place:
    cloud = connect(P, Endpoint(world.base_url, P, world.number, secret=world.secret))
    for bucket, prefix in (("weights", "m/"), ("codelab", "")):
        cloud.storage.create_bucket(BucketInfo(bucket, REGION))
        for path in SAMPLE.iterdir():
            cloud.storage.write(bucket, f"{prefix}{path.name}", path)
    return Place(Value(P, "--project"), Value(REGION, "default"), "sandbox", cloud)


def served(result: Result) -> Result:
    assert result.exit is Exit.OK, [str(p) for p in result.problems]
    return result


def test_everybody_reads_the_public_repository_and_nobody_writes(here: Place, world: World) -> None:
    """Its tag stands for a digest, of one platform that starts; a tag that is not there is none; its policy is not shown."""
    read = here.cloud.repositories
    digest = read.digest(VERTEX)
    assert digest
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", digest)
    assert read.platforms(VERTEX) == ("linux/amd64",)
    assert read.digest(VERTEX.replace("RC00", "RC99")) is None
    parent = "projects/vertex-ai/locations/us/repositories/vertex-vision-model-garden-dockers"
    assert world.iam.holds("user:anybody@example.com", "artifactregistry.repositories.downloadArtifacts", parent)
    for permission in ("artifactregistry.repositories.uploadArtifacts", "artifactregistry.repositories.getIamPolicy"):
        assert not world.iam.holds("user:you@sandbox.invalid", permission, parent)
    # of another registry only what something stands in for is started
    body = {"template": {"containers": [{"image": "docker.io/library/nginx:1"}], "serviceAccount": world.compute_account}}
    with pytest.raises(Trouble, match=r"what stands in for vLLM's, not docker.io/library/nginx:1"):
        here.cloud.run.create(f"projects/{P}/locations/{REGION}", "web", body)


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["serve", "gs://b/m", "--port=80"], {"model": "gs://b/m", "port": "80"}),
        (["--model", "/m", "--x", "--y=1"], {"model": "/m", "x": "", "y": "1"}),
    ],
)
def test_the_stand_in_takes_vllms_command_line(argv: list[str], told: dict[str, str]) -> None:
    """Both ways to write a value, and the model behind `serve`."""
    assert vllm_standin.options(argv) == told


def test_the_stand_in_looks_for_the_model_where_it_is_told(tmp_path: Path) -> None:
    """A folder without config.json, or with one that names no kind, ends its start in the words of vLLM's own library."""
    for content in (None, "{", "[]", "{}"):
        if content is not None:
            (tmp_path / "config.json").write_text(content)
        with pytest.raises(vllm_standin.ModelUnreadable, match=r"Should have a `model_type` key"):
            vllm_standin.require_model(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "gemma3"}')
    vllm_standin.require_model(str(tmp_path))
    vllm_standin.require_model("google/gemma-3-1b-it")


@pytest.mark.parametrize("route", [vllm.CHAT, vllm.COMPLETIONS])
def test_the_stand_in_answers_in_vllms_form(route: str) -> None:
    """The client reads it as it reads vLLM's, and it says what it is; another name than the served one is not found."""
    status, document = vllm_standin.answer(route, {"model": "m"}, "m")
    found = openai.fields(document, "text")
    assert status == 200
    assert found
    assert (found["text"], found["model"]) == (vllm_standin.TEXT, "m")
    assert vllm_standin.answer(route, {"model": "other"}, "m")[0] == 404
    assert vllm_standin.answer("/v1/nothing", {}, "m")[0] == 404


@pytest.mark.long
@pytest.mark.timeout(200)
def test_vllm_from_the_plan_to_the_way_back(here: Place, world: World, tmp_path: Path) -> None:
    """Plan, deploy, a prompt by vLLM's route, the same again, another revision, the old one again; the mounted bucket; doctor."""
    ear = Ear()
    assert plan(WISH, here, again="x", detailed=True).exit is Exit.PENDING
    first = served(deploy(WISH, here, ear, yes=True))
    assert first.data["smoke"]["text"] == vllm_standin.TEXT
    assert any("stands in" in line for line in ear.said)
    again = served(deploy(WISH, here, Ear(), yes=True))
    assert not again.data["done"]
    one = (here.cloud.run.get(NAME) or {})["latestReadyRevision"].rpartition("/")[2]
    served(deploy(replace(WISH, loader="fuse"), here, Ear(), yes=True))
    live = here.cloud.run.get(NAME) or {}
    two = live["latestReadyRevision"].rpartition("/")[2]
    assert live["template"]["containers"][0]["args"][:2] == ["serve", vllm.MOUNT]
    back = served(rollback(here, settings(tmp_path), "gemma", Ear(), yes=True))
    assert back.data["smoke"]["text"] == vllm_standin.TEXT
    shares = {t.get("revision"): t.get("percent") for t in (here.cloud.run.get(NAME) or {})["trafficStatuses"]}
    assert (shares.get(one), shares.get(two)) == (100, None)
    seen = examined(here, settings(tmp_path), "gemma", Ear(), fix=False, yes=False, retry=False, for_admin=False)
    assert seen.exit is Exit.OK
    # a model that goes ends the next start, in the words of the stand-in
    here.cloud.storage.delete("weights", "m/config.json")
    world.containers.stop(f"{NAME}/revisions/{one}")
    lines: list[Any] = []
    with pytest.raises(Exception, match="failed the configured startup probe"):
        world.containers.ensure(f"{NAME}/revisions/{one}")
    lines = [str(entry.payload) for entry in here.cloud.logs.entries('resource.type="cloud_run_revision"', newest=True, limit=50)]
    assert any("gs://weights/m/config.json: 404" in line for line in lines)


@pytest.mark.long
@pytest.mark.timeout(200)
def test_the_codelabs_file_unmodified_and_modernised(here: Place, world: World) -> None:
    """As written it wants a right that a new organization's default account lacks, and says which; with it, it serves under the
    codelab's route. --modernise then brings an account of its own, and a prompt that is answered.
    """
    found = sheet(CODELAB, REGION=REGION, BUCKET_NAME="codelab")
    lacking = from_yaml.deploy(found, here, Ear(), yes=True)
    assert lacking.exit is Exit.GATE
    assert "storage.objects.list" in str(lacking.problems[0].why)
    member = f"serviceAccount:{world.compute_account}"
    here.cloud.policies.add(PolicyTarget("bucket", "codelab"), "roles/storage.objectViewer", member)
    done = served(from_yaml.deploy(found, here, Ear(), yes=True))
    live = here.cloud.run.get(YAML) or {}
    assert live["template"]["containers"][0]["image"] == VERTEX
    headers = {"Authorization": f"Bearer {here.cloud.id_token(done.data['url'])}"}
    told = requests.post(f"{done.data['url']}/generate", json={"prompt": "Hi"}, headers=headers, timeout=20).json()
    assert told == {"predictions": [f"Prompt:\nHi\nOutput:\n {vllm_standin.TEXT}"]}
    modern = served(from_yaml.deploy(pinned(found, here, Ear()), here, Ear(), yes=True, modern=True))
    assert modern.data["smoke"]["text"] == vllm_standin.TEXT
    assert json.dumps(here.cloud.run.get(YAML)).count(vllm.IMAGE) >= 1
