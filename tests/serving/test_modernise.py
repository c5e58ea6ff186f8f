"""--modernise: the codelab's old service as one of ours, every change told with its reason, nothing changed twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gemmactl import vllm
from gemmactl.errors import Exit
from gemmactl.resources.service import Service
from gemmactl.resources.service_body import lean
from gemmactl.serving import old_vllm
from gemmactl.serving.destroy import destroy
from gemmactl.serving.from_yaml import deploy, plan
from gemmactl.serving.modern_image import pinned
from gemmactl.serving.modernise import WHY_IMAGE, modernise
from gemmactl.serving.vllm_flags import KNOWN
from tests.app.shell import inside
from tests.fakes.cloud import FakeCloud
from tests.knative.sheets import CODELAB, ENVIRON, codelab, sheet
from tests.resources.test_vllm import ACCEPTED
from tests.serving.ear import Answers, Ear, place, settings
from tests.serving.test_from_yaml import BUCKET, SERVICE, with_weights
from tests.serving.test_vllm_digest import DIGEST, Registry

OLD = ("python3", "-m", "vllm.entrypoints.api_server")
COMPLETION = {
    "choices": [{"text": "SELECT", "finish_reason": "length"}],
    "usage": {"completion_tokens": 24},
    "model": "new_model",
}


def placed(text: str = CODELAB) -> Service:
    """The codelab's service, or a changed one, in its project."""
    return replace(sheet(text.replace("\u00a0", " "), **ENVIRON).service, project="demo-proj")


def test_the_codelabs_service_becomes_a_modern_one() -> None:
    """`vllm serve` on the pinned image, an HTTP probe with legal numbers, GA, an account of its own; the rest as it was."""
    body = lean(modernise(placed()).service.body())
    (box,) = body["template"]["containers"]
    assert (box["image"], box["command"], box["args"][:2]) == (vllm.IMAGE, ["vllm"], ["serve", "/finetune/new_model"])
    assert {"--served-model-name=new_model", "--host=0.0.0.0", "--port=8000", "--dtype=bfloat16"} < set(box["args"])
    assert "--safetensors-load-strategy=eager" in box["args"]
    assert box["startupProbe"]["httpGet"] == {"path": "/health", "port": 8000}
    assert box["startupProbe"]["timeoutSeconds"] <= box["startupProbe"]["periodSeconds"]
    assert box["startupProbe"]["periodSeconds"] * box["startupProbe"]["failureThreshold"] == 1800
    assert {e["name"]: e["value"] for e in box["env"]} == {
        "GEMMACTL_MODEL": f"gs://{BUCKET}",
        "GEMMACTL_MODEL_NAME": "new_model",
        "HF_HUB_OFFLINE": "1",
        **vllm.ALWAYS,
    }
    assert body["launchStage"] == "GA"
    assert body["template"]["volumes"][0]["gcs"]["readOnly"] is True
    before = lean(placed().body())
    for key in ("scaling", "vpcAccess", "nodeSelector", "gpuZonalRedundancyDisabled"):
        assert body["template"][key] == before["template"][key]
    assert box["resources"]["limits"] == before["template"]["containers"][0]["resources"]["limits"]


def test_every_change_is_told_with_a_reason_and_nothing_else_is_changed() -> None:
    """What differs between the two bodies is what the list names."""
    made = modernise(placed())
    assert {change.field for change in made.changes} == {
        "command", "args", "image", "MODEL_ID", "GEMMACTL_MODEL", "GEMMACTL_MODEL_NAME", "VLLM_NO_USAGE_STATS",
        "VLLM_ENABLE_CUDA_COMPATIBILITY", "startupProbe", "startup-cpu-boost", "launch-stage", "volume fuse", "labels",
        "serviceAccountName",
    }  # fmt: skip
    assert all(change.why and change.was != change.now for change in made.changes)


def test_what_is_modern_is_changed_in_nothing() -> None:
    """Modernising the result, or a second time, finds nothing."""
    once = modernise(placed()).service
    again = modernise(once)
    assert again.changes == []
    assert (again.service, again.beside) == (once, [])


def test_it_is_deployed_proven_planned_empty_and_destroyed_whole(tmp_path: Path) -> None:
    """Account, binding and service are made and are ours; one prompt is tried; destroy leaves the bucket alone."""
    cloud, wire = with_weights(FakeCloud()), Answers(content=COMPLETION)
    result = deploy(codelab(), place(cloud, wire), Ear(), yes=True, modern=True)
    assert (result.exit, result.problems) == (Exit.OK, ())
    assert wire.sent[0][0].endswith("/v1/completions")
    assert wire.sent[0][2]["model"] == "new_model"
    assert len(cloud.state.accounts) == 1
    again = plan(codelab(), place(cloud), again="", modern=True)
    assert again.data["changes"] == 0
    assert len(again.data["modernised"]) > 10
    destroy(place(cloud), settings(tmp_path), "serve-gemma-sql", Ear(), yes=True)
    assert (cloud.state.services, cloud.state.accounts) == ({}, {})
    assert not [m for roles in cloud.state.policies.values() for members in roles.values() for m in members]
    assert cloud.storage.list(BUCKET)


def box(cloud: FakeCloud) -> str:
    return str(cloud.state.services[SERVICE]["template"]["containers"][0]["image"])


