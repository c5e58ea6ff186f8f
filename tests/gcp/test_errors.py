"""What Google's clients raise, as Trouble: code, way out, facts that doctor reads, and never a secret."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from google.api_core import exceptions as api
from google.auth import exceptions as auth

from gemmactl.errors import Exit, Trouble
from gemmactl.gcp.errors import settling, translate, translated


def trouble(error: Exception) -> Trouble:
    found = translate(error, "run.googleapis.com", "making service s")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (api.BadRequest("x"), "invalid", 400),
        (api.Unauthorized("x"), "unauthenticated", 401),
        (api.Forbidden("x"), "denied", 403),
        (api.PermissionDenied("x"), "denied", 403),
        (api.NotFound("x"), "not-found", 404),
        (api.Conflict("x"), "conflict", 409),
        (api.AlreadyExists("x"), "conflict", 409),
        (api.PreconditionFailed("x"), "precondition", 412),
        (api.TooManyRequests("x"), "quota", 429),
        (api.ServiceUnavailable("x"), "unavailable", 503),
        (api.FailedPrecondition("x"), "invalid", 400),
        (api.RetryError("late", api.ServiceUnavailable("x")), "unavailable", 503),
    ],
)
def test_statuses(error: Exception, code: str, status: int) -> None:
    """Each status has one code, over REST and gRPC alike, and every Trouble names a way out."""
    found = trouble(error)
    assert (found.code, found.facts["status"]) == (code, status)
    assert found.what
    assert found.why
    assert found.remedy


@pytest.mark.parametrize(
    ("message", "facts"),
    [
        (
            "POST https://run.googleapis.com/v2/x: Permission 'run.services.get' denied on resource 'projects/p/y' (or ...).",
            {"permission": "run.services.get", "resource": "projects/p/y"},
        ),
        (
            'Permission "artifactregistry.repositories.create" denied on resource "//a/projects/p" (or it may not exist).',
            {"permission": "artifactregistry.repositories.create", "resource": "//a/projects/p"},
        ),
        (
            "a@p.iam.gserviceaccount.com does not have storage.objects.get access to the Google Cloud Storage object.",
            {"permission": "storage.objects.get", "principal": "a@p.iam.gserviceaccount.com"},
        ),
        (
            "Permission 'iam.serviceaccounts.actAs' denied on service account b@p.iam.gserviceaccount.com (or it may not exist).",
            {"permission": "iam.serviceAccounts.actAs", "resource": "b@p.iam.gserviceaccount.com"},
        ),
        (
            (
                "a@example.com does not have storage.objects.list access to the Google Cloud Storage bucket. "
                "Permission 'storage.objects.list' denied on resource (or it may not exist)."
            ),
            {"permission": "storage.objects.list", "principal": "a@example.com", "resource": None},
        ),
    ],
)
def test_denials_in_words(message: str, facts: dict[str, str]) -> None:
    """Permission, resource and principal are read from the sentence when no structure carries them."""
    found = trouble(api.Forbidden(message)).facts
    assert {k: found.get(k) for k in facts} == facts
    assert not found["message"].startswith("POST")


@pytest.mark.parametrize(
    ("doing", "resource"),
    [
        ("the list of gs://weights/m/", "gs://weights"),
        ("copying gs://one/m/x to gs://one/n/x", "gs://one"),
        ("copying gs://one/m/x to gs://two/m/x", None),
        ("making service s", None),
    ],
)
def test_the_bucket_that_was_asked_is_the_one_that_refused(doing: str, resource: str | None) -> None:
    """Cloud Storage names the permission and not the bucket; of two, which one it was is not known."""
    said = "a@example.com does not have storage.objects.list access to the Google Cloud Storage bucket."
    found = translate(api.Forbidden(said), "storage.googleapis.com", doing)
    assert found is not None
    assert found.facts.get("resource") == resource


def test_a_disabled_api_is_known_by_its_older_form_too() -> None:
    """A JSON API's list of errors, without an ErrorInfo; any other reason in it is none of that."""
    listed = [{"message": "m", "domain": "usageLimits", "reason": "accessNotConfigured"}]
    found = trouble(
        api.Forbidden("Cloud Storage JSON API has not been used in project 1 before or it is disabled.", errors=listed)
    )
    assert (found.code, found.facts["reason"], found.facts["service"]) == (
        "api-disabled",
        "SERVICE_DISABLED",
        "run.googleapis.com",
    )
    assert "reason" not in trouble(api.Forbidden("no", errors=[{"reason": "forbidden"}])).facts


