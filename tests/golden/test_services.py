"""Service bodies: the seed's flags give gcloud's body plus differences with a reason; any service survives a round trip."""

from __future__ import annotations

from typing import Any

import pytest
from google.cloud.run_v2 import Service as Message
from google.protobuf.json_format import MessageToDict, ParseDict

from gemmactl.resources.service import Service, parse
from gemmactl.resources.service_body import lean
from gemmactl.spec import Probe, Serve, parse_model
from gemmactl.stack import serving
from tests.golden.replay import golden

IMAGE = "us-central1-docker.pkg.dev/demo-proj/gemma3-repo/gemma3-trans-ft-service:latest"
OURS: dict[str, Any] = {
    "labels": {"gemmactl-name": "gemma3-trans-ft-service", "managed-by": "gemmactl"},  # destroy and status know their own
    "template.scaling": {"maxInstanceCount": 1},  # the server's default of 100 breaks a fresh project's GPU and memory quota
    "template.serviceAccount": "gm-gemma3-trans-ft-serv-f2fb@demo-proj.iam.gserviceaccount.com",  # not the all-mighty default
    "template.gpuZonalRedundancyDisabled": True,  # a fresh project has GPU quota only without it, and it costs less
    "template.executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2",  # a GPU needs it; said, so that drift is seen
    "env": [  # the seed bakes these into its image; ours serves any model
        {"name": "GEMMACTL_MODEL", "value": "gs://weights/gemma3"},
        {"name": "GEMMACTL_MODEL_NAME", "value": "gemma3"},
    ],
}
PROBES = {
    # a probe that was not asked for: HTTP, so that "ready" means the model is loaded and not that a port is open
    "03": (
        Probe(),
        {"httpGet": {"path": "/ready", "port": 8080}, "timeoutSeconds": 2, "periodSeconds": 2, "failureThreshold": 300},
    ),
    "04b": (Probe(None, 8080, True, 240, 240, 240, 5), None),
    "04c": (Probe(None, 8080, True, 0, 120, 240, 8), None),
}


def built(spec: Serve) -> Service:
    """The service of a stack."""
    return next(r for r in serving(spec) if isinstance(r, Service))


@pytest.mark.parametrize("number", sorted(PROBES))
def test_the_seeds_flags(number: str) -> None:
    """Run deploy --image --gpu-type --cpu --memory --concurrency --timeout --startup-probe: gcloud's body and our list."""
    probe, extra_probe = PROBES[number]
    name = "gemma3-trans-ft-service"
    model = parse_model("gs://weights/gemma3")
    spec = Serve("demo-proj", "us-central1", model, name, image=IMAGE, concurrency=1, timeout=1800, probe=probe)
    body = lean(built(spec).body())
    assert body.pop("labels") == OURS["labels"]
    template = body["template"]
    for key in ("scaling", "serviceAccount", "gpuZonalRedundancyDisabled", "executionEnvironment"):
        assert template.pop(key) == OURS[f"template.{key}"]
    (container,) = template["containers"]
    assert container.pop("env") == OURS["env"]
    if extra_probe is not None:
        assert container.pop("startupProbe") == extra_probe
    assert body == golden(number)


def test_private_by_default_and_public_on_request() -> None:
    """Without a word the service is private; --allow-unauthenticated is the switch that domain restrictions permit."""
    model = parse_model("gs://weights/gemma3")
    private = lean(built(Serve("p", "us-central1", model, "s", image=IMAGE)).body())
    public = lean(built(Serve("p", "us-central1", model, "s", image=IMAGE, auth="public")).body())
    assert "invokerIamDisabled" not in private
    assert public["invokerIamDisabled"] is True


def test_the_vllm_service_survives_a_round_trip() -> None:
    """Every field of the codelab's vLLM service is in our type: JSON -> type -> JSON is the same JSON."""
    body = golden("31")
    assert lean(parse(Service("demo-proj", "us-central1", "vllm"), body).body()) == body


RICH = {
    "ingress": "INGRESS_TRAFFIC_INTERNAL_ONLY",
    "launchStage": "BETA",
    "invokerIamDisabled": True,
    "traffic": [
        {"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION", "revision": "s-00001-abc", "percent": 90, "tag": "old"},
        {"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 10},
    ],
    "template": {
        "containers": [
            {
                "name": "server",
                "image": "a",
                "dependsOn": ["proxy"],
                "ports": [{"containerPort": 9000, "name": "h2c"}],
                "env": [
                    {"name": "A", "value": ""},
                    {"name": "B", "valueSource": {"secretKeyRef": {"secret": "s", "version": "3"}}},
                ],
                "resources": {"limits": {"cpu": "500m", "memory": "512Mi"}, "cpuIdle": True},
                "livenessProbe": {"grpc": {"port": 9000, "service": "x"}, "periodSeconds": 10},
                "volumeMounts": [{"name": "tmp", "mountPath": "/scratch"}],
            },
            {"name": "proxy", "image": "b", "args": ["-v"], "workingDir": "/srv"},
        ],
        "volumes": [
            {"name": "tmp", "emptyDir": {"medium": "MEMORY", "sizeLimit": "1Gi"}},
            {"name": "keys", "secret": {"secret": "k", "items": [{"path": "token", "version": "latest"}]}},
            {"name": "models", "gcs": {"bucket": "m", "readOnly": True, "mountOptions": ["only-dir=x"]}},
            {"name": "disk", "nfs": {"server": "10.0.0.1", "path": "/x"}},
        ],
        "scaling": {"minInstanceCount": 1, "maxInstanceCount": 3},
        "vpcAccess": {"networkInterfaces": [{"network": "n", "subnetwork": "s", "tags": ["t"]}], "egress": "ALL_TRAFFIC"},
        "timeout": "3600s",
        "maxInstanceRequestConcurrency": 8,
        "executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2",
    },
}


def test_a_rich_service_survives_a_round_trip() -> None:
    """Two containers, four kinds of volumes, secrets, split traffic with a tag, probes, Direct VPC: nothing is lost."""
    assert lean(parse(Service("p", "r", "s"), RICH).body()) == RICH


@pytest.mark.parametrize("body", [golden("31"), RICH])
def test_bodies_are_legal(body: Any) -> None:
    """What the type writes is accepted by the API's own message without a change."""
    written = lean(parse(Service("p", "r", "s"), body).body())
    assert MessageToDict(ParseDict(written, Message.pb(Message()))) == body
