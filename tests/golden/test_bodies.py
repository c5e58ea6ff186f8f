"""The official clients, driven by our gateways, send what gcloud sends, plus differences that have a reason."""

from __future__ import annotations

from typing import Any

from google.cloud.artifactregistry_v1 import Repository as RepositoryMessage
from google.cloud.devtools.cloudbuild_v1 import Build
from google.protobuf.json_format import MessageToDict, ParseDict

from gemmactl.gcp.cloud import connect
from gemmactl.resources.cloud import BucketInfo, PolicyTarget, RepositoryInfo
from gemmactl.resources.image import Image
from tests.golden.replay import replaying, sent

PROJECT = "demo-proj"
ACCOUNT = f"serviceAccount:finetune-job-sa@{PROJECT}.iam.gserviceaccount.com"


def normal(message: Any, body: Any) -> Any:
    """JSON through the API's own message: enums by name, unset fields gone."""
    return MessageToDict(ParseDict(body, message.pb(message())))


def test_a_repository() -> None:
    """Artifacts repositories create. Ours adds labels (destroy knows its own) and a clean-up policy (old images cost)."""
    want = sent("01", "POST", "/repositories")
    name = f"projects/{PROJECT}/locations/us-central1/repositories/gemma3-repo"
    with replaying("01") as replay:
        connect(PROJECT, replay).repositories.create(RepositoryInfo(name, "DOCKER", {"managed-by": "gemmactl"}, 10, 90))
    got = replay.one("POST")
    body = normal(RepositoryMessage, got.body)
    assert body.pop("labels") == {"managed-by": "gemmactl"}
    assert body.pop("cleanupPolicies") == {
        "keep-newest": {"id": "keep-newest", "action": "KEEP", "mostRecentVersions": {"keepCount": 10}},
        "delete-old": {"id": "delete-old", "action": "DELETE", "condition": {"tagState": "ANY", "olderThan": "7776000s"}},
    }
    assert (got.path, got.query["repositoryId"]) == (want.path, want.query["repositoryId"])
    assert body == normal(RepositoryMessage, want.body)


def test_a_build() -> None:
    """Builds submit --tag. Ours names Dockerfile, account, machine, log, limit and tags; no network, a cache of layers.

    `--network cloudbuild` would hand the build account's token to every RUN line; a fresh worker has no cache to refuse, so
    ours brings one.
    """
    want = sent("02", "POST", "/builds")
    tag = want.body["images"][0]
    source = want.body["source"]["storageSource"]
    image = Image(PROJECT, "us-central1", tag, "inference_image/Dockerfile", source["bucket"], "b@x.iam.gserviceaccount.com")
    body = image.body(int(source["generation"]))
    with replaying("02") as replay:
        connect(PROJECT, replay).builds.start("global", body)
    got = normal(Build, replay.one("POST").body)
    assert replay.one("POST").path == want.path
    assert got.pop("serviceAccount") == f"projects/{PROJECT}/serviceAccounts/b@x.iam.gserviceaccount.com"
    assert got.pop("options") == {"logging": "CLOUD_LOGGING_ONLY", "machineType": "E2_HIGHCPU_8"}
    assert got.pop("timeout") == "3600s"
    assert got.pop("tags") == ["gemmactl", "gemma3-trans-ft-service-latest"]
    assert got["source"]["storageSource"].pop("object") == "source/latest.tgz"
    args = got["steps"][0]["args"]
    cache = tag.rpartition(":")[0] + ":cache"
    cached = ["--cache-from", cache, "--build-arg", "BUILDKIT_INLINE_CACHE=1"]
    assert args == ["build", "-f", "inference_image/Dockerfile", *cached, "-t", tag, "-t", cache, "."]
    assert got["steps"][0].pop("env") == ["DOCKER_BUILDKIT=1"]
    assert got["images"].pop() == cache
    wanted = normal(Build, want.body)
    del wanted["source"]["storageSource"]["object"]
    wanted["steps"][0]["args"] = args
    assert got == wanted


def test_apis() -> None:
    """Services enable: one batchEnable; ours sorts and drops the seed's doubled name."""
    want = sent("20", "POST", ":batchEnable")
    with replaying("20") as replay:
        connect(PROJECT, replay).apis.enable(want.body["serviceIds"])
    assert replay.one("POST").path == want.path
    assert replay.one("POST").body == {"serviceIds": sorted(set(want.body["serviceIds"]))}


