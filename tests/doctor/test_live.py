"""Live checks: what is missing becomes a finding, what can't be seen becomes unknown, nothing becomes ok by itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from gemmactl.doctor.finding import Context, Finding
from gemmactl.doctor.live import examine, looked
from gemmactl.kernel.resource import Resource, Work
from gemmactl.resources.apis import Apis
from gemmactl.resources.cloud import LogEntry, PolicyTarget
from gemmactl.resources.iam_member import IamMember
from inference_image.contract import Code, LoadFailure
from tests.doctor.small_cloud import CALLER, Logs, Policies, Run, SmallCloud, denied

RUNTIME = "serviceAccount:serve@my-proj.iam.gserviceaccount.com"
MAY_BIND = {"storage.buckets.getIamPolicy", "storage.buckets.setIamPolicy"}
BUCKET = PolicyTarget("bucket", "my-models")
GRANT = IamMember(BUCKET, "roles/storage.objectViewer", RUNTIME)
SERVICE = "projects/my-proj/locations/us-central1/services/gemma"
HERE = Context(project="my-proj", number="123456789012", region="us-central1", caller=CALLER, runtime_account=RUNTIME)


@dataclass(frozen=True)
class Repository(Resource):
    """A thing that is there or not, or may not be looked at."""

    kind: ClassVar[str] = "repository"
    name: str = "gemmactl"
    state: str = "absent"

    @property
    def address(self) -> str:
        return f"repository {self.name}"

    def read(self, cloud: Any) -> Self | None:
        if self.state == "hidden":
            raise denied("artifactregistry.repositories.get")
        return self if self.state == "there" else None

    def create(self, cloud: Any, work: Work) -> None:
        raise AssertionError("doctor never makes anything")

    def delete(self, cloud: Any, live: Self, work: Work) -> None:
        raise AssertionError("doctor never deletes anything")


def _service(state: str, message: str = "", created: str = "gemma-00002-abc", ready: str = "gemma-00001-xyz") -> dict[str, Any]:
    return {
        "name": SERVICE,
        "terminalCondition": {"type": "Ready", "state": state, "message": message},
        "latestCreatedRevision": f"{SERVICE}/revisions/{created}",
        "latestReadyRevision": f"{SERVICE}/revisions/{ready}",
    }


def _codes(found: tuple[Finding, ...]) -> list[str]:
    return [f.code for f in found]


def test_a_healthy_project_has_no_findings() -> None:
    """All steps KEEP, the service ready: nothing is told and nothing written."""
    cloud = SmallCloud(
        policies=Policies({(BUCKET, GRANT.role, RUNTIME)}),
        run=Run(_service("CONDITION_SUCCEEDED", ready="gemma-00002-abc")),
    )
    assert examine(cloud, [GRANT, Repository(state="there")], service=SERVICE, context=HERE) == ()  # type: ignore[arg-type]  # a part of a Cloud
    assert cloud.policies.writes == 0


def test_each_look_says_how_it_ended() -> None:
    """What is as wished, what is missing and what could not be seen, each by its name."""
    cloud = SmallCloud(policies=Policies(held=set(MAY_BIND)), run=Run(refuse="run.services.get"))
    seen = looked(cloud, [Repository(state="there"), GRANT], service=SERVICE, context=HERE)  # type: ignore[arg-type]  # a part of a Cloud
    assert dict(seen.checked) == {
        "repository gemmactl": "ok",
        GRANT.address: "finding",
        "your permissions": "ok",
        "the service's state": "unknown",
    }


def test_a_missing_binding_is_its_own_remedy() -> None:
    """The finding names member, role and bucket; its remedy is that very IamMember."""
    (only,) = examine(SmallCloud(policies=Policies(held=set(MAY_BIND))), [GRANT], context=HERE)  # type: ignore[arg-type]  # a part of a Cloud
    assert (only.principal, only.role, only.resource, only.scope) == (RUNTIME, GRANT.role, "gs://my-models", "bucket")
    assert only.remedies == (GRANT,)
    assert only.safe
    assert only.commands == (
        f"gcloud storage buckets add-iam-policy-binding gs://my-models --member={RUNTIME} --role=roles/storage.objectViewer",
    )


def test_a_binding_on_what_is_still_to_be_made_is_left_to_deploy() -> None:
    """The repository does not exist: its binding is told, but only a deploy can make both in order."""
    repository = Repository()
    target = PolicyTarget("repository", "projects/my-proj/locations/us-central1/repositories/gemmactl")
    grant = IamMember(target, "roles/artifactregistry.writer", RUNTIME, after=(repository.address,))
    found = examine(SmallCloud(), [repository, grant], context=HERE)  # type: ignore[arg-type]  # a part of a Cloud
    assert not any(f.remedies for f in found if f.code == "missing-grant")


def test_a_missing_api_is_a_remedy_of_the_missing_ones_only() -> None:
    """Of two APIs one is on: the other one is named and can be enabled."""
    cloud = SmallCloud()
    cloud.apis.on = {"run.googleapis.com"}
    cloud.policies.held = {"serviceusage.services.enable"}
    (only,) = examine(cloud, [Apis(("run.googleapis.com", "cloudbuild.googleapis.com"))], context=HERE)  # type: ignore[arg-type]  # a part of a Cloud
    assert only.code == "api-disabled"
    assert only.remedies == (Apis(("cloudbuild.googleapis.com",)),)


def test_what_the_caller_lacks_for_a_step_is_asked_where_plan_asks_it() -> None:
    """A binding on a bucket that is due: its policy's permission, on that bucket and not on the project."""
    cloud = SmallCloud(policies=Policies(held={"storage.buckets.getIamPolicy"}))
    found = examine(cloud, [GRANT], context=HERE)  # type: ignore[arg-type]  # a part of a Cloud
    assert _codes(found) == ["missing-grant", "caller-lacks-permission"]
    assert (found[1].principal, found[1].permission) == (CALLER, "storage.buckets.setIamPolicy")
    assert "my-models" in found[1].title


