"""The last net for denials: a permission's name near a word of refusal, or a refusal that names nothing. Knows no tool."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.consequences import NOT_STARTED
from gemmactl.doctor.principal import EMAIL
from gemmactl.doctor.row import CONSEQUENCE, LAST, Row
from gemmactl.doctor.rows.iam import _KNOWN, _PERMISSION, _RESOURCE

_HARD: Final = (
    r"denied(?!_)|forbidden|\b403\b|(?:not|un)[ -]?authori[sz]ed|authori[sz]ation"
    r" failed|PermissionDenied|insufficient permission"
    r"|missing (?:\w+ ){0,3}permission|not have (?:[a-z]+\.){2}[a-z]+ access"
    r"|lacks? (?:\w+ ){0,3}permission|\berror: |granted['\"]? ?: ?false"
)
_TOKEN: Final = rf"(?<![\w./@-])(?={_KNOWN}\.)(?!\w+\.googleapis\.){_PERMISSION}(?![\w.-])"

ROWS: Final = (
    Row(
        code="iam-denied-somehow",
        category="iam",
        subcategory="denied",
        title="{permission} was denied",
        cause="The text names a permission beside a refusal: the identity of the call has no role that holds it.",
        remedy="Make sure which identity made the call, then grant it the least role on the narrowest resource.",
        patterns=(
            # the account stands before what it lacks
            (
                rf"(?P<member>{EMAIL}) (?:needs?|requires?|lacks?|must have|is missing|has no) (?:the )?(?:permission )?"
                rf"['\"`\[(]?{_TOKEN}"
            ),
            # an audit log's list of what was looked at
            (
                rf"['\"]?resource['\"]? ?: ?['\"]?(?P<resource>[\w:/.@%+-]{{3,300}})['\"]? ?, ?['\"]?permission['\"]? ?: ?"
                rf"['\"]?(?={_KNOWN}\.){_PERMISSION}['\"]? ?, ?['\"]?granted['\"]? ?: ?false"
            ),
            # of what was refused an audit log leaves `granted` out
            (
                rf"['\"]?resource['\"]? ?: ?['\"]?(?P<resource>[\w:/.@%+-]{{3,300}})['\"]? ?, ?['\"]?permission['\"]? ?: ?"
                rf"['\"]?(?={_KNOWN}\.){_PERMISSION}['\"]?(?! ?, ?['\"]?granted['\"]? ?: ?true)"
            ),
            rf"['\"]?granted['\"]? ?: ?false ?, ?['\"]?permission['\"]? ?: ?['\"]?(?={_KNOWN}\.){_PERMISSION}",
            (
                rf"['\"]?permission['\"]? ?: ?['\"]?(?={_KNOWN}\.){_PERMISSION}['\"]?,? "
                r"(?:['\"]?\w+['\"]? ?: ?[\w'\"]{1,40},? ?){0,2}?"
                r"['\"]?resource['\"]? ?: ?['\"]?(?P<resource>[\w:/.@%+-]{3,300})"
            ),
            (
                rf"(?:denied(?!_)|forbidden|\b403\b|authori[sz]ed|lack(?:s|ing)?|missing|insufficient|not have|n't"
                rf" have|without|requires?)"
                rf".{{0,200}}?{_TOKEN}(?:['\"`\]]? (?:permission )?(?:for|on|in) (?:the )?{_RESOURCE})?"
            ),
            rf"{_TOKEN}.{{0,120}}?(?:denied|forbidden|\b403\b|not authori[sz]ed|missing|not granted|insufficient|required)",
        ),
        only_with=_HARD,
        principal="$CALLER",
        fix_kind="iam_grant",
        rank=CONSEQUENCE,
        not_fix=("roles/owner or roles/editor on the project",),
        confidence=0.6,
    ),
    Row(
        code="denied-in-program",
        category="iam",
        subcategory="denied",
        title="A call of the program was refused for want of a permission",
        cause="The text does not say which permission is missing, or on what.",
        remedy="Find the identity of the call and what it asked for, in the lines around it or in the audit log,"
        " before granting.",
        patterns=(
            r"google\.api_core\.exceptions\.PermissionDenied",
            r"PermissionDeniedException: .{0,200}?PERMISSION_DENIED",
            r"status = StatusCode\.PERMISSION_DENIED",
            r"google\.api_core\.exceptions\.Forbidden: 403 (?!.{0,300}?(?:quota|billing))",
        ),
        unless=r"SERVICE_DISABLED|BILLING_DISABLED|has not been used in project|SCOPE_INSUFFICIENT|insufficient"
        r" authentication scopes",
        principal="$CALLER",
        fix_kind="diagnose",
        rank=CONSEQUENCE,
        explains=NOT_STARTED,
        not_fix=("roles/owner or roles/editor on the project",),
        confidence=0.4,
    ),
    Row(
        code="denied-somehow",
        category="iam",
        subcategory="denied",
        title="Something was refused for want of a permission",
        cause="The text does not say which permission is missing, or on what.",
        remedy="Find the identity of the call and what it asked for, in the lines around it or in the audit log,"
        " before granting.",
        patterns=(
            r"(?:code ?[=:] ?|status ?[=:] ?['\"]?|rpc error: .{0,20}|generic::|grpc\.\S{0,40})PERMISSION_?DENIED",
            r"\bPERMISSION_DENIED: (?=\w)",
            r"google\.api_core\.exceptions\.(?:PermissionDenied|Forbidden)",
            r"googleapi: (?:got HTTP response code 403|Error 403)",
            r"\b(?:HttpError|HTTPError|HTTP Error)[: (<]{1,4}403\b.{0,200}?googleapis",
            r"AccessDeniedException: 403",
            rf"\bIAM permission denied(?: for (?:service account )?(?P<member>{EMAIL}))?",
            r"\bPermission denied (?:on|while) (?:resource|accessing|using)\b",
            r"\bBad status during token exchange: 403",
            (
                r"(?:user|caller|principal|account|identity|agent)\b.{0,120}? (?:does not have|lacks) (?:the )?"
                r"(?:\w+ ){0,3}permissions? "
            ),
            (
                r"You do(?: not|n't) have (?:\w+ ){0,3}permissions? (?:to|for|on)\b.{0,200}?"
                r"(?:project|service|resource|role|bucket|repositor|secret|organization)"
            ),
            (
                r"(?:Insufficient|missing) (?:IAM )?permissions?\b.{0,200}?"
                r"(?:project|service|resource|bucket|repositor|secret|organization)"
            ),
        ),
        unless=r"SERVICE_DISABLED|BILLING_DISABLED|has not been used in project|huggingface\.co|gated",
        principal="$CALLER",
        fix_kind="diagnose",
        rank=LAST,
        not_fix=("roles/owner or roles/editor on the project",),
        confidence=0.4,
    ),
)
