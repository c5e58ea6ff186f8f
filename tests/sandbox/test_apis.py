"""The APIs that need no process, each through its official client (or as plain JSON where that has no REST transport)."""

from __future__ import annotations

import pytest
from conftest import PROJECT, Cloud
from google.api_core import exceptions
from google.cloud import artifactregistry_v1, resourcemanager_v3, secretmanager_v1, service_usage_v1

from gemmactl.sandbox import images

PARENT = f"{PROJECT}/locations/us-central1"
REPOSITORY = f"{PARENT}/repositories/gemma"
IMAGE = "us-central1-docker.pkg.dev/gemmactl-sandbox/gemma/serve"
DIGEST = "sha256:" + "0a" * 32
OTHER = "sha256:" + "0b" * 32


def test_project_is_found_by_id_and_number_and_no_other(cloud: Cloud) -> None:
    """GetProject gives number and id; another project is a 403, as at Google."""
    client = cloud.client(resourcemanager_v3.ProjectsClient)
    for name in (PROJECT, "projects/100000000001"):
        project = client.get_project(name=name)
        assert (project.name, project.project_id, project.state.name) == ("projects/100000000001", "gemmactl-sandbox", "ACTIVE")
    with pytest.raises(exceptions.Forbidden):
        client.get_project(name="projects/another")


def test_apis_are_off_until_enabled(cloud: Cloud) -> None:
    """BatchGet tells the state, batchEnable changes it, twice is no error; the agents that come along are there."""
    client = cloud.client(service_usage_v1.ServiceUsageClient)
    names = ["run.googleapis.com", "storage.googleapis.com"]

    def states():
        request = {"parent": PROJECT, "names": [f"{PROJECT}/services/{n}" for n in names]}
        return [s.state.name for s in client.batch_get_services(request=request).services]

    assert states() == ["DISABLED", "ENABLED"]
    for _ in range(2):
        done = client.batch_enable_services(request={"parent": PROJECT, "service_ids": names}).result(timeout=10)
        assert [s.state.name for s in done.services] == ["ENABLED", "ENABLED"]
    assert states() == ["ENABLED", "ENABLED"]
    agent = "serviceAccount:service-100000000001@serverless-robot-prod.iam.gserviceaccount.com"
    assert cloud.world.iam.holds(agent, "artifactregistry.repositories.downloadArtifacts", REPOSITORY)
    assert cloud.world.account("100000000001-compute@developer.gserviceaccount.com")
    client.enable_service(request={"name": f"{PROJECT}/services/iam.googleapis.com"}).result(timeout=10)
    listed = client.list_services(request={"parent": PROJECT, "filter": "state:ENABLED"})
    assert {"iam.googleapis.com", "run.googleapis.com"} <= {s.config.name for s in listed}
    client.disable_service(request={"name": f"{PROJECT}/services/run.googleapis.com"}).result(timeout=10)
    assert states() == ["DISABLED", "ENABLED"]


@pytest.mark.parametrize(
    ("names", "wrong"),
    [(["runn.googleapis.com"], exceptions.Forbidden), ([f"a{i}.googleapis.com" for i in range(21)], exceptions.BadRequest)],
)
def test_enabling_what_can_not_be(cloud: Cloud, names: list[str], wrong: type[Exception]) -> None:
    """A mistyped API is a 403, as at Google; more than twenty in one request is a 400."""
    with pytest.raises(wrong):
        cloud.client(service_usage_v1.ServiceUsageClient).batch_enable_services(request={"parent": PROJECT, "service_ids": names})


def registry(cloud: Cloud):
    """A client with one repository."""
    cloud.enable("artifactregistry")
    client = cloud.client(artifactregistry_v1.ArtifactRegistryClient)
    wanted = {"format_": "DOCKER", "labels": {"a": "b"}}
    operation = client.create_repository(parent=PARENT, repository_id="gemma", repository=wanted)
    assert operation.result(timeout=10).name == REPOSITORY
    return client


