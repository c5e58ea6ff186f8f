"""What is left of a refused login: scopes, API keys, signed URLs, and the last net of the libraries' errors. Knows no role."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.row import CONSEQUENCE, LAST
from gemmactl.doctor.rows.tokens import refused

ROWS: Final = (
    refused(
        "scopes-of-machine",
        "scopes",
        "The access token's scopes are too small",
        "The token was made without the cloud-platform scope; roles don't matter then.",
        "Log in again with the default scopes; on a VM allow full access to all APIs.",
        r"\binsufficientPermissions\b",
        r"\b403:? Insufficient Permission\b(?!s)",
        r"Insufficient Permission: Request had",
        r"insufficient (?:OAuth|authentication|API access|access token) scopes?",
        (
            r"(?:does not|doesn't) (?:have|include|contain) (?:the )?(?:required |necessary |sufficient )?(?:OAuth"
            r" |access |API )?scopes?\b"
        ),
        r"Permission denied while getting Drive credentials",
        explains=("scopes-too-small", "iam-denied-somehow", "denied-somehow"),
        unless=r"(?:git|github|gitlab|read:org|huggingface|hf\.co).{0,100}scope",
    ),
    refused(
        "api-key-refused",
        "api_key",
        "The API key was not accepted",
        "It does not exist, is restricted to another API or caller, or the API wants a login instead of a key.",
        "Correct the key or its restrictions; Cloud Run and Vertex AI want an OAuth token.",
        r"API key not valid",
        r"\bAPI_KEY_(?:INVALID|\w{3,30}_BLOCKED)\b",
        r"API keys are not supported by this API",
        r"Expected OAuth ?2 access token",
        reasons=("API_KEY_INVALID", "API_KEY_SERVICE_BLOCKED", "API_KEY_HTTP_REFERRER_BLOCKED", "API_KEY_IP_ADDRESS_BLOCKED"),
        only_with=r"google|gcloud|generativelanguage|API_KEY_|OAuth",
    ),
    refused(
        "signed-url-refused",
        "signed_url",
        "The signed URL was refused",
        "It has run out, or method, headers or host are not those that were signed.",
        "Sign a new one; send the same method and headers that were signed.",
        r"\bSignatureDoesNotMatch\b",
        r"<Code>(?:ExpiredToken|InvalidSecurity|MissingSecurityHeader|AuthenticationRequired|InvalidAuthentication)</Code>",
        r"Invalid argument\.?.{0,80}?X-Goog-(?:Expires|Signature|Credential)",
        r"Request signature expired|The provided token has expired",
        only_with=r"storage\.googleapis|X-Goog|GOOG4|GoogleAccessId|storage\.cloud\.google|<Code>",
        unless=r"amazonaws|AWS4",
    ),
    refused(
        "login-state",
        "no_account",
        "gcloud or a library has a login that it can't use",
        "The stored login is incomplete, of a state that is not allowed, or can't be read or renewed.",
        "Log in again.",
        r"credentials do not contain the necessary fields need(?:ed)? to refresh",
        r"token expired and refresh token is not set",
        r"oauth2: cannot fetch token",
        r"oauth2/google: (?:unable to generate|status code|invalid|unable)",
        r"Getting metadata from plugin failed with error",
        r"Failed to retrieve auth metadata with error",
        r"(?:does not|do not) have any valid credentials",
        (
            r"Unable to (?:refresh|renew|retrieve|fetch|obtain|acquire) (?:the |an )?(?:access|auth|identity|ID"
            r"|OAuth)[\w ]{0,12}token"
        ),
        r"\bACCOUNT_STATE_INVALID\b|\bSESSION_COOKIE_(?:INVALID|EXPIRED)\b",
        (
            r"Login Required\b.{0,60}?(?:required|401)|\bauthError\b.{0,80}?Invalid Credentials|Invalid"
            r" Credentials\b.{0,80}?\bauthError\b"
        ),
        r"No credentialed accounts",
        reasons=("ACCOUNT_STATE_INVALID", "SESSION_COOKIE_INVALID", "LOGIN_REQUIRED"),
        command="gcloud auth login",
        rank=CONSEQUENCE,
    ),
    refused(
        "auth-other",
        "other",
        "The call carried no identity that Google accepts",
        "The library says so; what exactly is wrong with the login is not known here.",
        (
            "Log in again, or check which credentials the program finds: GOOGLE_APPLICATION_CREDENTIALS, the"
            " login, the metadata server."
        ),
        r"google\.auth\.exceptions\.(?!TransportError|MutualTLS)\w{5,60}",
        r"\b(?:DefaultCredentialsError|RefreshError|ReauthFailError|OAuthError|CredentialsError)\b ?[:(]",
        (
            r"\b(?:status ?[=:] ?['\"]?|code ?[=:] ?['\"]?|16 |StatusCode\.|code = |ERROR: \([\w.-]{3,60}\) )"
            r"(?:UNAUTHENTICATED|Unauthenticated)\b"
        ),
        r"\b401\b.{0,40}?(?:Unauthorized|UNAUTHENTICATED)(?=.{0,300}?(?:googleapis|pkg\.dev|gcr\.io|run\.app))",
        r"(?:googleapis|pkg\.dev|run\.app)\S{0,200}.{0,80}?\b401\b ?:?,? ?(?:Unauthorized|UNAUTHENTICATED)",
        r"Authorization failed\. {1,3}Server message",
        rank=LAST,
        unless=r"huggingface\.co|hf\.co|PERMISSION_DENIED|does not have permission|\b403\b",
        command="gcloud auth application-default print-access-token",
    ),
)
