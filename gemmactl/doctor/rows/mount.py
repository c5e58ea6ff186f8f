"""Buckets as file systems: gcsfuse in Cloud Run and in the container."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.consequences import NOT_STARTED
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
            (
                r"fusermount3?\b.{0,120}(?:not found|not permitted|denied|failed|No such file|unknown option"
                r"|not empty|user_allow_other|busy)"
            ),
            r"fuse: (?:device not found|failed to open|failed to exec|bad mount point|mount failed|unknown option|invalid)",
            r"/dev/fuse\b.{0,80}(?:not permitted|denied|No such|not found|not exist|missing|failed|cannot|unable)",
            r"(?:failed|unable|cannot|error)\w{0,4} .{0,40}/dev/fuse\b",
            r"modprobe: .{0,60}\bfuse\b|[Ff]use (?:module|device|kernel).{0,40}(?:not (?:found|loaded|available)|missing)",
            r"(?:gcsfuse|rclone|s3fs): (?:command )?not found",
            r"\"?gcsfuse\"?: (?:executable file )?not found|'gcsfuse': No such file",
            r"(?:CAP_SYS_ADMIN|SYS_ADMIN|privileged)\b.{0,100}\b(?:gcsfuse|fuse|mount)",
        ),
        not_fix=("any IAM grant",),
        explains=(*NOT_STARTED, "executable-missing", "entrypoint-not-executable"),
        confidence=0.8,
    ),
    Row(
        code="fuse-options",
        category="storage_mount",
        subcategory="options",
        title="gcsfuse does not know one of its options",
        cause="It is misspelled, of another version, or one that Cloud Run's mount does not let through.",
        remedy=(
            "Compare with `gcsfuse --help` of that version; volumes of Cloud Run take the options of its documentation only."
        ),
        patterns=(
            (
                r"gcsfuse\b.{0,300}(?:unknown (?:shorthand )?(?:flag|option|command)"
                r"|flag provided but not defined|Incorrect Usage)"
            ),
            (
                r"gcsfuse\b.{0,300}(?:invalid (?:argument|value|config)|requires an? (?:value|argument)"
                r"|usage error|accepts between)"
            ),
            (
                r"(?:unknown (?:shorthand )?flag|flag provided but not defined"
                r"|invalid argument).{0,200}(?:gcsfuse|implicit-dirs|stat-cache|file-cache|only-dir)"
            ),
            r"gcsfuse\b.{0,200}(?:config(?:uration)? file|yaml).{0,120}(?:error|fail|invalid|cannot|not found)",
            (
                r"[Mm]ount[ _-]options?\b.{0,100}(?:not (?:supported|allowed|valid|recognized)|invalid"
                r"|unsupported|unknown|unexpected)"
            ),
            (
                r"\b(?:implicit-dirs|stat-cache-\S{2,20}|type-cache-\S{2,20}|file-cache-\S{2,30}|only-dir"
                r"|metadata-cache-\S{2,30})\b.{0,60}(?:not supported|invalid|unknown|must)"
            ),
        ),
        not_fix=("any IAM grant",),
        explains=NOT_STARTED,
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
            r"OpenBucket: Unknown bucket|SetUpBucket: .{0,160}(?:not found|no such|doesn't exist|does not exist|Error 404)",
            (
                r"(?:gcsfuse|fuse|[Mm]ount|[Vv]olume)\b.{0,240}(?:The specified bucket does not exist"
                r"|bucket (?:was )?not found|NoSuchBucket)"
            ),
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
        code="fuse-mount-failed",
        category="storage_mount",
        subcategory="failed",
        title="gcsfuse did not mount the bucket",
        cause="The end of its own message says why: no such bucket, no rights, no credentials, no way to Cloud Storage.",
        remedy="Read that end, and the lines above it; the bucket must exist and the account must be allowed to list it.",
        patterns=(
            r"daemonize\.Run: ",
            r"Error while mounting gcsfuse|mountWith(?:Args|StorageHandle|Conn): |fs\.NewServer: ",
            (
                r"\bgcsfuse\b.{0,120}(?:exit(?:ed)? (?:with )?(?:status|code) [1-9]|failed to mount|mount failed"
                r"|terminated|crashed|exit status [1-9])"
            ),
        ),
        fix_kind="diagnose",
        rank=CONSEQUENCE,
        not_fix=("any IAM grant",),
        explains=NOT_STARTED,
        confidence=0.65,
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
