"""Denials that name no permission, in whatever tool: what was called tells it (operation.py). Knows no single call."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.row import Row

_NOT_NAMED: Final = r"(?:The )?(?:caller|user) does not have permission(?! to (?:act|access))"
_REFUSED: Final = rf"(?:{_NOT_NAMED}|\bForbidden\b|You do not have permission|(?:Access|Permission) denied\.?(?! on| for| to))"
_URL_REFUSED: Final = r"(?:caller does not have permission|PERMISSION_DENIED|\b403\b)"
_NO_PERMISSION: Final = r"(?!.{0,900}?[pP]ermission ['\"]?[a-z]+\.[a-z]+)"
_RPC: Final = r"/?(?P<method>google\.(?:[a-z]\w{1,30}\.){1,4}v\d\w{0,8}\.[A-Z]\w{2,60}[/.][A-Z]\w{2,60})"
"""A method as gRPC writes it: package, service, a slash or a dot, its name."""
_TYPE: Final = r"(?:(?=.{0,500}?\b(?:with|resource|in) (?:module\.\S{1,200}\.|\")?(?P<tf>google_[a-z0-9_]{3,60}))|)"
_DOING: Final = (
    r"(?:when )?(?P<verb>creating|reading|updating|deleting|enabling|fetching|listing|setting|retrieving|patching|adding)"
)
_AND_MORE: Final = r"(?: or (?:editing|creating|updating))?"


def _row(code: str, title: str, *patterns: str, **more: object) -> Row:
    return Row(
        code=code,
        category="iam",
        subcategory=str(more.pop("subcategory", "call")),
        title=title,
        cause=str(
            more.pop("cause", "The message does not name the permission; the call that failed needs it, and its caller lacks it.")
        ),
        remedy="Grant the role to the account that made the call, on the narrowest resource that does.",
        patterns=patterns,
        principal="$CALLER",
        fix_kind="iam_grant",
        confidence=0.7,
        explains=("caller-denied", "denied-somehow", *(("iam-denied",) if code == "call-policy-change" else ())),
        needs_permission=True,
        not_fix=("roles/owner or roles/editor on the project",),
        **more,  # type: ignore[arg-type]  # the remaining fields of Row, by their names
    )


ROWS: Final = (
    _row(
        "call-policy",
        "The caller may not read or change this IAM policy",
        (
            r"Error (?P<verb>setting|applying|retrieving|reading|updating|fetching) IAM policy for "
            r"(?P<policy_of>[\w -]{1,40}?)"
            rf" ?['\"`](?P<resource>[^'\"`]{{3,200}})['\"`].{{0,300}}?{_REFUSED}"
        ),
        (
            r"permission to access (?P<policy_of>\w{1,30}) (?:instance )?\["
            r"(?:(?<=projects instance \[)(?P<project>[a-z][\w-]{4,40})|"
            r"(?P<organization>\d{6,20})|[\w@-]{1,120})"
            r"[\w/.-]{0,100}:(?P<verb>[gs]etIamPolicy)\]"
        ),
        subcategory="policy_admin",
    ),
    _row(
        "call-policy-change",
        "The caller may not change who may use the service account",
        (
            r"Request .(?:Create|Update|Delete|Remove|Set)\w* IAM \w.{0,500}?[Ee]rror retrieving IAM policy for service account "
            r"['\"`]?(?P<resource>[^'\"`]{3,200})['\"`].{0,300}?(?P<permission>iam\.serviceAccounts\.getIamPolicy)"
        ),
        role="roles/iam.serviceAccountAdmin",
        scope="service account",
        cause="A binding is added to a policy that is read first and written back; the viewer alone fails at the next call.",
        subcategory="policy_admin",
    ),
    _row(
        "call-gcloud",
        "The account that ran the command lacks a permission that the command needs",
        rf"\(gcloud\.(?P<command>[a-z0-9][\w.-]{{3,80}})\) (?:(?!\(gcloud\.|:[gs]etIamPolicy).){{0,300}}?{_NOT_NAMED}",
        (
            r"\(gcloud\.(?P<command>[a-z0-9][\w.-]{3,80})\) (?:(?!\(gcloud\.|:[gs]etIamPolicy|storage\.).){0,100}?"
            r"does not have permission to access \w+ instance \[[^\]]{1,200}\] \(or it may not exist\)"
            r"(?!.{0,500}?(?:Permission|Required|Cloud Run|[a-z]+\.[a-zA-Z]+\.[a-zA-Z]+ (?:access|permission)))"
        ),
        unless=r"(?:Step #\d|build step \d+ )",
    ),
    _row(
        "call-terraform",
        "Terraform's identity lacks a permission that the resource needs",
        (
            rf"Error {_DOING}{_AND_MORE} (?:the )?(?P<thing>[A-Za-z]\w{{2,50}}(?: [a-z]{{2,15}}){{0,2}})(?:"
            rf" \S{{1,250}}| for \S{{1,200}}){{0,2}}"
            rf":? (?:googleapi: |rpc )?.{{0,20}}?\b(?:403|PermissionDenied)\b.{{0,30}}?{_NOT_NAMED}{_TYPE}"
        ),
        subcategory="terraform",
    ),
    _row(
        "call-library",
        "The program's identity lacks a permission that the call needs",
        (
            r"google/cloud/(?:\w{2,30}/)?(?P<service_name>[a-z_]{2,40})_v\d\w{0,8}/services/\w{2,60}/"
            r"(?:async_)?client\.py\"?, line \d+,"
            rf" in (?P<method>[a-z]\w{{2,60}})\b.{{0,2500}}?\b403\b.{{0,40}}?{_NOT_NAMED}"
        ),
        subcategory="library",
    ),
    _row(
        "call-rpc",
        "The call was refused: its caller lacks the permission that the method needs",
        rf"{_URL_REFUSED}{_NO_PERMISSION}.{{0,400}}?{_RPC}",
        rf"{_RPC}{_NO_PERMISSION}.{{0,400}}?{_URL_REFUSED}",
        subcategory="request",
        unless=r"SERVICE_DISABLED|has not been used in project|BILLING_DISABLED|IAM_PERMISSION_DENIED|SCOPE_INSUFFICIENT|scopes",
    ),
    _row(
        "call-url",
        "The request to the API was refused: its caller lacks the permission that it needs",
        (
            r"(?:\b(?P<http>GET|POST|PUT|PATCH|DELETE) )?['\"]?https://(?:[a-z0-9-]{1,30}-)?"
            r"(?P<service_name>[a-z]{2,30})\.googleapis\.com"
            rf"/(?P<url>[\w/.@:-]{{5,300}})(?!.{{0,900}}?[pP]ermission ['\"]?[a-z]+\.[a-z]+).{{0,600}}?{_URL_REFUSED}"
        ),
        (
            rf"{_URL_REFUSED}.{{0,300}}?(?:\b(?P<http>GET|POST|PUT|PATCH|DELETE) )?['\"]?https://(?:[a-z0-9-]{{1,30}}-)?"
            r"(?P<service_name>[a-z]{2,30})\.googleapis\.com/(?P<url>[\w/.@:-]{5,300})(?!.{0,900}?[pP]ermission"
            r" ['\"]?[a-z]+\.[a-z]+)"
        ),
        subcategory="request",
        unless=r"SERVICE_DISABLED|has not been used in project|BILLING_DISABLED|does not have"
        r" [a-z]+\.[a-z]+\.[a-z]+ access|IAM_PERMISSION_DENIED",
    ),
    _row(
        "call-audit",
        "The audit log says who was refused what",
        (
            r"methodName['\"]? ?: ?['\"]?(?P<method>[\w.]{3,120})"
            r"(?=.{0,3000}?serviceName['\"]? ?: ?['\"]?(?P<service_name>[a-z.-]{3,60}))"
        ),
        (
            r"serviceName['\"]? ?: ?['\"]?(?P<service_name>[a-z.-]{3,60})"
            r"(?=.{0,3000}?methodName['\"]? ?: ?['\"]?(?P<method>[\w.]{3,120}))"
        ),
        only_with=r"\bcode['\"]? ?: ?['\"]?(?:7|403)\b|PERMISSION_DENIED",
        unless=r"['\"]?permission['\"]? ?: ?['\"]?[a-z]+\.[a-zA-Z]+\.[a-zA-Z]+",
        subcategory="audit",
    ),
)
