"""init: what it finds, what it asks, what it writes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gemmactl import stack
from gemmactl.commands.described import described
from gemmactl.errors import Exit, Trouble
from gemmactl.kernel.apply import apply
from gemmactl.kernel.plan import make_plan
from gemmactl.resources.cloud import Account, BucketInfo
from gemmactl.serving.deploy import plan
from gemmactl.serving.init import Target, init, of_credentials, project
from gemmactl.serving.models_there import models_there
from gemmactl.serving.preflight import look
from gemmactl.serving.wishes import wishes
from gemmactl.settings import load
from inference_image.contract import ENV_MODEL
from tests.fakes.cloud import FakeCloud
from tests.serving.ear import SAMPLE, Answers, Ear, place, settings, with_model

EXPLAINED = {key: (one.words, one.takes) for key, one in described().items()}


def run(folder: Path, cloud: FakeCloud, ear: Ear | None = None, **flags: Any) -> Mapping[str, Any]:
    """One init in an empty folder; the settings that it found."""
    result = init(place(cloud), settings(folder / "none"), flags, Target(folder, EXPLAINED), ear or Ear())
    assert result.exit is Exit.OK
    assert cloud.writes == []
    found: Mapping[str, Any] = result.data["settings"]
    return {key: one["value"] for key, one in found.items()}


def store(cloud: FakeCloud, bucket: str, *names: str, location: str = "us-central1") -> None:
    cloud.storage.create_bucket(BucketInfo(bucket, location))
    for name in names:
        cloud.storage.write(bucket, name, b"{}")
    cloud.calls.clear()


def test_one_model_and_a_known_project_need_no_question(tmp_path: Path) -> None:
    """The only folder with a config and weights, a region with room near its bucket, a name after the folder."""
    cloud = with_model(FakeCloud())
    store(cloud, "data", "m/notes.txt", "adapter/adapter_config.json", "adapter/adapter_model.safetensors", "half/config.json")
    ear = Ear()
    assert run(tmp_path, cloud, ear) == {
        "project": "demo-proj",
        "model": "gs://weights/m",
        "region": "us-central1",
        "name": "m",
    }
    assert ear.asked == []


def test_the_file_is_what_deploy_reads_and_explains_the_rest(tmp_path: Path) -> None:
    """Read back by deploy's own code; every setting that is not in force is there as a comment with its words."""
    run(tmp_path, with_model(FakeCloud()))
    wish = wishes(load({}, tmp_path, tmp_path), {}, Ear())
    assert (wish.project, wish.name, wish.model.uri, wish.region) == ("demo-proj", "m", "gs://weights/m", "us-central1")
    text = (tmp_path / "gemmactl.yaml").read_text()
    for key in EXPLAINED:
        assert f"\n{key.replace('_', '-')}: " in text or f"\n#{key.replace('_', '-')}: " in text, key
    assert "# from: the only model in the project's buckets\nmodel: gs://weights/m\n" in text
    assert max(map(len, text.splitlines())) <= 130
    assert "$schema" not in text


def test_a_commented_setting_works_once_its_sign_is_away(tmp_path: Path) -> None:
    """`#max-instances: N` becomes `max-instances: 2`."""
    run(tmp_path, with_model(FakeCloud()))
    file = tmp_path / "gemmactl.yaml"
    file.write_text(file.read_text().replace("#max-instances: N", "max-instances: 2"))
    assert wishes(load({}, tmp_path, tmp_path), {}, Ear()).max_instances == 2


def test_several_models_are_asked_about(tmp_path: Path) -> None:
    """By number, or any other place; a number that is none is refused; nobody there: the flag and the models are named."""
    cloud = with_model(FakeCloud())
    store(cloud, "second", "x/config.json", "x/model.safetensors")
    assert run(tmp_path / "a", cloud, Ear(answers=["2"]))["model"] == "gs://weights/m"
    assert run(tmp_path / "b", cloud, Ear(answers=[""]))["model"] == "gs://second/x"
    assert run(tmp_path / "c", cloud, Ear(answers=["hf:google/gemma-3-4b-it"]))["name"] == "gemma-3-4b-it"
    for answer, code in (("7", "choice-illegal"), ("ftp://x", "model-uri")):
        with pytest.raises(Trouble) as caught:
            run(tmp_path / "d", cloud, Ear(answers=[answer]))
        assert caught.value.code == code
    with pytest.raises(Trouble) as caught:
        run(tmp_path / "d", cloud)
    assert "gemmactl init MODEL" in caught.value.remedy
    assert not (tmp_path / "d").exists() or not list((tmp_path / "d").iterdir())


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path) -> None:
    for name in "abcd":
        (tmp_path / name).mkdir()