def test_repository_create_get_list_update_delete(cloud: Cloud) -> None:
    """A repository's life through its client."""
    client = registry(cloud)
    found = client.get_repository(name=REPOSITORY)
    assert (found.format_.name, dict(found.labels), found.mode.name) == ("DOCKER", {"a": "b"}, "STANDARD_REPOSITORY")
    assert found.registry_uri == "us-central1-docker.pkg.dev/gemmactl-sandbox/gemma"
    policy = {"id": "keep", "action": "KEEP", "most_recent_versions": {"keep_count": 3}}
    found.cleanup_policies = {"keep": policy}
    found.description = "not in the mask"
    changed = client.update_repository(request={"repository": found, "update_mask": {"paths": ["cleanup_policies"]}})
    assert changed.cleanup_policies["keep"].most_recent_versions.keep_count == 3
    assert (changed.description, dict(changed.labels)) == ("", {"a": "b"})
    assert [r.name for r in client.list_repositories(parent=PARENT)] == [REPOSITORY]
    client.delete_repository(name=REPOSITORY).result(timeout=10)
    with pytest.raises(exceptions.NotFound):
        client.get_repository(name=REPOSITORY)


def test_a_mask_that_names_no_field_is_a_400(cloud: Cloud) -> None:
    """A mistyped mask must not silently change nothing."""
    client = registry(cloud)
    with pytest.raises(exceptions.BadRequest, match="lables"):
        client.update_repository(request={"repository": {"name": REPOSITORY}, "update_mask": {"paths": ["lables"]}})


@pytest.mark.parametrize(
    ("name", "repository", "wrong"),
    [
        ("gemma", {"format_": "DOCKER"}, exceptions.Conflict),
        ("Gemma", {"format_": "DOCKER"}, exceptions.BadRequest),
        ("gemma2", {}, exceptions.BadRequest),
    ],
)
def test_repositories_that_can_not_be(cloud: Cloud, name: str, repository: dict, wrong: type[Exception]) -> None:
    """A second of the same name, an illegal name, no format."""
    with pytest.raises(wrong):
        registry(cloud).create_repository(parent=PARENT, repository_id=name, repository=repository)


def test_images_by_tag_version_and_digest(cloud: Cloud) -> None:
    """What was pushed is found by its tag; a tagged version goes only by force; the tags go with it."""
    client = registry(cloud)
    images.push(cloud.world, f"{IMAGE}:one", DIGEST, "/image/of/it", {"Cmd": ["x"]}, size=7)
    images.push(cloud.world, f"{IMAGE}:two", OTHER, "/other", {})
    images.push(cloud.world, f"{IMAGE}:three", DIGEST, "/image/of/it", {"Cmd": ["x"]})
    package = f"{REPOSITORY}/packages/serve"
    assert client.get_tag(name=f"{package}/tags/one").version == f"{package}/versions/{DIGEST}"
    assert {t.name.rpartition("/")[2] for t in client.list_tags(parent=package)} == {"one", "two", "three"}
    assert (
        client.get_repository(name=REPOSITORY).size_bytes
        == sum(i.image_size_bytes for i in client.list_docker_images(parent=REPOSITORY))
        >= 7
    )
    image = client.get_docker_image(name=f"{REPOSITORY}/dockerImages/serve@{DIGEST}")
    assert (image.uri, sorted(image.tags), image.image_size_bytes) == (f"{IMAGE}@{DIGEST}", ["one", "three"], 7)
    assert {i.uri for i in client.list_docker_images(parent=REPOSITORY)} == {f"{IMAGE}@{DIGEST}", f"{IMAGE}@{OTHER}"}
    assert [p.name for p in client.list_packages(parent=REPOSITORY)] == [package]
    full = client.get_version(request={"name": f"{package}/versions/{DIGEST}", "view": "FULL"})
    assert {t.name.rpartition("/")[2] for t in full.related_tags} == {"one", "three"}
    with pytest.raises(exceptions.BadRequest, match="one, three"):
        client.delete_version(name=f"{package}/versions/{DIGEST}")
    client.delete_version(request={"name": f"{package}/versions/{DIGEST}", "force": True}).result(timeout=10)
    assert [v.name for v in client.list_versions(parent=package)] == [f"{package}/versions/{OTHER}"]
    assert images.resolve(cloud.world, f"{IMAGE}:one") is None
    assert (images.resolve(cloud.world, f"{IMAGE}:two") or {})["root"] == "/other"
    client.delete_tag(name=f"{package}/tags/two")
    with pytest.raises(exceptions.NotFound):
        client.get_tag(name=f"{package}/tags/two")
    client.delete_repository(name=REPOSITORY).result(timeout=10)
    assert images.resolve(cloud.world, f"{IMAGE}@{OTHER}") is None


