"""Buckets that refuse for a rule of their own: retention, holds, requester pays, names. Knows no role: none would help."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.finding import FixKind
from gemmactl.doctor.row import Row


def _row(
    code: str, title: str, cause: str, remedy: str, *patterns: str, fix_kind: FixKind = "config_change", **more: object
) -> Row:
    return Row(
        code=code,
        category="config",
        subcategory="bucket_rule",
        title=title,
        cause=cause,
        remedy=remedy,
        patterns=patterns,
        fix_kind=fix_kind,
        not_fix=("any IAM grant",),
        explains=("iam-denied-somehow", "denied-somehow"),
        confidence=0.85,
        **more,  # type: ignore[arg-type]  # the remaining fields of Row, by their names
    )


ROWS: Final = (
    _row(
        "object-retained",
        "The bucket keeps its objects: they can't be changed or deleted yet",
        "A retention policy or a hold forbids it until its time is over, whatever role the account has; the status says 403.",
        "Write under another name, wait, or write to a bucket without retention.",
        r"subject to (?:the )?bucket's retention policy",
        r"subject to (?:an? |the )?(?:object )?retention (?:policy|configuration|period)",
        r"under active (?:temporary|event[- ]based) hold",
        r"(?:can ?not|can't|may not) be (?:deleted|overwritten|archived)[\w, ]{0,40} until \d{4}-",
        r"\bretentionPolicyNotMet\b|\bobjectUnderActiveHold\b",
        r"(?:reduce|remove|delete|unlock|shorten)\b.{0,60}?(?:locked )?retention policy",
        r"bucket with a (?:locked )?retention policy",
    ),
    _row(
        "requester-pays",
        "The bucket's reader has to pay, and no project was named",
        "A requester-pays bucket wants a project that the call is charged to.",
        "Name one: user_project in the library, --billing-project in gcloud, -u in gsutil.",
        r"requester[- ]pays bucket but no (?:user|billing) ?project",
        r"(?:is|as) a requester[- ]pays bucket",
        r"\bUserProjectMissing\b|User project (?:is )?(?:not specified|missing|required)",
        r"\brequester[- ]pays\b.{0,120}?(?:no |missing|required|must|specify|without)",
        fix_kind="code_change",
    ),
    _row(
        "object-changed-meanwhile",
        "The object changed while it was written",
        "The request said which generation it expects, and the object has another one by now; or it exists already.",
        "Read it again and try once more; one writer for an object.",
        r"At least one of the pre-conditions you specified did not hold",
        r"\bconditionNotMet\b",
        r"googleapi: Error 412|\b412 Precondition Failed\b",
        fix_kind="retry",
        unless=(
            r"violates constraint|constraints/|orgpolicy|public access prevention|Error 412: .{0,160}(?:not allowed|is enforced)"
        ),
    ),
    _row(
        "bucket-not-empty",
        "The bucket still holds objects",
        "A bucket can be deleted only when it is empty, of older versions and soft-deleted folders too.",
        "Delete the objects first.",
        r"bucket you tried to delete (?:is|was) not empty",
        r"\bBucketNotEmpty\b",
    ),
)
