"""No credentials, expired ones, the wrong ones. No role helps with any of these."""

from __future__ import annotations

from functools import partial
from typing import Final

from gemmactl.doctor.consequences import UNNAMED_DENIALS
from gemmactl.doctor.rows.tokens import refused

_NO_GRANT: Final = ("any IAM grant: the request carried no valid identity",)


_auth: Final = partial(refused, command="gcloud auth application-default login", confidence=0.9)


ROWS: Final = (
    _auth(
        "adc-missing",
        "adc_missing",
        "There are no Application Default Credentials on this machine",
        "Libraries use their own login, not gcloud's.",
        "Log in for libraries; on a server use an attached service account. Never put a key file into an image.",
        r"Your default credentials were not found",
        r"Could not automatically determine credentials",
        r"google: could not find default credentials",
        r"DefaultCredentialsError: \(?['\"]?(?:File|Your)",
        r"Unable to locate (?:the )?Application Default Credentials",
    ),
    _auth(
        "adc-expired",
        "reauth",
        "The login of the libraries has expired",
        "The organization limits how long a login lasts, or the token was revoked.",
        "Log in again.",
        r"Reauthentication (?:is needed|required|failed)(?=.{0,300}application-default)",
        r"RefreshError: .{0,80}?(?:invalid_grant|invalid_rapt|Reauthentication)",
    ),
    _auth(
        "gcloud-login-expired",
        "reauth",
        "gcloud's login has expired",
        "The token of the active account was revoked or has run out.",
        "Log in again.",
        r"problem refreshing your current auth tokens",
        r"Reauthentication challenge could not be answered",
        r"Reauthentication (?:is needed|required|failed)(?!.{0,300}application-default)",
        command="gcloud auth login",
        unless=r"Unable to acquire impersonated credentials",
    ),
    _auth(
        "token-expired",
        "reauth",
        "The login was refused: invalid_grant",
        "The refresh token was revoked or has run out, or the clock of this machine is wrong.",
        "Log in again; if a key file is used, check the clock.",
        r"invalid_grant",
        r"invalid_rapt",
    ),
    _auth(
        "gcloud-no-account",
        "no_account",
        "gcloud has no active account",
        "Nobody is logged in.",
        "Log in, or choose one of the accounts that are.",
        r"You do not currently have an active account selected",
        r"active account \S{3,100} does not have any valid credentials",
        command="gcloud auth login",
    ),
    _auth(
        "docker-anonymous",
        "docker_anonymous",
        "docker sent no credentials",
        "The credential helper is not set up for this registry host, or docker runs as another user (sudo).",
        "Set up docker for the host, as the user that runs docker.",
        (
            r"Unauthenticated requests? do(?:es)? not have permission \"?[\w.]+\"? on resource"
            r" \"?projects/(?P<project>[\w-]+)/locations/(?P<region>[\w-]+)/"
        ),
        r"Unauthenticated request\.",
        r"unauthorized: You don't have the needed permissions to perform this operation, and you may have invalid credentials",
        r"failed to fetch (?:anonymous token|oauth token(?!.{0,500}?\b403 Forbidden))",
        r"no basic auth credentials",
        command="gcloud auth configure-docker {region}-docker.pkg.dev",
        explains=("docker-denied", "iam-denied"),
    ),
    _auth(
        "docker-helper-missing",
        "docker_helper",
        "docker can't find gcloud's credential helper",
        "docker is set up for the helper, but gcloud is not on the PATH of this user (sudo, WSL, CI).",
        "Put gcloud on the PATH, or log docker in with an access token.",
        r"docker-credential-gcloud[\"']?: executable file not found",
        r"`?docker-credential-gcloud`? not in system PATH",
        r"docker-credential-\w+[\"']?[: ]+(?:executable file )?not found",
        command="gcloud auth configure-docker {region}-docker.pkg.dev",
    ),
    _auth(
        "gcs-anonymous",
        "anonymous",
        "The request carried no identity",
        "Nobody is logged in, or no Application Default Credentials were found.",
        "Log in for libraries, or with `gcloud auth login` for gcloud.",
        r"Anonymous caller does not have [\w.]+ access",
        explains=("storage-denied", "iam-denied"),
    ),
    _auth(
        "accounts-differ",
        "mismatch",
        "gcloud and the libraries are logged in as different accounts",
        "gcloud may do it, the library may not: Application Default Credentials belong to another identity.",
        "Log the libraries in with the account that gcloud uses.",
        r"gcloud config get(?:-value)? (?:core/)?account \S+@\S+"
        r" .{0,400}?google\.api_core\.exceptions\.(?:PermissionDenied|Forbidden)"
        r".{0,800}?\$ gcloud .{0,300}?https://",
        explains=("iam-denied",),
    ),
    _auth(
        "scopes-too-small",
        "scopes",
        "The access token's scopes are too small",
        "The token was made without the cloud-platform scope; roles don't matter then.",
        "Log in again with the default scopes; on a VM allow full access to all APIs.",
        r"Request had insufficient authentication scopes",
        r"Insufficient OAuth2 scope",
        r"insufficient_scope",
        reasons=("ACCESS_TOKEN_SCOPE_INSUFFICIENT",),
        explains=(*UNNAMED_DENIALS, "iam-denied"),
        unless=r"Your client does not have permission to get URL",
    ),
    _auth(
        "token-invalid",
        "invalid_token",
        "The access token was not accepted",
        "It is missing, expired or not an OAuth token for Google Cloud.",
        "Log in again.",
        r"Request had invalid authentication credentials",
        r"Request is missing required authentication credential",
        r"\b(?:invalid_client|unauthorized_client|invalid_scope)\b",
        r"access token (?:has|is) expired|ACCESS_TOKEN_EXPIRED",
        r"Invalid account type for `?--audiences",
        reasons=("ACCESS_TOKEN_EXPIRED", "CREDENTIALS_MISSING", "ACCESS_TOKEN_TYPE_UNSUPPORTED"),
    ),
    _auth(
        "quota-project-missing",
        "quota_project",
        "The libraries' login has no quota project",
        (
            "User credentials need a project that calls are counted against. Project 764086051850 is gcloud's own:"
            " enable nothing there."
        ),
        "Set a quota project for the login.",
        r"(?:in project|consumer ['\"]?projects?[/_:]\w{0,8}:?)\W?(?:764086051850|32555940559)\b",
        r"requires a quota project, which is not set by default",
        command="gcloud auth application-default set-quota-project {project}",
        explains=("api-disabled",),
    ),
)
