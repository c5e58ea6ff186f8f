"""Settings that Cloud Run refuses: CPU and memory, launch stage, volumes, names, missing things."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.finding import FixKind
from gemmactl.doctor.row import CONSEQUENCE, Row


def _setting(
    code: str,
    family: str,
    title: str,
    cause: str,
    remedy: str,
    *patterns: str,
    commands: tuple[str, ...] = (),
    fix_kind: FixKind = "config_change",
    rank: int = 0,
    unless: str = "",
    confidence: float = 0.9,
) -> Row:
    return Row(
        code=code,
        category="config",
        subcategory=family,
        title=title,
        cause=cause,
        remedy=remedy,
        patterns=patterns,
        commands=commands,
        fix_kind=fix_kind,
        rank=rank,
        unless=unless,
        confidence=confidence,
        not_fix=("any IAM grant",),
    )


ROWS: Final = (
    _setting(
        "max-scale-memory",
        "memory",
        "Max instances is too high for this memory",
        "The region limits the product of memory and instances.",
        "Lower --max-instances.",
        r"maxScale may not exceed \d+",
        commands=("gcloud run services update {service} --max-instances=1 --region={region} --project={project}",),
    ),
    _setting(
        "cpu-memory-pair",
        "memory",
        "This CPU and this memory don't go together",
        "4 CPU allow 2 to 16Gi, 8 CPU 4 to 32Gi; a GPU needs at least 4 CPU and 16Gi.",
        "Use --cpu=8 --memory=32Gi.",
        r"For [\d.]+ CPU, memory must be between",
        r"Invalid value specified for (?:memory|cpu)(?!.{0,160}maxScale)",
        r"Total memory [<>=]+ .{0,40} CPU",
        r"(?:ERROR|violation|\b400|spec\.|template\.)[^\n]{0,200}memory.{0,40} must be (?:between|at least|"
        r"one of).{0,60}(?:CPU|Gi)",
        commands=("gcloud run services update {service} --cpu=8 --memory=32Gi --region={region} --project={project}",),
    ),
    _setting(
        "launch-stage",
        "launch_stage",
        "The feature needs a launch stage",
        "A field of a beta feature was set without declaring the stage.",
        "Set launch stage BETA, or leave the field out.",
        r"not supported in the declared launch stage",
    ),
    _setting(
        "bucket-missing",
        "bucket_missing",
        "The bucket does not exist",
        "A misspelled name, another project, or a bucket that was deleted.",
        "List the buckets and correct the name.",
        r"(?:/b/(?P<bucket>[a-z0-9._-]+)\?.{0,120}?)?The specified bucket does not exist",
        r"BucketNotFoundException",
        r"gs://(?P<bucket>[a-z0-9._-]+)/? (?:not found|does not exist)",
        r"bucket \"?(?P<bucket>[a-z0-9._-]+)\"? (?:not found|does not exist)",
        commands=("gcloud storage buckets list --project={project}",),
    ),
    _setting(
        "volume-path",
        "volume",
        "A mount path or a volume's name is not legal",
        "The mount path must be absolute; a volume's name has letters, digits, hyphens and underscores only.",
        "Correct the name or path.",
        r"should be a valid unix absolute path",
        r"should only have alphanumeric characters, hyphens and underscores",
        r"mount path '?[\w/.-]{1,200}'? is not allowed",
    ),
    _setting(
        "reserved-env",
        "env",
        "An environment variable is reserved",
        "PORT and K_* are set by Cloud Run itself.",
        "Leave it out.",
        r"The following reserved env names were provided",
    ),
    _setting(
        "name-illegal",
        "name",
        "The name is not legal for Cloud Run",
        "Lower case letters, digits and hyphens, a letter first, at most 49 characters.",
        "Choose another name; gemmactl derives a legal one from the model's folder.",
        r"(?:service|resource) name must (?:use|consist|be|start)",
        r"metadata\.name.{0,80}(?:must|invalid)",
    ),
    _setting(
        "project-missing",
        "project",
        "The project does not exist, or its name stands where its id belongs",
        "A misspelled id, a display name, or a project that was deleted.",
        "Use the id from the list of projects.",
        r"Project '?[\w-]{1,60}'? not found or deleted",
        r"must be set to a valid project ID",
        r"The project property (?:is set to the empty string|must be set)",
        r"Unknown project id",
        commands=("gcloud projects list",),
    ),
    _setting(
        "gcloud-old",
        "gcloud_version",
        "This gcloud does not know the option",
        "It is older than the option, or the option belongs to beta.",
        "Update gcloud.",
        r"\(gcloud\.[\w.-]{3,80}\) unrecognized arguments:",
        commands=("gcloud components update",),
    ),
    _setting(
        "edit-conflict",
        "conflict",
        "Two writers changed the service at once",
        "The service was changed between reading and writing it.",
        "Run the same command again.",
        r"Conflict for resource '[^']{1,200}':? (?:for )?version '\w+'",
        fix_kind="retry",
    ),
    _setting(
        "service-missing",
        "service_missing",
        "The service does not exist",
        "Another name, region or project, or it was never deployed.",
        "List the services of the region.",
        r"Cannot find service \[(?P<service>[a-z0-9-]+)\]",
        r"Resource '?(?:projects/[\w/-]+/)?services?/?(?P<service>[a-z0-9-]+)'? (?:of kind 'SERVICE' )?(?:in"
        r" region '[\w-]+' )?(?:in project '[\w-]+' )?"
        r"(?:was not found|does not exist)",
        commands=("gcloud run services list --region={region} --project={project}",),
    ),
    _setting(
        "field-refused",
        "field",
        "Cloud Run refused a field of the service",
        "The message names the field and the values it may have.",
        "Correct that field and deploy again.",
        r"spec\.template\.\S{3,200}: (?!Permission|You do not|Currently|Max instances|.{0,60}quota).{5,200}",
        fix_kind="config_change",
        rank=CONSEQUENCE,
        confidence=0.5,
    ),
)
