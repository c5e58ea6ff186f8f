"""plan and deploy of a service's own YAML on the in-memory cloud: as written, once, and never without a yes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gemmactl.errors import Exit, Trouble
from gemmactl.kernel.apply import Patience, apply
from gemmactl.resources.cloud import Account
from gemmactl.resources.service_body import lean
from gemmactl.resources.surroundings import SubnetInfo
from gemmactl.serving import yaml_file
from gemmactl.serving.from_yaml import deploy, look, plan
from tests.app.shell import inside
from tests.fakes.cloud import DIGEST, FakeCloud, refusal
from tests.golden.replay import golden
from tests.knative.sheets import CODELAB, ENVIRON, SMALL, codelab, sheet
from tests.resources.wishes import quick
from tests.serving.ear import SAMPLE, Ear, place, settings

SERVICE = "projects/demo-proj/locations/us-central1/services/serve-gemma-sql"
BUCKET = ENVIRON["BUCKET_NAME"]
SUBNET = SubnetInfo("default", "10.128.0.0/20", private_google_access=True)
VERTEX = "us-docker.pkg.dev/vertex-ai/vertex-vision-model-garden-dockers/pytorch-vllm-serve:20250505_0916_RC00"


def with_weights(cloud: FakeCloud, folder: str = "") -> FakeCloud:
    """The codelab's bucket with the sample model at its root, or in a folder of it."""
    from gemmactl.resources.cloud import BucketInfo

    cloud.storage.create_bucket(BucketInfo(BUCKET, "us-central1"))
    for path in sorted(SAMPLE.iterdir()):
        cloud.storage.write(BUCKET, f"{folder}{path.name}", path)
    cloud.state.images[VERTEX] = DIGEST
    cloud.state.subnets["projects/demo-proj/regions/us-central1/subnetworks/default"] = SUBNET
    cloud.calls.clear()
    return cloud


def codes(result: Any) -> set[str]:
    return {remark["code"] for remark in result.data["remarks"]}


def test_the_codelabs_yaml_is_applied_as_written() -> None:
    """What is sent is the recorded body with the two fields of the file; no label, account or probe of ours is added."""
    cloud, sent = with_weights(FakeCloud()), []
    create = cloud.run.create
    cloud.run.create = lambda parent, name, body, **more: sent.append(body) or create(parent, name, body, **more)  # type: ignore[method-assign]  # listens
    result = deploy(codelab(), place(cloud), Ear(), yes=True)
    assert result.exit is Exit.OK
    body, recorded = sent[0], golden("31")
    assert body.pop("launchStage") == "BETA"
    assert body["template"]["containers"][0].pop("name") == "serve-finetuned"
    del recorded["launchStage"]
    assert lean(body) == recorded
    assert {call.name for call in cloud.writes} == {"apis.enable", "run.create"}


def test_a_file_that_opens_the_service_asks_twice() -> None:
    """What callers can make it cost stands below the plan; the second no changes nothing, --yes answers both questions."""
    opened = "metadata:\n  annotations:\n    run.googleapis.com/invoker-iam-disabled: 'true'\n"
    found = sheet(SMALL.replace("metadata:\n", opened, 1))
    cloud = FakeCloud()
    answers = iter((True, False))

    class Once(Ear):
        def confirm(self, question: str, *, flag: str) -> bool:
            self.asked.append(question)
            return next(answers)

    ear = Once()
    with pytest.raises(Trouble, match="nothing was changed"):
        deploy(found, place(cloud), ear, yes=False)
    assert ear.asked == ["Apply this plan?", "Open it to everybody?"]
    assert any("invoker-iam-disabled in service.yaml: anybody on the internet" in line for line in ear.said)
    assert cloud.writes == []
    assert deploy(found, place(cloud), Ear(), yes=True).exit is Exit.OK


def test_a_second_plan_is_empty_and_a_second_deploy_writes_nothing() -> None:
    """Whatever Cloud Run filled in is no difference, and the service without our label is not refused as a stranger's."""
    cloud = with_weights(FakeCloud())
    deploy(codelab(), place(cloud), Ear(), yes=True)
    cloud.calls.clear()
    again = plan(codelab(), place(cloud), again="", detailed=True)
    assert (again.exit, again.data["changes"], again.next) == (Exit.OK, 0, ())
    assert deploy(codelab(), place(cloud), Ear(yes=None), yes=False).exit is Exit.OK
    assert cloud.writes == []
    assert "service-there" in codes(again)


