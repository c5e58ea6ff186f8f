"""--adapter from the flag to the container's variable, the account's rights and back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gemmactl import stack
from gemmactl.errors import Exit, Trouble
from gemmactl.kernel.plan import make_plan
from gemmactl.resources.cloud import BucketInfo, PolicyTarget
from gemmactl.serving.deploy import deploy, plan
from gemmactl.serving.destroy import destroy
from gemmactl.serving.recall import recalled
from gemmactl.serving.status import status
from gemmactl.serving.wishes import wishes
from gemmactl.spec import Serve, parse_model
from tests.fakes.cloud import FakeCloud
from tests.inference_image import loras
from tests.serving.ear import Ear, place, settings, with_model

WISH = Serve("demo-proj", "us-central1", parse_model("gs://weights/m"), "gemma")
BASE: dict[str, Any] = {"model": "gs://weights/m", "project": "my-project"}
READER = "roles/storage.objectViewer"


def adapters(*pairs: str) -> tuple[Any, ...]:
    return tuple((name, parse_model(where)) for name, _, where in (one.partition("=") for one in pairs))


def stored(cloud: FakeCloud, tmp_path: Path, bucket: str, **config: Any) -> FakeCloud:
    """An adapter on the sample model in gs://BUCKET/lora."""
    if bucket not in cloud.state.buckets:
        cloud.storage.create_bucket(BucketInfo(bucket, "us-central1"))
    for path in loras.written(tmp_path / bucket, **config).iterdir():
        cloud.storage.write(bucket, f"lora/{path.name}", path)
    cloud.calls.clear()
    return cloud


def variables(cloud: FakeCloud) -> dict[str, str]:
    live = next(iter(cloud.state.services.values()))
    return {one["name"]: one.get("value", "") for one in live["template"]["containers"][0]["env"]}


@pytest.mark.parametrize(
    ("flags", "environ", "file"),
    [
        ({"adapter": ["korean=gs://buck/k", "sql=hf:o/n"]}, {}, ""),
        ({"set_env_vars": "A=1,GEMMACTL_ADAPTERS=korean=gs://buck/k sql=hf:o/n"}, {}, ""),
        ({}, {"GEMMACTL_ADAPTERS": "korean=gs://buck/k\nsql=hf:o/n"}, ""),
        ({}, {}, "adapters:\n  korean: gs://buck/k\n  sql: hf:o/n\n"),
        ({"adapter": ["korean=gs://buck/k", "sql=hf:o/n"]}, {"GEMMACTL_ADAPTERS": "x=gs://yyy"}, "adapters: z=gs://zzz"),
    ],
)
def test_every_way_to_name_adapters(flags: dict[str, Any], environ: dict[str, str], file: str, tmp_path: Path) -> None:
    """Flag, variable and gemmactl.yaml mean the same, the flag wins; the container's variable is written by the stack alone."""
    if file:
        (tmp_path / "gemmactl.yaml").write_text(file)
    found = wishes(settings(tmp_path, **environ), {**BASE, **flags}, Ear())
    assert found.adapters == adapters("korean=gs://buck/k", "sql=hf:o/n")
    assert "GEMMACTL_ADAPTERS" not in dict(found.env)


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        ({"adapter": ["gs://buck/k"]}, "adapter-illegal"),
        ({"adapter": ["Korean=gs://buck/k"]}, "adapter-illegal"),
        ({"adapter": ["k=gs://buck/k", "k=gs://buck/l"]}, "adapter-illegal"),
        ({"adapter": ["k="]}, "adapter-illegal"),
        ({"adapter": ["k=s3://a/k"]}, "model-uri"),
        ({"adapter": ["m=gs://buck/k"]}, "adapter-name"),
        ({"adapter": ["k=gs://buck/k"], "engine": "vllm"}, "adapter-with-vllm"),
        ({"adapter": ["k=gs://buck/k"], "set_env_vars": "GEMMACTL_ADAPTERS=k=gs://buck/k"}, "env-twice"),
        ({"set_env_vars": "GEMMACTL_ADAPTERS=nonsense"}, "adapter-illegal"),
    ],
)
def test_what_is_refused_before_any_call(flags: dict[str, Any], code: str, tmp_path: Path) -> None:
    """A usage error that says what was given and how it is written."""
    with pytest.raises(Trouble) as caught:
        wishes(settings(tmp_path), {**BASE, **flags}, Ear())
    assert (caught.value.code, caught.value.exit) == (code, Exit.USAGE)


