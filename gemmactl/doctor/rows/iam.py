"""Denials that name the permission, in whatever sentence. Knows no single API: the table of permissions does."""

from __future__ import annotations

from typing import Final, cast

from gemmactl.doctor.consequences import NOT_STARTED
from gemmactl.doctor.finding import FixKind
from gemmactl.doctor.principal import EMAIL
from gemmactl.doctor.row import Row

_PERMISSION: Final = r"(?P<permission>[a-z]{2,30}\.[a-z]{2,60}\.[a-z]{2,60})"
_RESOURCE: Final = r"(?:(?:the )?(?:resource|service account|secret|bucket) )?['\"`\[(]{0,2}(?P<resource>[\w:/.@%+-]{3,300})"
_DOCKER: Final = r"(?<![A-Za-z_])(?<!Access )denied: Permission [\"'`]?"
_TERRAFORM: Final = r"googleapi: Error|Error (?:reading|creating|updating|refreshing)|terraform|google_secret_manager|pulumi"
_KNOWN: Final = (
    r"(?:run|storage|iam|artifactregistry|cloudbuild|secretmanager|serviceusage|logging|monitoring|resourcemanager|compute|cloudkms|"
    r"cloudquotas|orgpolicy|pubsub|eventarc|bigquery|vpcaccess|billing|aiplatform|redis|container|dns|networkservices|iap|"
    r"clouddeploy|cloudfunctions|cloudscheduler|cloudtasks|firebase[a-z]*|source|servicenetworking|workflows|cloudsql|datastore|"
    r"cloudtrace|binaryauthorization|containeranalysis|apikeys|servicedirectory|networkconnectivity|networksecurity|config|"
    r"certificatemanager|securitycenter|recommender|notebooks|privateca|cloudasset|accesscontextmanager|identitytoolkit|"
    r"bigtable|spanner|alloydb|memorystore|dataflow|dataproc|dataplex|composer|discoveryengine|dialogflow|documentai|speech|"
    r"cloudtranslate|modelarmor|dlp|appengine|batch|tpu|file|storagetransfer|telemetry|errorreporting|cloudprofiler|backupdr|"
    r"parametermanager|developerconnect|managedkafka|observability|oslogin|osconfig|cloudaicompanion)"
)

_BUILD_REMEDY: Final = "Grant the one role below to the account that pushes or pulls, on this repository only."


def _row(code: str, title: str, *patterns: str, principal: str = "$CALLER", **more: object) -> Row:
    return Row(
        code=code,
        category="iam",
        subcategory=str(more.pop("subcategory", "denied")),
        title=title,
        cause=str(more.pop("cause", "The identity that made this call has no role that holds the permission.")),
        remedy=str(more.pop("remedy", "Grant the least role that holds it, on the narrowest resource.")),
        patterns=patterns,
        principal=principal,
        fix_kind=cast(FixKind, more.pop("fix_kind", "iam_grant")),
        **more,  # type: ignore[arg-type]  # the remaining fields of Row, by their names
    )


