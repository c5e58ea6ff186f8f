"""Cloud Build: source, logs, push, the build's own service account. Knows the seed's build errors."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.principal import EMAIL
from gemmactl.doctor.row import CONSEQUENCE, HIDES, Row

_OBJECT_GET: Final = rf"(?P<member>{EMAIL}) does not have (?P<permission>storage\.objects\.(?:get|list)) access"
_STAGING: Final = (
    "Grant objectViewer to the build's service account on the staging bucket (PROJECT_cloudbuild for builds submit,"
    " run-sources-PROJECT-REGION for a source deploy). roles/run.builder on the project would cover source, logs"
    " and push at once."
)

ROWS: Final = (
    Row(
        code="build-source-denied",
        category="iam",
        subcategory="build_sa",
        title="The build's service account may not read the uploaded source",
        cause="The upload worked; the account that runs the build can't fetch it from the staging bucket.",
        remedy=_STAGING,
        patterns=(rf"could not resolve source: .{{0,80}}?{_OBJECT_GET}",),
        fix_kind="iam_grant",
        not_fix=("roles/owner or roles/editor on the project", "roles/storage.admin"),
        explains=("storage-denied", "iam-denied"),
    ),
    Row(
        code="build-fetch-denied",
        category="iam",
        subcategory="build_sa",
        title="The build's service account may not list the source bucket",
        cause="Fetching the source of a build needs to list the staging bucket.",
        remedy=_STAGING,
        patterns=(rf"AccessDeniedException: 403 {_OBJECT_GET}",),
        fix_kind="iam_grant",
        confidence=0.8,
        explains=("storage-denied", "iam-denied"),
    ),
    Row(
        code="build-manifest-denied",
        category="iam",
        subcategory="build_sa",
        title="The build's service account may not read bucket {bucket}",
        cause="The build's first step fetches its source from the bucket and was refused.",
        remedy="Grant objectViewer on that bucket.",
        patterns=(
            (
                r"Access to bucket (?P<bucket>[a-z0-9._-]+) denied\. You must grant Storage Object Viewer permission"
                rf" to (?P<member>{EMAIL})"
            ),
        ),
        permission="storage.objects.get",
        fix_kind="iam_grant",
        confidence=0.95,
    ),
    Row(
        code="build-log-role",
        category="iam",
        subcategory="build_sa",
        title="The build's service account may not write logs",
        cause="This hides the reason of a failed build; it is not the reason: a missing log role alone fails no build.",
        remedy="Grant logWriter, run the build again and read what it says then.",
        patterns=(
            (
                rf"service account running this build (?:projects/[\w.:-]+/serviceAccounts/)?(?P<member>{EMAIL}) does"
                " not have permission to"
                r" write logs"
            ),
            (
                rf"service account [\[('\"`]{{0,2}}(?P<member>{EMAIL})[\])'\"`]{{0,2}} (?:has insufficient|lacks"
                r"|does not have|has no|is missing|needs)(?: the| required)* permissions?"
                r" (?:required )?to (?:write|create|store)(?: build)? logs"
            ),
        ),
        permission="logging.logEntries.create",
        fix_kind="iam_grant",
        rank=HIDES,
        not_fix=("roles/logging.admin", "taking this for the cause of the failure: read the log after the grant"),
    ),
    Row(
        code="build-failed",
        category="image_build",
        subcategory="unknown_build_failure",
        title="The build ended with FAILURE",
        cause="The reason is in the build's log, above this line; this line alone does not tell it.",
        remedy="Read the log of the build: the first failed step tells the cause.",
        patterns=(
            (
                r"build (?:(?P<build>[0-9a-f]{8}-[0-9a-f-]{27})|\[?[\w.-]{1,60}\]?) completed with status \"?"
                r"(?:FAILURE|INTERNAL_ERROR|TIMEOUT|EXPIRED)"
            ),
        ),
        fix_kind="diagnose",
        commands=("gcloud builds log {build} --project={project}",),
        rank=CONSEQUENCE,
    ),
    Row(
        code="build-account-no-roles",
        category="iam",
        subcategory="build_sa",
        title="The default build service account has no builder role",
        cause="Newer projects build with the Compute Engine default account, which organizations often leave without any role.",
        remedy="Grant run.builder to the build's service account, or build with an account of its own as gemmactl does.",
        patterns=(r"Build failed because the (?:default )?service account is missing required IAM permissions",),
        principal="$BUILD_SA",
        role="roles/run.builder",
        scope="project",
        fix_kind="iam_grant",
        not_fix=("roles/editor for the default account", "run.admin plus storage.admin, as blog posts say"),
    ),
    Row(
        code="build-staging-forbidden",
        category="iam",
        subcategory="build_caller",
        title="The caller may not use the staging bucket",
        cause="The bucket for uploads can't be read or made: serviceusage.services.use is missing, or an organization"
        " policy forbids it.",
        remedy="Grant serviceUsageConsumer to the caller; if it stays, look at the bucket's own policy.",
        patterns=(r"(?:The user is )?forbidden from accessing the bucket \[(?P<bucket>[a-z0-9._-]+)\]",),
        permission="serviceusage.services.use",
        principal="$CALLER",
        fix_kind="iam_grant",
        confidence=0.8,
        not_fix=("Owner, Editor or Viewer, as the message itself proposes",),
    ),
    Row(
        code="build-log-bucket",
        category="iam",
        subcategory="build_logs",
        title="Only the build's log can't be streamed; the build itself goes on",
        cause="The default log bucket lies in a Google project and opens only to basic roles on your project; no"
        " storage role helps.",
        remedy="Look at the build's status before anything else. Use CLOUD_LOGGING_ONLY and logging.viewer, as"
        " gemmactl's builds do.",
        patterns=(
            (
                rf"(?P<member>{EMAIL}) does not have (?P<permission>storage\.objects\.get) access to"
                r" \d+\.cloudbuild-logs\.googleusercontent\.com"
            ),
            r"This tool can only stream logs if you are Viewer/Owner of the project",
        ),
        role="roles/viewer",
        scope="project",
        commands=("gcloud builds list --limit=1 --project={project}",),
        explains=("storage-denied", "iam-denied"),
        not_fix=(
            "roles/storage.admin or objectViewer: the bucket is not yours",
            "running the build again blindly: it may have worked",
        ),
        confidence=0.85,
    ),
    Row(
        code="build-actas",
        category="iam",
        subcategory="build_caller",
        title="The caller may not act as the build's service account",
        cause="Submitting a build is acting as its account. A long number is that account's unique id: resolve it to"
        " its e-mail first.",
        remedy="Grant serviceAccountUser on that one account.",
        patterns=(r"caller does not have permission to act as service account (?P<resource>[\w/.@:-]+\w)",),
        permission="iam.serviceAccounts.actAs",
        principal="$CALLER",
        fix_kind="iam_grant",
    ),
    Row(
        code="build-log-bucket-denied",
        category="iam",
        subcategory="build_sa",
        title="The build's service account may not use the log bucket",
        cause="A build with its own account can't write to the default log bucket, which lies in a Google project.",
        remedy="Set options.logging to CLOUD_LOGGING_ONLY; no grant on that bucket is possible.",
        patterns=(
            (
                rf"invalid bucket \"[^\"]{{3,200}}\"; service account (?:serviceAccount:)?(?P<account>{EMAIL}) does"
                " not have access to the bucket"
            ),
        ),
        not_fix=("roles/storage.admin",),
    ),
    Row(
        code="build-region-quota",
        category="quota_capacity",
        subcategory="build_region",
        title="This project may not build in this region",
        cause="New and trial projects may run builds in some regions only.",
        remedy="Build in us-central1 or global; the image may still go to a repository in your region.",
        patterns=(
            r"due to quota restrictions, (?:Cloud Build )?cannot run builds (?:of this machine type )?in this region",
            r"no concurrent builds quota available",
        ),
        commands=("gcloud builds submit --region=us-central1 --project={project}",),
        not_fix=("any IAM grant",),
    ),
    Row(
        code="build-logging-option",
        category="config",
        subcategory="build_logging",
        title="A build with its own service account needs to be told where its logs go",
        cause="With build.service_account the default log bucket can't be used.",
        remedy="Set options.logging to CLOUD_LOGGING_ONLY.",
        patterns=(r"if 'build\.service_account' is specified, the build must",),
        not_fix=("any IAM grant",),
    ),
    Row(
        code="source-deploy-registry",
        category="iam",
        subcategory="deploy_caller",
        title="The caller may not read the repository of source deploys",
        cause="`gcloud run deploy --source` reads the repository cloud-run-source-deploy first.",
        remedy="Grant run.sourceDeveloper for source deploys, or artifactregistry.reader on the repository.",
        patterns=(
            (
                r"Permission 'artifactregistry\.repositories\.get' denied on resource"
                r" '(?P<resource>[\w:/.-]+/cloud-run-source-deploy)'"
            ),
            r"Permission denied while accessing Artifact Registry",
        ),
        permission="artifactregistry.repositories.get",
        principal="$CALLER",
        role="roles/run.sourceDeveloper",
        scope="project",
        fix_kind="iam_grant",
        confidence=0.8,
        explains=("iam-denied",),
        not_fix=("roles/artifactregistry.admin",),
    ),
)
