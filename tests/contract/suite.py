"""What every implementation of the cloud's protocols must do: written once, run on each. Knows none of them."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest

from gemmactl.errors import Trouble
from gemmactl.resources import quota
from gemmactl.resources.cloud import BucketInfo, Cloud, PolicyTarget, RepositoryInfo
from gemmactl.resources.surroundings import OrgPolicy

REGION = "us-central1"
SIZE = 7
"""Bytes that the repository `ready` holds."""


class Bytes(io.BytesIO):
    """A Readable that may break before its end."""

    def __init__(self, content: bytes, broken_at: int | None = None) -> None:
        super().__init__(content)
        self.size = len(content)
        self.broken_at = broken_at

    def read(self, size: int | None = -1, /) -> bytes:
        block = super().read(size)
        if self.broken_at is not None and self.tell() > self.broken_at:
            raise OSError("unplugged")
        return block


class CloudContract:
    """Mix it into a test class whose module has a fixture `cloud`: an empty project in which the caller is owner."""

    @pytest.fixture(autouse=True)
    def _enable(self, cloud: Cloud) -> None:
        names = ("run", "iam", "logging", "storage", "cloudresourcemanager", "artifactregistry", "cloudbuild", "secretmanager")
        cloud.apis.enable([f"{n}.googleapis.com" for n in names])

    def test_apis(self, cloud: Cloud) -> None:
        """Enabled APIs are those that were enabled, out of those that are asked for."""
        asked = ("run.googleapis.com", "compute.googleapis.com")
        assert cloud.apis.enabled(asked) == {"run.googleapis.com"}

    def test_identity(self, cloud: Cloud) -> None:
        """The project has a number, the caller an IAM member."""
        assert cloud.number().isdigit()
        assert cloud.caller().startswith(("user:", "serviceAccount:"))

    def test_accounts(self, cloud: Cloud) -> None:
        """An account is made with its description, found, refused twice, deleted, deleted again without a word."""
        email = f"worker@{cloud.project}.iam.gserviceaccount.com"
        assert cloud.accounts.get(email) is None
        made = cloud.accounts.create("worker", "A worker", "managed-by=gemmactl")
        assert (made.email, made.description, made.disabled) == (email, "managed-by=gemmactl", False)
        assert cloud.accounts.get(email) == made
        with pytest.raises(Trouble) as twice:
            cloud.accounts.create("worker", "", "")
        assert twice.value.facts["status"] == 409
        cloud.accounts.delete(email)
        cloud.accounts.delete(email)
        assert cloud.accounts.get(email) is None

    def test_policies(self, cloud: Cloud) -> None:
        """A binding is added beside others and taken away alone, on every kind of target."""
        account = cloud.accounts.create("member", "", "")
        member = f"serviceAccount:{account.email}"
        repository = f"projects/{cloud.project}/locations/{REGION}/repositories/images"
        secret = f"projects/{cloud.project}/secrets/token"
        bucket = f"{cloud.project}-policy"
        cloud.repositories.create(RepositoryInfo(repository))
        cloud.secrets.create(secret, REGION, {})
        cloud.storage.create_bucket(BucketInfo(bucket, REGION))
        targets = (
            (PolicyTarget("project", cloud.project), "roles/logging.logWriter"),
            (PolicyTarget("bucket", bucket), "roles/storage.objectViewer"),
            (PolicyTarget("repository", repository), "roles/artifactregistry.writer"),
            (PolicyTarget("secret", secret), "roles/secretmanager.secretAccessor"),
            (PolicyTarget("service_account", account.email), "roles/iam.serviceAccountUser"),
        )
        for target, role in targets:
            assert member not in cloud.policies.members(target, role)
            cloud.policies.add(target, role, member)
            cloud.policies.add(target, role, member)
            cloud.policies.add(target, role, cloud.caller())
            assert cloud.policies.members(target, role) == {member, cloud.caller()}
            cloud.policies.remove(target, role, member)
            cloud.policies.remove(target, role, member)
            assert cloud.policies.members(target, role) == {cloud.caller()}

    def test_policy_of_what_is_not_there(self, cloud: Cloud) -> None:
        """Nobody holds a role on a missing thing; taking one away is done; granting one fails as 404."""
        target = PolicyTarget("secret", f"projects/{cloud.project}/secrets/missing")
        role = "roles/secretmanager.secretAccessor"
        assert cloud.policies.members(target, role) == frozenset()
        cloud.policies.remove(target, role, cloud.caller())
        with pytest.raises(Trouble) as missing:
            cloud.policies.add(target, role, cloud.caller())
        assert missing.value.facts["status"] == 404

    def test_own_permissions(self, cloud: Cloud) -> None:
        """The owner holds what is asked for."""
        asked = {"run.services.create", "resourcemanager.projects.getIamPolicy"}
        assert cloud.policies.test(PolicyTarget("project", cloud.project), asked) == asked

    def test_repositories(self, cloud: Cloud) -> None:
        """A repository keeps labels and clean-up policy through create, update and delete."""
        name = f"projects/{cloud.project}/locations/{REGION}/repositories/gemmactl"
        info = RepositoryInfo(name, "DOCKER", {"managed-by": "gemmactl"}, 5, 7)
        assert cloud.repositories.get(name) is None
        cloud.repositories.create(info)
        assert cloud.repositories.get(name) == info
        cloud.repositories.update(replace(info, keep_newest=3, labels={"managed-by": "gemmactl", "team": "x"}))
        found = cloud.repositories.get(name)
        assert found == replace(info, keep_newest=3, labels={"managed-by": "gemmactl", "team": "x"})
        image = f"{REGION}-docker.pkg.dev/{cloud.project}/gemmactl/serve:none"
        assert cloud.repositories.digest(image) is None
        cloud.repositories.delete_image(image)
        cloud.repositories.delete(name)
        cloud.repositories.delete(name)
        assert cloud.repositories.get(name) is None

    def test_the_size_of_a_repository(self, cloud: Cloud) -> None:
        """All that it holds, in bytes; one that holds nothing tells none."""
        name = f"projects/{cloud.project}/locations/{REGION}/repositories"
        cloud.repositories.create(RepositoryInfo(f"{name}/empty"))
        found = [cloud.repositories.get(f"{name}/{short}") for short in ("ready", "empty")]
        assert [one.size for one in found if one] == [SIZE, None]

    def test_buckets(self, cloud: Cloud) -> None:
        """A bucket keeps region, access settings, labels and life cycle; it is deleted with all that is in it."""
        info = BucketInfo(f"{cloud.project}-b", REGION, labels={"managed-by": "gemmactl"}, delete_after_days=30)
        assert cloud.storage.bucket(info.name) is None
        cloud.storage.create_bucket(info)
        assert cloud.storage.bucket(info.name) == info
        assert info.name in cloud.storage.buckets()
        changed = replace(info, labels={"managed-by": "gemmactl", "a": "b"}, delete_after_days=3)
        cloud.storage.update_bucket(changed)
        assert cloud.storage.bucket(info.name) == changed
        cloud.storage.write(info.name, "x/y", b"1")
        cloud.storage.delete_bucket(info.name)
        cloud.storage.delete_bucket(info.name)
        assert cloud.storage.bucket(info.name) is None
        assert info.name not in cloud.storage.buckets()

    def test_objects(self, cloud: Cloud, tmp_path: Path) -> None:
        """Objects have size, checksum and a generation that guards a write; ranges are half-open."""
        bucket = f"{cloud.project}-o"
        cloud.storage.create_bucket(BucketInfo(bucket, REGION))
        assert cloud.storage.stat(bucket, "a/one") is None
        assert cloud.storage.read(bucket, "a/one") is None
        made = cloud.storage.write(bucket, "a/one", b"0123456789", if_generation=0)
        assert (made.name, made.size, made.crc32c) == ("a/one", 10, "KAwGng==")
        assert cloud.storage.stat(bucket, "a/one") == made
        assert cloud.storage.read(bucket, "a/one", 2, 5) == b"234"
        assert cloud.storage.read(bucket, "a/one") == b"0123456789"
        with pytest.raises(Trouble) as raced:
            cloud.storage.write(bucket, "a/one", b"other", if_generation=0)
        assert raced.value.facts["status"] == 412
        told: list[int] = []
        (tmp_path / "two").write_bytes(b"x" * 300_000)
        cloud.storage.write(bucket, "a/two", tmp_path / "two", progress=told.append)
        assert told[-1] == 300_000
        again = cloud.storage.write(bucket, "a/one", b"new", if_generation=made.generation)
        assert again.generation != made.generation
        assert [o.name for o in cloud.storage.list(bucket, "a/")] == ["a/one", "a/two"]
        assert [o.name for o in cloud.storage.list(bucket, "a/", most=1)] == ["a/one"]
        assert [o.name for o in cloud.storage.list(bucket, direct=True)] == []
        assert [o.name for o in cloud.storage.list(bucket, "a/", direct=True)] == ["a/one", "a/two"]
        assert cloud.storage.list(bucket, "b/") == ()
        cloud.storage.delete(bucket, "a/one")
        cloud.storage.delete(bucket, "a/one")
        assert [o.name for o in cloud.storage.list(bucket)] == ["a/two"]

    def test_streams_and_copies(self, cloud: Cloud) -> None:
        """A Readable becomes an object once it was read to its end; copies and reads are held to the generations they name."""
        bucket, content = f"{cloud.project}-s", bytes(range(256)) * 36_000  # over 8 MiB: beyond what one request carries
        cloud.storage.create_bucket(BucketInfo(bucket, REGION))
        made = cloud.storage.write(bucket, "a", Bytes(content), if_generation=0)
        assert (made.size, cloud.storage.read(bucket, "a", if_generation=made.generation)) == (len(content), content)
        copied = cloud.storage.copy((bucket, "a"), (bucket, "b/c"), if_source_generation=made.generation, if_generation=0)
        assert (copied.name, copied.size, copied.crc32c) == ("b/c", made.size, made.crc32c)
        assert cloud.storage.read(bucket, "b/c") == content
        changed = cloud.storage.write(bucket, "a", b"changed")
        for call in (
            lambda: cloud.storage.read(bucket, "a", 0, 5, if_generation=made.generation),
            lambda: cloud.storage.copy((bucket, "a"), (bucket, "d"), if_source_generation=made.generation, if_generation=0),
            lambda: cloud.storage.copy((bucket, "a"), (bucket, "b/c"), if_source_generation=changed.generation, if_generation=0),
            lambda: cloud.storage.write(bucket, "a", Bytes(content), if_generation=0),
        ):
            with pytest.raises(Trouble) as raced:
                call()
            assert raced.value.facts["status"] == 412
        with pytest.raises(OSError, match="unplugged"):
            cloud.storage.write(bucket, "e", Bytes(content, broken_at=len(content) - 10), if_generation=0)
        assert [o.name for o in cloud.storage.list(bucket)] == ["a", "b/c"]

    def test_what_was_replaced_is_restored(self, cloud: Cloud) -> None:
        """Soft-deleted versions are told with their end, restored under a new generation, and not over what has come since."""
        bucket = f"{cloud.project}-older"
        cloud.storage.create_bucket(BucketInfo(bucket, REGION))
        one = cloud.storage.write(bucket, "m/a", b"one")
        two = cloud.storage.write(bucket, "m/a", b"two")
        (older,) = cloud.storage.older(bucket, "m/")
        assert older.info == one
        assert older.restorable_until > "2026"
        assert cloud.storage.older(bucket, "n/") == ()
        for version, expected in ((one.generation, 0), (two.generation, two.generation)):
            with pytest.raises(Trouble):
                cloud.storage.restore(bucket, "m/a", version, if_generation=expected)
        restored = cloud.storage.restore(bucket, "m/a", one.generation, if_generation=two.generation)
        assert (restored.crc32c, restored.md5) == (one.crc32c, one.md5)
        assert restored.generation > two.generation
        assert cloud.storage.read(bucket, "m/a") == b"one"
        assert [each.info.generation for each in cloud.storage.older(bucket)] == [one.generation, two.generation]

    def test_writing_into_a_missing_bucket(self, cloud: Cloud) -> None:
        """It fails as 404, with the API's message in the facts."""
        with pytest.raises(Trouble) as missing:
            cloud.storage.write("no-such-bucket-of-ours", "x", b"1")
        assert missing.value.facts["status"] == 404

    def test_quotas(self, cloud: Cloud) -> None:
        """Cloud Run's limits by region, in whole GPUs, vCPUs and bytes; none for a quota that is not there; refused while off."""
        with pytest.raises(Trouble) as disabled:
            cloud.quotas.limits(quota.IDS)
        assert disabled.value.facts["reason"] == "SERVICE_DISABLED"
        cloud.apis.enable([quota.API])
        for region in (REGION, "europe-west4"):
            found = {limit.id: limit.value for limit in cloud.quotas.limits((*quota.IDS, "None")) if limit.region == region}
            gpus = {name: value for alone, redundant in quota.GPU.values() for name, value in ((alone, 3), (redundant, 0))}
            assert found == {quota.CPU: 20, quota.MEMORY: 40 * 2**30, **gpus}
        assert {limit.id for limit in cloud.quotas.limits([quota.CPU])} == {quota.CPU}

    def test_the_projects_surroundings(self, cloud: Cloud) -> None:
        """Number and state; billing, policies and subnets once their APIs are on: nothing forbidden, no such subnet."""
        info = cloud.projects.info()
        assert info is not None
        assert (info.number, info.state) == (cloud.number(), "ACTIVE")
        subnet = f"projects/{cloud.project}/regions/{REGION}/subnetworks/none"
        for name, ask in (
            ("cloudbilling", cloud.projects.billed),
            ("orgpolicy", lambda: cloud.org_policies.effective("run.allowedIngress")),
            ("compute", lambda: cloud.subnets.get(subnet)),
        ):
            with pytest.raises(Trouble) as disabled:
                ask()
            assert disabled.value.facts["reason"] == "SERVICE_DISABLED"
            cloud.apis.enable([f"{name}.googleapis.com"])
        assert cloud.projects.billed()
        assert cloud.org_policies.effective("run.allowedIngress") == OrgPolicy()
        assert cloud.subnets.get(subnet) is None

    def test_secrets(self, cloud: Cloud) -> None:
        """A secret has labels and numbered versions; the newest enabled one is found by number."""
        name = f"projects/{cloud.project}/secrets/hf"
        assert cloud.secrets.get(name) is None
        assert cloud.secrets.newest_version(name) is None
        cloud.secrets.create(name, REGION, {"managed-by": "gemmactl"})
        assert dict(cloud.secrets.get(name) or {}) == {"managed-by": "gemmactl"}
        assert cloud.secrets.newest_version(name) is None
        assert [cloud.secrets.add_version(name, b"one"), cloud.secrets.add_version(name, b"two")] == ["1", "2"]
        assert cloud.secrets.newest_version(name) == cloud.newest_version(name) == "2"
        assert cloud.secrets.version_state(name, "1") == "ENABLED"
        assert cloud.secrets.version_state(name, "7") is None
        assert (cloud.secrets.read(name, "1"), cloud.secrets.read(name, "7")) == (b"one", None)
        cloud.secrets.destroy_version(name, "1")
        cloud.secrets.destroy_version(name, "1")
        cloud.secrets.destroy_version(name, "7")
        assert (cloud.secrets.version_state(name, "1"), cloud.secrets.newest_version(name)) == ("DESTROYED", "2")
        with pytest.raises(Trouble) as destroyed:
            cloud.secrets.read(name, "1")
        assert destroyed.value.facts["status"] == 400
        assert cloud.secrets.relabel(name, "current", None, "2")
        assert not cloud.secrets.relabel(name, "current", None, "3")
        assert cloud.secrets.relabel(name, "current", "2", "3")
        assert dict(cloud.secrets.get(name) or {}) == {"managed-by": "gemmactl", "current": "3"}
        assert cloud.secrets.kms_key(name) == ""
        cloud.secrets.delete(name)
        cloud.secrets.delete(name)
        assert cloud.secrets.get(name) is None

    def test_what_is_not_there(self, cloud: Cloud) -> None:
        """Missing services, revisions, builds' tags and log entries are None or empty, and deleting is done."""
        name = f"projects/{cloud.project}/locations/{REGION}/services/none"
        assert cloud.run.get(name) is None
        assert cloud.run.list(REGION) == ()
        assert cloud.run.revision(f"{name}/revisions/none-00001-abc") is None
        assert cloud.run.revisions(name) == ()
        assert cloud.builds.running(REGION, "serve-none") is None
        assert cloud.logs.entries('resource.type="cloud_run_revision"') == ()
        assert cloud.run.finished(cloud.run.delete(name))
