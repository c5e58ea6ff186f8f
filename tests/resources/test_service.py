"""The service: drift per field, nothing of others lost, conflicts, failed and interrupted rollouts."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from gemmactl.errors import Trouble
from gemmactl.kernel.plan import Op, decide
from gemmactl.resources.cloud import LogEntry
from gemmactl.resources.service import Service
from gemmactl.resources.service_types import Container, EnvVar, Probe, Resources, Scaling, SecretEnv, Traffic
from inference_image.contract import Code, LoadFailure
from tests.fakes.cloud import FakeCloud
from tests.resources.wishes import work

NAME = "projects/demo-proj/locations/us-central1/services/s"
CONTAINER = Container(
    "host/p/r/serve@sha256:1",
    env=(EnvVar("B", "2"), SecretEnv("A", "hf", "3")),
    resources=Resources("8", "32Gi", "1", cpu_idle=False, startup_cpu_boost=True),
    startup_probe=Probe("http", 8080, "/ready", None, 0, 2, 2, 300),
)
WISH = Service(
    "demo-proj",
    "us-central1",
    "s",
    containers=(CONTAINER,),
    scaling=Scaling(0, 1),
    concurrency=4,
    timeout=1800,
    service_account="run@demo-proj.iam.gserviceaccount.com",
    gpu_type="nvidia-l4",
    gpu_zonal_redundancy_disabled=True,
    execution_environment="EXECUTION_ENVIRONMENT_GEN2",
    labels=(("managed-by", "gemmactl"),),
    invoker_iam_disabled=False,
)


@pytest.fixture
def cloud() -> FakeCloud:
    made = FakeCloud()
    WISH.create(made, work())
    made.calls.clear()
    return made


def body(cloud: FakeCloud) -> Any:
    return cloud.state.services[NAME]


def differs(cloud: FakeCloud, wish: Service = WISH) -> tuple[str, ...]:
    return tuple(c.field for c in decide(wish, wish.read(cloud)).changes)


def update(cloud: FakeCloud, wish: Service = WISH) -> None:
    live = wish.read(cloud)
    assert live is not None
    wish.update(cloud, live, work())


def test_server_defaults_are_no_difference(cloud: FakeCloud) -> None:
    """Right after its making the service is as wished, whatever the server filled in."""
    assert decide(WISH, WISH.read(cloud)).op is Op.KEEP


DRIFT: dict[str, tuple[str, Any]] = {
    "image": ("image", lambda t: t["containers"][0].update(image="x")),
    "env value": ("B", lambda t: t["containers"][0]["env"][1].update(value="3")),
    "env added": ("C", lambda t: t["containers"][0]["env"].append({"name": "C", "value": ""})),
    "secret version": ("A", lambda t: t["containers"][0]["env"][0]["valueSource"]["secretKeyRef"].update(version="4")),
    "memory": ("memory", lambda t: t["containers"][0]["resources"]["limits"].update(memory="16Gi")),
    "cpu throttled": ("cpu_idle", lambda t: t["containers"][0]["resources"].update(cpuIdle=True)),
    "boost": ("startup_cpu_boost", lambda t: t["containers"][0]["resources"].pop("startupCpuBoost")),
    "probe": ("startup probe", lambda t: t["containers"][0]["startupProbe"].update(periodSeconds=10)),
    "probe kind": ("startup probe", lambda t: t["containers"][0].update(startupProbe={"tcpSocket": {"port": 8080}})),
    "sidecar": ("containers", lambda t: t["containers"].append({"image": "y"})),
    "instances": ("scaling", lambda t: t.update(scaling={"maxInstanceCount": 7})),
    "min instances": ("scaling", lambda t: t["scaling"].update(minInstanceCount=1)),
    "concurrency": ("concurrency", lambda t: t.update(maxInstanceRequestConcurrency=80)),
    "timeout": ("timeout", lambda t: t.update(timeout="300s")),
    "account": ("service_account", lambda t: t.update(serviceAccount="other@x")),
    "gpu": ("gpu_type", lambda t: t.update(nodeSelector={"accelerator": "nvidia-rtx-pro-6000"})),
    "redundancy": ("gpu_zonal_redundancy_disabled", lambda t: t.pop("gpuZonalRedundancyDisabled")),
    "generation": ("execution_environment", lambda t: t.update(executionEnvironment="EXECUTION_ENVIRONMENT_GEN1")),
}


@pytest.mark.parametrize("case", DRIFT)
def test_drift_in_the_template(cloud: FakeCloud, case: str) -> None:
    """Each part that somebody changed is seen in its field, brought back by a new revision, and then gone."""
    field, change = DRIFT[case]
    change(body(cloud)["template"])
    assert differs(cloud) == (field,)
    update(cloud)
    assert differs(cloud) == ()
    assert body(cloud)["latestReadyRevision"].endswith("s-00002-tst")


def test_drift_beside_the_template_makes_no_revision(cloud: FakeCloud) -> None:
    """Public access and labels are set back without a rollout."""
    body(cloud)["invokerIamDisabled"] = True
    body(cloud)["labels"] = {"team": "x"}
    assert differs(cloud) == ("labels", "invoker_iam_disabled")
    update(cloud)
    assert differs(cloud) == ()
    assert body(cloud)["labels"] == {"team": "x", "managed-by": "gemmactl"}
    assert body(cloud)["latestReadyRevision"].endswith("s-00001-tst")


def test_quantities_are_no_drift(cloud: FakeCloud) -> None:
    """8000m is 8 and 32768Mi is 32Gi."""
    body(cloud)["template"]["containers"][0]["resources"]["limits"].update(cpu="8000m", memory="32768Mi")
    assert differs(cloud) == ()


def test_what_the_wish_does_not_speak_of_survives(cloud: FakeCloud) -> None:
    """An update keeps the parts that gemmactl has no opinion on, known and unknown to its type."""
    extra = {"sessionAffinity": True, "encryptionKey": "k", "labels": {"cost": "x"}}
    body(cloud)["template"].update(copy.deepcopy(extra))
    body(cloud)["template"]["containers"][0]["workingDir"] = "/srv"
    body(cloud)["traffic"] = [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 100, "tag": "blue"}]
    update(cloud, replace(WISH, concurrency=9))
    template = body(cloud)["template"]
    assert {k: template[k] for k in extra} == extra
    assert template["containers"][0]["workingDir"] == "/srv"
    assert body(cloud)["traffic"][0]["tag"] == "blue"


def test_a_fixed_revision_name_is_not_sent_again(cloud: FakeCloud) -> None:
    """A name that somebody gave to a revision would make the next one a conflict."""
    body(cloud)["template"]["revision"] = "s-mine"
    update(cloud, replace(WISH, concurrency=9))
    assert "revision" not in body(cloud)["template"]


def test_traffic_and_tags_are_wishes(cloud: FakeCloud) -> None:
    """A split with a tag is brought about and then no difference."""
    wish = replace(WISH, traffic=(Traffic(90, "s-00001-tst", "old"), Traffic(10)))
    assert differs(cloud, wish) == ("traffic",)
    update(cloud, wish)
    assert differs(cloud, wish) == ()


def test_a_conflict_is_read_again(cloud: FakeCloud) -> None:
    """When somebody wrote since the plan, the wishes are laid over what is there now."""
    live = WISH.read(cloud)
    assert live is not None
    body(cloud)["etag"] = '"99"'
    body(cloud)["annotations"]["other"] = "kept"
    replace(WISH, concurrency=9).update(cloud, live, work())
    assert body(cloud)["template"]["maxInstanceRequestConcurrency"] == 9
    assert body(cloud)["annotations"]["other"] == "kept"


FAILURE = "The user-provided container failed the configured startup probe checks."


def failed(cloud: FakeCloud, *entries: LogEntry) -> Trouble:
    cloud.rollout = FAILURE
    cloud.state.logs = [('revision_name="s-00002-tst"', e) for e in entries]
    with pytest.raises(Trouble) as trouble:
        update(cloud, replace(WISH, concurrency=9))
    return trouble.value


def test_a_failed_rollout_tells_message_revision_and_logs(cloud: FakeCloud) -> None:
    """The traceback's last line is the why: closer to the cause than the probe's verdict."""
    lines = ("Traceback (most recent call last):", '  File "x.py", line 1', "ValueError: no model_type")
    trouble = failed(cloud, *(LogEntry(str(i), "ERROR" if i == 0 else "DEFAULT", t) for i, t in enumerate(lines)))
    assert trouble.why == "ValueError: no model_type"
    assert trouble.facts["revision"] == "s-00002-tst"
    assert trouble.facts["message"] == FAILURE
    assert trouble.facts["condition"] == "HEALTH_CHECK_CONTAINER_ERROR"
    assert trouble.facts["logs"][1:] == list(lines[1:])


def test_a_load_failure_is_read_from_the_log(cloud: FakeCloud) -> None:
    """The container's own last word decides over Cloud Run's sentence."""
    payload = {"load_failed": {"code": "shard_missing", "object": "model-00002", "detail": "not in the folder"}}
    assert LoadFailure.parse(payload) == LoadFailure(Code.SHARD_MISSING, "model-00002", "not in the folder")
    trouble = failed(cloud, LogEntry("1", "ERROR", payload), LogEntry("2", "WARNING", "Container called exit(3)."))
    assert trouble.code == "load-failed"
    assert trouble.facts["load_failed"] == payload["load_failed"]
    assert trouble.facts["denied"] is False


def test_a_load_that_was_denied_counts_as_denied(cloud: FakeCloud) -> None:
    """A grant of this run may not have taken effect when the container started: it is tried again."""
    payload = {"load_failed": {"code": "access_denied", "object": "gs://b/x", "detail": "403"}}
    assert failed(cloud, LogEntry("1", "ERROR", payload)).facts["denied"] is True


def test_a_failed_service_is_not_as_wished_and_is_tried_again(cloud: FakeCloud) -> None:
    """After a failed rollout the same deploy makes a new revision although no setting differs."""
    failed(cloud)
    wish = replace(WISH, concurrency=9)
    assert differs(cloud, wish) == ("ready",)
    cloud.rollout = ""
    update(cloud, wish)
    assert differs(cloud, wish) == ()
    assert body(cloud)["latestReadyRevision"].endswith("s-00003-tst")


def test_a_rollout_under_way_is_waited_for(cloud: FakeCloud) -> None:
    """A killed deploy left its rollout going: the next one writes nothing and waits until it is ready."""
    body(cloud)["reconciling"] = True
    left = [3]

    def settle(name: str) -> None:
        left[0] -= name == "run.get"
        if not left[0]:
            body(cloud).pop("reconciling", None)

    cloud.before_call = settle
    assert differs(cloud) == ("ready",)
    update(cloud)
    assert cloud.writes == []
    assert differs(cloud) == ()


def test_differences_are_shown_by_what_was_wished() -> None:
    """A plan shows the parts with an opinion, in words, and never the server's noise."""
    text = WISH.diff_text("containers", WISH.containers)
    assert "env=[A=hf:3, B=2]" in text
    assert "(8 CPU, 32Gi, 1 GPU, start-up boost)" in text
    assert "(http /ready port 8080, delay 0, 300 x 2 s, timeout 2 s)" in text
    assert "ports" not in text
    assert WISH.diff_text("ready", False) == "the last rollout is not ready"


def test_an_update_that_turns_out_to_change_nothing_is_not_sent(cloud: FakeCloud) -> None:
    """An image that was built again to the digest that runs already; a PATCH with an empty mask replaces the service."""
    update(cloud)
    assert cloud.writes == []
    assert differs(cloud) == ()
