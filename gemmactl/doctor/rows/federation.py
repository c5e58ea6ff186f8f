"""Identities from outside Google: federation, impersonation, key files. Knows no role."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.finding import FixKind
from gemmactl.doctor.row import Row

_NO_GRANT: Final = ("any IAM grant: the exchange of the token failed before any role was looked at",)


def _row(
    code: str,
    title: str,
    cause: str,
    remedy: str,
    *patterns: str,
    command: str = "",
    fix_kind: FixKind = "user_action",
    explains: tuple[str, ...] = (),
) -> Row:
    return Row(
        code=code,
        category="auth",
        subcategory="federation",
        title=title,
        cause=cause,
        remedy=remedy,
        patterns=patterns,
        fix_kind=fix_kind,
        commands=(command,) if command else (),
        not_fix=_NO_GRANT,
        confidence=0.85,
        explains=explains,
    )


ROWS: Final = (
    _row(
        "federation-condition",
        "The identity pool does not accept this token",
        "The provider's attribute condition or mapping refuses it: another repository or branch than it was made for.",
        "Compare the provider's attribute condition with the token's claims, and correct the one that is wrong.",
        r"rejected by the attribute condition",
        r"The mapped attribute '[^']{1,100}' must be",
        command="gcloud iam workload-identity-pools list --location=global --project={project}",
        fix_kind="config_change",
    ),
    _row(
        "federation-audience",
        "The token was made for another audience",
        "The provider's allowed audience is not the one that the token names.",
        "Set the provider's allowed audience, or ask for a token of the audience that it expects.",
        r"audience in ID ?Token .{0,200}does not match",
        r"Invalid value for \"?audience\"?",
        fix_kind="config_change",
    ),
    _row(
        "federation-no-token",
        "There is no token to exchange",
        "The job may not ask for one: in GitHub Actions that is the permission `id-token: write`, in forks it is never given.",
        "Give the job `permissions: id-token: write`, or run it where the token's source is.",
        r"did not inject \$?ACTIONS_ID_TOKEN_REQUEST",
        r"ACTIONS_ID_TOKEN_REQUEST_(?:TOKEN|URL) is not set",
        r"(?:[Uu]nable to|[Cc]ould not|[Ff]ailed to) (?:retrieve|get|read|fetch) (?:the )?(?:Identity Pool )?subject token",
        r"Error (?:retrieving|reading) subject token",
        fix_kind="config_change",
    ),
    _row(
        "login-input-missing",
        "The login of the pipeline was given no credentials",
        "The secret that holds them is empty here: it has another name, or runs of forks and of Dependabot never get it.",
        "Check the secret's name and that this job may read it; give the action a provider or a key, not both.",
        r"must specify exactly one of \"?workload_identity_provider",
        r"failed to parse service account key JSON credentials|credentials_json.{0,80}(?:empty|not valid JSON|missing)",
        r"workload_identity_provider.{0,80}(?:is empty|must be (?:set|given|specified)|missing|not (?:set|supplied))",
        fix_kind="config_change",
    ),
    _row(
        "federation-pool-missing",
        "The identity pool or its provider does not exist",
        "A misspelled name, the project's id in place of its number, or a pool that was deleted or disabled.",
        "Use projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER, with the number.",
        r"The target service indicated by the \"?audience\"? parameters is invalid",
        r"Identity Pool does not exist",
        r"Invalid value for .{0,20}workload_identity_provider",
        fix_kind="config_change",
    ),
    _row(
        "federation-refused",
        "The token from outside was not accepted",
        "It has run out, is signed by somebody else, or its claims are not those of the provider.",
        "Ask for a fresh token, and check issuer and audience of the provider.",
        r"failed to generate Google Cloud federated token",
        r"sts\.googleapis\.com.{0,300}?(?:invalid_grant|unauthorized_client|invalid_target|invalid_request)",
        r"Error (?:code|connecting).{0,40}(?:invalid_target|unauthorized_client)",
    ),
    _row(
        "impersonation-refused",
        "The account could not be impersonated",
        "The request for its token was refused: no such account, no scopes, or the source login is not valid.",
        "Check the account's e-mail and log in again; a missing role would be named in the text.",
        r"Unable to acquire impersonated credentials(?!.{0,600}?(?:getAccessToken|PERMISSION_DENIED|\b403\b))",
        r"unable to impersonate: (?!.{0,200}getAccessToken)",
        command="gcloud auth application-default login --impersonate-service-account=ACCOUNT",
    ),
    _row(
        "key-file-broken",
        "The credentials file can't be used",
        "It is not a service account's key or a configuration of credentials: empty, cut, or another JSON.",
        "Point GOOGLE_APPLICATION_CREDENTIALS to the right file, or unset it and log in.",
        r"MalformedError: .{0,100}service account",
        r"Service account info was not in the expected format",
        r"(?:The file|JSON file) \S{1,200} (?:does not have a valid type|is not a valid json file)",
        r"\bFile (?!\S{0,200}(?:config|tokenizer|index)\w{0,20}\.json)\S{1,200} is not a valid json file",
        r"Could not load JSON Key file",
        r"activate-service-account\) .{0,60}(?:[Cc]ould not|[Uu]nable to|[Ff]ailed to) (?:read|load|parse|open)",
        r"Type is \S{1,40}, expected one of",
        r"File \S{1,200} was not found\.? ?(?:.{0,40}GOOGLE_APPLICATION_CREDENTIALS|\Z)",
        command="gcloud auth application-default login",
        explains=("adc-missing", "local-file", "yaml-faulty"),
    ),
    _row(
        "key-signature",
        "The key is not valid any more",
        "The key of the service account was deleted or disabled, or this machine's clock is wrong.",
        "Use federation or impersonation instead of a key; else make sure that the key exists and the clock is right.",
        r"Invalid JWT Signature",
        r"Invalid JWT: Token must be a short-lived token",
    ),
)
