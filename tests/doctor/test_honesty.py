"""What a denial does not say: a log role is no cause, what may be missing is looked for, and who is named illegally is nobody."""

from __future__ import annotations

import pytest

from gemmactl.doctor.alarm import quiet, reports_failure
from gemmactl.doctor.diagnose import diagnose, flattened
from gemmactl.doctor.finding import Context
from gemmactl.doctor.permissions import NO_LESS
from gemmactl.doctor.there import checked
from gemmactl.resources.cloud import BucketInfo, RepositoryInfo
from gemmactl.serving.findings import findings_blocks, named_once
from gemmactl.serving.ticket import ticket
from tests.fakes.cloud import FakeCloud

BUILDER = "gemma-build@acme-prod.iam.gserviceaccount.com"
RUNTIME = "gemma-run@acme-prod.iam.gserviceaccount.com"
LOGS = "logging.logEntries.create"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (
            f"Permission '{LOGS}' denied on resource (or it may not exist).\nCUDA out of memory. Tried to allocate 2 GiB",
            "cuda-memory",
        ),
        (
            (
                f"service account ({BUILDER}) lacks permission to write logs\n"
                'denied: Permission "artifactregistry.repositories.uploadArtifacts" denied on resource'
                ' "projects/acme-prod/locations/us-central1/repositories/gem" (or it may not exist)'
            ),
            "docker-denied",
        ),
        (
            f"403 Permission '{LOGS}' denied on resource\nERROR: Container called exit(137). Memory limit of 16384 MiB exceeded",
            "host-memory",
        ),
    ],
)
def test_a_log_role_hides_the_cause_and_is_none(text: str, cause: str) -> None:
    """Whichever row tells of it: it comes after what failed, says that it hides, and is no thing that may not exist."""
    first, *others = diagnose(text)
    assert first.code == cause
    (hidden,) = (one for one in others if one.permission == LOGS)
    assert "hides" in hidden.cause
    assert first.permission != LOGS


def test_one_refusal_in_two_sentences_is_told_once() -> None:
    """The account at the end of the sentence is whose it is; the net for denials does not tell the same again without it."""
    found = diagnose(
        f"ERROR: build step 0 failed\nPermission '{LOGS}' denied on resource 'projects/acme-prod' for serviceAccount:{BUILDER}"
    )
    assert [one.principal for one in found if one.permission == LOGS] == [f"serviceAccount:{BUILDER}"]


def test_what_hides_was_met_on_the_way() -> None:
    """`(or it may not exist)` of another sentence sends nobody to look for the project that the build ran in."""
    text = (
        f"INFO The service account running this build {BUILDER} does not have permission to write logs.\n"
        'denied: Permission "artifactregistry.repositories.uploadArtifacts" denied on resource'
        ' "projects/acme-prod/locations/us-central1/repositories/gem" (or it may not exist)'
    )
    push, logs = diagnose(text)
    assert "does" in push.remedy
    assert push.commands[0].startswith("gcloud artifacts repositories describe gem ")
    assert len(logs.commands) == 1
    assert "not exist" not in logs.cause


@pytest.mark.parametrize("said", ["storage.objects.get", "run.services.get", "run.jobs.run"])
def test_a_look_is_only_spoken_of_where_there_is_one(said: str) -> None:
    """A text that is sure sends nobody to look; one that is not names its first command as the look."""
    for ending, looks in ((".", False), (" (or it may not exist).", True)):
        (found,) = diagnose(f"Permission '{said}' denied on resource 'projects/acme-prod'{ending}")
        assert ("first command" in found.remedy) is looks
        assert (" describe " in found.commands[0]) is looks


@pytest.mark.parametrize(
    "name",
    ["gemma-run@\u0430cme-prod.iam.gserviceaccount.com", "gemma-run@acme\n-prod.iam.gserviceaccount.com", "x; rm -rf ~@`id`"],
)
def test_who_is_named_illegally_is_nobody_and_the_denial_stays(name: str) -> None:
    """A letter of another script, a line break or a shell's sign in an address: no part of it is believed, nothing is hidden."""
    text = f"{name} does not have storage.objects.get access to the Google Cloud Storage object."
    assert reports_failure(flattened(quiet(text)))
    (found,) = diagnose(text)
    assert (found.permission, found.principal, found.remedies) == ("storage.objects.get", "$RUNTIME_SA", ())
    assert not any("@" in line for line in found.commands)


def test_the_bucket_that_the_sentence_names_is_where_it_is_bound() -> None:
    """And nothing after its last legal letter."""
    (found,) = diagnose(f"{RUNTIME} does not have storage.objects.get access to gs://weights/m`id`/config.json")
    assert found.resource == "gs://weights"
    (line,) = found.commands
    assert line.startswith(f"gcloud storage buckets add-iam-policy-binding gs://weights --member=serviceAccount:{RUNTIME} ")


def test_a_smaller_role_is_not_said_to_hold_more() -> None:
    """Why it is not the one is told instead."""
    (found,) = diagnose(
        "Permission 'run.services.get' denied on resource 'projects/acme-prod/locations/us-central1/services/gem'"
    )
    assert "roles/run.viewer would do too" not in found.why_not_broader
    assert (
        f"Not roles/run.viewer, which holds it as well: {NO_LESS['run.services.get', 'roles/run.viewer']}."
        in found.why_not_broader
    )


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (
            (
                "Permission denied on secret: projects/demo-proj/secrets/hf/versions/latest for Revision service account"
                " gemma-run@demo-proj.iam.gserviceaccount.com."
            ),
            "missing-secret",
        ),
        (
            (
                "Permission 'storage.objects.list' denied on resource //storage.googleapis.com/projects/_/buckets/weights"
                " (or it may not exist)."
            ),
            "missing-bucket",
        ),
        (
            (
                "denied: Permission 'artifactregistry.repositories.downloadArtifacts' denied on resource"
                " 'projects/demo-proj/locations/us-central1/repositories/gem' (or it may not exist)."
            ),
            "missing-repository",
        ),
    ],
)
def test_live_it_is_looked_for(text: str, code: str) -> None:
    """What is not there gets no role and no command that grants; what is there gets its one grant."""
    account = "gemma-run@demo-proj.iam.gserviceaccount.com"
    here = Context("demo-proj", caller="user:dev@example.com", build_account=account, runtime_account=account)
    cloud = FakeCloud()
    (absent,) = checked(diagnose(text, {}, here), cloud)
    assert (absent.code, absent.role, absent.remedies, absent.safe) == (code, "", (), False)
    assert not any("add-iam-policy-binding" in line for line in absent.commands)
    cloud.storage.create_bucket(BucketInfo("weights", "us-central1"))
    cloud.secrets.create("projects/demo-proj/secrets/hf", "us-central1", {})
    cloud.repositories.create(RepositoryInfo("projects/demo-proj/locations/us-central1/repositories/gem"))
    (there,) = checked(diagnose(text, {}, here), cloud)
    assert there.safe
    assert len(there.remedies) == 1


def test_what_is_no_fix_is_denied_once() -> None:
    """`not this: not roles/...` would deny twice, on the screen and in a ticket; two denials in a row stay as they are."""
    assert named_once("not roles/storage.admin: reading needs less") == "roles/storage.admin: reading needs less"
    assert named_once("not on the project, and not run.admin") == "not on the project, and not run.admin"
    (found,) = diagnose(f"{RUNTIME} does not have storage.objects.get access to gs://weights")
    (item,) = findings_blocks((found,))
    assert any(line.startswith("not this: roles/storage.admin or ") for line in getattr(item, "lines", ()))
    assert "Not this: not " not in ticket((found,), "x")