def test_a_service_account() -> None:
    """Iam service-accounts create, to the letter; with a description when there is one to mark it by."""
    want = sent("21", "POST", "/serviceAccounts")
    with replaying("21") as replay:
        cloud = connect(PROJECT, replay)
        cloud.accounts.create("finetune-job-sa", want.body["serviceAccount"]["displayName"], "")
        cloud.accounts.create("finetune-job-sa", "x", "managed-by=gemmactl")
    assert [(a.path, a.body) for a in replay.asked[:1]] == [(want.path, want.body)]
    assert replay.asked[1].body["serviceAccount"] == {"displayName": "x", "description": "managed-by=gemmactl"}


def test_a_secret() -> None:
    """Secrets create with automatic replication, to the letter; ours asks for the service's region and a label."""
    want = sent("22", "POST", "/secrets")
    with replaying("22") as replay:
        cloud = connect(PROJECT, replay)
        cloud.secrets.create(f"projects/{PROJECT}/secrets/HF_TOKEN", "", {})
        cloud.secrets.create(f"projects/{PROJECT}/secrets/HF_TOKEN", "us-central1", {"managed-by": "gemmactl"})
    plain, ours = replay.asked
    assert (plain.path, plain.query["secretId"]) == (want.path, want.query["secretId"])
    assert plain.body == {k: v for k, v in want.body.items() if k != "annotations"}
    assert ours.body == {
        "replication": {"userManaged": {"replicas": [{"location": "us-central1"}]}},
        "labels": {"managed-by": "gemmactl"},
    }


def test_a_secret_version() -> None:
    """Secrets versions add, to the letter: the value with its checksum."""
    want = sent("23", "POST", ":addVersion")
    with replaying("23") as replay:
        connection = connect(PROJECT, replay)
        number = connection.secrets.add_version(f"projects/{PROJECT}/secrets/HF_TOKEN", b"hf_fake_token_for_rig")
        # the recording has no list of versions: a list that lags behind the write must not hide the version
        assert connection.secrets.newest_version(f"projects/{PROJECT}/secrets/HF_TOKEN") == "1"
    assert number == "1"
    assert (replay.one("POST").path, replay.one("POST").body) == (want.path, want.body)


def test_a_binding_on_a_secret() -> None:
    """Secrets add-iam-policy-binding, to the letter: read with version 3, written back with the etag."""
    want = sent("24", "POST", ":setIamPolicy")
    target = PolicyTarget("secret", f"projects/{PROJECT}/secrets/HF_TOKEN")
    with replaying("24") as replay:
        connect(PROJECT, replay).policies.add(target, "roles/secretmanager.secretAccessor", ACCOUNT)
    assert replay.one("GET").query["options.requestedPolicyVersion"] == ["3"]
    assert (replay.one("POST").path, replay.one("POST").body) == (want.path, want.body)


def test_a_bucket() -> None:
    """Storage buckets create. Ours asks for uniform access and no public access, labels it and lets contexts expire."""
    want = sent("25", "POST", "/b")
    with replaying("25") as replay:
        info = BucketInfo(want.body["name"], "us-central1", labels={"managed-by": "gemmactl"}, delete_after_days=30)
        connect(PROJECT, replay).storage.create_bucket(info)
    body = dict(replay.one("POST").body)
    access = body.pop("iamConfiguration")
    assert access["uniformBucketLevelAccess"]["enabled"] is True
    assert access["publicAccessPrevention"] == "enforced"
    assert body.pop("labels") == {"managed-by": "gemmactl"}
    assert body.pop("lifecycle") == {"rule": [{"action": {"type": "Delete"}, "condition": {"age": 30}}]}
    assert replay.one("POST").path == want.path
    assert replay.one("POST").query["project"] == want.query["project"]
    assert {**body, "location": body["location"].lower()} == want.body


def test_a_binding_on_a_bucket() -> None:
    """Storage buckets add-iam-policy-binding, to the letter. (The role is the seed's; ours grants a narrower one.)"""
    want = sent("26", "PUT", "/iam")
    target = PolicyTarget("bucket", "demo-proj-codelab-finetuning-jobs")
    with replaying("26") as replay:
        connect(PROJECT, replay).policies.add(target, "roles/storage.objectAdmin", ACCOUNT)
    assert replay.one("GET").query["optionsRequestedPolicyVersion"] == ["3"]
    assert (replay.one("PUT").path, replay.one("PUT").body) == (want.path, want.body)
