"""The other engine: its command line, its container against the codelab's, and the laws over its stack."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gemmactl import vllm
from gemmactl.kernel.plan import Op, make_plan, make_teardown
from gemmactl.resources.cloud import BucketInfo, PolicyTarget
from gemmactl.resources.service import Service, parse
from gemmactl.resources.service_body import lean
from gemmactl.spec import Serve, Token, parse_model
from tests.fakes.cloud import FakeCloud
from tests.golden.replay import golden
from tests.resources.wishes import SPEC, TOKEN, changes, deployed, go, stack

WISH = replace(SPEC, engine="vllm", context=8192, concurrency=32)
HUB = replace(WISH, model=parse_model("hf:google/gemma-2b@abc123"), hf_token=Token(TOKEN), context=None)
NAME = "projects/demo-proj/locations/us-central1/services/gemma-3-4b"

# What vLLM 0.26.0's own parser (vllm.entrypoints.openai.cli_args.make_arg_parser) made of our command lines, run on 2026-11-25
# from the wheel's sources; it refused the same line with one unknown flag more. Values are as it parsed them.
ACCEPTED = {
    "--served-model-name": ["gemma-3-4b"],
    "--host": "0.0.0.0",
    "--port": 8080,
    "--dtype": "bfloat16",
    "--max-model-len": 8192,
    "--max-num-seqs": 32,
    "--gpu-memory-utilization": 0.9,
    "--load-format": "runai_streamer",
    "--model-loader-extra-config": {"memory_limit": 8589934592},
}


@pytest.fixture
def cloud() -> FakeCloud:
    made = FakeCloud(enforce_apis=True)
    made.state.buckets["weights"] = BucketInfo("weights", "us-central1")
    return made


def service(spec: Serve = WISH) -> Service:
    return next(r for r in stack(spec) if isinstance(r, Service))


def flags(spec: Serve = WISH) -> dict[str, str]:
    """The flags of a wish's container."""
    (container,) = service(spec).containers or ()
    return dict(word.split("=", 1) for word in container.args or () if word.startswith("--"))


def test_the_command_line_is_one_that_vllms_parser_took() -> None:
    """Model first, then exactly the flags that were tried, with values that read as the parser read them."""
    (container,) = service().containers or ()
    assert (container.command, (container.args or ())[:2]) == (("vllm",), ("serve", "gs://weights/gemma-3-4b"))
    found = flags()
    assert found.keys() == ACCEPTED.keys()
    for flag, value in ACCEPTED.items():
        text = found[flag]
        match value:
            case [name]:
                assert text == name
            case dict():
                assert json.loads(text) == value
            case _:
                assert type(value)(text) == value


def test_a_model_of_the_hub_is_downloaded_by_vllm_itself() -> None:
    """Owner and name, the revision as a flag, no streamer, no offline mode, and the token as a secret."""
    (container,) = service(HUB).containers or ()
    assert (container.args or ())[:2] == ("serve", "google/gemma-2b")
    found = flags(HUB)
    assert (found["--revision"], found["--max-model-len"]) == ("abc123", "auto")
    assert "--load-format" not in found
    names = {e.name for e in container.env or ()}
    assert "HF_TOKEN" in names
    assert "HF_HUB_OFFLINE" not in names


def test_the_context_is_read_back_from_a_command_line() -> None:
    """A number is the wish; auto and a line without the flag are none."""
    assert vllm.context(vllm.arguments(WISH, "gs://b/m", "m")) == 8192
    assert vllm.context(vllm.arguments(HUB, "hf:a/b", "b")) is None
    assert vllm.context(()) is None


@pytest.mark.parametrize(("container", "runs"), [({"command": ["vllm"]}, True), ({"command": ["python3"]}, False), ({}, False)])
def test_the_engine_is_what_the_container_runs(container: dict[str, object], runs: bool) -> None:
    """Not a label, which may stay behind."""
    assert vllm.runs(container) is runs


