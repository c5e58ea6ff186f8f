"""Registries and package indexes that refuse an account, in words of their own. Knows no other denial."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.rows.wordings import denied

_INDEX: Final = r"(?P<resource>[a-z0-9-]{2,30}-(?:python|npm|maven|go|apt|yum)\.pkg\.dev/[\w.:-]{3,63}/[\w.-]{1,63})"
_BUILDS: Final = r"Step \d{1,3}/\d{1,3} : RUN|build step \d|Step #\d|\bRUN (?:--mount|pip|npm|uv|poetry)"

ROWS: Final = (
    *(
        denied(
            "index-denied",
            "The private package index refused the account",
            "The index is an Artifact Registry repository, and whoever installs from it has no reader role there; a 401 would"
            " mean that no login was sent.",
            "Grant artifactregistry.reader on that repository to the account that installs: in a build, the build's.",
            "artifactregistry.repositories.downloadArtifacts",
            rf"\b403\b(?: Client Error)?[: ]{{0,3}}.{{0,80}}?https://{_INDEX}",
            rf"https://{_INDEX}.{{0,160}}?\b(?:403 Forbidden|E403|status code 403)",
            principal=principal,
            only_with=only_with,
            unless=unless,
            subcategory="registry",
            explains=("iam-denied", "index-unreachable", "build-other", "build-step-failed", "build-failed", "npm-failed"),
        )
        for principal, only_with, unless in (("$BUILD_SA", _BUILDS, ""), ("$CALLER", "", _BUILDS))
    ),
    denied(
        "push-creates-denied",
        "Pushing would make the repository, and the caller may not",
        "gcr.io is served by Artifact Registry; its repository is made by the first push, which needs a role of its own.",
        "Make the repository first (artifacts repositories create gcr.io), or grant createOnPushWriter.",
        "artifactregistry.repositories.createOnPush",
        r"gcr\.io repo(?:sitory)? does not exist\. Creating on push requires",
        r"requires? the artifactregistry\.repositories\.createOnPush permission",
        principal="$DOCKER_IDENTITY",
        subcategory="registry",
        explains=("iam-denied", "docker-denied"),
    ),
    denied(
        "registry-pull-denied",
        "The registry refused the caller",
        "gcr.io looks at the bucket of its images, or at Artifact Registry when it was moved there; the account has no role in"
        " either.",
        "Grant artifactregistry.writer (reader to pull) on the repository to the account that docker uses.",
        "artifactregistry.repositories.downloadArtifacts",
        r"failed to fetch oauth token(?!.{0,400}?push).{0,120}?(?:docker\.pkg\.dev|gcr\.io).{0,400}?\b403 Forbidden",
        r"Bad status during token exchange: 403",
        principal="$DOCKER_IDENTITY",
        subcategory="registry",
        explains=("iam-denied",),
    ),
    denied(
        "registry-bucket-denied",
        "The registry refused the caller: {permission}",
        "gcr.io looks at the bucket of its images, or at Artifact Registry when it was moved there; the account has no role in"
        " either.",
        "Grant artifactregistry.writer on the repository gcr.io to the account that docker uses (reader to pull).",
        "",
        r"denied: Token exchange failed for project ['\"]?[\w*.:-]{1,60}['\"]?\. Caller does not have permission"
        r" ['\"]?(?P<permission>storage\.buckets\.\w{3,20})",
        role="roles/artifactregistry.writer",
        scope="repo",
        principal="$DOCKER_IDENTITY",
        subcategory="registry",
        explains=("iam-denied", "iam-denied-somehow", "registry-old-denied"),
    ),
    denied(
        "registry-old-denied",
        "The registry refused the caller",
        "gcr.io looks at the bucket of its images, or at Artifact Registry when it was moved there; the account"
        " has no role in either.",
        "Grant artifactregistry.writer (reader to pull) on the repository to the account that docker uses.",
        "artifactregistry.repositories.uploadArtifacts",
        r"denied: Token exchange failed for project ['\"]?(?:(?P<project>[a-z][\w-]{4,60})|\*+)['\"]?\. (?:Caller does"
        r" not have permission|Access denied)",
        r"failed to fetch oauth token.{0,120}?(?:docker\.pkg\.dev|gcr\.io).{0,300}?push.{0,200}?\b403 Forbidden",
        r"denied: Unable to access the repository; please check that you have permission",
        r"error checking push permissions .{0,400}?(?:DENIED|403|FORBIDDEN)(?!.{0,200}?artifactregistry\.)",
        principal="$DOCKER_IDENTITY",
        subcategory="registry",
        explains=("iam-denied",),
    ),
    denied(
        "node-pull-denied",
        "The machine that starts the container may not pull the image",
        "The registry knows who asks, and that account has no reader role on the repository.",
        "Grant artifactregistry.reader on the repository to the account of the machine or agent that pulls.",
        "artifactregistry.repositories.downloadArtifacts",
        (
            r"(?:failed to (?:fetch oauth token|authorize)|unexpected status.{0,40})(?!.{0,20}anonymous)"
            r".{0,400}?(?P<resource>[a-z0-9-]{2,30}-docker\.pkg\.dev)/\S{0,400}.{0,40}?\b403\b"
        ),
        r"unexpected status (?:code )?(?:from (?:HEAD|GET) request to )?.{0,20}https://\S{0,60}pkg\.dev/\S{0,300}?: 403",
        r"(?:HEAD|GET) https://\S{0,60}pkg\.dev/v2/\S{0,300}: (?:unexpected status code )?403",
        principal="",
        # what BuildKit and docker print is docker's
        unless=r"load metadata for|\[internal\]|failed to solve|docker (?:pull|build|push)|Error response from daemon",
        explains=("docker-anonymous",),
        subcategory="registry",
    ),
    denied(
        "push-refused",
        "The registry refused the push",
        "The account that pushes has no role on the repository that allows it; the text does not name the permission.",
        "Grant artifactregistry.writer on the repository to the account that pushes.",
        "artifactregistry.repositories.uploadArtifacts",
        r"(?:POST|PUT|PATCH) https://\S{0,60}pkg\.dev/v2/\S{0,300}: (?:unexpected status code )?403",
        r"unexpected status from (?:POST|PUT|PATCH) request to https://\S{0,60}pkg\.dev/\S{0,300}: 403",
        (
            r"(?:failed to (?:export|write image|push)|error pushing)\b(?!.{0,400}?anonymous)"
            r".{0,400}?pkg\.dev/.{0,400}?\b403 Forbidden"
        ),
        principal="$DOCKER_IDENTITY",
        explains=("node-pull-denied",),
        subcategory="registry",
    ),
)
