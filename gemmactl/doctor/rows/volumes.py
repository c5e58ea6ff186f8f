"""Volumes: their fields in a request, NFS shares, memory as a disk, and how a mounted file system answers programs."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.consequences import NOT_STARTED
from gemmactl.doctor.row import CONSEQUENCE
from gemmactl.doctor.row_kind import RowKind

_row: Final = RowKind("storage_mount", explains=NOT_STARTED)


_NO: Final = (
    r"(?:must|may not|should|can ?not|can't|not|in ?valid|illegal|expected|un(?:supported|known|expected"
    r"|recognized)|required|missing|exceeds?"
    r"|only|too|duplicate|already|reserved|No volume)\b"
)
_MOUNTED: Final = (
    r"/(?:mnt|gcs|data|models?|vol(?:umes?)?|bucket|fuse|nfs|share[sd]?|out(?:put)?s?|checkpoints?|ckpts?|weights"
    r"|storage|cache|hf)\b"
)

ROWS: Final = (
    _row(
        "volume-fields",
        "fields",
        "A volume or its mount is described wrongly in the request",
        (
            "Each mount names a volume of the same template, each volume one kind with its own fields, at an "
            "absolute path of its own."
        ),
        "Correct the field that the message names; bucket volumes need the second generation execution environment.",
        r"[Nn]o volume found with name",
        r"\bvolume_?mounts?\b(?!.{0,40}secret)[\w.\[\]'\"]{0,60}:? .{0,120}" + _NO,
        r"\bvolumes?\[\d+\](?!.{0,20}secret)[\w.\[\]]{0,60}:? .{0,120}" + _NO,
        r"\bvolumes\.(?:nfs|gcs|csi|empty_?dir|name)\b[\w.]{0,40}:? .{0,120}" + _NO,
        (
            r"\b[Vv]olumes? (?:mount )?\[?[\w-]{0,63}\]?,? ?(?:of type [\w-]{2,30} )?(?:had|has"
            r"|with) (?:an? )?(?:unexpected|missing|unknown|invalid|duplicate)"
        ),
        (
            r"[Vv]olume \[?[\w-]{1,63}\]? (?:of type [\w-]{2,30} )?(?:must|requires|is not (?:mounted|defined"
            r"|declared|found|valid)|was not found|does not exist|is missing|not found|already exists|cannot)"
        ),
        r"(?:[Vv]olume|[Mm]ount)[ _-]?(?:type|name|path|options?)s?\b.{0,80}" + _NO,
        r"--(?:add|update|remove|clear)-volumes?(?:-mounts?)?\b.{0,120}(?:" + _NO + r"|error)",
        r"(?:[Uu]nsupported|[Ii]nvalid|[Uu]nknown) (?:volume|mount)\b",
        (
            r"(?:[Cc]loud [Ss]torage|GCS|NFS|nfs|gcs|[Vv]olume)\b.{0,60}(?:only supported|only available"
            r"|requires?|not supported|must use).{0,60}(?:GEN2|gen2|second[ -]generation|execution environment)"
        ),
        r"EXECUTION_ENVIRONMENT_GEN[12].{0,120}(?:volume|mount|NFS|Cloud Storage)",
        r"(?:mount_?path|mountPath|mount path)\b.{0,100}" + _NO,
        r"\b(?:gcs_?volume|nfs_?volume|csi\.volume_?attributes|volume_?attributes|bucketName|mount_?options)\b.{0,100}" + _NO,
        r"(?:multiple|two) (?:volumes|mounts) .{0,60}same (?:path|name)",
        only_with=r"gcloud|googleapi|google\.|run\.|Violation|cloud ?run|terraform|spec\.|template|INVALID_ARGUMENT|volume",
        explains=("gpu-shape",),
    ),
    _row(
        "memory-volume",
        "tmpfs",
        "A volume in memory is full or larger than the memory it takes from",
        "An in-memory volume and /tmp count against the instance's memory.",
        "Give the volume a smaller size-limit or the instance more memory; write large files to a bucket.",
        r"(?:empty_?[Dd]ir|in-memory volume|tmpfs|size_?[Ll]imit|size-limit)\b.{0,120}" + _NO,
        r"(?:in-memory volume|tmpfs|emptyDir)\b.{0,80}(?:full|exhausted|No space left|exceeded|limit)",
        r"(?:exceeds|exceeded) .{0,60}(?:size_?limit|local ephemeral storage|emptyDir)",
        r"[Ee]phemeral (?:local )?(?:storage|disk).{0,80}(?:exceed|full|exhausted|must|invalid|unsupported)",
    ),
    _row(
        "nfs-mount",
        "nfs",
        "The NFS share can't be mounted",
        "Its address is not reached from the service's network, the share's name is wrong, or the server refuses the client.",
        (
            "Check address, share and port 2049, that the service has VPC egress into that network, and the "
            "export's list of clients."
        ),
        r"\bmount\.nfs4?:",
        r"\bnfs4?: (?:server|mount|\w{2,30} )?.{0,80}(?:not responding|timed out|failed|error|refused|denied)",
        (
            r"(?:NFS|nfs|[Ff]ilestore)\b.{0,60}(?:mount|share|server|volume|export"
            r"|instance)\w{0,10}\b.{0,80}(?:fail|time[ds]? ?out|refused|denied|unreachable|error|not (?:found"
            r"|exist|reach)|unable)"
        ),
        (
            r"(?:fail|unable|cannot|could not|error)\w{0,6} (?:to )?(?:mount|reach|connect to).{0,60}(?:\bNFS\b"
            r"|\bnfs\b|[Ff]ilestore|:2049)"
        ),
        (
            r"clnt_create: RPC|RPC: (?:Program not registered|Port mapper failure|Timed out|Unable to receive)"
            r"|rpc\.statd is not running"
        ),
        r"dial tcp [\d.]{7,15}:(?:2049|111): ",
        r"mount .{0,60}-t nfs4? .{0,300}(?:fail|timed out|denied|exit (?:status|code))",
        explains=("host-unreachable",),
    ),
    _row(
        "mount-failed",
        "failed",
        "A volume could not be mounted",
        "The bucket or share is missing, out of reach or closed to the runtime account, or the options of the mount are wrong.",
        "Read the mount's own lines in the log of the revision or the execution; they name the reason.",
        (
            r"(?:[Ff]ailed|[Uu]nable|[Cc]ould not|[Cc]annot|[Ee]rror)(?: to)?(?: be)? (?:re)?(?:mount(?:ing|ed)?"
            r"|attach)\b.{0,100}(?:[Vv]olume|[Bb]ucket|gs://|nfs|NFS|fuse|FUSE|share|[Ff]ilestore|disk"
            r"|file ?system|GCS|[Cc]loud [Ss]torage)"
        ),
        (
            r"(?:[Vv]olume|[Bb]ucket|[Mm]ount|GCS|[Cc]loud [Ss]torage)(?: \S{1,80})? (?:mount(?:ing|s)?"
            r"|mount operations?|could not be mounted|setup|attach)(?: \S{1,60})? ?(?:failed|error|timed out"
            r"|did not|could not)"
        ),
        r"(?:MountVolume|FailedMount|FailedAttachVolume)\b.{0,120}(?:fail|error|timed out|Unable|not found)",
        (
            r"\bmount: \S{1,100}: .{0,100}(?:wrong fs type|special device|does not exist|permission denied"
            r"|must be superuser|failed|unknown filesystem|bad (?:option|superblock)|busy|can't)"
        ),
        r"umount: \S{1,100}: .{0,80}(?:busy|not mounted|permitted)",
        r"(?:umount2?|unmount)\b.{0,60}(?:Device or resource busy|target is busy|Invalid argument)",
        r"(?:rclone|s3fs|goofys|juicefs|blobfuse2?|sshfs|gcsfs)\b.{0,120}(?:mount|fuse).{0,60}(?:fail|error|not found|fatal)",
        r"mount ?point\b.{0,60}(?:does not exist|doesn't exist|not found|not empty|is not a directory|no such file|busy)",
        (
            r"csi\.storage\.gke\.io.{0,120}(?:not found|fail|error)|gcs-?fuse[- ](?:csi|sidecar).{0,120}(?:fail"
            r"|error|not found|terminated)"
        ),
        fix_kind="diagnose",
        rank=CONSEQUENCE,
        confidence=0.65,
    ),
    _row(
        "file-handle-stale",
        "stale",
        "Another writer replaced the file on the mount",
        "A mounted bucket or share has no locks: who writes last wins, and an open file of another process becomes stale.",
        "One folder for each task or process; write locally and copy the whole file at the end.",
        r"[Ss]tale (?:NFS )?file handle|\bESTALE\b|\[Errno 116\]",
        r"file was clobbered|FileClobbered|file clobbered",
        (
            r"(?:precondition|conditionNotMet|412).{0,120}(?:flush|sync|gcsfuse|fuse)|(?:flush|sync|gcsfuse"
            r"|fuse)\w{0,20}\b.{0,160}(?:PreconditionError|conditionNotMet|Error 412)"
        ),
        fix_kind="code_change",
    ),
    _row(
        "file-system-limits",
        "semantics",
        "The program does what a mounted bucket can not do",
        "A bucket has no locks, hard links, renames of whole folders, owners or appends as a disk has them.",
        "Keep caches, databases and checkpoints that are still written on the local file system, and copy them to the mount.",
        r"does not (?:appear to )?support (?:flock|lockf?|file locking|locks|symlinks|hard ?links|mmap)",
        r"\[Errno 38\] Function not implemented",
        r"\[Errno 37\] No locks available|ENOLCK|\bNo locks available",
        r"\[Errno 95\] (?:Operation|Not) (?:not )?supported|EOPNOTSUPP|ENOTSUP\b",
        (
            r"(?:Operation not supported|Function not implemented|Operation not permitted"
            r"|Invalid cross-device link|No such device|Directory not empty|Read-only file system"
            r"|Resource temporarily unavailable|Device or resource busy)(?::| \()? ?['\"`]?"
        )
        + _MOUNTED,
        _MOUNTED
        + (
            r"[^\s'\":]{0,200}['\"]?: (?:Operation not supported|Function not implemented|Operation not permitted"
            r"|Invalid cross-device link|No such device|Directory not empty|Read-only file system"
            r"|Resource temporarily unavailable|Device or resource busy)"
        ),
        r"rename-dir-limit|[Rr]ename.{0,60}(?:too many|directory with more than)",
        r"(?:database is locked|disk I/O error|unable to open database file).{0,200}" + _MOUNTED,
        r"(?:chown|chmod|ln|mknod|mkfifo|setfattr)\b: .{0,100}"
        + _MOUNTED
        + r".{0,100}(?:Operation not (?:permitted|supported)|Function not implemented)",
        r"(?:mmap|mapping)\b.{0,80}(?:No such device|ENODEV|not supported on|Cannot map)",
        r"SoftFileLock",
        fix_kind="code_change",
    ),
    _row(
        "mount-answers-error",
        "io",
        "The mounted file system answers with an input/output error",
        "The call to the bucket or share behind it failed: rights, a missing object, names with // in them, or memory.",
        "Look for the mount's own line at the same moment; list the folder with gcloud storage ls.",
        (
            r"(?:reading directory|cannot (?:access|open|stat|create|touch|remove|copy|overwrite)"
            r"|error (?:reading|writing|opening|copying)|(?:read|write|open|stat|close|fsync|readdirent|scandir"
            r"|failed to (?:read|write|open|close))).{0,220}[Ii]nput/output error"
        ),
        r"\b(?:ls|cp|cat|mv|rm|tar|dd|find|rsync|du|head|touch|mkdir|bash|sh): .{0,200}Input/output error",
        r"\[Errno 5\](?: Input/output error)?|\bEIO\b|os error 5\b|Os \{ code: 5\b",
        (
            r"fuseops\.(?!Fallocate|GetXattr|ListXattr|SetXattr|RemoveXattr|StatFS|LookUp"
            r"|GetInode)\w{3,30}Op error: (?!no such file|function not implemented|interrupted)"
        ),
        (
            r"\b(?:ReadFile|WriteFile|FlushFile|SyncFile|OpenFile|CreateFile|ReadDir|Flush|Unlink|Rename|MkDir"
            r"|RmDir): .{0,200}(?:googleapi: |Error [45]\d\d|rpc error|input/output)"
        ),
        fix_kind="diagnose",
        rank=CONSEQUENCE,
        confidence=0.55,
    ),
    _row(
        "mount-no-space",
        "space",
        "The place where the mount keeps what is written is full",
        "A bucket mount stages writes in its temp-dir, which on Cloud Run is memory; /tmp is memory as well.",
        "Give more memory, stream writes, or write less at a time; an in-memory volume at the temp-dir bounds it.",
        (
            r"\[Errno 28\].{0,300}(?:gcsfuse|fuse|/mnt/|/gcs/|bucket)|(?:gcsfuse|temp-dir|/mnt/"
            r"|/gcs/).{0,300}(?:No space left on|\bENOSPC\b)"
        ),
        r"StorageFull.{0,200}|No space left on device.{0,200}(?:gcsfuse|/mnt/|/gcs/|temp-dir)",
        r"unexpected pos \d+ vs \d+",
        r"(?:file[ -]cache|cache-dir|temp-dir|staging file).{0,100}(?:full|No space|exceed|insufficient|not enough)",
    ),
)
