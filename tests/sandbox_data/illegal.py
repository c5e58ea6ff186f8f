"""Services that Cloud Run refuses: what was changed in a legal one, the field and the sentence. Knows no rule's code.

Which sentences are a guess is said where the sandbox writes them.
"""

from __future__ import annotations

from typing import Any, Final

C: Final = "containers__0__"
LIMITS: Final = f"{C}resources__limits"
AT: Final = "template.containers[0]"
PROBE: Final = f"{AT}.startup_probe"
Case = tuple[dict[str, Any], str, str]


def mounted(path: str) -> dict[str, Any]:
    """A volume at this path."""
    return {"volumes": [{"name": "m"}], f"{C}volumeMounts": [{"name": "m", "mountPath": path}]}


REFUSED: Final[list[Case]] = [
    *(
        (
            {f"{C}{kind}Probe": {"httpGet": {}, field: top + 1}},
            f"{AT}.{kind}_probe",
            f"{name} must be a number between 0 and {top}.",
        )
        for kind, field, name, top in (
            ("startup", "initialDelaySeconds", "initial_delay_seconds", 240),
            ("startup", "periodSeconds", "period_seconds", 240),
            ("startup", "timeoutSeconds", "timeout_seconds", 240),
            ("liveness", "initialDelaySeconds", "initial_delay_seconds", 240),
            ("liveness", "periodSeconds", "period_seconds", 3600),
            ("liveness", "timeoutSeconds", "timeout_seconds", 3600),
            ("readiness", "periodSeconds", "period_seconds", 300),
            ("readiness", "timeoutSeconds", "timeout_seconds", 300),
        )
    ),
    ({"containers": []}, "template.containers", "at least one container is required"),
    (
        {f"{LIMITS}": {"cpu": "2", "memory": "8Gi", "nvidia.com/gpu": "1"}},
        f"{AT}.resources.limits",
        "CPU must be at least 4; memory must be at least 16Gi in order to set GPU requirements.",
    ),
    (
        {f"{LIMITS}": {"cpu": "4", "memory": "32Gi", "nvidia.com/gpu": "1"}},
        f"{AT}.resources.limits.memory",
        (
            "Invalid value specified for memory with gen2 execution environment. For 4.0 CPU, memory must be "
            "between 2Gi and 16Gi inclusive."
        ),
    ),
    (
        {f"{LIMITS}": {"cpu": "3", "memory": "16Gi"}, "nodeSelector": {}, "gpuZonalRedundancyDisabled": None},
        f"{AT}.resources.limits.cpu",
        "Invalid value specified for cpu. Must be equal to one of 1.0, 2.0, 4.0, 6.0, 8.0",
    ),
    (
        {f"{LIMITS}": {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": "2"}},
        f"{AT}.resources.limits",
        "GPU can only be set to 1 on one container.",
    ),
    (
        {f"{LIMITS}": {"cpu": "x", "memory": "32Gi"}},
        f"{AT}.resources.limits",
        "Invalid value x specified for a resource limit.",
    ),
    (
        {"nodeSelector": {"accelerator": "nvidia-t4"}},
        "template.node_selector.accelerator",
        "Accelerator nvidia-t4 is not supported.",
    ),
    (
        {"nodeSelector": {"accelerator": "nvidia-rtx-pro-6000"}},
        f"{AT}.resources.limits.cpu",
        "Must be equal to one of 20.0, 22.0, 24.0, 26.0, 28.0, 30.0",
    ),
    (
        {
            "nodeSelector": {"accelerator": "nvidia-rtx-pro-6000"},
            f"{LIMITS}": {"cpu": "20", "memory": "64Gi", "nvidia.com/gpu": "1"},
        },
        f"{AT}.resources.limits.memory",
        "memory must be between 80Gi and 80Gi inclusive.",
    ),
    (
        {f"{C}resources__cpuIdle": True},
        f"{AT}.resources.cpu_idle",
        "CPU must be always allocated in order to set GPU requirements.",
    ),
    (
        {"executionEnvironment": "EXECUTION_ENVIRONMENT_GEN1"},
        "template.execution_environment",
        "Execution environment must be set to gen2 in order to set GPU requirements.",
    ),
    (
        {f"{LIMITS}": {"cpu": "1", "memory": "1Gi"}, "nodeSelector": {}},
        "template.gpu_zonal_redundancy_disabled",
        "GPU zonal redundancy can only be set when a GPU is.",
    ),
    (
        {"maxInstanceRequestConcurrency": 1001},
        "template.max_instance_request_concurrency",
        "concurrency must be between 0 and 1000",
    ),
    ({"timeout": "3601s"}, "template.timeout", "The maximum allowed time is one hour."),
    (
        {f"{C}startupProbe__timeoutSeconds": 3},
        PROBE,
        "timeout_seconds must be less than or equal to period_seconds.",
    ),
    (
        {f"{C}startupProbe__failureThreshold": 901},
        PROBE,
        "failure_threshold * period_seconds must be less than or equal to 1800.",
    ),
    (
        {f"{C}startupProbe": {"periodSeconds": 1}},
        PROBE,
        "exactly one of http_get, tcp_socket and grpc is required",
    ),
    (
        {f"{C}livenessProbe": {"tcpSocket": {}}},
        f"{AT}.liveness_probe",
        "tcp_socket is not supported for this probe",
    ),
    (
        {f"{C}ports": [{"containerPort": 70000}]},
        f"{AT}.ports[0].container_port",
        "port must be between 1 and 65535",
    ),
    (
        {f"{C}env": [{"name": "PORT", "value": "1"}, {"name": "K_X"}]},
        f"{AT}.env",
        ("The following reserved env names were provided: PORT, K_X. These values are automatically set by the system."),
    ),
    (
        {f"{C}env": [{"name": "CLOUD_RUN_X"}, {"name": "X_GOOGLE_Y"}, {"name": "PORTS"}]},
        f"{AT}.env",
        (
            "The following reserved env names were provided: CLOUD_RUN_X, X_GOOGLE_Y. "
            "These values are automatically set by the system."
        ),
    ),
    (
        {f"{C}env": [{"name": "A", "valueSource": {"secretKeyRef": {"secret": "a/b"}}}]},
        f"{AT}.env[0].value_source.secret_key_ref.secret",
        "invalid secret name: a/b",
    ),
    (
        {f"{C}env": [{"name": "A", "valueSource": {"secretKeyRef": {"secret": "a", "version": "1.2"}}}]},
        f"{AT}.env[0].value_source.secret_key_ref.version",
        "invalid secret version: 1.2",
    ),
    (
        {f"{C}volumeMounts": [{"name": "m", "mountPath": "/mnt"}]},
        f"{AT}.volume_mounts",
        "volume m is not defined",
    ),
    *(
        (mounted(path), f"{AT}.volume_mounts.mount_path", f"mounting under {path} is not allowed")
        for path in ("/dev", "/dev/shm", "/proc", "/proc/x", "/sys", "/sys/fs")
    ),
    (
        {f"{C}readinessProbe": {"httpGet": {}, "initialDelaySeconds": 1}},
        f"{AT}.readiness_probe",
        "initial_delay_seconds is not supported for this probe",
    ),
    (
        {f"{C}readinessProbe": {"httpGet": {}, "timeoutSeconds": 11}},
        f"{AT}.readiness_probe",
        "timeout_seconds must be less than or equal to period_seconds.",
    ),
    (
        {f"{C}readinessProbe": {"tcpSocket": {}}},
        f"{AT}.readiness_probe",
        "tcp_socket is not supported for this probe",
    ),
    (
        {f"{C}startupProbe__failureThreshold": -1},
        PROBE,
        "failure_threshold must be greater than or equal to 1.",
    ),
    (
        {f"{C}startupProbe": {"httpGet": {"path": "ready"}}},
        PROBE,
        "http_get.path must begin with /",
    ),
    (
        mounted("mnt"),
        f"{AT}.volume_mounts.mount_path",
        "mnt should be a valid unix absolute path",
    ),
    (
        {"volumes": [{"name": "m"}]},
        "template.volumes",
        "the sandbox mounts secrets and buckets alone: it starts the container as a process of this machine",
    ),
    ({"labels": {"run.googleapis.com/x": "y"}}, "template.labels", "system annotations are not supported"),
    *(
        ({"annotations": {f"{place}/x": "y"}}, "template.annotations", "system annotations are not supported")
        for place in ("run.googleapis.com", "cloud.googleapis.com", "serving.knative.dev", "autoscaling.knative.dev")
    ),
    (
        {"scaling": {"minInstanceCount": 2, "maxInstanceCount": 1}},
        "template.scaling",
        "min_instance_count must be less than or equal to max_instance_count.",
    ),
    (
        {"vpcAccess": {"networkInterfaces": [{}, {}]}},
        "template.vpc_access.network_interfaces",
        "at most 1 network interface is allowed",
    ),
    ({"revision": "other-1"}, "template.revision", "Revision name must be prefixed by the service name s-"),
    (
        {"scaling": {"maxInstanceCount": 4}},
        "template.scaling.max_instance_count",
        (
            "Max instances must be set to 3 or fewer in order to set GPU requirements. To request quota: "
            "g.co/cloudrun/gpu-quota Quota violated: NvidiaL4GpuAllocNoZonalRedundancyPerProjectRegion "
            "requested: 4 allowed: 3"
        ),
    ),
    (
        {"scaling": {}},
        "template.scaling.max_instance_count",
        (
            "Max instances must be set to 3 or fewer in order to set GPU requirements. To request quota: "
            "g.co/cloudrun/gpu-quota Quota violated: NvidiaL4GpuAllocNoZonalRedundancyPerProjectRegion "
            "requested: 100 allowed: 3"
        ),
    ),
    (
        {"scaling": {"maxInstanceCount": 2}},
        "template.scaling.max_instance_count",
        (
            "Max instances must be set to 1 or fewer to set the requested total memory. Quota violated: "
            "MemAllocPerProjectRegion requested: 68719476736 allowed: 42949672960"
        ),
    ),
    (
        {"gpuZonalRedundancyDisabled": None},
        "template.scaling.max_instance_count",
        (
            "You do not have quota for using GPUs with zonal redundancy. You could deploy using GPUs without "
            "zonal redundancy instead. To request quota: g.co/cloudrun/gpu-quota"
        ),
    ),
]

MISSED: Final[list[Case]] = [
    *(
        (
            {f"{C}{kind}Probe": {"httpGet": {}, "timeoutSeconds": 6, "periodSeconds": 5}},
            f"{AT}.{kind}_probe",
            "timeout_seconds must be less than or equal to period_seconds.",
        )
        for kind in ("liveness", "readiness")
    ),
    (
        {f"{C}startupProbe__timeoutSeconds": 3},
        PROBE,
        "timeout_seconds must be less than or equal to period_seconds.",
    ),
    (
        {f"{C}startupProbe__failureThreshold": 901},
        PROBE,
        "failure_threshold * period_seconds must be less than or equal to 1800.",
    ),
    ({f"{C}env": [{"name": "A", "value": "1"}, {"name": "A"}]}, f"{AT}.env", "duplicate value: A"),
    (
        {
            "volumes": [{"name": "m"}],
            f"{C}volumeMounts": [{"name": "m", "mountPath": "/mnt"}, {"name": "m", "mountPath": "/mnt"}],
        },
        f"{AT}.volume_mounts",
        "duplicate value: /mnt",
    ),
    (
        {"volumes": [{"name": "a b"}]},
        "template.volumes",
        "a b should only have alphanumeric characters, hyphens and underscores",
    ),
    (
        {"nodeSelector": {"accelerator": "nvidia-t4"}},
        "template.node_selector.accelerator",
        "Accelerator nvidia-t4 is not supported.",
    ),
    (
        {f"{C}env": [{"name": "A", "valueSource": {"secretKeyRef": {}}}]},
        f"{AT}.env[0].value_source.secret_key_ref.secret",
        "secret is required",
    ),
    ({f"{C}workingDir": "app"}, f"{AT}.working_dir", "app should be a valid unix absolute path"),
]
"""By validate_only: each fails when the service is written."""