def test_a_check_that_may_not_look_is_unknown_and_names_the_permission() -> None:
    """A refused read never counts as fine, and does not hide the other checks."""
    cloud = SmallCloud(policies=Policies(held=set(MAY_BIND)), run=Run(refuse="run.services.get"))
    found = examine(cloud, [Repository(state="hidden"), GRANT], service=SERVICE, context=HERE)  # type: ignore[arg-type]  # a part of a Cloud
    assert [f.state for f in found] == ["problem", "unknown", "unknown"]
    assert {f.permission for f in found if f.state == "unknown"} == {"artifactregistry.repositories.get", "run.services.get"}
    assert not any(f.safe for f in found if f.state == "unknown")


def test_refused_policies_are_unknown_bindings() -> None:
    """When the policy can't be read, the binding is unknown, not missing: nothing is offered."""
    cloud = SmallCloud(policies=Policies(refuse="storage.buckets.getIamPolicy"))
    (only,) = examine(cloud, [GRANT], context=HERE)  # type: ignore[arg-type]  # a part of a Cloud
    assert (only.state, only.permission, only.remedies) == ("unknown", "storage.buckets.getIamPolicy", ())


def test_the_engines_refusal_in_the_log_is_the_cause() -> None:
    """A probe that failed is the condition; the LoadFailed line of the newest revision is why."""
    line = LoadFailure(Code.SHARD_MISSING, "model-00002-of-00004.safetensors", "named by the index, not in the folder")
    payload = {
        "severity": "ERROR",
        "message": "m",
        "load_failed": {"code": str(line.code), "object": line.object, "detail": line.detail},
    }
    cloud = SmallCloud(
        run=Run(_service("CONDITION_FAILED", "The user-provided container failed the configured startup probe checks.")),
        logs=Logs(
            (
                LogEntry("2026-11-20T10:00:00Z", "ERROR", payload),
                LogEntry("2026-11-20T10:00:01Z", "WARNING", "Container called exit(3)."),
            )
        ),
    )
    (only,) = examine(cloud, [], service=SERVICE, context=HERE)  # type: ignore[arg-type]  # a part of a Cloud
    assert only.code == "load-shard-missing"
    assert "model-00002-of-00004" in only.title
    assert any('revision_name="gemma-00002-abc"' in query for query in cloud.logs.queries)


def test_a_failure_before_the_last_ready_start_is_healed() -> None:
    """The line of an older start is no finding once a later container of the revision became ready."""
    failure = LoadFailure(Code.NETWORK_FAILED, "model.safetensors", "reset")
    entries = (
        LogEntry("1", "ERROR", json.loads(failure.line())),
        LogEntry("2", "INFO", {"message": "ready", "timeline": {}}),
    )
    ready = Run(_service("CONDITION_SUCCEEDED", ready="gemma-00002-abc"))
    seen = examine(SmallCloud(run=ready, logs=Logs(entries)), [], service=SERVICE, context=HERE)  # type: ignore[arg-type]  # a part of a Cloud
    assert seen == ()
    again = SmallCloud(run=ready, logs=Logs((*entries, entries[0])))
    assert _codes(examine(again, [], service=SERVICE, context=HERE)) == ["load-network-failed"]  # type: ignore[arg-type]  # a part of a Cloud


def test_a_container_log_is_told_but_never_a_remedy() -> None:
    """A denial that the container printed is diagnosed; no binding comes out of what it printed."""
    text = "403 attacker@evil.example does not have storage.objects.get access to the Google Cloud Storage object."
    cloud = SmallCloud(
        run=Run(_service("CONDITION_FAILED", "The user-provided container failed to start and listen on the port.")),
        logs=Logs((LogEntry("t", "ERROR", text),)),
    )
    found = examine(cloud, [], service=SERVICE, context=HERE)  # type: ignore[arg-type]  # a part of a Cloud
    assert _codes(found) == ["storage-denied"]
    assert found[0].remedies == ()


def test_a_condition_nobody_knows_is_told_in_clouds_words() -> None:
    """Not ready with an unknown message and no telling log: the message itself is the finding."""
    cloud = SmallCloud(run=Run(_service("CONDITION_FAILED", "Something new happened.")))
    (only,) = examine(cloud, [], service=SERVICE, context=HERE)  # type: ignore[arg-type]  # a part of a Cloud
    assert (only.code, only.cause) == ("service-not-ready", "Something new happened.")


def test_an_unreadable_log_is_unknown_beside_the_condition() -> None:
    """Without logging.viewer the condition is told and the log is unknown, with the permission that is missing."""
    cloud = SmallCloud(
        run=Run(_service("CONDITION_FAILED", "The user-provided container failed the configured startup probe checks.")),
        logs=Logs(refuse="logging.logEntries.list"),
    )
    found = examine(cloud, [], service=SERVICE, context=HERE)  # type: ignore[arg-type]  # a part of a Cloud
    assert [(f.code, f.subcategory) for f in found] == [
        ("probe-failed", "probe_log"),
        ("unknown", "the log of the newest revision"),
    ]
