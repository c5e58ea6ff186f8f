"""A service's YAML as a typed wish: nothing of it is lost, nothing is guessed, every fault has its line."""

from __future__ import annotations

import pytest

from gemmactl.errors import Exit, Trouble
from gemmactl.knative import words
from gemmactl.resources.service_body import lean
from gemmactl.resources.service_types import Scaling
from tests.golden.replay import golden
from tests.knative.sheets import CODELAB, ENVIRON, SMALL, codelab, sheet

AS_WRITTEN = {
    # docs/gcloud.md has these two rows
    "launchStage": ("ALPHA", "BETA"),  # `gcloud alpha` writes its own track over what the file says
    "name": (None, "serve-finetuned"),  # the recording's translation leaves out the name of a container
}
"""Where golden 31 and the file differ: field -> (golden, file)."""


def test_the_codelabs_yaml_gives_the_body_that_gcloud_sent() -> None:
    """As published, indented with non-breaking spaces: golden 31, but for two fields in which the file is the one obeyed."""
    body, recorded = lean(codelab().service.body()), golden("31")
    assert "\u00a0" in CODELAB
    assert (recorded.pop("launchStage"), body.pop("launchStage")) == AS_WRITTEN["launchStage"]
    (container,), (theirs,) = body["template"]["containers"], recorded["template"]["containers"]
    assert (theirs.pop("name", None), container.pop("name")) == AS_WRITTEN["name"]
    assert body == recorded


def test_what_was_repaired_and_left_out_is_told() -> None:
    """The non-breaking spaces with their count, and the annotation that is the server's own."""
    notes = codelab().notes
    assert any("x U+00A0 (no-break space) read as spaces, first in line 4" in note for note in notes)
    assert any("run.googleapis.com/ingress-status" in note for note in notes)
    assert len(notes) == 2


def test_the_location_is_the_region_and_no_label() -> None:
    """cloud.googleapis.com/location would be refused as a system label in v2."""
    service = codelab().service
    assert (service.region, service.labels) == ("us-central1", None)


def test_variables_of_the_page_must_be_set() -> None:
    """The page's own two are named with their lines."""
    with pytest.raises(Trouble) as caught:
        sheet(CODELAB)
    assert "REGION (line 6), BUCKET_NAME" in caught.value.why


def wrong(*changes: tuple[str, str], text: str = CODELAB) -> str:
    """The sentence about a file in which something else stands."""
    text = text.replace("\u00a0", " ")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    with pytest.raises(Trouble) as caught:
        sheet(text, **ENVIRON)
    assert caught.value.exit is Exit.USAGE
    return f"{caught.value.what} {caught.value.why}"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "containerPort: 8000",
            "contanerPort: 8000",
            "ports[0].contanerPort is no field of a service; did you mean",
        ),
        ("resources:", "resource:", "did you mean resources?"),
        ("cpu: 8000m", "cpus: 8000m", "limits.cpus is no field of a service; did you mean cpu?"),
        ("maxScale: '1'", "maxscale: '1'", "did you mean autoscaling.knative.dev/maxScale?"),
        ("zonal-redundancy-disabled", "zonal-redundancy", "did you mean run.googleapis.com/gpu-zonal-redundancy-disabled?"),
        ("containerPort: 8000", "containerPort: http", "containerPort must be a whole number, not 'http'"),
        ("cpu-throttling: 'false'", "cpu-throttling: 'true'", "with a GPU the CPU is always on"),
        ("cpu-throttling: 'false'", "cpu-throttling: 'off'", "must be true or false, not 'off'"),
        ("launch-stage: BETA", "launch-stage: beta", "must be ALPHA or BETA or GA, not 'beta'"),
        ("ingress: all", "ingress: none", "must be all or internal or internal-and-cloud-load-balancing"),
        ("[{", "{", "must be a JSON list of one interface"),
        ('"network"', '"networks"', "has 'networks'; an interface has network, subnetwork and tags"),
        ("gcsfuse.run.googleapis.com", "gcs.csi.ofek.dev", "driver must be gcsfuse.run.googleapis.com"),
        ("bucketName: $BUCKET_NAME", "bucket: $BUCKET_NAME", "has no bucketName"),
        ("nodeSelector:", "nodeselector:", "did you mean nodeSelector?"),
        (
            "        env:",
            "        readinessProbe: {a: 1}\n        env:",
            "readinessProbe is not carried by gemmactl: `gcloud run services replace`",
        ),
        ("'new_model'", "hf_abcdefgh12345678", "looks like a Hugging Face token"),
        ("value: '1'", "value: '1'\n          value: '2'", "stands there twice"),
        ("image: us-docker", "# us-docker", "has no image"),
    ],
)
def test_a_fault_is_told_by_name_and_line(old: str, new: str, said: str) -> None:
    """Unknown fields with the closest known one, values that can't be, and fields that would be dropped."""
    sentence = wrong((old, new))
    assert said in sentence
    assert sentence.startswith("service.yaml:")


