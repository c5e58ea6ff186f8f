"""Curated: least roles of permissions that a service asks for while it runs. Knows no text and no principal.

Kept apart from permissions.py, whose permissions a deploy asks for. The smallest role by data is often a special one:
aiplatform.endpoints.predict would be expressUser, bigquery.tables.getData routineDataViewer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gemmactl.doctor.permissions import Scope

_SIGN: Final = (
    "roles/iam.serviceAccountTokenCreator",
    "service account",
    "the account needs the role on itself: signing without a key file is a call of IAM; serviceAccountUser lacks it",
)
_WRITE: Final = ("roles/storage.objectUser", "bucket", "not roles/storage.admin; objectCreator can't overwrite")
_READ: Final = ("roles/storage.objectViewer", "bucket", "not roles/storage.admin or objectAdmin")
_METRICS: Final = ("roles/monitoring.metricWriter", "project", "not monitoring.admin or editor")
_TRACE: Final = ("roles/cloudtrace.agent", "project", "not cloudtrace.admin: writing traces is all that is needed")
_ERRORS: Final = ("roles/errorreporting.writer", "project", "not errorreporting.admin")
_PREDICT: Final = ("roles/aiplatform.user", "project", "not aiplatform.admin")
_BIGQUERY_READ: Final = ("roles/bigquery.dataViewer", "project", "bigquery.jobUser alone reads no table")
_BIGQUERY_WRITE: Final = ("roles/bigquery.dataEditor", "project", "bigquery.jobUser alone writes no table")
_FIRESTORE_READ: Final = ("roles/datastore.viewer", "project", "")
_FIRESTORE_WRITE: Final = ("roles/datastore.user", "project", "not datastore.owner; Firestore uses the roles of Datastore")
_SQL: Final = ("roles/cloudsql.client", "project", "not cloudsql.admin or editor: the client role is all that a connection needs")

ROLES: Final[dict[str, tuple[str, Scope, str]]] = {
    "iam.serviceAccounts.signBlob": _SIGN,
    "iam.serviceAccounts.signJwt": _SIGN,
    "iam.serviceAccounts.implicitDelegation": _SIGN,
    "iam.serviceAccounts.getOpenIdToken": (
        "roles/iam.serviceAccountOpenIdTokenCreator",
        "service account",
        "serviceAccountUser lacks it; serviceAccountTokenCreator also gives access tokens",
    ),
    "storage.folders.create": _WRITE,
    "storage.folders.delete": _WRITE,
    "storage.folders.rename": _WRITE,
    "storage.folders.get": _READ,
    "storage.folders.list": _READ,
    "storage.managedFolders.create": _WRITE,
    "storage.managedFolders.get": _READ,
    "storage.managedFolders.list": _READ,
    "storage.multipartUploads.create": _WRITE,
    "storage.multipartUploads.abort": _WRITE,
    "storage.multipartUploads.list": _WRITE,
    "storage.multipartUploads.listParts": _WRITE,
    "storage.objects.move": _WRITE,
    "storage.objects.restore": _WRITE,
    "storage.objects.getIamPolicy": ("roles/storage.objectAdmin", "bucket", "not roles/storage.admin"),
    "storage.objects.setIamPolicy": (
        "roles/storage.objectAdmin",
        "bucket",
        "with uniform access objects have no policies",
    ),
    "storage.buckets.list": ("roles/storage.bucketViewer", "project", "no object role lists buckets: name the bucket instead"),
    "logging.views.access": ("roles/logging.viewAccessor", "project", "not logging.admin"),
    "monitoring.timeSeries.create": _METRICS,
    "monitoring.metricDescriptors.create": _METRICS,
    "monitoring.metricDescriptors.get": _METRICS,
    "monitoring.metricDescriptors.list": _METRICS,
    "monitoring.monitoredResourceDescriptors.list": _METRICS,
    "monitoring.timeSeries.list": ("roles/monitoring.viewer", "project", "metricWriter can't read"),
    "cloudtrace.traces.patch": _TRACE,
    "telemetry.traces.write": ("roles/telemetry.tracesWriter", "project", "not cloudtrace.admin"),
    "errorreporting.errorEvents.create": _ERRORS,
    "cloudprofiler.profiles.create": ("roles/cloudprofiler.agent", "project", ""),
    "cloudprofiler.profiles.update": ("roles/cloudprofiler.agent", "project", ""),
    "pubsub.topics.publish": ("roles/pubsub.publisher", "project", "not pubsub.editor; the role can be bound on the topic alone"),
    "pubsub.subscriptions.consume": (
        "roles/pubsub.subscriber",
        "project",
        "not pubsub.editor; the role can be bound on the subscription alone",
    ),
    "pubsub.subscriptions.get": ("roles/pubsub.viewer", "project", "subscriber can't look at the subscription itself"),
    "pubsub.topics.get": ("roles/pubsub.viewer", "project", "publisher can't look at the topic itself"),
    "pubsub.topics.attachSubscription": ("roles/pubsub.subscriber", "project", ""),
    "cloudtasks.tasks.create": ("roles/cloudtasks.enqueuer", "project", "not cloudtasks.admin"),
    "cloudscheduler.jobs.run": ("roles/cloudscheduler.jobRunner", "project", "not cloudscheduler.admin"),
    "workflows.executions.create": ("roles/workflows.invoker", "project", ""),
    "eventarc.events.receiveEvent": ("roles/eventarc.eventReceiver", "project", "run.invoker does not include it"),
    "cloudsql.instances.connect": _SQL,
    "cloudsql.instances.get": _SQL,
    "cloudsql.instances.login": ("roles/cloudsql.instanceUser", "project", "cloudsql.client opens the way, it does not log in"),
    "aiplatform.endpoints.predict": _PREDICT,
    "aiplatform.endpoints.explain": _PREDICT,
    "aiplatform.endpoints.get": _PREDICT,
    "aiplatform.indexEndpoints.queryVectors": _PREDICT,
    "aiplatform.cachedContents.create": _PREDICT,
    "bigquery.jobs.create": ("roles/bigquery.jobUser", "project", "bigquery.dataViewer alone runs no query"),
    "bigquery.readsessions.create": ("roles/bigquery.readSessionUser", "project", "bigquery.dataViewer alone opens no session"),
    "bigquery.tables.getData": _BIGQUERY_READ,
    "bigquery.tables.get": _BIGQUERY_READ,
    "bigquery.tables.list": _BIGQUERY_READ,
    "bigquery.datasets.get": _BIGQUERY_READ,
    "bigquery.tables.updateData": _BIGQUERY_WRITE,
    "bigquery.tables.create": _BIGQUERY_WRITE,
    "bigquery.tables.update": _BIGQUERY_WRITE,
    "bigtable.tables.readRows": ("roles/bigtable.reader", "project", "not bigtable.admin"),
    "bigtable.tables.mutateRows": ("roles/bigtable.user", "project", "not bigtable.admin"),
    "datastore.entities.get": _FIRESTORE_READ,
    "datastore.entities.list": _FIRESTORE_READ,
    "datastore.databases.get": _FIRESTORE_READ,
    "datastore.entities.create": _FIRESTORE_WRITE,
    "datastore.entities.update": _FIRESTORE_WRITE,
    "datastore.entities.delete": _FIRESTORE_WRITE,
    "datastore.entities.allocateIds": _FIRESTORE_WRITE,
    "redis.instances.get": ("roles/redis.viewer", "project", ""),
    "iap.webServiceVersions.accessViaIAP": ("roles/iap.httpsResourceAccessor", "project", "not iap.admin"),
    "cloudfunctions.functions.invoke": ("roles/cloudfunctions.invoker", "project", "not allUsers"),
    "cloudkms.cryptoKeyVersions.useToDecrypt": (
        "roles/cloudkms.cryptoKeyDecrypter",
        "key",
        "not cloudkms.admin: it can't use the key",
    ),
}
"""permission -> role, where to bind it, what is tempting but wrong."""