def test_the_container_is_told_and_its_account_may_read_each_bucket_once(tmp_path: Path) -> None:
    """Two adapters in one bucket are one grant, one beside the model is none more; what a live service shows is the same wish."""
    cloud = stored(stored(with_model(FakeCloud()), tmp_path, "loras"), tmp_path, "weights")
    wish = replace(WISH, adapters=adapters("a=gs://loras/lora", "b=gs://loras/lora/", "c=gs://weights/lora"))
    here = place(cloud)
    result = deploy(wish, here, Ear(), yes=True)
    assert result.exit is Exit.OK, result.problems
    told = {"a": "gs://loras/lora", "b": "gs://loras/lora", "c": "gs://weights/lora"}
    assert json.loads(variables(cloud)["GEMMACTL_ADAPTERS"]) == told
    for bucket in ("loras", "weights"):
        (member,) = cloud.policies.members(PolicyTarget("bucket", bucket), READER)
        assert member.startswith("serviceAccount:gm-gemma")
    live = next(iter(cloud.state.services.values()))
    assert make_plan(stack.serving(recalled(here, "gemma", live)), cloud).work == ()
    assert status(here, settings(tmp_path), "gemma", Ear()).data["adapters"] == told
    assert destroy(here, settings(tmp_path), None, Ear(), yes=True).exit is Exit.OK
    assert not cloud.policies.members(PolicyTarget("bucket", "loras"), READER)


def test_a_directory_is_uploaded_two_files_of_it(tmp_path: Path) -> None:
    """Into a folder that its content names; without a service, model and adapters say what is to be removed."""
    folder = loras.written(tmp_path / "korean")
    (folder / "tokenizer.json").write_text("{}")
    cloud, wish = with_model(FakeCloud()), replace(WISH, adapters=(("korean", parse_model(str(folder))),))
    here = place(cloud)
    assert deploy(wish, here, Ear(), yes=True).exit is Exit.OK
    uri = json.loads(variables(cloud)["GEMMACTL_ADAPTERS"])["korean"]
    assert uri.startswith("gs://demo-proj-gemmactl-models-us-central1/adapters/korean-")
    bucket, _, prefix = uri.removeprefix("gs://").partition("/")
    names = {one.name.removeprefix(f"{prefix}/") for one in cloud.storage.list(bucket, f"{prefix}/")}
    assert names == {loras.CONFIG, loras.WEIGHTS}
    assert plan(wish, here, again="").data["changes"] == 0
    cloud.state.services.clear()
    flag = [f"korean={folder}"]
    destroy(here, settings(tmp_path), "gemma", Ear(), model="gs://weights/m", adapters=flag, yes=True)
    assert not cloud.policies.members(PolicyTarget("bucket", bucket), READER)


def test_an_adapter_of_another_base_is_refused_before_any_change(tmp_path: Path) -> None:
    """Looked into like the model itself, in the adapter's own words."""
    cloud = stored(with_model(FakeCloud()), tmp_path, "loras", use_dora=True)
    with pytest.raises(Trouble) as caught:
        deploy(replace(WISH, adapters=adapters("a=gs://loras/lora")), place(cloud), Ear(), yes=True)
    assert (caught.value.code, caught.value.exit) == ("adapter-kind", Exit.REFUSED)
    assert cloud.writes == []


def test_an_adapter_of_another_release_is_refused_by_its_name_unless_asked_for(tmp_path: Path) -> None:
    """Its shapes fit: the names tell. The container's variable lets it through, and the plan says what was let through."""
    cloud = stored(with_model(FakeCloud(), "gemma-3-1b-it"), tmp_path, "loras", base_model_name_or_path="google/gemma-3-1b-pt")
    wish = replace(WISH, model=parse_model("gs://weights/gemma-3-1b-it"), adapters=adapters("a=gs://loras/lora"))
    with pytest.raises(Trouble) as caught:
        plan(wish, place(cloud), again="")
    assert (caught.value.code, caught.value.exit) == ("adapter-base", Exit.REFUSED)
    assert "google/gemma-3-1b-pt" in caught.value.what
    assert cloud.writes == []
    insisted = plan(replace(wish, env=(("GEMMACTL_ADAPTER_ANY_BASE", "1"),)), place(cloud), again="")
    (warned,) = [one for one in insisted.data["model_findings"] if one["code"] == "adapter-base"]
    assert (warned["severity"], warned["what"][:33]) == ("warning", "adapter a: it was trained on goog")


def test_adapters_are_counted_in_the_gpus_memory(tmp_path: Path) -> None:
    """In float32, whatever the model's dtype is, and told as such."""
    cloud = stored(with_model(FakeCloud()), tmp_path, "loras")
    result = plan(replace(WISH, adapters=adapters("a=gs://loras/lora")), place(cloud), again="", explain=True)
    assert result.data["sizing"]["weights_bytes"] == 845632 * 2 + 4 * 4 * (128 + 128)
    assert any("adapters 0.0 MB in float32" in row["how"] for row in result.data["sizing"]["arithmetic"])
