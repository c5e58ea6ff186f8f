"""Who was denied, by the look of the text around a denial."""

from __future__ import annotations

import pytest

from gemmactl.doctor.diagnose import diagnose

DENIED = "403 Permission 'secretmanager.versions.add' denied for resource 'projects/my-proj/secrets/token' (or it may not exist)."


def who(text: str) -> str:
    return diagnose(text)[0].principal


def test_code_in_a_container_is_the_services_own_account() -> None:
    """A traceback of code under /app is the running service's."""
    assert (
        who(f'  File "/app/rotate.py", line 41, in <module>\ngoogle.api_core.exceptions.PermissionDenied: {DENIED}')
        == "$RUNTIME_SA"
    )


def test_a_command_is_the_callers() -> None:
    """What gcloud prints concerns the account that ran it, wherever it lies."""
    assert (
        who(f"$ gcloud secrets versions add token\nERROR: (gcloud.secrets.versions.add) PERMISSION_DENIED: {DENIED}") == "$CALLER"
    )


def test_a_step_of_a_build_is_the_builds_account() -> None:
    """Inside a build the caller is the build's service account."""
    assert who(f'ERROR: build step 0 "gcr.io/cloud-builders/docker" failed: {DENIED}') == "$BUILD_SA"


def test_an_audit_log_names_who_was_refused() -> None:
    """PrincipalEmail is the answer where the message names nobody."""
    who_asked = '"authenticationInfo":{"principalEmail":"w@my-proj.iam.gserviceaccount.com"}'
    text = f'{{"status":{{"code":7,"message":"{DENIED}"}},{who_asked}}}'
    assert who(text) == "serviceAccount:w@my-proj.iam.gserviceaccount.com"


@pytest.mark.parametrize(
    "permission", ["monitoring.timeSeries.create", "cloudtrace.traces.patch", "pubsub.subscriptions.consume"]
)
def test_some_permissions_only_programs_use(permission: str) -> None:
    """A bare line with a permission that no deploy needs concerns the running service."""
    assert who(f"Permission '{permission}' denied on resource (or it may not exist).") == "$RUNTIME_SA"


def test_a_denial_without_a_scene_is_the_callers() -> None:
    """Nothing in the text tells: whoever ran it."""
    assert who(DENIED) == "$CALLER"


SECRET = "403 Permission 'secretmanager.versions.access' denied for resource 'projects/my-proj/secrets/t' (or it may not exist)."
PEOPLE = "home"


@pytest.mark.parametrize(
    "scene",
    [
        f'  File "/{PEOPLE}/jo/chat/config.py", line 9, in load\n',
        '  File "/Users/jo/chat/config.py", line 9, in load\n',
        '  File "C:\\Users\\jo\\nets\\config.py", line 9, in load\n',
        "jo@thinkpad:~/chat$ python config.py\n",
        "I run the notebook locally:\n",
    ],
)
def test_code_in_a_persons_folder_is_the_callers(scene: str) -> None:
    """What runs on somebody's machine asks with their own login, even for what programs ask."""
    assert who(f"{scene}google.api_core.exceptions.PermissionDenied: {SECRET}") == "$CALLER"


def test_what_programs_ask_for_is_the_services_where_nothing_tells() -> None:
    """The same line by itself."""
    assert who(SECRET) == "$RUNTIME_SA"


def test_a_folder_of_the_container_is_no_persons() -> None:
    """Images have users with homes, too."""
    assert who(f'  File "/{PEOPLE}/app/main.py", line 9, in load\n{SECRET}') == "$RUNTIME_SA"


def test_the_prefix_of_a_build_log_is_seen_before_it_is_taken_away() -> None:
    """Each line says so, and nothing else does."""
    assert who(f'Step #2 - "terraform": Error: {DENIED}') == "$BUILD_SA"