def test_a_changed_file_is_a_difference_by_field() -> None:
    """A list is as the file has it: a variable that is gone from the file goes from the service."""
    cloud = with_weights(FakeCloud())
    deploy(codelab(), place(cloud), Ear(), yes=True)
    text = CODELAB.replace("\u00a0", " ").replace("memory: 32Gi", "memory: 16Gi").replace("cpu: 8000m", "cpu: '4'")
    text = text.replace("        - name: HF_HUB_OFFLINE\n          value: '1'\n", "")
    found = sheet(text, **ENVIRON)
    (step,) = [s for s in plan(found, place(cloud), again="").data["steps"] if s["op"] == "update"]
    assert {(f["field"], f["live"], f["wanted"]) for f in step["fields"]} == {
        ("memory", "32Gi", "16Gi"),
        ("cpu", "8", "4"),
        ("HF_HUB_OFFLINE", "1", "none"),
    }
    deploy(found, place(cloud), Ear(), yes=True)
    assert plan(found, place(cloud), again="").data["changes"] == 0


def test_a_plan_makes_only_read_calls_and_a_no_changes_nothing() -> None:
    """Nothing is written before a yes."""
    cloud = with_weights(FakeCloud())
    result = plan(codelab(), place(cloud), again="gemmactl deploy --from-yaml x", detailed=True)
    assert (result.exit, result.next) == (Exit.PENDING, ("gemmactl deploy --from-yaml x",))
    for yes in (None, False):
        with pytest.raises(Trouble):
            deploy(codelab(), place(cloud), Ear(yes=yes), yes=False)
    assert cloud.writes == []


@pytest.mark.parametrize("stop", range(6))
def test_killed_at_any_call_it_goes_on(stop: int) -> None:
    """The second run makes what is missing, and the plan after it is empty."""
    cloud, left = with_weights(FakeCloud()), [stop]
    here = place(cloud)
    cloud.enforce_apis = True
    cloud.apis.enable(["storage.googleapis.com"])

    def after(_name: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise refusal(500, "killed")

    planned = look(codelab(), here)[1].plan
    cloud.after_call = after
    apply(planned, cloud, clock=quick(), patience=Patience(total=0.0))
    cloud.after_call = lambda _name: None
    planned = look(codelab(), here)[1].plan
    assert apply(planned, cloud, clock=quick(), patience=Patience(total=60.0)).ok
    assert not look(codelab(), here)[1].plan.work


def test_a_mounted_root_is_told_before_it_costs_a_start() -> None:
    """The model lies in a folder of the bucket and the whole bucket is mounted: "Unrecognized model" would be the answer."""
    result = plan(codelab(), place(with_weights(FakeCloud(), "new_model/")), again="")
    (remark,) = [r for r in result.data["remarks"] if r["code"] == "model-folder"]
    assert remark["what"].startswith(f"/finetune/new_model is gs://{BUCKET}: ")
    assert "config.json lies in new_model" in remark["what"]
    assert "only-dir=FOLDER" in remark["remedy"]


def test_the_right_folder_is_no_remark() -> None:
    """only-dir and a path below the mount are both followed."""
    cloud = with_weights(FakeCloud(), "a/b/")
    text = CODELAB.replace("bucketName: $BUCKET_NAME", "bucketName: $BUCKET_NAME\n            mountOptions: only-dir=a")
    text = text.replace("\u00a0", " ").replace("--model=/finetune/new_model", "--model=/finetune/new_model/b")
    assert "model-folder" not in codes(plan(sheet(text, **ENVIRON), place(cloud), again=""))
    assert "model-folder" in codes(plan(codelab(), place(cloud), again=""))


def test_what_the_file_leaves_to_defaults_is_told() -> None:
    """The default account, the old entry point, and a hundred instances where nothing limits them."""
    open_ended = sheet(CODELAB.replace("\u00a0", " ").replace("        autoscaling.knative.dev/maxScale: '1'\n", ""), **ENVIRON)
    result = plan(open_ended, place(with_weights(FakeCloud())), again="")
    assert codes(result) == {"account-open", "entry-point-old", "max-scale-open"}


ACCOUNT = "run@demo-proj.iam.gserviceaccount.com"
IMAGE = "us-central1-docker.pkg.dev/demo-proj/r/a"
NAMES = SMALL.replace("example.com/a", IMAGE).replace(
    "      containers:", f"      serviceAccountName: {ACCOUNT}\n      containers:"
)
NAMES += "        env: [{name: K, valueFrom: {secretKeyRef: {name: key, key: latest}}}]\n"


def complete(cloud: FakeCloud) -> FakeCloud:
    """Everything that NAMES names."""
    cloud.state.accounts[ACCOUNT] = Account(ACCOUNT)
    cloud.state.images[f"{IMAGE}:latest"] = DIGEST
    cloud.secrets.create("projects/demo-proj/secrets/key", "us-central1", {})
    cloud.secrets.add_version("projects/demo-proj/secrets/key", b"x")
    cloud.calls.clear()
    return cloud


@pytest.mark.parametrize(
    ("take", "code"),
    [
        (lambda c: c.state.accounts.clear(), "account-missing"),
        (lambda c: c.state.images.clear(), "image-missing"),
        (lambda c: c.state.versions.clear(), "secret-missing"),
    ],
)
def test_what_the_file_names_and_is_not_there_is_refused(take: Callable[[FakeCloud], None], code: str) -> None:
    """Before any change, by the plan's own checks: accounts, images and secrets of this project."""
    cloud = complete(FakeCloud())
    assert plan(sheet(NAMES), place(cloud), again="").exit is Exit.OK
    take(cloud)
    for refused in (plan(sheet(NAMES), place(cloud), again=""), deploy(sheet(NAMES), place(cloud), Ear(), yes=True)):
        assert (refused.exit, [p.code for p in refused.problems]) == (Exit.REFUSED, [code])
    assert cloud.writes == []


def test_a_folder_that_may_not_be_looked_into_proves_nothing() -> None:
    """A missing right is unknown, never ok and never wrong."""
    cloud = with_weights(FakeCloud())

    def denied(name: str) -> None:
        if name == "storage.list":
            raise refusal(403, "Permission storage.objects.list denied")

    cloud.before_call = denied
    assert "unknown" in codes(plan(codelab(), place(cloud), again=""))


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("cpu: 8000m", "cpu: '5'", "cpu-illegal"),
        ("memory: 32Gi", "memory: 64Gi", "cpu-memory-pair"),
        ("nvidia-l4", "nvidia-a100", "gpu-unknown"),
        ("name: MODEL_ID", "name: PORT", "env-reserved"),
        ("        env:", "        startupProbe: {tcpSocket: {port: 8000}, periodSeconds: 600}\n        env:", "probe-illegal"),
    ],
)
def test_rules_that_the_server_finds_out_late(old: str, new: str, code: str) -> None:
    """Sizes, GPUs, reserved names and probes: refused with the file's name, no call made."""
    cloud = FakeCloud()
    with pytest.raises(Trouble) as caught:
        plan(sheet(CODELAB.replace("\u00a0", " ").replace(old, new, 1), **ENVIRON), place(cloud), again="")
    assert (caught.value.exit, caught.value.code) == (Exit.USAGE, code)
    assert caught.value.what.startswith("service.yaml: ")
    assert cloud.calls == []