def test_all_faults_are_told_at_once_in_the_order_of_the_file() -> None:
    """Nobody has to run it once for each."""
    sentence = wrong(("cpu: 8000m", "cpus: 8000m"), ("ingress: all", "ingress: none"), ("nodeSelector", "selector"))
    assert sentence.index("ingress") < sentence.index("cpus") < sentence.index("selector")


def test_a_token_is_not_repeated() -> None:
    """The sentence about it does not hold it."""
    assert "hf_abcdefgh12345678" not in wrong(("'new_model'", "hf_abcdefgh12345678"))


@pytest.mark.parametrize(
    "text",
    [
        SMALL.replace("kind: Service", "kind: Job"),
        SMALL.replace("serving.knative.dev/v1", "run.googleapis.com/v1"),
        "- a\n",
        "text\n",
        SMALL.replace("metadata:", "metadata: x\nmeta:"),
        SMALL.replace("      containers:\n      - image: example.com/a\n", "      containers: {image: a}\n"),
        SMALL.replace("      containers:\n      - image: example.com/a\n", "      timeoutSeconds: 1\n"),
    ],
)
def test_what_is_no_service_is_refused(text: str) -> None:
    """Jobs, lists, texts, and documents whose parts are not what they are called."""
    with pytest.raises(Trouble) as caught:
        sheet(text)
    assert caught.value.exit is Exit.USAGE


def test_what_the_form_leaves_open_is_read_as_cloud_run_reads_it() -> None:
    """Without a GPU the CPU is throttled unless the file says otherwise; with one it never is, and that is told."""
    limits = "        resources: {limits: {cpu: 1000m, memory: 512Mi%s}}\n"
    plain = sheet(SMALL + limits % "").service
    gpu = sheet(SMALL + limits % ", nvidia.com/gpu: '1'")
    (one,), (other,) = plain.containers or (), gpu.service.containers or ()
    assert one.resources
    assert other.resources
    assert (one.resources.cpu_idle, other.resources.cpu_idle) == (True, False)
    assert any(words.THROTTLING in note for note in gpu.notes)


def test_the_servers_own_fields_are_left_out_with_a_note() -> None:
    """What `gcloud run services describe` prints can be given back: status, uid, the revision's name and clients' marks go."""
    text = SMALL.replace(
        "  name: small\n", "  name: small\n  uid: 1\n  generation: 2\n  annotations: {serving.knative.dev/creator: me}\n"
    )
    text = text.replace(
        "  template:\n", "  template:\n    metadata: {name: small-00001-abc, labels: {client.knative.dev/nonce: x}}\n"
    )
    found = sheet(text + "status: {url: x}\n")
    assert len(found.notes) == 5
    assert found.service == sheet(SMALL).service


