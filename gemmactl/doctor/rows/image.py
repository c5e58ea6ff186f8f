"""Images: not there, not for this machine, not built."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.row import CONSEQUENCE, Row

_NO_GRANT: Final = ("any IAM grant",)
_PROBES: Final = ("probe-failed", "probe-timeout", "probe-timeout-longest", "port-not-opened", "container-exit")
_NAMED: Final = (
    r"(?P<region>[a-z0-9-]{2,30})-docker\.pkg\.dev/(?P<project>[a-z0-9.:-]{4,64})/(?P<repository>[a-z0-9.-]{1,63})"
    r"/(?P<image>[a-z0-9][a-z0-9._/-]{0,150})(?:[:@][\w.:-]{1,140})?"
)
"""An image in Artifact Registry."""

ROWS: Final = (
    Row(
        code="image-arch",
        category="image_build",
        subcategory="arch",
        title="The image is not built for amd64",
        cause="It was built on an ARM machine (a Mac), or a script in it has no first line naming its interpreter.",
        remedy="Build with --platform linux/amd64, or in Cloud Build as gemmactl does.",
        patterns=(
            r"exec format error",
            r"must support amd64/linux",
            r"no matching manifest for linux/amd64",
            r"platform \(linux/arm64\S{0,10}\) does not match",
            r"rosetta error: |qemu-(?:x86_64|aarch64|arm)\S{0,20}: (?:could not open|uncaught target signal)",
        ),
        commands=("docker buildx build --platform linux/amd64 --provenance=false .",),
        not_fix=("a longer startup probe", "any IAM grant"),
        explains=(*_PROBES, "server-model-unsupported"),
    ),
    Row(
        code="repository-missing",
        category="image_build",
        subcategory="repo_404",
        title="The repository does not exist",
        cause="It was never made, or the tag names another region or project.",
        remedy="Make it, in the region that the tag names.",
        patterns=(
            r"name unknown: Repository \"(?P<repository>[a-z0-9.-]+)\" not found",
            r"Repository \"?(?P<repository>[a-z0-9.-]+)\"? (?:was )?not found(?! for url)",
            r"NAME_UNKNOWN",
        ),
        fix_kind="user_action",
        commands=(
            (
                "gcloud artifacts repositories create {repository} --repository-format=docker --location={region}"
                " --project={project}"
            ),
        ),
        not_fix=("roles/artifactregistry.admin", "any IAM grant"),
    ),
    Row(
        code="image-missing",
        category="image_build",
        subcategory="image_404",
        title="The image does not exist",
        cause="The tag was never pushed, or the path is wrong; old gcr.io paths are gone unless they were moved to"
        " Artifact Registry.",
        remedy="Use the image's Artifact Registry path; list the tags to check.",
        patterns=(
            rf"Image ['\"`]?{_NAMED}['\"`]? (?:was )?not found",
            r"Image (?:'[^']{3,300}'|\"[^\"]{3,300}\"|`[^`]{3,300}`) (?:was )?not found",
            rf"{_NAMED}: not found\b",
            rf"manifest for {_NAMED} not found",
            r"manifest (?:for \S{3,300} not found|unknown)",
            r"MANIFEST_UNKNOWN",
            r"failed to pull image.{0,200}not found",
            r"Failed to fetch \"[^\"]{1,100}\" from request \"/v2/",
        ),
        commands=("gcloud artifacts docker tags list {region}-docker.pkg.dev/{project}/{repository}/{image}",),
        not_fix=_NO_GRANT,
    ),
    Row(
        code="build-not-found",
        category="image_build",
        subcategory="source_dir",
        title="Cloud Build could not find what it was asked for",
        cause="An empty variable in the image's path, or a wrong project or region.",
        remedy="Print the value of --tag, and check project and repository.",
        patterns=(r"\(gcloud\.builds\.submit\) NOT_FOUND: Requested entity was not found",),
        not_fix=_NO_GRANT,
        confidence=0.75,
    ),
    Row(
        code="dockerfile-missing",
        category="image_build",
        subcategory="source_dir",
        title="There is no Dockerfile where the build looks for it",
        cause="The command was run in another directory, or .gcloudignore leaves it out.",
        remedy="Run it in the folder with the Dockerfile.",
        patterns=(
            r"Dockerfile required when specifying --tag",
            r"unable to (?:evaluate symlinks in|prepare context:).{0,40}Dockerfile",
            r"failed to read dockerfile",
        ),
        not_fix=_NO_GRANT,
    ),
    Row(
        code="copy-missing",
        category="image_build",
        subcategory="copy",
        title="The build misses a file that COPY names",
        cause="The file is not in the uploaded context: another directory, or an ignore file leaves it out.",
        remedy="Check the path against the context's root and the ignore files.",
        patterns=(
            r"COPY failed: [^.]{0,200}(?:not found|no such file|no source files)",
            r"failed to compute cache key: .{0,100}not found",
        ),
        not_fix=_NO_GRANT,
    ),
    Row(
        code="pip-failed",
        category="image_build",
        subcategory="pip",
        title="pip could not install the requirements",
        cause="A version that does not exist for this Python or platform, or requirements that exclude each other.",
        remedy="Correct the line it names in requirements.txt.",
        patterns=(
            r"No matching distribution found for \S+",
            r"\bFailed to (?:fetch|download):? `https?://",
            r"Could not find a version that satisfies the requirement \S+",
            r"ResolutionImpossible",
            r"THESE PACKAGES DO NOT MATCH THE HASHES",
            r"In --require-hashes mode, all requirements must have their",
        ),
        not_fix=_NO_GRANT,
    ),
    Row(
        code="image-step-failed",
        category="image_build",
        subcategory="run_step",
        title="A RUN line of the Dockerfile failed",
        cause="The command's own output above this line tells why.",
        remedy="Read the lines above it.",
        patterns=(
            r"failed to solve: process \"[^\"]{1,400}\" did not complete successfully",
            r"The command '[^']{1,400}' returned a non-zero code",
            r"executor failed running \[[^\]]{1,400}\]",
        ),
        fix_kind="diagnose",
        rank=CONSEQUENCE,
        confidence=0.7,
        not_fix=_NO_GRANT,
    ),
    Row(
        code="build-step-failed",
        category="image_build",
        subcategory="unknown_build_failure",
        title="A step of the build failed",
        cause="The first error above this line tells the cause.",
        remedy="Read the build's log from its first error.",
        patterns=(r"build step \d+ \"[^\"]{1,200}\" failed: step exited with non-zero status",),
        fix_kind="diagnose",
        rank=CONSEQUENCE,
        confidence=0.5,
        not_fix=_NO_GRANT,
    ),
)