ROWS: Final = (
    _row(
        "storage-denied",
        "{member} may not {permission}",
        (
            rf"(?P<member>{EMAIL}) does not have (?P<permission>storage\.buckets\.get) access(?: to (?:the Google"
            r" Cloud Storage bucket )?(?P<resource>[\w.:/-]+))?"
        ),
        cause="The program asks for the bucket itself (get_bucket), which no object role allows; the objects may well"
        " be readable.",
        remedy="Change the code to client.bucket(NAME) and no role is needed; only if you can't, grant the role below.",
        subcategory="runtime_storage",
        fix_kind="code_change",
        confidence=0.85,
    ),
    _row(
        "storage-denied",
        "{member} may not {permission}, and so the bucket can't be mounted",
        (
            r"(?:mountWithArgs|mountWithConn|fs\.NewServer|SetUpBucket|gcsfuse|[Mm]ounting volume)\b.{0,300}?"
            rf"(?P<member>{EMAIL}) does not have (?P<permission>storage\.objects\.\w+) access"
        ),
        subcategory="gcsfuse",
        explains=("entrypoint-refused", "executable-missing", *NOT_STARTED),
        cause="The mount lists the bucket first, and the account has no role on it that allows this.",
        confidence=0.93,
    ),
    _row(
        "storage-denied",
        "{member} may not {permission}",
        (
            rf"(?:/storage/v1/b/(?P<bucket>[a-z0-9][\w.-]+)/o.{{0,300}}?)?(?P<member>{EMAIL}) does not have"
            r" (?P<permission>storage\.objects\.\w+) access(?: to (?P<resource>gs://[a-z0-9][\w./-]{2,200}))?"
        ),
        subcategory="runtime_storage",
        cause="The account has no role on the bucket that allows this. Reading needs objectViewer, writing objectUser.",
        confidence=0.93,
    ),
    _row(
        "access-denied",
        "{member} may not {permission}",
        rf"(?P<member>{EMAIL}) does not have {_PERMISSION} access(?: to (?:the )?{_RESOURCE})?",
        subcategory="access_denied",
    ),
    _row(
        "denied-to-member",
        "{member} may not {permission}",
        # the account stands after what it lacks
        (
            rf"Permission ['\"`]?{_PERMISSION}['\"`]? (?:was )?denied (?:on|for) {_RESOURCE}['\"`\])]{{0,2}}"
            r"(?: \(or (?:it|resource) may not exist\))? (?:for|to) (?:the )?(?:service (?:account|agent)|principal|user|"
            rf"caller|account|member):? ['\"`\[]?(?:user:|serviceAccount:)?(?P<member>{EMAIL})"
        ),
        rf"Required '{_PERMISSION}' permission for '(?P<resource>[\w./:-]{{3,200}})' for (?P<member>{EMAIL})",
        rf"Permission '{_PERMISSION}' denied; grant (?:serviceAccount:)?(?P<member>{EMAIL}) the role",
        explains=("iam-denied", "iam-denied-somehow"),
    ),
    _row(
        "build-secret-denied",
        "{member} may not read the secret",
        rf"could not access secret \"(?P<resource>[\w./-]{{3,200}})\" with service account \"(?P<member>{EMAIL})\"",
        permission="secretmanager.versions.access",
        subcategory="build_secret",
        explains=("denied-somehow", "caller-denied"),
    ),
    _row(
        "sign-denied",
        "The running account may not sign as itself",
        r"(?:Error calling the IAM signBytes API|trying to sign provided bytes|IamUtils\.sign|_sign_message|generate_signed_url)"
        r"(?=.{0,1500}?(?:caller does not have permission|PERMISSION_DENIED|signBlob))",
        principal="$RUNTIME_SA",
        permission="iam.serviceAccounts.signBlob",
        cause="Without a key file a signed URL is signed by IAM, and the account needs tokenCreator on itself for that.",
        subcategory="signing",
        explains=("caller-denied", "denied-in-program", "iam-denied-somehow"),
    ),
    _row(
        "trace-denied",
        "The running account may not write traces",
        r"(?:batch_write_spans|BatchWriteSpans|exporting Span batch|export to (?:Google )?Cloud Trace)"
        r"(?=.{0,1500}?(?:PERMISSION_DENIED|PermissionDenied|\b403\b))",
        principal="$RUNTIME_SA",
        permission="cloudtrace.traces.patch",
        subcategory="telemetry",
        explains=("caller-denied", "denied-in-program", "iam-denied-somehow", "denied-somehow"),
    ),
    _row(
        "metrics-denied",
        "The running account may not write metrics",
        r"(?:export|write)\w* (?:\w+ )?(?:to|in) (?:Google )?(?:Cloud Monitoring|Stackdriver)"
        r"(?=.{0,600}?(?:PERMISSION_DENIED|PermissionDenied|\b403\b).{0,60}?caller does not have permission)",
        principal="$RUNTIME_SA",
        permission="monitoring.timeSeries.create",
        subcategory="telemetry",
        explains=("caller-denied", "denied-in-program", "iam-denied-somehow", "denied-somehow"),
    ),
    _row(
        "publish-denied",
        "The program may not publish to the topic",
        r"PermissionDenied: 403 User not authorized to perform this action(?=.{0,900}?publisher\.publish)",
        r"publisher\.publish\(?(?=.{0,900}?User not authorized to perform this action)",
        principal="$RUNTIME_SA",
        permission="pubsub.topics.publish",
        subcategory="telemetry",
        explains=("caller-denied", "denied-in-program", "iam-denied-somehow"),
    ),
    _row(
        "docker-denied",
        "The registry refused {permission}",
        rf"{_DOCKER}{_PERMISSION}[\"'`]? denied on {_RESOURCE}",
        principal="$DOCKER_IDENTITY",
        subcategory="registry",
        cause="The identity that docker used may not do this on the repository, or the repository does not exist, or"
        " docker sent no"
        " credentials for this host.",
        remedy=f"{_BUILD_REMEDY} On your own machine run `gcloud auth configure-docker` for the host first.",
        confidence=0.8,
        explains=("iam-denied", "base-image-missing"),
    ),
    _row(
        "actas-denied",
        "The caller may not act as {resource}",
        rf"Permission '?(?P<permission>iam\.serviceAccounts\.actAs)'? denied on service account {_RESOURCE}",
        rf"Permission '?(?P<permission>iam\.serviceAccounts\.actAs)'? denied on resource '?{_RESOURCE}",
        subcategory="actas",
        cause="Deploying something that runs as a service account means acting as it; run.admin alone does not include that.",
        remedy="Grant serviceAccountUser on that one account, not on the project.",
        confidence=0.92,
        explains=("iam-denied",),
    ),
    _row(
        "secret-denied-process",
        "The secret can't be read",
        rf"Permission '(?P<permission>secretmanager\.versions\.access)' denied (?:for|on) {_RESOURCE}",
        principal="$RUNTIME_SA",
        unless=rf"{_TERRAFORM}|\(gcloud\.secrets",
        subcategory="runtime_secret",
        cause="The process (the service's own account, or your credentials when it runs here) may not read the value,"
        " or it does not exist under this name: a missing secret gives the same text.",
        remedy="Check that the secret exists, then grant secretAccessor on it.",
        explains=("iam-denied",),
    ),
    _row(
        "secret-denied-process",
        "The secret can't be read",
        r"Permission denied (?:on|for) resource:? ['\"]?(?P<resource>projects/[\w:.-]{3,64}/secrets/[\w-]{1,255}/versions/\w+)",
        permission="secretmanager.versions.access",
        principal="$RUNTIME_SA",
        subcategory="runtime_secret",
        cause="The process (the service's own account, or your credentials when it runs here) may not read the value,"
        " or it does not exist under this name: a missing secret gives the same text.",
        remedy="Check that the secret exists, then grant secretAccessor on it.",
        explains=("iam-denied", "project-not-seen", "denied-somehow", "denied-in-program"),
    ),
    _row(
        "key-denied",
        "The service agent may not use the key",
        r"Permission '?(?P<permission>cloudkms\.\w+\.\w+)'? denied on resource '?(?P<resource>[\w:/.-]+)'?(?:"
        r" \(or it may not exist\))?"
        rf" for service account (?P<member>{EMAIL})",
        subcategory="network",
        explains=("iam-denied",),
        confidence=0.85,
    ),
    Row(
        code="iam-denied",
        category="iam",
        subcategory="denied",
        title="{permission} was denied",
        cause="The identity that made this call has no role that holds the permission, or what it asked for does not exist.",
        remedy="Grant the least role that holds it, on the narrowest resource.",
        reasons=("IAM_PERMISSION_DENIED",),
        patterns=(
            (
                rf"Permission[: ]+['\"`\[]?{_PERMISSION}['\"`\]]? (?:was )?denied(?: (?:on|for) {_RESOURCE}"
                rf"(?:['\"`\]]{{0,2}} for (?:service account )?(?:(?:user|serviceAccount):)?(?P<member>{EMAIL}))?)?"
            ),
            (
                rf"(?P<member>{EMAIL}) (?:does not have|lacks|needs|is missing) (?:the )?permissions?(?: to)? [^:]{{0,200}}:"
                rf" ?(?={_KNOWN}\.){_PERMISSION}"
            ),
            (
                rf"permission (?={_KNOWN}\.){_PERMISSION} is (?:required|missing|needed)"
                rf"(?: to perform this operation on {_RESOURCE})?"
            ),
            rf"lacks (?:the )?(?:IAM )?permission[: ]+['\"`]?{_PERMISSION}['\"`]?(?: (?:for|on) (?:the )?{_RESOURCE})?",
            # the beginning was cut off
            rf"['\"](?={_KNOWN}\.){_PERMISSION}['\"] (?:was )?denied (?:on|for) {_RESOURCE}",
            (
                "(?:Required|missing|lacks?|(?:not|n't|must) have|has no)(?:"
                rf" (?:the|required|necessary|IAM|following))*[: ]+['\"`]?{_PERMISSION}['\"`]?"
                rf" permissions?(?: (?:for|on) (?:the )?{_RESOURCE})?"
            ),
            (
                rf"(?:missing|required|lacks?|need|does not have)(?: \w+){{0,3}} permissions?(?:\(s\))?[:"
                rf" ]+['\"`\[]?(?={_KNOWN}\.){_PERMISSION}"
                rf"(?:['\"`\]]? (?:for|on) (?:the )?{_RESOURCE})?"
            ),
            (
                rf"(?P<member>{EMAIL})[^.]{{0,80}} (?:lacks|is missing|does not have)[^.]{{0,60}}['\"`\[ ]"
                rf"(?={_KNOWN}\.){_PERMISSION}(?:['\"`\]]? (?:for|on) (?:the )?{_RESOURCE})?"
            ),
            rf"(?:missing|lacks?|required) (?:the )?(?:IAM )?permissions?: ?['\"`\[]?(?={_KNOWN}\.){_PERMISSION}",
        ),
        principal="$CALLER",
        fix_kind="iam_grant",
        confidence=0.85,
    ),
)
