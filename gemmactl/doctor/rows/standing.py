"""The standing of a project and its billing account: suspended, deleted, unpaid, terms; APIs that are off."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.consequences import UNNAMED_DENIALS
from gemmactl.doctor.row import HIDES, Row
from gemmactl.doctor.rows.refusal import refused

_IAM: Final = (*UNNAMED_DENIALS, "iam-denied", "category:iam")
_NOT: Final = ("any IAM grant",)

ROWS: Final[tuple[Row, ...]] = (
    refused(
        "project-suspended",
        "suspended",
        "The project, its API or the account is suspended",
        "Google stopped it: unpaid, abuse suspected, or against the terms. Every call is refused.",
        "Read the mail to the project's owners, and appeal in the console; no setting helps.",
        r"(?:[Cc]onsumer|[Pp]roject|[Aa]ccount|API|[Ss]ervice) .{0,100}(?:has been|is|was|been) (?:temporarily |"
        r"currently )?suspended",
        r"\b(?:CONSUMER|PROJECT|ACCOUNT)_SUSPENDED\b",
        r"suspended (?:project|consumer|account|due to|for (?:a )?violat)",
        r"(?:[Pp]roject|[Aa]ccount|[Rr]esource)\b.{0,80}(?:disabled|blocked|terminated|shut down|"
        r"restricted) .{0,60}(?:abus|violat\w{1,6} .{0,40}[Tt]erms|[Tt]erms of [Ss]ervice|fraud|suspicious)",
        r"violat\w{1,5} .{0,60}(?:Google Cloud|Platform|our) (?:Platform )?(?:Terms of Service|Acceptable Use)",
        category="api_billing",
        reasons=("CONSUMER_SUSPENDED", "PROJECT_SUSPENDED"),
        fix_kind="user_action",
        explains=_IAM,
        only_with=r"suspended|abus|violat|suspicious|fraud",
        unless=r"requests? (?:was|were|has been) suspended",
        confidence=0.95,
    ),
    refused(
        "project-deleted",
        "project_state",
        "The project is being deleted, or is not active",
        "It was shut down: for 30 days it can be restored, and until then nothing in it works.",
        "Restore it, or use another project.",
        r"[Pp]roject [^.]{0,60}(?:has been|is|was) (?:marked |scheduled |pending |requested )?(?:for )?(?:deletion|"
        r"deleted|shut down|pending deletion)",
        r"\bDELETE_REQUESTED\b",
        r"(?:[Pp]roject|[Cc]onsumer|lifecycle_?state)\b.{0,80}(?:not (?:active|in (?:an )?active state)|inactive|"
        r"pending.deletion)",
        r"[Cc]onsumer .{0,60}(?:has been|is|was) deleted",
        r"project to be active",
        category="api_billing",
        reasons=("CONSUMER_DELETED", "PROJECT_DELETED", "USER_PROJECT_DELETED"),
        commands=("gcloud projects undelete {project}",),
        fix_kind="user_action",
        explains=_IAM,
        only_with=r"project|consumer",
        unless=r"not found or deleted|'?DELETE_REQUESTED'?.{0,40}repositor",
    ),
    refused(
        "terms-not-accepted",
        "terms",
        "Terms of service were not accepted",
        "Somebody must accept them once in the console, for the account or the project.",
        "Open the console with that account and accept them.",
        r"[Tt]erms [Oo]f [Ss]ervice\b.{0,100}(?:accept|agree|not)",
        r"(?:accept\w{0,3}|agree\w{0,2}(?: to)?|sign)\b.{0,60}(?:[Tt]erms (?:[Oo]f|and|&)|\bToS\b|\bTOS\b)",
        r"\bTOS_NOT_ACCEPTED\b|UREQ_TOS\w{0,40}|TERMS_OF_SERVICE\w{0,40}",
        r"type: ?['\"]?TOS['\"]?",
        category="api_billing",
        reasons=("UREQ_TOS_NOT_ACCEPTED", "TOS_NOT_ACCEPTED"),
        fix_kind="user_action",
        explains=_IAM,
        unless=r"huggingface|gated|hf\.co|license|kaggle|access to model",
        only_with=r"[Ee]rror|ERROR|fail|must|denied|4\d\d|UREQ|TOS",
    ),
    refused(
        "billing-trouble",
        "billing",
        "The billing account can't be used",
        "It is closed, on trial, out of credit, behind with a payment, or not one of this organization.",
        "Settle it in the console's billing page, or link another account that is open.",
        r"[Bb]illing ?[Aa]ccount\b.{0,120}(?:closed|disabled|not (?:open|active|valid|found|in good standing|enabled|"
        r"linked)|inactive|suspended|delinquent|expired|invalid|cannot be|does not exist|no longer)",
        r"(?:closed|disabled|inactive|delinquent|suspended|invalid|expired|open and active|no active|without (?:a |"
        r"an )?(?:active |valid )?) ?billing",
        r"(?:setting|updating|linking|changing) (?:the )?billing account\b.{0,160}(?:40\d|fail|denied|[Pp]recondition)",
        r"[Ff]ree [Tt]rial\b.{0,100}(?:ended|expired|over|not (?:available|allowed|supported|permitted)|exhausted|"
        r"upgrade|cannot|restrict)",
        r"(?:upgrade|activate) (?:to a |your )?(?:paid|full|billing) ?(?:account)?\b",
        r"[Bb]illing\b.{0,60}(?:not (?:been )?(?:enabled|active|set up|configured|linked|open)|disabled|required|"
        r"must be (?:enabled|active)|delinquent|past due)",
        r"(?:enable|requires?|needs?|set up|without|link) (?:an? )?(?:active |open |valid )?billing\b",
        r"[Pp]ayment (?:method|instrument|profile|information)?.{0,40}(?:declined|invalid|expired|required|overdue|"
        r"failed|missing|past due)",
        r"\b(?:BILLING_(?:DISABLED|NOT_ENABLED|ACCOUNT_CLOSED|NOT_ACTIVE)|UREQ_PROJECT_BILLING\w{3,40}|"
        r"billingNotEnabled|billingDisabled|OPEN_BILLING_ACCOUNT_REQUIRED)\b",
        r"OR-?_?[A-Z]{2,8}-?\d{0,2}_?-?\d{1,3}|OR_BACR2_\d{2}",
        category="api_billing",
        reasons=("BILLING_ACCOUNT_CLOSED", "UREQ_PROJECT_BILLING_NOT_FOUND", "BILLING_NOT_ENABLED"),
        fix_kind="user_action",
        only_with=r"billing|free trial|payment|upgrade to a|paid account|OR_BACR2",
        unless=r"billing quota|(?<!gcloud\.)(?<!beta\.)billing\.\w{3,40}\.\w{3,30}|does not have permission",
        rank=HIDES,
        confidence=0.75,
    ),
    refused(
        "service-not-enabled",
        "api_disabled",
        "An API is off, or was never on",
        "The project has not enabled it, or enabling was refused; the status may say PERMISSION_DENIED, and roles don't help.",
        "Enable the API and wait a minute or two.",
        r"(?P<api>[a-z][a-z0-9-]{2,40}\.googleapis\.com)['\"`\]]? (?:API |service )?(?:is|has|was|must|needs|should|"
        r"isn't)(?: not)?(?: been| be| to be| yet)? ?(?:enabled|activated|disabled|turned off)",
        r"API\b[^.]{0,80}(?:is|has|was) (?:not|disabled|n't)(?: been| yet)? ?(?:enabled|activated|used|"
        r"turned on)?[^.]{0,60}(?:project|consumer|enable)",
        r"[Ee]nable (?:the )?(?:API|it|service) (?:by visiting|at|in|first|for|with)",
        r"(?:[Ss]ervice|API)s? ['\"`\[]?(?P<api>[a-z][a-z0-9-]{2,40}\.googleapis\.com)['\"`\]]? .{0,40}(?:not"
        r" (?:enabled|activated|active)|disabled|required)",
        r"(?:requires?|needs?|uses?) (?:the )?(?P<api>[a-z][a-z0-9-]{2,40}\.googleapis\.com)\b.{0,40}(?:not|disabled)",
        r"(?:accessNotConfigured|SERVICE_DISABLED|API_DISABLED|SERVICE_NOT_ENABLED)\b",
        r"(?:following|required|these) (?:Google Cloud )?(?:APIs?|services) (?:are|is|have|were) (?:not|disabled)",
        r"(?:must|needs? to|please|should) (?:first )?enable (?:the )?[\w .-]{2,60}API\b",
        category="api_billing",
        reasons=("SERVICE_DISABLED", "API_DISABLED"),
        commands=("gcloud services enable {api} --project={project}",),
        fix_kind="enable_api",
        only_with=r"[Ee]rror|ERROR|4\d\d|fail|denied|DENIED|SERVICE_|accessNot",
        unless=r"caller does not have permission to enable|serviceusage\.services\.enable",
        rank=HIDES,
        confidence=0.75,
    ),
    refused(
        "service-unknown",
        "api_unknown",
        "There is no such API, or it can't be switched like that",
        "A misspelled name, one that needs an invitation, or other services depend on it.",
        "Look the name up: `gcloud services list --available`.",
        r"SERVICE_CONFIG_NOT_FOUND\w{0,40}",
        r"[Nn]ot found or permission denied for service",
        r"[Ss]ervice ['\"\[]?[a-z][\w-]{2,40}\.googleapis\.com['\"\]]? (?:was )?(?:not found|does not exist|"
        r"is not (?:available|valid|visible)|is unknown|is private)",
        r"depended on by the following active service|DEPENDENT_SERVICES|COMMON_SU_SERVICE\w{0,40}",
        r"(?:enable|disable|activat)\w{0,4} (?:of )?(?:the )?service\b.{0,100}(?:failed|internal|not permitted)",
        r"SU_(?:INTERNAL|MISSING|GROUP|SERVICE)_?\w{0,60}|USAGE_LIMIT_SERVICE\w{0,10}",
        category="api_billing",
        reasons=("SERVICE_CONFIG_NOT_FOUND_OR_PERMISSION_DENIED", "SU_MISSING_NAMES"),
        commands=("gcloud services list --available --project={project}",),
        fix_kind="user_action",
        explains=_IAM,
    ),
)