@pytest.mark.parametrize(
    ("file", "flags", "expected"),
    [
        ({}, {}, ("env-proj-1", "us-central1")),
        ({"region": "europe-west4"}, {}, ("env-proj-1", "europe-west4")),
        ({"region": "europe-west4"}, {"region": "us-east4"}, "yaml-elsewhere"),
        ({"namespace": "file-proj-1"}, {}, ("file-proj-1", "us-central1")),
        ({"namespace": "file-proj-1"}, {"project": "flag-proj-1"}, ("flag-proj-1", "us-central1")),
        ({"namespace": "123456789012"}, {}, ("env-proj-1", "us-central1")),
    ],
)
def test_project_and_region_of_file_and_flags(
    file: dict[str, str], flags: dict[str, str], expected: tuple[str, str] | str, tmp_path: Path
) -> None:
    """The file goes before the environment; a flag that says another region is refused."""
    found = sheet(SMALL)
    found = replace(found, namespace=file.get("namespace", ""), service=replace(found.service, region=file.get("region", "")))
    known = settings(tmp_path, GEMMACTL_PROJECT="env-proj-1")
    if isinstance(expected, str):
        with pytest.raises(Trouble) as caught:
            yaml_file.whereabouts(found, known, flags.get("project"), flags.get("region"))
        assert caught.value.code == expected
        return
    project, region = yaml_file.whereabouts(found, known, flags.get("project"), flags.get("region"))
    assert (project.text, region.text) == expected


@pytest.mark.parametrize(("namespace", "fits"), [("demo-proj", True), ("123456789012", True), ("other", False), ("99", False)])
def test_the_namespace_is_the_projects_id_or_number(namespace: str, *, fits: bool) -> None:
    """As `gcloud run services replace` wants it."""
    found = replace(sheet(SMALL), namespace=namespace)
    if fits:
        assert plan(found, place(FakeCloud()), again="").exit is Exit.OK
        return
    with pytest.raises(Trouble) as caught:
        plan(found, place(FakeCloud()), again="")
    assert caught.value.code == "yaml-elsewhere"


def test_the_verb_reads_a_file_and_takes_no_other_option(tmp_path: Path) -> None:
    """A flag that the file would contradict is refused by name; a file that is not there too. No cloud is asked."""

    def problem(*argv: str) -> tuple[str, str]:
        ran = inside(tmp_path, *argv, "--project", "demo-proj", "--format", "json")
        assert ran.code == Exit.USAGE
        (found,) = ran.document()["problems"]
        return found["code"], found["what"]

    file = tmp_path / "s.yaml"
    file.write_text(SMALL)
    both = problem("deploy", "gs://b/m", "--cpu", "4", "--from-yaml", str(file))
    assert both == ("flags-contradict", "--cpu, MODEL can't go with --from-yaml")
    assert problem("plan", "--from-yaml", "gone.yaml")[0] == "yaml-unreadable"
    file.write_bytes(b"\xff\xfe")
    assert problem("plan", "--from-yaml", str(file))[0] == "yaml-unreadable"