def test_a_builder_that_pushes_by_itself_does_so_as_the_build() -> None:
    """Kaniko asks for docker's login nowhere."""
    denied = 'DENIED: Permission "artifactregistry.repositories.uploadArtifacts" denied on resource "projects/p-1/locations/us/r"'
    assert who(f"Step #0: INFO[0041] kaniko\nStep #0: error building image: error pushing image: {denied}") == "$BUILD_SA"
    assert who(f"Step #0: Pushing\nStep #0: {denied}") == "$DOCKER_IDENTITY"


@pytest.mark.parametrize(
    "named",
    [
        "Workflow service account: w@my-proj.iam.gserviceaccount.com",
        "Caller: w@my-proj.iam.gserviceaccount.com",
        "Grant the service account w@my-proj.iam.gserviceaccount.com the role roles/secretmanager.secretVersionAdder.",
        "Please grant the Version Adder role to w@my-proj.iam.gserviceaccount.com.",
        "w@my-proj.iam.gserviceaccount.com does not have storage.objects.list access to the Google Cloud Storage bucket.",
    ],
)
def test_the_text_names_who_lacks_it(named: str) -> None:
    """A label, an advice, or another denial of the same program."""
    assert who(f"{DENIED}\n{named}") == "serviceAccount:w@my-proj.iam.gserviceaccount.com"


def test_the_account_that_a_role_is_on_is_not_who_lacks_it() -> None:
    """`on the service account X` is a place."""
    advice = "Grant roles/iam.serviceAccountUser on the service account w@my-proj.iam.gserviceaccount.com to yourself."
    assert who(f"{DENIED}\n{advice}") == "$CALLER"


def test_a_schedule_calls_as_its_own_account() -> None:
    """The field, or the only account that the text names."""
    log = (
        '{"@type":"type.googleapis.com/google.cloud.scheduler.logging.AttemptFinished","status":"PERMISSION_DENIED",'
        '"url":"https://us-central1-run.googleapis.com/apis/run.googleapis.com/v1/namespaces/my-proj/jobs/tune:run"}'
    )
    assert who(log) == ""
    assert (
        who(f"{log}\nit calls as nightly@my-proj.iam.gserviceaccount.com")
        == "serviceAccount:nightly@my-proj.iam.gserviceaccount.com"
    )


def test_a_database_user_is_an_account_without_its_end() -> None:
    """PostgreSQL cuts a service account's name short."""
    assert (
        who('FATAL: Cloud SQL IAM service account authentication failed for user "rag@my-proj.iam"')
        == "serviceAccount:rag@my-proj.iam.gserviceaccount.com"
    )


def test_the_default_account_signs_as_itself() -> None:
    """A program without a key asks IAM to sign for the account it runs as."""
    mine = "123456789012-compute@developer.gserviceaccount.com"
    needed = "Permission iam.serviceAccounts.signBlob is required to perform this operation on service account"
    assert who(f"{needed} projects/p-1/serviceAccounts/{mine}.") == f"serviceAccount:{mine}"


def test_the_only_account_in_the_text_is_the_programs() -> None:
    """In any language; not where it is what something was done to."""
    mine = "rt-gemma@my-proj.iam.gserviceaccount.com"
    assert who(f"Nosso servi\u00e7o executa como {mine}:\n{SECRET}") == f"serviceAccount:{mine}"
    assert who(f"acts on projects/-/serviceAccounts/{mine}\n{SECRET}") == "$RUNTIME_SA"
    assert who(f"{mine} or other@my-proj.iam.gserviceaccount.com\n{SECRET}") == "$RUNTIME_SA"


def test_a_server_on_this_machine_asks_as_whoever_started_it() -> None:
    """It says so with its address."""
    assert who(f"  Local URL: http://localhost:8501\n{SECRET}") == "$CALLER"


def test_gcloud_in_a_build_says_which_account_the_builds_is() -> None:
    """`authenticated as` there is the build's, whoever else is known as the caller."""
    said = "This command is authenticated as 123456789012@cloudbuild.gserviceaccount.com which is the active account"
    text = f"Step #1: ERROR: (gcloud.secrets.versions.add) PERMISSION_DENIED: {DENIED} {said}"
    assert who(text) == "serviceAccount:123456789012@cloudbuild.gserviceaccount.com"
