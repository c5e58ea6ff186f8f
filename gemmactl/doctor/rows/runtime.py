"""Refusals of a running service, and of the agents that call it, in the words of single APIs. Knows no tool of a deploy."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.principal import EMAIL
from gemmactl.doctor.row import Row
from gemmactl.doctor.rows.wordings import denied

_CAUSE: Final = "The account that the service runs as has no role that allows this call; the text does not name the permission."
_REMEDY: Final = "Grant the role to the account that made the call, on the narrowest resource."
_AGENT: Final = "A service agent of Google makes this call, and it has lost its role or never had it."
_TO_AGENT: Final = "Grant the role to the agent that the text is about, not to yourself."
_REFUSED: Final = r"(?:\b403\b|denied|forbidden|not ?authorized|PermissionDenied)"
_OPS: Final = r"(?:create|flush|sync|write|mkdir|rename|unlink|rmdir|symlink|setinodeattributes|compose|update|delete)"


def _row(
    code: str, title: str, permission: str, *patterns: str, cause: str = _CAUSE, remedy: str = _REMEDY, **more: object
) -> Row:
    return denied(code, title, cause, remedy, permission, *patterns, **{"subcategory": "runtime", **more})


ROWS: Final = (
    _row(
        "storage-caller-denied",
        "The caller may not {permission}",
        "",
        (
            r"\b(?:Caller|Principal|User|Account|Service account|The caller) (?:does not have|lacks)"
            r" (?P<permission>storage\.\w+\.\w+) (?:access|permission)"
        ),
        subcategory="runtime_storage",
        cause="Cloud Storage refused the call and does not name the account.",
    ),
    _row(
        "fuse-write-denied",
        "gcsfuse may not write to the bucket",
        "storage.objects.create",
        rf"(?:fuseops\.|\b){_OPS}\w*[(: ].{{0,160}}?Error 403: (?:Access denied|Forbidden)",
        rf"\*fuseops\.{_OPS}\w*Op error: .{{0,40}}permission denied",
        principal="$RUNTIME_SA",
        only_with=r"fuse",
        subcategory="gcsfuse",
    ),
    _row(
        "fuse-read-denied",
        "gcsfuse may not read the bucket",
        "storage.objects.list",
        (
            r"(?:ListObjects|LookUpInode|StatObject|ReadFile|ReadDir|OpenDir|BucketHandle)\w*[(: ].{0,160}?Error"
            r" 403: (?:Access denied|Forbidden)"
        ),
        r"\*fuseops\.(?:LookUp|Read|Open|List|GetInode)\w*Op error: .{0,40}permission denied",
        r"(?:SetUpBucket|OpenBucket): .{0,200}?[Bb]ad credentials for bucket [\"'`]?(?P<bucket>[a-z0-9][\w.-]{1,220}\w)[\"'`]?:"
        r" permission denied",
        principal="$RUNTIME_SA",
        only_with=r"fuse|SetUpBucket",
        explains=("fuse-mount-failed",),
        subcategory="gcsfuse",
    ),
    _row(
        "storage-agent-publish",
        "Cloud Storage's agent may not publish to the topic",
        "pubsub.topics.publish",
        rf"service account '?(?P<member>{EMAIL})'? does not have permission to publish messages",
        (
            rf"(?P<member>service-\d{{6,20}}@gs-project-accounts\.iam\.gserviceaccount\.com).{{0,120}}?(?:publish"
            rf"|pubsub){_REFUSED}?"
        ),
        r"Cloud Storage service (?:account|agent) .{0,60}?(?:unable|not able|not allowed|not have .{0,40}) to publish",
        r"GCS service account requires the Pub/Sub Publisher",
        cause=_AGENT,
        remedy=_TO_AGENT,
        principal="",
        subcategory="eventarc",
    ),
    _row(
        "eventarc-agent",
        "Eventarc's service agent lost its role",
        "",
        r"Permission denied while using the Eventarc Service Agent",
        r"Eventarc [Ss]ervice [Aa]gent .{0,120}?(?:does not have|lacks|missing|denied|must have|needs)",
        cause=_AGENT,
        remedy="Wait a few minutes if Eventarc is new here; else grant the agent its role back.",
        principal="",
        role="roles/eventarc.serviceAgent",
        scope="project",
        subcategory="eventarc",
    ),
    _row(
        "eventarc-receive",
        "The trigger's account may not receive events",
        "eventarc.events.receiveEvent",
        rf"permission \"?eventarc\.events\.receiveEvent\"? denied on \"?(?P<member>{EMAIL})",
        (
            rf"(?P<member>{EMAIL})\W{{0,3}} (?:does not have|lacks|needs) .{{0,60}}?eventarc\."
            rf"(?:events\.receiveEvent|eventReceiver)"
        ),
        cause="The account that a trigger uses needs a role of Eventarc besides the invoker's.",
        remedy="Grant eventReceiver on the project to the account of the trigger.",
        explains=("iam-denied", "iam-denied-somehow"),
        subcategory="eventarc",
    ),
    _row(
        "pubsub-agent-token",
        "Pub/Sub's agent may not make tokens for the push",
        "iam.serviceAccounts.getOpenIdToken",
        (
            r"(?:Cloud )?Pub/?Sub (?:service agent|service account|did not have).{0,200}?"
            r"(?:iam\.serviceAccountTokenCreator|OpenIdToken|token creator)"
        ),
        (
            r"(?P<member>service-\d{6,20}@gcp-sa-pubsub\.iam\.gserviceaccount\.com).{0,200}?"
            r"(?:iam\.serviceAccountTokenCreator|OpenIdToken)"
        ),
        cause=_AGENT,
        remedy=_TO_AGENT,
        principal="",
        subcategory="pubsub",
    ),
    _row(
        "scheduler-job-denied",
        "The schedule's account may not run the job",
        "run.jobs.run",
        (
            r"(?:AttemptFinished|AttemptStarted|cloud_scheduler_job|cloudtasks|cloud_tasks_queue)(?=.{0,900}?"
            r"(?:PERMISSION_DENIED|code number = 403))"
            r".{0,900}?/(?P<resource>(?:namespaces|projects)/[\w-]{3,62}/"
            r"(?:locations/[\w-]{3,40}/)?jobs/[a-z][\w-]{0,62}):run\b"
        ),
        cause="Cloud Scheduler calls as the account in the schedule, which has no role on the job.",
        remedy="Grant the role on the job to the account that the schedule names (--oauth-service-account-email).",
        principal="SCHEDULE_ACCOUNT",
        subcategory="jobs",
    ),
    _row(
        "scheduler-invoke-denied",
        "The schedule's or queue's account may not call the service",
        "run.routes.invoke",
        (
            r"(?:AttemptFinished|attemptResponseLog|cloud_scheduler_job|cloudtasks|cloud_tasks_queue)"
            r"(?=.{0,900}?(?:PERMISSION_DENIED|code number = 403)).{0,900}?\.run\.app\b"
        ),
        r"cloud[_ ](?:scheduler|tasks)\w*(?=.{0,600}?\.run\.app\b).{0,600}?(?:PERMISSION_DENIED|code (?:number = )?403)",
        cause="Scheduler and Tasks call as the account named for the OIDC token, which has no invoker role.",
        remedy="Grant the role on the service to the account that the schedule or the task names.",
        principal="SCHEDULE_ACCOUNT",
        subcategory="invoke",
    ),
    _row(
        "pubsub-publish-denied",
        "The topic refused the message",
        "pubsub.topics.publish",
        r"(?:publish|topic)\w*(?=.{0,900}?User not authorized to perform this action).{1,900}?User not authorized",
        r"User not authorized to perform this action(?=.{0,900}?(?:publish|topic))",
        unless=r"subscri|IAM_PERMISSION_DENIED",
        subcategory="pubsub",
    ),
    _row(
        "pubsub-pull-denied",
        "The subscription refused the reader",
        "pubsub.subscriptions.consume",
        r"(?:subscri|streaming_?pull)\w*(?=.{0,900}?User not authorized to perform this action).{1,900}?User not authorized",
        r"User not authorized to perform this action(?=.{0,900}?(?:subscri|streaming_?pull))",
        unless=r"IAM_PERMISSION_DENIED",
        subcategory="pubsub",
    ),
    _row(
        "pubsub-denied",
        "Pub/Sub refused the call",
        "",
        r"User not authorized to perform this (?:action|operation)",
        role="roles/pubsub.publisher",
        scope="project",
        unless=r"IAM_PERMISSION_DENIED|publish|topic|subscri|streaming_?pull",
        confidence=0.6,
        subcategory="pubsub",
    ),
    _row(
        "cloudsql-denied",
        "The account may not look up the Cloud SQL instance",
        "cloudsql.instances.get",
        (
            r"(?:failed to get instance|instance metadata|connection name|cloudsqlconn|connectSettings"
            r"|generateEphemeralCert).{0,300}?(?:notAuthorized|NOT_AUTHORIZED|not authorized to make this request)"
        ),
        r"The client is not authorized to make this request(?:\.|,|$)",
        unless=r"cloudsql\.instances\.\w+",
        subcategory="cloudsql",
    ),
    _row(
        "cloudsql-look-denied",
        "The account may not look up the Cloud SQL instance",
        "cloudsql.instances.get",
        r"(?:[Mm]issing|[Ll]acks?|[Rr]equired?|denied|without) (?:the )?(?:permission )?['\"]?cloudsql\.instances\.get\b",
        explains=("iam-denied", "iam-denied-somehow", "cloudsql-denied", "cloudsql-connect-denied"),
        subcategory="cloudsql",
    ),
    _row(
        "cloudsql-connect-denied",
        "The account may not connect to the Cloud SQL instance",
        "cloudsql.instances.connect",
        r"(?:missing|lacks?|required?|denied|without) (?:the )?(?:permission )?['\"]?cloudsql\.instances\.connect\b",
        r"Permission ['\"]?cloudsql\.instances\.connect",
        r"Cloud SQL connection failed\..{0,300}?(?:Error 403|NOT_AUTHORIZED|notAuthorized)",
        explains=("iam-denied", "iam-denied-somehow", "cloudsql-denied"),
        subcategory="cloudsql",
    ),
    _row(
        "cloudsql-login-denied",
        "The database refused the IAM login",
        "cloudsql.instances.login",
        (
            r"Cloud SQL IAM (?:user|service account|group)? ?authentication failed"
            r"(?: for user ['\"]?(?P<database_user>[\w.@-]{6,120}))?"
        ),
        subcategory="cloudsql",
        cause="The account has no instanceUser role, or the database has no user of its name.",
        remedy="Grant the role and add the IAM user to the instance.",
    ),
    _row(
        "bigquery-read-denied",
        "BigQuery refused to read the table",
        "bigquery.tables.getData",
        (
            r"Access Denied: (?:Table|View|Dataset|Routine|Model) [\w.:$-]{3,200}: (?:User|Principal|The user) "
            r"(?:does not have|lacks)"
            r" (?:bigquery\.tables\.getData )?permission (?:to (?:query|read|access)|for)"
        ),
        r"User does not have permission to query (?:table|view)",
        subcategory="bigquery",
    ),
    _row(
        "bigquery-job-denied",
        "BigQuery refused to run a query",
        "bigquery.jobs.create",
        (
            r"Access Denied: Project [\w.:-]{3,120}: (?:User|Principal|The user) (?:does not have|lacks) "
            r"(?:permission to (?:run|create) |bigquery\.jobs\.create)"
        ),
        explains=("iam-denied", "iam-denied-somehow"),
        subcategory="bigquery",
    ),
    Row(
        code="firestore-denied",
        category="iam",
        subcategory="firestore",
        title="Firestore refused the call",
        cause="The account has no role for the database; Firestore uses the roles of Datastore and names no permission.",
        remedy="Grant datastore.user (viewer to read only) on the project to the service's account. Client apps of end users"
        " need the security rules instead.",
        patterns=(r"Missing or insufficient permissions\b",),
        role="roles/datastore.user",
        scope="project",
        principal="$RUNTIME_SA",
        fix_kind="iam_grant",
        confidence=0.75,
        explains=("denied-somehow",),
        not_fix=("roles/datastore.owner",),
    ),
    _row(
        "iap-denied",
        "Identity-Aware Proxy does not let the account in",
        "iap.webServiceVersions.accessViaIAP",
        r"You don't have access.{0,200}?(?:Identity-Aware Proxy|IAP|iap\.googleapis)",
        r"IAP_\w{0,20}DENIED|Access denied by (?:IAP|Identity-Aware Proxy)",
        subcategory="invoke",
    ),
)
