"""Who calls: Application Default Credentials or the sandbox's, e-mail, ID tokens. Knows no API beside Google's login."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from gemmactl.errors import Trouble, refused
from gemmactl.gcp.endpoint import Endpoint, member
from gemmactl.gcp.errors import translated
from gemmactl.gcp.once import Once
from gemmactl.resources.surroundings import Login

SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)
QUOTA_PROJECT: Final = "GOOGLE_CLOUD_QUOTA_PROJECT"
"""google-auth's own variable: whoever sets it chose a project for these calls."""
TOKEN_INFO: Final = "https://oauth2.googleapis.com/tokeninfo"
TIMEOUT: Final = 20.0


class Identity:
    """The caller of one process. Nothing is asked before it is needed."""

    def __init__(self, project: str, endpoint: Endpoint | None = None, impersonate: str = "") -> None:
        self._project = project
        self._endpoint = endpoint
        self._target = impersonate
        self._before: Identity | None = None
        """Who acts as the account, where he acts as one himself."""
        self.credentials: Once[Any] = Once(self._credentials)
        self._source: Once[Any] = Once(self._login)
        self._email: Once[str] = Once(self._ask_email, asks=True)

    def _credentials(self) -> Any:
        source = self._source()
        if not self._target:
            return source
        from gemmactl.gcp.impersonation import acting_as

        quota_project = "" if self._endpoint else os.environ.get(QUOTA_PROJECT, "")
        return acting_as(source, self._target, SCOPES, self._endpoint, quota_project)

    def acting(self, account: str) -> Identity:
        """The same caller as a service account that he may act as, on top of one that he acts as already."""
        other = Identity(self._project, self._endpoint, account)
        other._source, other._before = self.credentials, self
        return other

    def not_as(self, trouble: Trouble) -> Trouble:
        """The refusal to act as the account, with who may not and what cures it."""
        if not self._target:  # an account that the credentials' own file names
            return trouble
        from gemmactl.gcp.impersonation import named

        try:
            caller = (self._before or Identity(self._project, self._endpoint)).member()
        except Trouble:
            caller = ""
        return named(trouble, self._target, caller)

    def _login(self) -> Any:
        """Whoever is logged in, before any impersonation."""
        if self._endpoint is not None:
            return _loopback(self._endpoint)
        with translated("oauth2.googleapis.com", "finding the credentials"):
            import google.auth

            credentials: Any = google.auth.default(scopes=SCOPES)[0]
        # a person's calls count on no project or on the one of the day of the login, whose APIs nobody enables: they would call
        # themselves disabled. The deployed project is the one whose APIs a plan enables; gcloud counts on it too.
        # Whoever acts as an account may have no right on that project: his one call there is for the token.
        mine = self._project and not self._target and not os.environ.get(QUOTA_PROJECT)
        if mine and _kind(credentials) == "authorized_user":
            credentials = credentials.with_quota_project(self._project)
        return credentials

    def email(self) -> str:
        """The caller's e-mail, or `` when it can't be known."""
        return self._email()

    def member(self) -> str:
        """The caller as an IAM member, or ``."""
        return member(self.email())

    def login(self) -> Login:
        """How the caller came to be who he is; makes no call.

        Raises:
            Trouble: (refused) nobody is logged in.
        """
        if self._endpoint is not None:
            return Login("sandbox", self._target)
        from gemmactl.settings import gcloud_account

        credentials = self.credentials()
        kind = _kind(credentials)
        target = str(getattr(credentials, "service_account_email", "") or "") if kind == "impersonated" else ""
        quota_project = str(getattr(credentials, "quota_project_id", "") or "")
        return Login(kind, target, quota_project, gcloud_account(os.environ, Path.home()))

    def _ask_email(self) -> str:
        if self._target:
            return self._target
        if self._endpoint is not None:
            return self._endpoint.caller
        credentials = self.credentials()
        known = getattr(credentials, "service_account_email", "") or getattr(credentials, "signer_email", "") or ""
        if "@" in known:
            return str(known)
        import requests

        self._refresh(credentials)
        # on a metadata server the account is called `default` until the first token came
        known = getattr(credentials, "service_account_email", "") or ""
        if "@" in known:
            return str(known)
        try:
            answer = requests.post(TOKEN_INFO, data={"access_token": credentials.token}, timeout=TIMEOUT)
            return str(answer.json().get("email", "")) if answer.ok else ""
        except (requests.exceptions.RequestException, ValueError):
            return ""

    def _refresh(self, credentials: Any) -> None:
        from google.auth.transport.requests import Request

        with translated("oauth2.googleapis.com", "getting an access token"):
            if not credentials.valid:
                credentials.refresh(Request())

    def id_token(self, audience: str) -> str:
        """An ID token of the caller for a private service.

        Raises:
            Trouble: (refused) this kind of credentials has none.
        """
        if self._target:
            return self._generated(self._source(), self._target, audience)
        if self._endpoint is not None:
            return self._endpoint.id_token(audience)
        credentials = self.credentials()
        if _kind(credentials) == "federated" and credentials.service_account_email:
            from gemmactl.gcp.impersonation import unimpersonated

            return self._generated(unimpersonated(credentials), credentials.service_account_email, audience)
        with translated("oauth2.googleapis.com", "getting an ID token"):
            return _id_token(credentials, audience)

    def _generated(self, source: Any, email: str, audience: str) -> str:
        from gemmactl.gcp.impersonation import API, id_token

        with translated(API, f"getting an ID token of {email}"):
            return id_token(source, email, audience, self._endpoint)