# Against golden 31, the codelab's service with vLLM: every field that both have and in which they differ, and why.
DIFFERENT = {
    "image": "Google's build of 2025-05-05, by its tag; ours is vLLM's own, pinned",
    "command": "the demo server that its authors say not to serve with; ours is `vllm serve`",
    "args": "weights from a mounted bucket; ours stream, with a context, a data type and a limit of requests",
    "env": "theirs has MODEL_ID; ours carries where the model is, for status and doctor",
}
ONLY_THEIRS = {
    "ports": "8000 and http1; ours listens on 8080, which the API fills in",
    "volumeMounts": "no volume: weights stream",
}
ONLY_OURS = {"startupProbe": "theirs has none, so a port that opens is enough"}


def test_the_container_against_the_codelabs() -> None:
    """Differences from the recorded body are on a list with their reasons; resources and offline mode agree."""
    (theirs,) = golden("31")["template"]["containers"]
    (ours,) = lean(service(replace(WISH, cpu=8, memory="32Gi")).body())["template"]["containers"]
    assert set(theirs) - set(ours) == set(ONLY_THEIRS)
    assert set(ours) - set(theirs) == set(ONLY_OURS)
    limits = ours["resources"].pop("limits")
    assert limits == theirs["resources"].pop("limits")
    assert (ours.pop("resources"), theirs.pop("resources")) == ({"startupCpuBoost": True}, {})
    assert {key for key in set(ours) & set(theirs) if ours[key] != theirs[key]} == set(DIFFERENT)
    assert {"name": "HF_HUB_OFFLINE", "value": "1"} in ours["env"]
    assert {"name": "HF_HUB_OFFLINE", "value": "1"} in theirs["env"]


def test_command_and_arguments_survive_a_round_trip() -> None:
    """JSON -> type -> JSON, so that a difference in them is a real one."""
    body = lean(service().body())
    assert lean(parse(service(), body).body()) == body


def test_nothing_is_built(cloud: FakeCloud) -> None:
    """The official image by its tag: no build, repository or build account, and their APIs stay off."""
    assert {r.kind for r in stack(WISH)} == {"apis", "service_account", "iam_member", "service"}
    deployed(cloud, WISH)
    assert cloud.state.services[NAME]["template"]["containers"][0]["image"] == vllm.IMAGE
    assert not {api for api in cloud.state.apis if api.startswith(("cloudbuild", "artifactregistry"))}


@pytest.mark.parametrize("spec", [WISH, HUB, replace(WISH, image="example.com/vllm:mine")])
def test_a_second_plan_is_empty(cloud: FakeCloud, spec: Serve) -> None:
    """Arguments and server defaults included."""
    deployed(cloud, spec)
    cloud.calls.clear()
    assert changes(make_plan(stack(spec), cloud)) == {}
    assert cloud.writes == []


def test_the_streamer_may_read_the_bucket_itself(cloud: FakeCloud) -> None:
    """It calls get_bucket(): storage.buckets.get is in no object role, so the account has one more role on that bucket."""
    deployed(cloud, WISH)
    held = cloud.state.policies[PolicyTarget("bucket", "weights")]
    assert {"roles/storage.objectViewer", "roles/storage.legacyBucketReader"} <= set(held)
    assert not [g for g in stack(HUB) if g.kind == "iam_member" and "bucket" in g.address]


@pytest.mark.parametrize("known", [WISH, SPEC])
def test_destroy_leaves_nothing_of_ours(cloud: FakeCloud, known: Serve) -> None:
    """Also when only the model is known, as after an unfinished deploy: both roles on the bucket go."""
    deployed(cloud, WISH)
    plan = make_teardown(stack(known, teardown=True), cloud)
    assert go(plan, cloud).ok
    assert [cloud.state.accounts, cloud.state.services, cloud.state.repositories] == [{}] * 3
    assert not [m for roles in cloud.state.policies.values() for members in roles.values() for m in members]
    assert {s.address for s in plan.steps if s.op is Op.RETAIN} == {"apis"}


