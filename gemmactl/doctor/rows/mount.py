"""Buckets as file systems: gcsfuse in Cloud Run and in the container."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.row import CONSEQUENCE, Row

ROWS: Final = (
    Row(
        code="fuse-credentials",
        category="storage_mount",
        subcategory="no_creds",
        title="gcsfuse found no credentials",
        cause="It was started outside Google Cloud without Application Default Credentials.",
        remedy="Log in for libraries; on Cloud Run use the native volume.",
        patterns=(r"DefaultTokenSource: google: could not find default credentials",),
        fix_kind="user_action",
        commands=("gcloud auth application-default login",),
        explains=("adc-missing",),
        not_fix=("any IAM grant",),
    ),
    Row(
        code="fuse-in-container",
        category="storage_mount",
        subcategory="diy_fuse",
        title="gcsfuse can't mount inside the container",
        cause="The first generation environment, or missing rights of the container.",
        remedy="Use the native Cloud Storage volume; gemmactl reads the bucket without any mount.",
        patterns=(
            r"running \S{0,60}fusermount3?: exit status",
            r"fusermount3?: .{0,80}(?:not found|not permitted)",
            r"fuse: device not found",
        ),
        not_fix=("any IAM grant",),
        confidence=0.8,
    ),
    Row(
        code="mount-bucket-missing",
        category="storage_mount",
        subcategory="bucket_missing",
        title="The bucket to mount does not exist",
        cause="A misspelled name, or the bucket of another project that was deleted.",
        remedy="Correct the bucket's name in the volume.",
        patterns=(
            r"(?:gcsfuse|mount|fuse).{0,300}?bucket doesn't exist",
            r"storage: bucket doesn't exist",
            r"gcsfuse: bucket \"?[a-z0-9._-]+\"? does not exist",
        ),
        commands=("gcloud storage buckets list --project={project}",),
        not_fix=("any IAM grant",),
    ),
    Row(
        code="mount-read-only",
        category="storage_mount",
        subcategory="read_only",
        title="The mounted folder is read-only",
        cause="The volume or its mount was made with readOnly, so no role on the bucket lets the program write there.",
        remedy="Write to another folder, or mount the bucket again without readonly; writing needs objectUser on the bucket.",
        patterns=(
            r"\[Errno 30\] Read-only file system",
            r"\bEROFS: read-only file system",
            r"(?:mkdir|open|create|write|touch|cp|mv|rm)\b[^;]{0,200}: Read-only file system",
            r"\(os error 30\)",
        ),
        not_fix=("storage.objectAdmin: the mount refuses before any role is asked",),
        confidence=0.85,
    ),
    Row(
        code="mount-io-error",
        category="iam",
        subcategory="gcsfuse",
        title="The mounted bucket can't be read",
        cause="gcsfuse answers every failure with an I/O error: no access for the runtime account, a wrong bucket, a"
        " mount that crashed."
        " The text alone does not tell which.",
        remedy="Look for gcsfuse's own line in the same log.",
        patterns=(r"\[Errno 5\] Input/output error: ?'?/\S+",),
        principal="$RUNTIME_SA",
        fix_kind="diagnose",
        commands=("gcloud run services logs read {service} --region={region} --project={project} --limit=200",),
        rank=CONSEQUENCE,
        confidence=0.5,
        not_fix=("roles/storage.admin",),
    ),
)
