"""The five errors that the seed's author met, as he printed them."""

from __future__ import annotations

import pytest

from gemmactl.doctor.diagnose import diagnose
from gemmactl.doctor.finding import Context
from gemmactl.resources.cloud import PolicyTarget
from gemmactl.resources.iam_member import IamMember

BUILD = "serviceAccount:123456789012-compute@developer.gserviceaccount.com"
HERE = Context(project="sayouzone-ai", number="123456789012", region="us-central1", build_account=BUILD)

CALLER_TEXT = (
    "ERROR: (gcloud.builds.submit) PERMISSION_DENIED: The caller does not have permission. This command is authenticated as"
    " dev@example.com which is the active account specified by the [core/account] property"
)
SOURCE_TEXT = (
    "ERROR: (gcloud.builds.submit) INVALID_ARGUMENT: could not resolve source: googleapi: Error 403:"
    " 123456789012-compute@developer.gserviceaccount.com does not have storage.objects.get access to the Google Cloud Storage"
    " object. Permission 'storage.objects.get' denied on resource (or it may not exist)., forbidden"
)
LOGS_TEXT = """INFO: The service account running this build projects/sayouzone-ai/serviceAccounts/123456789012-compute@developer.gserviceaccount.com does not have permission to write logs to Cloud Logging. To fix this, grant the Logs Writer (roles/logging.logWriter) role to the service account.

1 message(s) issued.
ERROR: (gcloud.builds.submit) build 5e4fb29b-66d9-46ea-a687-902b1a5270df completed with status "FAILURE"
"""  # noqa: E501 - verbatim
PUSH_TEXT = (
    'denied: Permission "artifactregistry.repositories.uploadArtifacts" denied on resource'
    ' "projects/sayouzone-ai/locations/us-central1/repositories/gemma3-repo" (or it may not exist)'
)
PROBE_TEXT = (
    "ERROR: (gcloud.run.deploy) Revision 'gemma3-product-ft-service-00001-qls' is not ready and cannot serve traffic. Container"
    " failed to become healthy. Startup probes timed out after 4m (1 attempts with a timeout of 4m each). There was an initial"
    " delay of 0s. If this happens frequently, consider adjusting the probe settings."
)


@pytest.mark.parametrize(
    ("text", "code", "principal", "permission", "role", "command"),
    [
        (
            CALLER_TEXT,
            "caller-cloudbuild-builds-create",
            "user:dev@example.com",
            "cloudbuild.builds.create",
            "roles/cloudbuild.builds.editor",
            (
                "gcloud projects add-iam-policy-binding sayouzone-ai --member=user:dev@example.com"
                " --role=roles/cloudbuild.builds.editor --condition=None"
            ),
        ),
        (
            SOURCE_TEXT,
            "build-source-denied",
            BUILD,
            "storage.objects.get",
            "roles/storage.objectViewer",
            f"gcloud storage buckets add-iam-policy-binding gs://BUCKET --member={BUILD} --role=roles/storage.objectViewer",
        ),
        (
            LOGS_TEXT,
            "build-log-role",
            BUILD,
            "logging.logEntries.create",
            "roles/logging.logWriter",
            (
                f"gcloud projects add-iam-policy-binding sayouzone-ai --member={BUILD} --role=roles/logging.logWriter"
                " --condition=None"
            ),
        ),
        (
            PUSH_TEXT,
            "docker-denied",
            BUILD,
            "artifactregistry.repositories.uploadArtifacts",
            "roles/artifactregistry.writer",
            (
                f"gcloud artifacts repositories add-iam-policy-binding gemma3-repo --member={BUILD}"
                " --role=roles/artifactregistry.writer --project=sayouzone-ai --location=us-central1"
            ),
        ),
    ],
)
def test_each_build_error_names_principal_role_and_command(
    text: str, code: str, principal: str, permission: str, role: str, command: str
) -> None:
    """The four IAM errors of the seed each give their exact member, permission, least role and gcloud line."""
    first = diagnose(text, {}, HERE)[0]
    assert (first.code, first.principal, first.permission, first.role) == (code, principal, permission, role)
    assert first.commands[-1] == command  # a look whether it exists may stand before it


def test_the_log_role_is_not_told_as_the_cause() -> None:
    """A missing log role hides why a build failed; the finding says so and the failure itself stays open beside it."""
    found = diagnose(LOGS_TEXT, {}, HERE)
    assert [f.code for f in found] == ["build-log-role", "build-failed"]
    assert "not the reason" in found[0].cause


def test_a_known_staging_bucket_makes_the_source_error_fixable() -> None:
    """With the bucket known, the remedy is one binding on that bucket and nothing else."""
    first = diagnose(SOURCE_TEXT, {}, Context(project="sayouzone-ai", bucket="sayouzone-ai_cloudbuild"))[0]
    assert first.remedies == (IamMember(PolicyTarget("bucket", "sayouzone-ai_cloudbuild"), "roles/storage.objectViewer", BUILD),)
    assert first.safe


def test_the_source_error_is_not_fixable_without_its_bucket() -> None:
    """The text does not name the staging bucket: the command shows BUCKET and nothing is offered to --fix."""
    first = diagnose(SOURCE_TEXT)[0]
    assert first.remedies == ()
    assert not first.safe


def test_the_probe_error_looks_at_the_log_before_it_stretches_the_probe() -> None:
    """The seed's fifth error: longest legal fields, the service's own name, and what to read first."""
    (only,) = diagnose(PROBE_TEXT, {}, HERE)
    assert (only.code, only.category, only.fix_kind) == ("probe-timeout", "container", "config_change")
    assert "4m" in only.title
    assert "log first" in only.remedy
    assert only.commands[0] == (
        "gcloud run services update gemma3-product-ft-service --region=us-central1 --project=sayouzone-ai"
        " --startup-probe=tcpSocket.port=8080,initialDelaySeconds=240,failureThreshold=5,timeoutSeconds=240,periodSeconds=240"
    )


def test_a_probe_that_is_already_the_longest_is_only_diagnosed() -> None:
    """After 24 minutes there is no more room: the finding says to read the log, not to wait longer."""
    longest = PROBE_TEXT.replace("after 4m (1 attempts", "after 24m (5 attempts")
    (only,) = diagnose(longest, {}, HERE)
    assert (only.code, only.fix_kind) == ("probe-timeout-longest", "diagnose")
    assert not any("startup-probe" in c for c in only.commands)


def test_the_secret_error_names_the_revisions_account() -> None:
    """Permission denied on secret: the revision's own account gets secretAccessor on that one secret."""
    text = (
        "spec.template.spec.containers[0].env[0].value_from.secret_key_ref.name: Permission denied on secret:"
        " projects/123456789012/secrets/HF_TOKEN/versions/latest for Revision service account"
        " gemma-runtime@my-proj.iam.gserviceaccount.com. The service account used must be granted the 'Secret Manager Secret"
        " Accessor' role (roles/secretmanager.secretAccessor) at the secret, project or higher level."
    )
    (only,) = diagnose(text, {}, Context(project="my-proj", number="123456789012"))
    member = "serviceAccount:gemma-runtime@my-proj.iam.gserviceaccount.com"
    assert (only.principal, only.role, only.scope) == (member, "roles/secretmanager.secretAccessor", "secret")
    assert only.remedies == (IamMember(PolicyTarget("secret", "projects/my-proj/secrets/HF_TOKEN"), only.role, member),)