def test_a_push_needs_its_repository(cloud: Cloud) -> None:
    """Without the repository nothing is stored."""
    from gemmactl.sandbox.wire import ApiError

    with pytest.raises(ApiError, match='Repository "gemma" not found'):
        images.push(cloud.world, f"{IMAGE}:one", DIGEST, "/", {})


def vault(cloud: Cloud):
    """A client with one secret."""
    cloud.enable("secretmanager")
    client = cloud.client(secretmanager_v1.SecretManagerServiceClient)
    replica = {"user_managed": {"replicas": [{"location": "us-central1"}]}}
    client.create_secret(parent=PROJECT, secret_id="hf", secret={"replication": replica, "labels": {"a": "b"}})
    return client


SECRET = f"{PROJECT}/secrets/hf"


def test_secret_versions_add_access_disable_destroy(cloud: Cloud) -> None:
    """Versions count up; `latest` is the newest; a disabled one is refused, a destroyed one is gone."""
    client = vault(cloud)
    with pytest.raises(exceptions.NotFound, match="not found or has no versions"):
        client.access_secret_version(name=f"{SECRET}/versions/latest")
    first = client.add_secret_version(parent=SECRET, payload={"data": b"one"})
    assert (first.name, first.state.name) == ("projects/100000000001/secrets/hf/versions/1", "ENABLED")
    assert first.replication_status.user_managed.replicas[0].location == "us-central1"
    client.add_secret_version(parent=SECRET, payload={"data": b"two"})
    assert client.access_secret_version(name=f"{SECRET}/versions/latest").payload.data == b"two"
    answer = client.access_secret_version(name=f"{SECRET}/versions/1")
    assert (answer.payload.data, answer.name) == (b"one", first.name)
    client.disable_secret_version(name=f"{SECRET}/versions/2")
    with pytest.raises(exceptions.BadRequest, match="is in DISABLED state"):
        client.access_secret_version(name=f"{SECRET}/versions/latest")
    assert [v.name[-1] for v in client.list_secret_versions(request={"parent": SECRET, "filter": "state:ENABLED"})] == ["1"]
    client.enable_secret_version(name=f"{SECRET}/versions/2")
    client.destroy_secret_version(name=f"{SECRET}/versions/2")
    assert client.get_secret_version(name=f"{SECRET}/versions/2").state.name == "DESTROYED"
    with pytest.raises(exceptions.BadRequest, match="is in DESTROYED state"):
        client.enable_secret_version(name=f"{SECRET}/versions/2")
    assert "dHdv" not in "".join(f.read_text() for f in (cloud.world.home / "state" / "secret_versions").iterdir())


def test_a_payload_is_checked_against_its_checksum_and_size(cloud: Cloud) -> None:
    """A wrong crc32c and more than 64 KiB are refused; nothing is stored."""
    client = vault(cloud)
    with pytest.raises(exceptions.BadRequest, match="checksum"):
        client.add_secret_version(parent=SECRET, payload={"data": b"abc", "data_crc32c": 1})
    with pytest.raises(exceptions.BadRequest, match="65537"):
        client.add_secret_version(parent=SECRET, payload={"data": b"x" * 65537})
    assert client.add_secret_version(parent=SECRET, payload={"data": b"abc", "data_crc32c": 910901175}).name[-1] == "1"