def test_the_image_is_deployed_by_the_digest_that_the_mirror_tells() -> None:
    """As `deploy MODEL` does it: the change is said and noted, and a mirror that is silent afterwards changes nothing."""
    cloud, ear = with_weights(FakeCloud()), Ear()
    here = place(cloud, Registry(service=Answers(content=COMPLETION)))  # type: ignore[arg-type]  # a wire
    found = pinned(codelab(), here, ear)
    assert deploy(found, here, Ear(), yes=True, modern=True).exit is Exit.OK
    assert box(cloud) == f"{vllm.REPOSITORY}@{DIGEST}"
    (note,) = (n for n in found.notes if "image" in n)
    assert (note.endswith(WHY_IMAGE), f" -> {box(cloud)}: " in note, any(note in said for said in ear.said)) == (True, True, True)
    for body in (Registry().body, None):
        here = place(cloud, Registry(body=body))  # type: ignore[arg-type]  # a wire
        assert plan(pinned(codelab(), here, ear), here, again="", modern=True).data["changes"] == 0


def test_where_the_mirror_is_silent_the_tag_is_deployed_and_said() -> None:
    """Also where the file holds an older official image by its digest: the new command line is not given to that one."""
    old = f"{vllm.REPOSITORY}@sha256:{'0' * 64}"
    for read in (codelab(), replace(codelab(), service=_with_image(codelab().service, old))):
        cloud = with_weights(FakeCloud())
        here = place(cloud, Registry(body=None, service=Answers(content=COMPLETION)))  # type: ignore[arg-type]  # a wire
        done = deploy(pinned(read, here, Ear()), here, Ear(), yes=True, modern=True)
        assert (box(cloud), sum(n.startswith("image-by-tag: ") for n in done.data["notes"])) == (vllm.IMAGE, 1)


def test_a_container_without_an_old_entry_point_asks_no_registry() -> None:
    """Its image is the user's own affair."""
    registry, found = (
        Registry(),
        sheet(CODELAB.replace("\u00a0", " ").replace("vllm.entrypoints.api_server", "my.server"), **ENVIRON),
    )
    assert pinned(found, place(FakeCloud(), registry), Ear()) == found  # type: ignore[arg-type]  # a wire
    assert registry.asked == []


def _with_image(service: Service, image: str) -> Service:
    return replace(service, containers=tuple(replace(one, image=image) for one in service.containers or ()))


def test_a_service_that_runs_as_written_is_modernised_in_place() -> None:
    """The plan shows what changes against the live one, and is empty afterwards."""
    cloud = with_weights(FakeCloud())
    deploy(codelab(), place(cloud), Ear(), yes=True)
    planned = plan(codelab(), place(cloud), again="", modern=True)
    fields = {f["field"] for step in planned.data["steps"] if step["kind"] == "service" for f in step["fields"]}
    assert {"image", "command", "args", "startup probe", "launch_stage"} <= fields
    deploy(codelab(), place(cloud, Answers(content=COMPLETION)), Ear(), yes=True, modern=True)
    assert plan(codelab(), place(cloud), again="", modern=True).data["changes"] == 0
    assert cloud.state.services[SERVICE]["launchStage"] == "GA"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("--max_model_len 2048 --max-num-seqs=8", {"--max-model-len=2048", "--max-num-seqs=8"}),
        ("--dtype half", {"--dtype=bfloat16"}),
        ("-tp 4 --enforce-eager", {"--enforce-eager"}),
        ("--swap-space=4 --disable-log-requests --use-v2-block-manager", set()),
        ("--guided-decoding-backend=xgrammar", {'--structured-outputs-config={"backend":"xgrammar"}'}),
        ("--served-model-name=a --port 9000 --host 127.0.0.1", {"--served-model-name=a", "--port=9000", "--host=0.0.0.0"}),
        ("--no-enable-prefix-caching", {"--no-enable-prefix-caching"}),
    ],
)
def test_old_flags_are_translated_kept_or_left_out_with_a_reason(old: str, new: set[str]) -> None:
    """Values stay; what 0.26.0 would refuse at its start does not; nothing goes without a word."""
    line = old_vllm.renewed((*OLD, "--model", "/m/x", *old.split()), "", mounted=False)
    assert line.args[:2] == ("serve", "/m/x")
    assert new <= set(line.args)
    assert {arg.split("=")[0].removeprefix("--").removeprefix("no-") for arg in line.args[2:]} <= KNOWN | {"model"}
    told = " ".join(was for was, _, _ in line.changes)
    kept = " ".join(line.args).replace("_", "-")
    for word in old.replace("_", "-").split():
        flag = word.partition("=")[0]
        if flag.startswith("--"):
            assert flag in kept or flag in told


def test_the_flags_that_vllms_parser_took_are_known() -> None:
    """The list of names that was read from its sources has every flag that was given to its parser."""
    assert {flag.removeprefix("--") for flag in ACCEPTED} <= KNOWN
    assert set(vllm.MOUNTED) <= KNOWN


def test_another_containers_service_is_only_brought_up_to_date() -> None:
    """No entry point of vLLM's: image, command and probe are the user's own affair."""
    text = CODELAB.replace("vllm.entrypoints.api_server", "my.server")
    made = modernise(placed(text))
    assert {change.field for change in made.changes} == {
        "startup-cpu-boost", "launch-stage", "volume fuse", "labels", "serviceAccountName",
    }  # fmt: skip


def test_it_needs_a_file(tmp_path: Path) -> None:
    """--modernise alone is a usage error."""
    ran = inside(tmp_path, "plan", "gs://b/m", "--modernise", "--project", "demo-proj", "--format", "json")
    assert ran.code == Exit.USAGE
    assert ran.document()["problems"][0]["what"] == "--modernise needs --from-yaml"
