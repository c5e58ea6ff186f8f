"""The words of Cloud Run's Knative form and their partners in the v2 API, for reading and writing alike. Knows no document.

source: gcloud 528's k8s_object.py, service.py, revision.py and container_resource.py name every annotation and label; the pairs
with v2 are those that were read from its v1 and v2 code paths for the recordings in tests/golden.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

API_VERSION: Final = "serving.knative.dev/v1"
KIND: Final = "Service"
JOB_API_VERSION: Final = "run.googleapis.com/v1"
JOB_KIND: Final = "Job"

RUN, SCALING = "run.googleapis.com/", "autoscaling.knative.dev/"
LOCATION: Final = "cloud.googleapis.com/location"
INGRESS: Final = f"{RUN}ingress"
LAUNCH_STAGE: Final = f"{RUN}launch-stage"
INVOKER_IAM_DISABLED: Final = f"{RUN}invoker-iam-disabled"
DESCRIPTION: Final = f"{RUN}description"
EXECUTION_ENVIRONMENT: Final = f"{RUN}execution-environment"
THROTTLING: Final = f"{RUN}cpu-throttling"
BOOST: Final = f"{RUN}startup-cpu-boost"
REDUNDANCY_DISABLED: Final = f"{RUN}gpu-zonal-redundancy-disabled"
INTERFACES: Final = f"{RUN}network-interfaces"
EGRESS: Final = f"{RUN}vpc-access-egress"
CONNECTOR: Final = f"{RUN}vpc-access-connector"
DEPENDENCIES: Final = f"{RUN}container-dependencies"
SECRETS: Final = f"{RUN}secrets"
ENCRYPTION_KEY: Final = f"{RUN}encryption-key"
MIN_SCALE: Final = f"{SCALING}minScale"
MAX_SCALE: Final = f"{SCALING}maxScale"
ACCELERATOR: Final = f"{RUN}accelerator"
GCSFUSE: Final = "gcsfuse.run.googleapis.com"

INGRESSES: Final[Mapping[str, str]] = {
    "all": "INGRESS_TRAFFIC_ALL",
    "internal": "INGRESS_TRAFFIC_INTERNAL_ONLY",
    "internal-and-cloud-load-balancing": "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER",
}
EGRESSES: Final[Mapping[str, str]] = {"private-ranges-only": "PRIVATE_RANGES_ONLY", "all-traffic": "ALL_TRAFFIC"}
ENVIRONMENTS: Final[Mapping[str, str]] = {"gen1": "EXECUTION_ENVIRONMENT_GEN1", "gen2": "EXECUTION_ENVIRONMENT_GEN2"}
STAGES: Final[Mapping[str, str]] = {stage: stage for stage in ("ALPHA", "BETA", "GA")}

SERVERS_OWN: Final = frozenset(
    {
        f"{RUN}client-name",
        f"{RUN}client-version",
        f"{RUN}ingress-status",
        f"{RUN}operation-id",
        f"{RUN}urls",
        "client.knative.dev/nonce",
        f"{RUN}startupProbeType",
        "serving.knative.dev/creator",
        "serving.knative.dev/lastModifier",
        f"{RUN}creator",
        f"{RUN}lastModifier",
    }
)
"""Annotations and labels that Cloud Run or a client writes about itself: they ask for nothing."""
META_OWN: Final = frozenset({"creationTimestamp", "generation", "resourceVersion", "selfLink", "uid"})
"""Fields of metadata that the server fills in."""

NOT_CARRIED: Final = frozenset(
    (
        f"{RUN}sessionAffinity",
        f"{RUN}cloudsql-instances",
        f"{RUN}encryption-key",
        f"{RUN}post-key-revocation-action-type",
        f"{RUN}encryption-key-shutdown-hours",
        f"{RUN}health-check-disabled",
        f"{RUN}base-images",
        f"{RUN}minScale",
        f"{RUN}maxScale",
        f"{RUN}scalingMode",
        f"{RUN}manualInstanceCount",
        f"{RUN}binary-authorization",
        f"{RUN}binary-authorization-breakglass",
        f"{RUN}custom-audiences",
        f"{RUN}default-url-disabled",
        f"{RUN}iap-enabled",
        DESCRIPTION,
        "readinessProbe",
        "successThreshold",
        "envFrom",
        "requests",
        "terminationMessagePath",
        "imagePullPolicy",
        "securityContext",
        "subPath",
        "defaultMode",
        "mode",
        "runtimeClassName",
        "enableServiceLinks",
    )
)
"""What the form knows and gemmactl's Service has no place for: refused, so that nothing of a file is lost unseen."""