def test_another_context_is_a_difference_of_the_arguments(cloud: FakeCloud) -> None:
    """Only they change, and after the apply nothing differs."""
    deployed(cloud, WISH)
    later = replace(WISH, context=4096)
    assert changes(make_plan(stack(later), cloud)) == {"service us-central1/gemma-3-4b": ("args",)}
    deployed(cloud, later)
    assert changes(make_plan(stack(later), cloud)) == {}


def test_a_service_that_changes_its_engine_keeps_nothing_of_the_other(cloud: FakeCloud) -> None:
    """The command of one would not start in the image of the other."""
    deployed(cloud, WISH)
    deployed(cloud, SPEC)
    (container,) = cloud.state.services[NAME]["template"]["containers"]
    assert not container.get("command")
    assert not container.get("args")
    assert changes(make_plan(stack(SPEC), cloud)) == {}


FUSE = replace(WISH, loader="fuse")
# the line of FUSE was given to the same parser on 2026-11-26: it took it, and refused another value of this flag
ACCEPTED_MOUNTED = {"--safetensors-load-strategy": "eager"}
AT_THE_ROOT = replace(FUSE, model=parse_model("gs://weights"))


def test_a_mounted_folder() -> None:
    """The model's folder alone is shown, read-only; vLLM reads a path, with no word of the streamer."""
    body = lean(service(FUSE).body())["template"]
    assert body["volumes"] == [
        {"name": "model", "gcs": {"bucket": "weights", "readOnly": True, "mountOptions": ["only-dir=gemma-3-4b"]}}
    ]
    (container,) = body["containers"]
    assert container["volumeMounts"] == [{"name": "model", "mountPath": "/mnt/model"}]
    assert container["args"][:2] == ["serve", "/mnt/model"]
    found = flags(FUSE)
    assert found["--safetensors-load-strategy"] == "eager"
    assert not {"--load-format", "--model-loader-extra-config"} & found.keys()
    assert found.keys() - ACCEPTED_MOUNTED.keys() <= ACCEPTED.keys()
    assert {"name": "GEMMACTL_MODEL", "value": "gs://weights/gemma-3-4b"} in container["env"]
    assert "mountOptions" not in lean(service(AT_THE_ROOT).body())["template"]["volumes"][0]["gcs"]


def test_a_mount_asks_for_no_right_on_the_bucket_itself(cloud: FakeCloud) -> None:
    """roles/storage.objectViewer is what Cloud Run's page on mounts asks for."""
    deployed(cloud, FUSE)
    held = cloud.state.policies[PolicyTarget("bucket", "weights")]
    assert {role for role, members in held.items() if members} == {"roles/storage.objectViewer"}


@pytest.mark.parametrize(("first", "then"), [(FUSE, WISH), (WISH, FUSE), (FUSE, SPEC), (FUSE, FUSE)])
def test_from_one_loader_to_the_other(cloud: FakeCloud, first: Serve, then: Serve) -> None:
    """Volume, mount and arguments go and come together; after each apply nothing differs."""
    deployed(cloud, first)
    deployed(cloud, then)
    assert changes(make_plan(stack(then), cloud)) == {}
    template = cloud.state.services[NAME]["template"]
    assert bool(template.get("volumes")) is (then.loader == "fuse")
    assert bool(template["containers"][0].get("volumeMounts")) is (then.loader == "fuse")


def test_the_loader_is_read_back_from_a_command_line() -> None:
    """The path is the mount's own."""
    assert vllm.loader(vllm.arguments(FUSE, "gs://b/m", "m")) == "fuse"
    assert vllm.loader(vllm.arguments(WISH, "gs://b/m", "m")) == "stream"
    assert vllm.loader(()) == "stream"