def test_secret_create_get_update_list_delete(cloud: Cloud) -> None:
    """A secret's life; a stale etag is refused; what was deleted is gone with its policy and versions."""
    client = vault(cloud)
    found = client.get_secret(name=SECRET)
    assert (found.name, dict(found.labels)) == ("projects/100000000001/secrets/hf", {"a": "b"})
    changed = client.update_secret(secret={"name": found.name, "labels": {"c": "d"}}, update_mask={"paths": ["labels"]})
    assert dict(changed.labels) == {"c": "d"}
    stale = {"name": found.name, "labels": {}, "etag": found.etag}
    with pytest.raises(exceptions.BadRequest, match="etag"):
        client.update_secret(secret=stale, update_mask={"paths": ["labels"]})
    with pytest.raises(exceptions.Conflict, match="already exists"):
        client.create_secret(parent=PROJECT, secret_id="hf", secret={"replication": {"automatic": {}}})
    with pytest.raises(exceptions.BadRequest, match="replication"):
        client.create_secret(parent=PROJECT, secret_id="hf2", secret={})
    client.add_secret_version(parent=SECRET, payload={"data": b"abc"})
    policy = client.get_iam_policy(request={"resource": SECRET})
    policy.bindings.add(role="roles/secretmanager.secretAccessor", members=["user:dev@sandbox.invalid"])
    client.set_iam_policy(request={"resource": SECRET, "policy": policy})
    dev = cloud.client(secretmanager_v1.SecretManagerServiceClient, "dev@sandbox.invalid")
    assert dev.access_secret_version(name=f"{SECRET}/versions/1").payload.data == b"abc"
    assert [s.name for s in client.list_secrets(parent=PROJECT)] == [found.name]
    client.delete_secret(name=SECRET)
    with pytest.raises(exceptions.NotFound):
        client.get_secret(name=SECRET)
    client.create_secret(parent=PROJECT, secret_id="hf", secret={"replication": {"automatic": {}}})
    client.add_secret_version(parent=SECRET, payload={"data": b"new"})
    with pytest.raises(exceptions.Forbidden, match=r"Permission 'secretmanager.versions.access' denied for resource"):
        dev.access_secret_version(name=f"{SECRET}/versions/1")


ACCOUNT = "gemma-runtime@gemmactl-sandbox.iam.gserviceaccount.com"


def test_service_account_create_get_bind_delete(cloud: Cloud) -> None:
    """An account's life in plain JSON, its own policy, and the grant that it makes possible."""
    cloud.enable("iam")
    session, base = cloud.session(), f"{cloud.world.base_url}/v1/{PROJECT}/serviceAccounts"
    body = {"accountId": "gemma-runtime", "serviceAccount": {"displayName": "runs", "description": "ours"}}
    made = session.post(base, json=body).json()
    assert (made["email"], made["displayName"], made["description"]) == (ACCOUNT, "runs", "ours")
    again = session.post(base, json=body)
    assert (again.status_code, again.json()["error"]["status"]) == (409, "ALREADY_EXISTS")
    by_wildcard = session.get(f"{cloud.world.base_url}/v1/projects/-/serviceAccounts/{ACCOUNT}").json()
    assert by_wildcard == session.get(f"{base}/{made['uniqueId']}").json() == made
    assert [a["email"] for a in session.get(base).json()["accounts"]] == [ACCOUNT]
    policy = session.post(f"{base}/{ACCOUNT}:getIamPolicy").json()
    policy["bindings"] = [{"role": "roles/iam.serviceAccountUser", "members": ["user:dev@sandbox.invalid"]}]
    assert session.post(f"{base}/{ACCOUNT}:setIamPolicy", json={"policy": policy}).status_code == 200
    stale = session.post(f"{base}/{ACCOUNT}:setIamPolicy", json={"policy": policy})
    assert (stale.status_code, stale.json()["error"]["status"]) == (409, "ABORTED")
    asked = {"permissions": ["iam.serviceAccounts.actAs", "iam.serviceAccounts.delete"]}
    held = cloud.session("dev@sandbox.invalid").post(f"{base}/{ACCOUNT}:testIamPermissions", json=asked).json()
    assert held == {"permissions": ["iam.serviceAccounts.actAs"]}
    assert session.delete(f"{base}/{ACCOUNT}").json() == {}
    gone = session.get(f"{base}/{ACCOUNT}")
    assert (gone.status_code, gone.json()["error"]["status"]) == (404, "NOT_FOUND")


def test_the_wildcard_project_hides_what_is_missing(cloud: Cloud) -> None:
    """IAM's reference: through `projects/-` an account that does not exist is a 403, through its project a 404."""
    cloud.enable("iam")
    session, base = cloud.session(), f"{cloud.world.base_url}/v1"
    assert session.get(f"{base}/projects/-/serviceAccounts/{ACCOUNT}").status_code == 403
    assert session.post(f"{base}/projects/-/serviceAccounts/{ACCOUNT}:getIamPolicy").status_code == 403
    assert session.get(f"{base}/{PROJECT}/serviceAccounts/{ACCOUNT}").status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"accountId": "short"},
        {"accountId": "x" * 31},
        {"accountId": "Capital-Letter"},
        {"acountId": "gemma-runtime"},
        {"accountId": "gemma-runtime", "serviceAccount": {"title": "x"}},
    ],
)
def test_accounts_that_can_not_be(cloud: Cloud, body: dict) -> None:
    """Ids have 6 to 30 characters of a small alphabet; unknown fields are named."""
    cloud.enable("iam")
    answer = cloud.session().post(f"{cloud.world.base_url}/v1/{PROJECT}/serviceAccounts", json=body)
    assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")


