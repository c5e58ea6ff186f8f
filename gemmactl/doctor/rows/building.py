"""Steps of a build that fail for the build's own reasons: disk, memory, hub limits, Dockerfiles, Binary Authorization."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.finding import Category, FixKind
from gemmactl.doctor.row import Row

_STEPS: Final = ("image-step-failed", "build-step-failed", "build-failed")


def _row(
    code: str,
    family: str,
    title: str,
    cause: str,
    remedy: str,
    *patterns: str,
    category: Category = "image_build",
    fix_kind: FixKind = "config_change",
    only_with: str = "",
    unless: str = "",
) -> Row:
    return Row(
        code=code,
        category=category,
        subcategory=family,
        title=title,
        cause=cause,
        remedy=remedy,
        patterns=patterns,
        fix_kind=fix_kind,
        only_with=only_with,
        unless=unless,
        not_fix=("any IAM grant",),
        explains=_STEPS,
        confidence=0.8,
    )


_BUILD: Final = (
    r"docker|^#\d+ |Could not install packages|build step|Step #|gcloud\.builds|buildkit|kaniko|/workspace|pip install"
)

ROWS: Final = (
    _row(
        "build-disk",
        "disk",
        "The build's disk is full",
        "Images with CUDA and PyTorch need more than the machine's default disk, several times over while they are unpacked.",
        "Ask for a larger disk (--disk-size=200), or take a smaller base image.",
        r"no space left on device",
        r"\[Errno 28\]",
        only_with=_BUILD,
    ),
    _row(
        "container-disk",
        "disk",
        "The container's file system is full",
        "On Cloud Run it is memory: what is written counts against the instance's limit.",
        "Write nothing large: stream the model from the bucket, or mount the bucket.",
        r"no space left on device",
        r"\[Errno 28\]",
        category="container",
        unless=_BUILD,
    ),
    _row(
        "build-memory",
        "memory",
        "A step of the build was killed for memory",
        "The machine type has too little of it (exit code 137).",
        "Build on a larger machine: --machine-type=e2-highcpu-8.",
        r"(?:exited with non-zero status|returned a non-zero code|did not complete successfully: exit code): 137\b",
        r"executor failed running .{0,400}?: exit code: 137\b",
        r"Killed signal terminated program cc1plus",
    ),
    _row(
        "build-timeout",
        "timeout",
        "The build took longer than it may",
        "Large layers are slow to push from a small machine; the default limit is an hour.",
        "Give it more time (--timeout=3600s) and a larger machine (--machine-type=e2-highcpu-8).",
        r"completed with status \"?TIMEOUT",
        r"^TIMEOUT$|\bTIMEOUT ERROR: context deadline exceeded\b",
        r"\bERROR: context deadline exceeded\b(?=.{0,200}(?:TIMEOUT|\bbuild))",
        r"build timeout of \d+\w* (?:was )?exceeded",
    ),
    _row(
        "trigger-source",
        "trigger",
        "The trigger can't reach the repository or the commit",
        "The repository is not connected to Cloud Build in this project and region, or the commit is gone by now.",
        "Connect the repository again, or run the trigger on a branch that exists.",
        r"unreachable commit IDs?|[Cc]ouldn't read commit|could not fetch file from source",
        r"Repository mapping does not exist",
    ),
    _row(
        "hub-rate-limit",
        "rate",
        "Docker Hub asks to slow down",
        "Pulls without a login are limited for each address, and builds share addresses.",
        "Copy the base image into Artifact Registry, or pull it through mirror.gcr.io.",
        r"toomanyrequests: You have reached your (?:unauthenticated )?pull rate limit",
        r"You have reached your pull rate limit",
        fix_kind="retry",
    ),
    _row(
        "pull-broken",
        "pull",
        "An image's layers did not arrive whole",
        "The connection to the registry broke while it was pulled or pushed.",
        "Run the same build again; a larger machine has a faster line.",
        r"error pulling image configuration",
        r"(?:download|upload|push|pull) failed after attempts",
        r"failed to (?:copy|register layer|push|pull).{0,120}(?:unexpected EOF|connection reset|i/o timeout)",
        fix_kind="retry",
    ),
    _row(
        "dockerfile-wrong",
        "dockerfile",
        "The Dockerfile can't be read",
        "A line is not what Docker expects there.",
        "Correct the line that the message names.",
        r"[Dd]ockerfile parse error",
        r"failed to solve: .{0,60}unknown instruction",
        r"failed to parse stage name",
        fix_kind="code_change",
    ),
    _row(
        "base-image-missing",
        "image_404",
        "The base image can't be pulled",
        "It does not exist, its tag was removed, or it is private.",
        "Check the FROM line; for a private image give the build's account artifactregistry.reader there.",
        r"pull access denied for \S{1,200}, repository does not exist",
        r"failed to resolve source metadata for \S{1,200}: .{0,60}not found",
        fix_kind="code_change",
    ),
    _row(
        "gcr-closed",
        "gcr",
        "Container Registry is closed",
        "gcr.io is served by Artifact Registry only where that was set up.",
        "Push to REGION-docker.pkg.dev; gemmactl does.",
        r"Container Registry is (?:deprecated|shut|turned|no longer)",
        r"gcr\.io repo does not exist(?!.{0,80}permission)",
    ),
    _row(
        "binary-authorization",
        "binauthz",
        "Binary Authorization refused the image",
        "The project asks for attested images, and this one has no attestation.",
        "Have the image attested, or ask whoever keeps the policy.",
        r"[Dd]enied by (?:Binary Authorization|an admission rule)",
        r"[Bb]inary ?[Aa]uthorization.{0,80}(?:denied|violat|not allowed|blocked)",
        category="orgpolicy",
        fix_kind="admin_action",
    ),
)