RICH = """\
apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  name: rich
  namespace: '123456789012'
  labels: {team: a}
  annotations: {run.googleapis.com/invoker-iam-disabled: 'true', run.googleapis.com/ingress: internal}
spec:
  traffic:
  - {revisionName: rich-00001-abc, percent: 90, tag: old}
  - {latestRevision: true, percent: 10}
  template:
    metadata:
      labels: {tier: b}
      annotations:
        autoscaling.knative.dev/minScale: 1
        run.googleapis.com/execution-environment: gen2
        run.googleapis.com/startup-cpu-boost: true
        run.googleapis.com/network-interfaces: '[{"network":"n","subnetwork":"s","tags":["t"]}]'
        run.googleapis.com/vpc-access-egress: all-traffic
        run.googleapis.com/container-dependencies: '{"server":["proxy"]}'
        run.googleapis.com/secrets: far:projects/other/secrets/key
    spec:
      containerConcurrency: 8
      timeoutSeconds: '3600'
      serviceAccountName: run@p.iam.gserviceaccount.com
      containers:
      - name: server
        image: a
        ports: [{name: h2c, containerPort: 9000}]
        env:
        - {name: B, valueFrom: {secretKeyRef: {name: far, key: 3}}}
        - {name: A, value: true}
        resources: {limits: {cpu: 500m, memory: 512Mi}}
        startupProbe:
          httpGet: {path: /up, port: 9000, httpHeaders: [{name: x-a, value: b}]}
          periodSeconds: 5
          failureThreshold: 3
          timeoutSeconds: 4
        livenessProbe: {grpc: {port: 9000, service: x}, periodSeconds: 10}
        volumeMounts: [{name: tmp, mountPath: /scratch}, {name: m, mountPath: /m}]
      - {name: proxy, image: b, args: [-v], workingDir: /srv}
      volumes:
      - {name: tmp, emptyDir: {medium: Memory, sizeLimit: 1Gi}}
      - {name: keys, secret: {secretName: k, items: [{key: latest, path: token}]}}
      - name: m
        csi:
          driver: gcsfuse.run.googleapis.com
          readOnly: true
          volumeAttributes: {bucketName: models, mountOptions: 'only-dir=x,implicit-dirs'}
      - {name: disk, nfs: {server: 10.0.0.1, path: /x}}
"""
RICH_BODY = {
    "labels": {"team": "a"},
    "ingress": "INGRESS_TRAFFIC_INTERNAL_ONLY",
    "invokerIamDisabled": True,
    "traffic": [
        {"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION", "revision": "rich-00001-abc", "percent": 90, "tag": "old"},
        {"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 10},
    ],
    "template": {
        "labels": {"tier": "b"},
        "scaling": {"minInstanceCount": 1},
        "vpcAccess": {"networkInterfaces": [{"network": "n", "subnetwork": "s", "tags": ["t"]}], "egress": "ALL_TRAFFIC"},
        "timeout": "3600s",
        "serviceAccount": "run@p.iam.gserviceaccount.com",
        "executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2",
        "maxInstanceRequestConcurrency": 8,
        "containers": [
            {
                "name": "server",
                "image": "a",
                "ports": [{"name": "h2c", "containerPort": 9000}],
                "env": [
                    {"name": "A", "value": "true"},
                    {"name": "B", "valueSource": {"secretKeyRef": {"secret": "projects/other/secrets/key", "version": "3"}}},
                ],
                "resources": {"limits": {"cpu": "500m", "memory": "512Mi"}, "cpuIdle": True, "startupCpuBoost": True},
                "startupProbe": {
                    "httpGet": {"path": "/up", "port": 9000, "httpHeaders": [{"name": "x-a", "value": "b"}]},
                    "periodSeconds": 5,
                    "failureThreshold": 3,
                    "timeoutSeconds": 4,
                },
                "livenessProbe": {"grpc": {"port": 9000, "service": "x"}, "periodSeconds": 10},
                "volumeMounts": [{"name": "tmp", "mountPath": "/scratch"}, {"name": "m", "mountPath": "/m"}],
                "dependsOn": ["proxy"],
            },
            {"name": "proxy", "image": "b", "args": ["-v"], "workingDir": "/srv"},
        ],
        "volumes": [
            {"name": "tmp", "emptyDir": {"medium": "MEMORY", "sizeLimit": "1Gi"}},
            {"name": "keys", "secret": {"secret": "k", "items": [{"path": "token", "version": "latest"}]}},
            {"name": "m", "gcs": {"bucket": "models", "readOnly": True, "mountOptions": ["only-dir=x", "implicit-dirs"]}},
            {"name": "disk", "nfs": {"server": "10.0.0.1", "path": "/x"}},
        ],
    },
}


def test_every_field_has_its_place() -> None:
    """Two containers, four kinds of volumes, an aliased secret, split traffic, probes, Direct VPC: each partner in v2 by name."""
    found = sheet(RICH)
    assert lean(found.service.body()) == RICH_BODY
    assert (found.namespace, found.notes) == ("123456789012", ())
    assert found.service.scaling == Scaling(1, None)


def test_dependencies_that_are_no_names_are_refused() -> None:
    """A list inside the list of names is a place in the file, not a crash."""
    with pytest.raises(Trouble) as caught:
        sheet(RICH.replace('{"server":["proxy"]}', '{"server":[["proxy"]]}'))
    assert "names containers of the file" in caught.value.what + caught.value.why