def test_structure_beats_words() -> None:
    """ErrorInfo's permission and resource win over the sentence."""
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "IAM_PERMISSION_DENIED",
        "metadata": {"permission": "a.b.c", "resource": "r"},
    }
    found = trouble(api.Forbidden("Permission 'x.y.z' denied on resource 'q'", details=[info])).facts
    assert (found["reason"], found["permission"], found["resource"]) == ("IAM_PERMISSION_DENIED", "a.b.c", "r")


def test_field_violations_are_told() -> None:
    """A rejected field is named in the why."""
    detail: dict[str, Any] = {"@type": "x", "fieldViolations": [{"field": "template.timeout", "description": "too long"}]}
    assert "template.timeout: too long" in trouble(api.BadRequest("bad", details=[detail])).why


def test_no_credentials() -> None:
    """Nobody logged in: refused before any change, with both commands."""
    found = trouble(auth.DefaultCredentialsError("Your default credentials were not found. To set up ..."))
    assert (found.code, found.exit) == ("no-credentials", Exit.REFUSED)
    assert found.facts["commands"] == ["gcloud auth login", "gcloud auth application-default login"]


@pytest.mark.parametrize("error", [auth.RefreshError("invalid_grant: Bad Request", {}), auth.ReauthFailError("again")])
def test_credentials_that_no_longer_work(error: Exception) -> None:
    """An expired or revoked login is refused with the command that renews it."""
    found = trouble(error)
    assert (found.code, found.exit) == ("credentials-expired", Exit.REFUSED)
    assert "gcloud auth application-default login" in found.remedy


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (requests.exceptions.ConnectionError("refused"), "network"),
        (requests.exceptions.ProxyError("no"), "HTTPS_PROXY"),
        (requests.exceptions.SSLError("CERTIFICATE_VERIFY_FAILED"), "REQUESTS_CA_BUNDLE"),
        (requests.exceptions.ReadTimeout("late"), "network"),
        (auth.TransportError("no route"), "network"),
    ],
)
def test_the_network(error: Exception, word: str) -> None:
    """What stands between here and Google is told apart: connection, proxy, certificate."""
    found = trouble(error)
    assert found.code == "network"
    assert word in found.remedy


def test_faults_of_ours_stay_what_they_are() -> None:
    """A programming error is not dressed up as Google's."""
    with pytest.raises(ZeroDivisionError), translated("x", "y"):
        _ = 1 / 0


LATE = {
    "an API that was just enabled": {"status": 403, "reason": "SERVICE_DISABLED", "permission": "x.y.z"},
    "a new account": {"status": 403, "permission": "iam.serviceAccounts.actAs"},
    "an agent of Google's": {"status": 403, "message": "Google Cloud Run Service Agent x must have permission to read the image"},
}
LASTING = {
    "the caller's own right": {"status": 403, "permission": "run.services.create", "reason": "IAM_PERMISSION_DENIED"},
    "the same without its name": {"status": 403, "message": "The caller does not have permission"},
    "something else that is missing": {"status": 404, "message": "bucket b does not exist"},
}


@pytest.mark.parametrize("why", [*LATE, *LASTING])
def test_a_refusal_that_may_pass_by_itself_is_marked(why: str) -> None:
    """What a fresh grant, account or API may cure is told apart from a right that the caller lacks."""
    assert settling((LATE | LASTING)[why]) is (why in LATE)


def test_the_mark_is_among_the_facts() -> None:
    """A 403 that names no right of the caller's carries it; the caller's own does not."""
    assert trouble(api.Forbidden("x")).facts["denied"] is True
    own = trouble(api.Forbidden("Permission 'run.services.get' denied on resource 'projects/p/y' (or it may not exist)."))
    assert "denied" not in own.facts
