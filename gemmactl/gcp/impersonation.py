"""Tokens of a service account for somebody who may have them: IAM Credentials, by google-auth's own classes. Knows no login."""

from __future__ import annotations

from typing import Any, Final

from gemmactl.errors import Trouble, refused
from gemmactl.gcp import endpoint as endpoints
from gemmactl.gcp.endpoint import Endpoint
from gemmactl.resources.service_account import project_of

API: Final = "iamcredentials.googleapis.com"
TIMEOUT: Final = 20.0


def acting_as(source: Any, email: str, scopes: tuple[str, ...], endpoint: Endpoint | None, quota_project: str) -> Any:
    """Credentials of the account; the first call with them asks for a token. `quota_project`: `` for the account's own."""
    from google.auth import impersonated_credentials

    kind: Any = impersonated_credentials.Credentials  # google-auth's classes are not typed
    return kind(
        source_credentials=source,
        target_principal=email,
        target_scopes=list(scopes),
        quota_project_id=quota_project or None,
        iam_endpoint_override=_url(endpoint, email, "generateAccessToken") if endpoint else None,
    )


def id_token(source: Any, email: str, audience: str, endpoint: Endpoint | None) -> str:
    """An ID token of the account. Raises what Google's clients raise."""
    from google.api_core.exceptions import from_http_response
    from google.auth.transport.requests import AuthorizedSession

    session: Any = AuthorizedSession(source)  # type: ignore[no-untyped-call]  # the library is untyped here
    with session:
        body = {"audience": audience, "includeEmail": True}
        answer = session.post(_url(endpoint, email, "generateIdToken"), json=body, timeout=TIMEOUT)
    if answer.status_code >= 400:
        raise from_http_response(answer)  # type: ignore[no-untyped-call]  # the library is untyped here
    return str(answer.json()["token"])


def named(trouble: Trouble, account: str, caller: str) -> Trouble:
    """A refusal that names neither, with the account, the caller (an IAM member, or ``) and the command that cures it."""
    project = project_of(account)
    where = "" if project == "-" else f" --project={project}"
    said = str(trouble.facts.get("message", ""))
    if "Gaia id not found" in said or "NOT_FOUND" in said:
        what = f"there is no service account {account}"
        remedy = f"check how it is spelled: gcloud iam service-accounts list{where}"
        trouble.facts.pop("permission", None)
    elif "SERVICE_DISABLED" in said:
        what = f"{account} can't be acted as: the IAM Service Account Credentials API is off"
        remedy = f"gcloud services enable {API}{where}"
        trouble.facts.pop("permission", None)
    else:
        what = f"{caller.partition(':')[2] or 'the caller'} may not act as {account}"
        remedy = (
            "ask for this one role on that one account: gcloud iam service-accounts add-iam-policy-binding "
            f"{account} --member={caller or 'CALLER'} --role=roles/iam.serviceAccountTokenCreator{where}"
        )
        trouble.facts |= {"resource": account, **({"principal": caller} if caller else {})}
    return refused(what, why=trouble.why, remedy=remedy, code="impersonation", facts=trouble.facts)


def unimpersonated(credentials: Any) -> Any:
    """The federated identity itself, where its file goes on to a service account.

    roles/iam.workloadIdentityUser lets it ask for ID tokens of that account; the account itself may not ask for its own.
    """
    arguments = credentials._constructor_args()  # noqa: SLF001 - as google-auth makes its own source credentials
    arguments |= {"service_account_impersonation_url": None, "service_account_impersonation_options": {}}
    return type(credentials)(**arguments)


def _url(endpoint: Endpoint | None, email: str, method: str) -> str:
    return f"{endpoints.url(endpoint, API)}/v1/projects/-/serviceAccounts/{email}:{method}"
