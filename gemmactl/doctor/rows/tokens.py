"""Tokens and key files in the words of the libraries: metadata server, signing, clocks, docker's helpers. Knows no role."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.finding import FixKind
from gemmactl.doctor.row import CAUSE, HIDES, Row

_NO_GRANT: Final = ("any IAM grant: the request carried no valid identity",)
_LOGIN: Final = "gcloud auth application-default login"


def refused(
    code: str,
    family: str,
    title: str,
    cause: str,
    remedy: str,
    *patterns: str,
    command: str = "",
    fix_kind: FixKind = "user_action",
    confidence: float | None = None,
    rank: int = CAUSE,
    explains: tuple[str, ...] = (),
    reasons: tuple[str, ...] = (),
    only_with: str = "",
    unless: str = "",
) -> Row:
    return Row(
        code=code,
        category="auth",
        subcategory=family,
        title=title,
        cause=cause,
        remedy=remedy,
        patterns=patterns,
        reasons=reasons,
        only_with=only_with,
        unless=unless,
        fix_kind=fix_kind,
        commands=(command,) if command else (),
        rank=rank,
        explains=explains,
        not_fix=_NO_GRANT,
        confidence=confidence or (0.85 if rank <= HIDES else 0.5),
    )


ROWS: Final = (
    refused(
        "metadata-account",
        "metadata",
        "The metadata server gave no token",
        (
            "It knows no such service account here (none attached, deleted, or another e-mail), or this is no"
            " machine of Google Cloud."
        ),
        "Attach an existing service account; elsewhere use Application Default Credentials.",
        (
            r"(?:metadata\.google\.internal|169\.254\.169\.254|Compute Engine Metadata|metadata service).{0,400}?"
            r"(?:Status: |status(?: code)?:? |Received |Error code )(?:404|403|400|500)\b"
        ),
        r"metadata: GCE metadata \"?[\w./?=:%-]{3,200}\"? not defined",
        (
            r"(?:Could not refresh access token|Unsuccessful response status code).{0,200}?(?:status code 40[034]"
            r"|status code 500)"
        ),
        r"(?:Error code|Unexpected Error code) \d{3} trying to get (?:security )?access token from Compute Engine metadata",
        (
            r"(?:There (?:is|was) no|no) (?:default )?service account (?:is )?(?:attached|found|available).{0,80}?"
            r"(?:instance|metadata|VM)"
        ),
        r"Failed to retrieve http://metadata\.google\.internal.{0,300}?Status: 4\d\d",
        explains=("metadata-proxied", "adc-expired"),
        rank=HIDES,
    ),
    refused(
        "adc-none",
        "adc_missing",
        "There are no Application Default Credentials on this machine",
        "Libraries use their own login, not gcloud's.",
        "Log in for libraries; on a server use an attached service account. Never put a key file into an image.",
        r"Could not load the default credentials",
        r"Application Default Credentials (?:are|is) not available",
        r"Neither metadata server or valid service account credentials are found",
        r"Could not (?:construct|find|load) (?:the )?(?:Application ?Default ?Credentials|default credentials)",
        r"No credentials loaded\. To use your gcloud credentials",
        r"Attempted to load application default credentials since neither",
        r"(?:no|missing|without) (?:valid )?(?:Google )?(?:Application Default Credentials|ADC)\b(?! quota)",
        r"could not find default credentials",
        command=_LOGIN,
    ),
    refused(
        "key-file-wrong",
        "key_file",
        "The credentials file can't be used",
        "It is missing, empty, cut, of another type, or its private key lost its line breaks.",
        "Point GOOGLE_APPLICATION_CREDENTIALS to the right file, or unset it and log in.",
        r"Unexpected credentials type",
        r"read JWT from JSON credentials",
        r"unknown credential type: ?\"",
        (
            r"(?:incoming JSON object|JSON object) does not contain an? (?:client_email|private_key|client_secret"
            r"|refresh_token|client_id) field"
        ),
        r"missing fields? (?:token_uri|client_email|private_key|client_id|refresh_token)\b",
        r"Could not deserialize key data",
        r"(?:No key could be detected|Unable to load PEM file|could not parse PEM)",
        r"private key should be a PEM or plain PKCS",
        r"DECODER routines::(?:unsupported|wrong)",
        r"error getting credentials using (?:GOOGLE_APPLICATION_CREDENTIALS|well-known file)",
        r"(?:cannot|could not|Unable to|Error) read(?:ing)? (?:the )?credentials? file",
        (
            r"GOOGLE_APPLICATION_CREDENTIALS\b.{0,200}?(?:does not exist|no such file|is not a (?:valid )?file|not"
            r" found|cannot be (?:read|found)|is a directory)"
        ),
        r"(?:file|path) .{1,200}?(?:does not exist|no such file).{0,80}?GOOGLE_APPLICATION_CREDENTIALS",
        r"\.json key file is not in a valid format|Could not read json file",
        r"(?:Invalid|malformed) (?:service account )?(?:JSON )?(?:key|credentials) (?:file|JSON|format)",
        r"\(gcloud\.auth\.(?:activate-service-account|login)\) .{0,160}?(?:No such file|json|key file|Invalid)",
        command=_LOGIN,
    ),
    refused(
        "sign-without-key",
        "signing",
        "These credentials hold no private key to sign with",
        "A metadata server or a user's login gives tokens only; signed URLs need a key or IAM's signBlob.",
        "Pass service_account_email and access_token to generate_signed_url, or impersonate the account; the account needs"
        " tokenCreator on itself.",
        r"you need a private key to sign credentials",
        r"Cannot sign data without [`'\"]?client_email",
        r"unable to detect default GoogleAccessID",
        r"Signing key was not provided and could not be derived",
        r"Credentials'? object has no attribute '(?:signer_email|sign_bytes|signer)'",
        r"(?:credentials?|account) .{0,80}?(?:can ?not|can't|unable to) (?:be used to )?sign (?:bytes|blobs?|URLs?|data)",
        r"idtoken: (?:unsupported credentials type|credential must be service_account)",
    ),
    refused(
        "clock-skew",
        "clock",
        "This machine's clock is wrong, or the token is of another time",
        "Tokens are valid for an hour and not before they were made; a clock that is off makes them worthless.",
        "Set the clock (NTP), then ask for a new token.",
        r"Token used too (?:early|late)",
        r"RequestTimeTooSkewed",
        r"difference between the request time and the (?:current|server's) time is too large",
        r"(?:check|Check) your (?:iat and exp values|computer's clock|system clock)",
        r"jwt (?:not active|issued in the future)|JWT (?:is not valid yet|issued at future)",
    ),
    refused(
        "id-token-refused",
        "id_token",
        "The ID token was not accepted",
        "It has run out, is an access token, or was made for another audience than the URL of the service.",
        "Ask for an ID token whose audience is the service's own https URL.",
        r"access token could not be verified",
        r"(?:Token has wrong audience|audience provided does not match)",
        r"idtoken: (?:invalid|token expired|audience|unable)",
        r"Wrong number of segments in token",
        r"Invalid IAP credentials",
        (
            r"(?:JWT|ID ?token) (?:audience|signature|issuer)\b.{0,40}?(?:is invalid|invalid|mismatch|doesn't"
            r" match|does not match)"
        ),
        r"Audiences in Jwt are not allowed|Jwt (?:is expired|is missing|issuer is not configured|verification fails)",
        r"Certificate for key id \S{1,100} not found",
        r"Could not verify token signature",
        unless=r"Permission '?iam\.serviceAccounts\.",
    ),
    refused(
        "invoke-unauthenticated",
        "id_token",
        "The service refused the call: it carried no valid identity",
        "The service is private, and the call had no ID token or one that is not valid for it.",
        "Send an ID token (`gemmactl generate` does); then the account needs the invoker role on the service.",
        r"401 Unauthorized.{0,300}?Your client does not have permission to the requested URL",
        explains=("invoke-denied",),
    ),
    refused(
        "oauth-client",
        "oauth_client",
        "The OAuth client, or its use, was refused",
        "The client was deleted or disabled, is not allowed this kind of login, or a policy of the organization blocks it.",
        "Log in anew with gcloud's own client; a client of your own must exist and be allowed.",
        r"\b(?:deleted|disabled|restricted)_client\b",
        r"['\"]?error['\"]? ?[:=] ?['\"]?access_denied\b.{0,200}",
        r"\b(?:admin_policy_enforced|org_internal|redirect_uri_mismatch|unsupported_grant_type|unsupported_response_type)\b",
        r"OAuth client was (?:deleted|disabled|not found)",
        r"Client is unauthorized to retrieve access tokens using this method",
        r"This app is blocked|Access blocked: (?:This app|Authorization)",
        command=_LOGIN,
    ),
    refused(
        "docker-helper-failed",
        "docker_helper",
        "docker's credential helper gave no login",
        "The helper can't log in by itself, has no login behind it, or a stored login is of another registry.",
        "Set docker up with gcloud's helper, or log in with an access token: oauth2accesstoken as the user.",
        r"error (?:storing|getting) credentials - err: ",
        (
            r"docker-credential-(?:gcr|gcloud|desktop|pass|secretservice|ecr-login)\S{0,20}:? (?:could not|this"
            r" operation|failed|error|not)"
        ),
        r"Cannot perform an interactive login from a non[- ]TTY",
        r"login attempt to https?://\S{3,100} failed with status: 40[13]",
        (
            r"(?:unauthorized|denied|UNAUTHORIZED): (?:authentication failed|failed authentication|Not Authorized"
            r"|access token has expired)"
        ),
        (
            r"(?:HEAD|GET|POST|PUT) (?:request to )?https://\S{0,60}(?:pkg\.dev|gcr\.io)/v2/\S{0,300}: "
            r"(?:unexpected status code )?401"
        ),
        r"failed to fetch (?:anonymous|oauth) token.{0,300}?\b401\b",
        r"401 Error, Credentials not correct for https://\S{0,60}pkg\.dev",
        r"`?pass`? not initialized|Cannot autolaunch D-Bus",
        command="gcloud auth configure-docker {region}-docker.pkg.dev",
    ),
)