def test_the_accounts_api_has_to_be_enabled_and_allowed(cloud: Cloud) -> None:
    """SERVICE_DISABLED first, then the denial that names the permission."""
    url = f"{cloud.world.base_url}/v1/{PROJECT}/serviceAccounts"
    off = cloud.session().post(url, json={"accountId": "gemma-runtime"}).json()["error"]
    assert off["details"][1]["reason"] == "SERVICE_DISABLED"
    cloud.enable("iam")
    error = cloud.session("dev@sandbox.invalid").post(url, json={"accountId": "gemma-runtime"}).json()["error"]
    assert error["details"][0]["metadata"]["permission"] == "iam.serviceAccounts.create"


def test_a_deleted_accounts_bindings_do_not_serve_its_successor(cloud: Cloud) -> None:
    """The policy keeps a `deleted:` member, can still be edited, and a new account of that name has no rights."""
    cloud.enable("iam")
    session, base = cloud.session(), f"{cloud.world.base_url}/v1/{PROJECT}/serviceAccounts"
    first = session.post(base, json={"accountId": "gemma-runtime"}).json()
    cloud.world.iam.grant(f"serviceAccount:{ACCOUNT}", "roles/viewer", PROJECT)
    session.delete(f"{base}/{ACCOUNT}")
    session.post(base, json={"accountId": "gemma-runtime"})
    assert not cloud.world.iam.holds(f"serviceAccount:{ACCOUNT}", "run.services.get", PROJECT)
    members = [m for b in cloud.world.iam.policy(PROJECT)["bindings"] for m in b["members"]]
    assert f"deleted:serviceAccount:{ACCOUNT}?uid={first['uniqueId']}" in members
    client = cloud.client(resourcemanager_v3.ProjectsClient)
    policy = client.get_iam_policy(request={"resource": PROJECT})
    policy.bindings.add(role="roles/viewer", members=[f"serviceAccount:{ACCOUNT}"])
    client.set_iam_policy(request={"resource": PROJECT, "policy": policy})
    assert cloud.world.iam.holds(f"serviceAccount:{ACCOUNT}", "run.services.get", PROJECT)


def test_conditions_are_refused_rather_than_ignored(cloud: Cloud) -> None:
    """A binding that would hold only sometimes is not stored as one that always holds."""
    client = cloud.client(resourcemanager_v3.ProjectsClient)
    policy = client.get_iam_policy(request={"resource": PROJECT})
    binding = policy.bindings.add(role="roles/viewer", members=["user:dev@sandbox.invalid"])
    binding.condition.expression = "request.time < timestamp('2020-01-01T00:00:00Z')"
    with pytest.raises(exceptions.MethodNotImplemented, match="conditions"):
        client.set_iam_policy(request={"resource": PROJECT, "policy": policy})


def test_gclouds_own_resource_manager_calls(cloud: Cloud) -> None:
    """`gcloud projects describe` and `add-iam-policy-binding` speak v1: the same project, policy and etag as v3."""
    cloud.enable("cloudresourcemanager")
    session, base = cloud.session(), f"{cloud.world.base_url}/v1/{PROJECT}"
    assert session.get(base).json()["projectNumber"] == cloud.world.number
    policy = session.post(f"{base}:getIamPolicy", json={"options": {"requestedPolicyVersion": 3}}).json()
    policy["bindings"].append({"role": "roles/cloudbuild.builds.editor", "members": ["user:dev@example.com"]})
    assert session.post(f"{base}:setIamPolicy", json={"policy": policy}).status_code == 200
    assert session.post(f"{base}:setIamPolicy", json={"policy": policy}).status_code == 409
    v3 = cloud.client(resourcemanager_v3.ProjectsClient).get_iam_policy(request={"resource": PROJECT})
    assert "roles/cloudbuild.builds.editor" in {b.role for b in v3.bindings}
    assert cloud.session("dev@example.com").post(f"{base}:setIamPolicy", json={"policy": policy}).status_code == 403