def test_the_region_follows_quota_and_bucket(tmp_path: Path) -> None:
    """A bucket elsewhere draws it there; a region that is said stays; one without GPUs is refused and nothing is written."""
    cloud = FakeCloud()
    cloud.storage.create_bucket(BucketInfo("weights", "europe-west4"))
    for path in SAMPLE.iterdir():
        cloud.storage.write("weights", f"m/{path.name}", path)
    cloud.calls.clear()
    assert run(tmp_path / "a", cloud)["region"] == "europe-west4"
    assert run(tmp_path / "b", cloud, region="us-east4")["region"] == "us-east4"
    with pytest.raises(Trouble) as caught:
        run(tmp_path / "c", cloud, region="europe-north1")
    assert caught.value.exit is Exit.USAGE
    assert not (tmp_path / "c" / "gemmactl.yaml").exists()


def test_a_file_that_is_there_is_not_lost(tmp_path: Path) -> None:
    """Refused before anything is asked; --force writes over it, also over one that can't be read."""
    file = tmp_path / "gemmactl.yaml"
    file.write_text("not: [a setting")
    with pytest.raises(Trouble) as caught:
        Target(tmp_path, EXPLAINED).check()
    assert (caught.value.code, caught.value.exit) == ("file-exists", Exit.USAGE)
    Target(tmp_path, EXPLAINED, force=True).check()
    run(tmp_path, with_model(FakeCloud()))
    assert "model: gs://weights/m" in file.read_text()


def test_the_schema_lies_beside_it_when_asked_for(tmp_path: Path) -> None:
    """And the file names it for editors, the screen for whoever asked."""
    target = Target(tmp_path, EXPLAINED, schema={"type": "object"})
    result = init(place(with_model(FakeCloud())), settings(tmp_path / "none"), {}, target, Ear())
    assert "gemmactl.schema.json beside it" in str(result.blocks)
    assert json.loads((tmp_path / "gemmactl.schema.json").read_text()) == {"type": "object"}
    assert "# yaml-language-server: $schema=gemmactl.schema.json\n" in (tmp_path / "gemmactl.yaml").read_text()


def test_where_the_project_comes_from(tmp_path: Path) -> None:
    """Settings, then the credentials' own file, then a question; what can't be one is refused."""
    known = settings(tmp_path, GOOGLE_CLOUD_PROJECT="from-environment")
    assert str(project(known, None, tmp_path, Ear())) == "from-environment (GOOGLE_CLOUD_PROJECT)"
    empty = settings(tmp_path)
    assert str(project(empty, None, tmp_path, Ear(answers=["typed-project"]))) == "typed-project (typed)"
    with pytest.raises(Trouble) as caught:
        project(empty, None, tmp_path, Ear(answers=["My Project"]))
    assert caught.value.code == "project-illegal"
    with pytest.raises(Trouble) as caught:
        project(empty, None, tmp_path, Ear())
    assert "--project PROJECT_ID" in caught.value.remedy
    (tmp_path / ".config" / "gcloud").mkdir(parents=True)
    file = tmp_path / ".config" / "gcloud" / "application_default_credentials.json"
    file.write_text('{"type": "authorized_user", "quota_project_id": "from-login"}')
    assert str(project(empty, None, tmp_path, Ear())) == "from-login (the application default credentials)"
    file.write_text('["not", "ours"]')
    assert of_credentials({}, tmp_path) is None


def test_what_could_not_be_looked_into_is_told(tmp_path: Path) -> None:
    """A bucket that is closed hides no other; without the list of buckets MODEL is asked for."""
    cloud = with_model(FakeCloud())
    closed = 0

    def refuse(name: str) -> None:
        nonlocal closed
        closed += name == "storage.list"
        if name == "storage.buckets" or (name == "storage.list" and closed == 1):
            raise Trouble("may not look", why="denied", remedy="x", facts={"status": 403})

    cloud.before_call = refuse
    found = models_there(cloud)
    assert (found.models, found.unseen) == ((), ("the project's buckets: may not look",))
    ear = Ear(answers=["gs://weights/m"])
    closed = 5
    assert run(tmp_path, cloud, ear)["model"] == "gs://weights/m"
    assert any("not looked into" in line for line in ear.said)


def serving(cloud: FakeCloud, name: str, region: str, model: str, **more: Any) -> None:
    """A service of ours."""
    full = f"projects/demo-proj/locations/{region}/services/{name}"
    box = {"env": [{"name": ENV_MODEL, "value": model}]}
    cloud.state.services[full] = {"name": full, "labels": {"managed-by": "gemmactl"}, "template": {"containers": [box], **more}}