def _kind(credentials: Any) -> str:
    """Which of google-auth's classes it is, by name: importing all of them would cost more than the call."""
    return {
        "google.oauth2.credentials": "authorized_user",
        "google.oauth2.service_account": "service_account",
        "google.auth.compute_engine.credentials": "metadata",
        "google.auth.impersonated_credentials": "impersonated",
        "google.auth.identity_pool": "federated",
        "google.auth.aws": "federated",
        "google.auth.pluggable": "federated",
    }.get(type(credentials).__module__, "other")


def _id_token(credentials: Any, audience: str) -> str:
    from google.auth.transport.requests import Request

    request = Request()
    maker: Any
    kind: Any  # google-auth's classes are not typed
    match _kind(credentials):
        case "authorized_user":
            # it came with the access token and ends with it: after a long build the first one is stale
            if not credentials.id_token or not credentials.valid:
                credentials.refresh(request)
            if credentials.id_token:
                return str(credentials.id_token)
            raise _no_id_token("this login came without the openid scope")
        case "service_account":
            from google.oauth2 import service_account

            kind = service_account.IDTokenCredentials
            maker = kind(
                signer=credentials.signer,
                service_account_email=credentials.service_account_email,
                token_uri="https://oauth2.googleapis.com/token",
                target_audience=audience,
            )
        case "metadata":
            from google.auth import compute_engine

            kind = compute_engine.IDTokenCredentials
            maker = kind(request, audience, use_metadata_identity_endpoint=True)
        case "impersonated":
            from google.auth import impersonated_credentials

            kind = impersonated_credentials.IDTokenCredentials
            maker = kind(credentials, target_audience=audience, include_email=True)
        case "federated":
            raise _no_id_token("a federated identity has none of its own, only the service account that it acts as")
        case _:
            raise _no_id_token(f"{type(credentials).__name__} can only make access tokens")
    maker.refresh(request)
    return str(maker.token)


def _no_id_token(why: str) -> Trouble:
    return refused(
        "no ID token can be made for the private service",
        why=why,
        remedy="gcloud auth application-default login, or act as a service account: add --impersonate-service-account EMAIL",
        code="no-id-token",
    )


def _loopback(endpoint: Endpoint) -> Any:
    from google.auth.credentials import Credentials

    class Loopback(Credentials):
        """Takes a fresh token from the endpoint for every request: its clock, not ours, says when one is old."""

        def refresh(self, request: Any) -> None:
            self.token = endpoint.token()

        def before_request(self, request: Any, method: str, url: str, headers: Any) -> None:
            self.refresh(request)
            self.apply(headers)  # type: ignore[no-untyped-call]  # the library is untyped here

    return Loopback()  # type: ignore[no-untyped-call]  # the library is untyped here
