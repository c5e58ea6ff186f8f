"""What "may not exist" is looked for before a role is granted on it; and no project or region is made of another name."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemmactl.doctor.diagnose import diagnose
from gemmactl.serving.findings import from_log
from gemmactl.settings import load

_NOT = "[dev@example.com] does not have permission to access"
_CALLER = "(or it may not exist): The caller does not have permission"


@pytest.mark.parametrize(
    ("kind", "name", "command", "look"),
    [
        ("services", "gemma", "run.deploy", "gcloud run services describe gemma --project=PROJECT --region=REGION"),
        ("secrets", "hf-token", "secrets.versions.access", "gcloud secrets describe hf-token --project=PROJECT"),
        (
            "repositories",
            "gemma-repo",
            "artifacts.docker.images.list",
            "gcloud artifacts repositories describe gemma-repo --project=PROJECT --location=REGION",
        ),
        ("jobs", "tune", "run.jobs.execute", "gcloud run jobs describe tune --project=PROJECT --region=REGION"),
        ("b", "my-models", "storage.buckets.describe", "gcloud storage buckets describe gs://my-models"),
        ("buckets", "my-models", "storage.buckets.describe", "gcloud storage buckets describe gs://my-models"),
        (
            "serviceAccounts",
            "run@acme-prod-7.iam.gserviceaccount.com",
            "iam.service-accounts.describe",
            "gcloud iam service-accounts describe run@acme-prod-7.iam.gserviceaccount.com --project=PROJECT",
        ),
        ("projects", "acme-prod-7", "run.deploy", "gcloud projects describe acme-prod-7"),
        ("projects", "acme-prod-7:setIamPolicy", "projects.add-iam-policy-binding", "gcloud projects describe acme-prod-7"),
    ],
)
def test_only_what_gcloud_calls_a_project_is_one(kind: str, name: str, command: str, look: str) -> None:
    """A service, a secret or a repository in brackets is looked for as what it is, and never stands where a project belongs."""
    found = diagnose(f"ERROR: (gcloud.{command}) {_NOT} {kind} instance [{name}] {_CALLER}")[0]
    assert found.commands[0] == look
    for line in found.commands:
        if kind not in ("projects", "b", "buckets"):
            assert f"projects add-iam-policy-binding {name}" not in line
            assert f"--project={name}" not in line
            assert "PROJECT" in line


def test_the_policy_of_a_service_is_not_the_policy_of_a_project() -> None:
    """`services instance [gemma:setIamPolicy]` names a service."""
    found = diagnose(
        f"ERROR: (gcloud.run.services.add-iam-policy-binding) {_NOT} services instance [gemma:setIamPolicy] {_CALLER}"
    )
    assert found
    assert not any("=gemma" in line or "projects add-iam-policy-binding gemma" in line for f in found for line in f.commands)


def test_a_region_that_no_text_names_is_a_placeholder(tmp_path: Path) -> None:
    """The default region of a deploy says nothing of a log; a flag does."""
    log = tmp_path / "log"
    log.write_text(f"ERROR: (gcloud.run.jobs.execute) {_NOT} jobs instance [tune] {_CALLER}\n")
    document = from_log(log, load({}, tmp_path, tmp_path), None, None).document()
    assert "us-central1" not in str(document)
    assert "--region=REGION" in str(document)
    assert "--region=europe-west4" in str(from_log(log, load({}, tmp_path, tmp_path), None, "europe-west4").document())


@pytest.mark.parametrize(
    ("text", "look", "grant"),
    [
        (
            (
                "Permission 'iam.serviceaccounts.actAs' denied on service account gemma-runtime@my-proj.iam.gserviceaccount.com"
                " (or it may not exist)."
            ),
            "gcloud iam service-accounts describe gemma-runtime@my-proj.iam.gserviceaccount.com --project=my-proj",
            "gcloud iam service-accounts add-iam-policy-binding",
        ),
        (
            "Permission 'run.services.get' denied on resource 'namespaces/my-proj/services/gemma3' (or resource may not exist).",
            "gcloud run services describe gemma3 --project=my-proj --region=REGION",
            "gcloud projects add-iam-policy-binding my-proj",
        ),
        (
            (
                "403 Permission 'secretmanager.versions.access' denied for resource 'projects/my-proj/secrets/hf/versions/3'"
                " (or it may not exist)"
            ),
            "gcloud secrets versions describe 3 --secret=hf --project=my-proj",
            "gcloud secrets add-iam-policy-binding hf",
        ),
        (
            (
                "403 GET https://storage.googleapis.com/download/storage/v1/b/my-models/o/gemma%2Fconfig.json?alt=media:"
                " a@my-proj.iam.gserviceaccount.com does not have storage.objects.get access to the Google Cloud Storage object."
                " Permission 'storage.objects.get' denied on resource (or it may not exist)."
            ),
            "gcloud storage objects describe gs://my-models/gemma/config.json",
            "gcloud storage buckets add-iam-policy-binding gs://my-models",
        ),
        (
            (
                "a@my-proj.iam.gserviceaccount.com does not have storage.objects.list access to the Google Cloud Storage bucket."
                " Permission 'storage.objects.list' denied on resource (or it may not exist)."
            ),
            "gcloud storage buckets describe gs://BUCKET",
            "gcloud storage buckets add-iam-policy-binding gs://BUCKET",
        ),
    ],
)
def test_what_may_not_exist_is_looked_for_first(text: str, look: str, grant: str) -> None:
    """The first command looks for that very thing, the second grants; the cause names both."""
    found = diagnose(text)[0]
    assert found.commands[0] == look
    assert found.commands[1].startswith(grant)
    assert "not exist" in found.cause


def test_nothing_is_looked_for_where_the_text_is_sure() -> None:
    """Without the words the grant is the first command."""
    (found,) = diagnose("Permission 'run.services.get' denied on resource 'namespaces/my-proj/services/gemma3'.")
    assert found.commands[0].startswith("gcloud projects add-iam-policy-binding my-proj")
    assert "not exist: the same text" not in found.cause


_OF_REPOSITORY = "projects/acme-prod-7/locations/us-central1/repositories/gemmactl"
_DESCRIBED = "gcloud artifacts docker images describe us-central1-docker.pkg.dev/acme-prod-7/gemmactl"


@pytest.mark.parametrize(
    ("permission", "resource", "look"),
    [
        ("tags.get", f"//artifactregistry.googleapis.com/{_OF_REPOSITORY}/packages/serve/tags/v9", f"{_DESCRIBED}/serve:v9"),
        ("dockerimages.get", f"{_OF_REPOSITORY}/dockerImages/team%2Fserve:v9", f"{_DESCRIBED}/team/serve:v9"),
        ("tags.get", f"{_OF_REPOSITORY}/packages/serve%3Brm/tags/v9", "gcloud artifacts repositories describe gemmactl"),
    ],
)
def test_a_tag_that_may_not_exist_is_looked_for_itself(permission: str, resource: str, look: str) -> None:
    """The image with its tag, not its repository alone; a path that is no legal one stays out of the command."""
    text = f"Permission 'artifactregistry.{permission}' denied on resource '{resource}' (or it may not exist)."
    (found,) = diagnose(text)
    assert found.commands[0].startswith(look)
    assert found.role == "roles/artifactregistry.reader"


@pytest.mark.parametrize("quote", ["'", '"', "`"])
def test_an_image_that_is_not_found_is_looked_for_among_the_tags(quote: str) -> None:
    """In any quotation marks: the image that the text names stands in the command."""
    image = "us-central1-docker.pkg.dev/acme-prod-7/gemmactl/serve"
    (found,) = diagnose(f"ERROR: (gcloud.run.deploy) Image {quote}{image}:v9{quote} not found.")
    assert (found.code, found.commands) == ("image-missing", (f"gcloud artifacts docker tags list {image}",))
