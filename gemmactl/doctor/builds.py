"""Why the newest build failed: its own words and its log's. Knows no service and no screen; reads only."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final

from gemmactl.doctor.diagnose import diagnose
from gemmactl.doctor.finding import Context, Finding
from gemmactl.doctor.last_start import LINES
from gemmactl.doctor.several import unknown
from gemmactl.errors import Trouble
from gemmactl.resources import build_log
from gemmactl.resources.cloud import BuildInfo, Cloud

FAILED: Final = frozenset({"FAILURE", "INTERNAL_ERROR", "TIMEOUT", "EXPIRED"})
"""Ends that somebody must look into; CANCELLED was meant."""


def failed_build(cloud: Cloud, region: str, tag: str, context: Context) -> tuple[Finding, ...]:
    """What the newest build with the tag failed of; empty when there is none, or it did not fail.

    It may have run in the region, or in `global` where the region runs no builds for the project.

    Raises:
        Trouble: the builds can't be listed.
    """
    with ThreadPoolExecutor(2) as pool:
        found = pool.map(lambda where: (where, cloud.builds.newest(where, tag)), (region, "global"))
        builds = [(where, build) for where, build in found if build is not None]
    if not builds:
        return ()
    where, newest = max(builds, key=lambda pair: pair[1].created)
    return tuple(_told(cloud, where, newest, context)) if newest.status in FAILED else ()


def _told(cloud: Cloud, where: str, build: BuildInfo, context: Context) -> Sequence[Finding]:
    here = replace(context, build_account=build.account or context.build_account, region=where)
    hidden: list[Finding] = []
    try:
        log = [build_log.text(e) for e in cloud.logs.entries(build_log.query(cloud.project, build.id), newest=True, limit=LINES)]
    except Trouble as trouble:
        log, hidden = [], unknown(f"the log of build {build.id}", trouble, context)
    named = f"build {build.id}" + (f" of {build.created}" if build.created else "")
    told = diagnose("\n".join((build.detail, *build.warnings, *log)), {}, here)
    # what a build prints is data: its causes are shown, and no remedy is made of them
    causes = [replace(f, evidence=f"{named}: {f.evidence}", remedies=()) for f in told]
    return [*(causes or [_unexplained(build, where, named, cloud.project)]), *hidden]


def _unexplained(build: BuildInfo, where: str, named: str, project: str) -> Finding:
    return Finding(
        code="build-failed",
        category="image_build",
        subcategory=build.failure_type.lower() or "failed",
        title=f"the {named} ended as {build.status}",
        cause=build.detail or "Cloud Build gave no reason.",
        remedy="Read its whole log" + (f": {build.log_url}" if build.log_url else "."),
        commands=(f"gcloud builds log {build.id} --region={where} --project={project}",),
        evidence=build.detail,
        fix_kind="diagnose",
        confidence=0.6,
    )