def test_the_service_that_serves_the_model_keeps_its_name_and_region(tmp_path: Path) -> None:
    """A deploy of the file changes that one, and makes no second; it is said. --name, or another region, means another one."""
    cloud = with_model(FakeCloud())
    serving(cloud, "chat", "europe-west4", "gs://weights/m", nodeSelector={"accelerator": "nvidia-rtx-pro-6000"})
    serving(cloud, "other", "us-central1", "gs://weights/else")
    ear = Ear()
    found = run(tmp_path / "a", cloud, ear)
    assert (found["name"], found["region"], found["gpu_type"]) == ("chat", "europe-west4", "nvidia-rtx-pro-6000")
    assert any("service chat in europe-west4 serves this model" in line for line in ear.said)
    assert run(tmp_path / "b", cloud, name="new")["name"] == "new"
    assert run(tmp_path / "c", cloud, region="us-central1")["name"] == "m"


def test_a_service_of_another_model_or_one_of_several_is_told_and_not_taken(tmp_path: Path) -> None:
    """The file names a new one; what would name the one that is there is said."""
    cloud, ear = with_model(FakeCloud()), Ear()
    serving(cloud, "chat", "us-central1", "gs://weights/else")
    assert run(tmp_path / "a", cloud, ear)["name"] == "m"
    assert any("--name chat --region us-central1 would give this model to it" in line for line in ear.said)
    for name in ("one", "two"):
        serving(cloud, name, "us-central1", "gs://weights/m")
    assert run(tmp_path / "b", cloud, ear)["name"] == "m"
    assert any("2 services serve this model" in line for line in ear.said)


LIVE: Mapping[str, Mapping[str, Any]] = {
    "as deploy makes it": {},
    "sizes": {"cpu": "6", "memory": "20Gi", "concurrency": "3", "max_context": "2048"},
    "instances": {"max_instances": "2", "min_instances": "1"},
    "time": {
        "timeout": "20m",
        "startup_probe": "httpGet.path=/ready,httpGet.port=8080,timeoutSeconds=3,periodSeconds=4,failureThreshold=90",
    },
    "who": {"auth": "public", "ingress": "internal", "network": "default", "subnet": "gpus", "vpc_egress": "all-traffic"},
    "callers": {"invoker": ["user:a@example.com", "group:b@example.com"]},
    "the container": {
        "set_env_vars": "^;^A=1,2;GEMMACTL_MAX_QUEUE=9",
        "set_secrets": "KEY=my-key:3",
        "quantize": "int8",
        "skip_unverified": True,
        "override": ["generation_config.json:eos_token_id=[1,106]"],
    },
    "accounts": {"service_account": "own@demo-proj.iam.gserviceaccount.com"},
    "vLLM": {"engine": "vllm", "loader": "fuse", "max_context": "1024"},
    "keys": {"auth": "api-key"},
}


@pytest.mark.parametrize("what", LIVE)
def test_a_plan_of_the_file_changes_nothing_of_the_service(what: str, tmp_path: Path) -> None:
    """Whatever the service was deployed with stands in the file; what it has by default does not."""
    flags = {"project": "demo-proj", "name": "chat", "model": "gs://weights/m", **LIVE[what]}
    cloud = with_model(FakeCloud())
    cloud.state.accounts["own@demo-proj.iam.gserviceaccount.com"] = Account("own@demo-proj.iam.gserviceaccount.com", "")
    cloud.secrets.create("projects/demo-proj/secrets/my-key", "us-central1", {})
    here = place(cloud, Answers(404) if "engine" in flags else None)
    wish = wishes(settings(tmp_path / "none"), flags, Ear())
    apply(make_plan(stack.serving(look(wish, cloud).wish), cloud), cloud)
    cloud.calls.clear()
    found = run(tmp_path, cloud)
    back = wishes(load({}, tmp_path, tmp_path), {}, Ear())
    planned = plan(back, here, again="", detailed=True)
    changed = [step for step in planned.data["steps"] if step["op"] != "keep"]
    assert changed == []
    said = {key for key in LIVE[what] if key != "override"}
    assert said <= set(found)
    if not LIVE[what]:
        assert set(found) == {"project", "model", "region", "name"}


def test_the_service_that_is_named_gives_its_settings_too(tmp_path: Path) -> None:
    """One of several that serve the model, by --name; a name that is none of theirs is a new service's."""
    cloud = with_model(FakeCloud())
    for name in ("one", "two"):
        serving(cloud, name, "us-central1", "gs://weights/m", timeout="77s")
    assert run(tmp_path / "a", cloud, name="two")["timeout"] == "77"
    assert "timeout" not in run(tmp_path / "b", cloud, name="three")
