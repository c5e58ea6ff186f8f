"""What every cloud does with a customer's key, and with a value that is only looked at; the rest is in suite.py."""

from __future__ import annotations

from gemmactl.kernel.resource import Work
from gemmactl.resources.agent_grant import agent_grant
from gemmactl.resources.cloud import BucketInfo, Cloud, RepositoryInfo

REGION = "us-central1"


class KeysContract:
    """Subclass it with a `cloud` fixture."""

    def test_keys_of_a_customer(self, cloud: Cloud) -> None:
        """An API's agent is made, may use the key, and then repository, bucket and secret are encrypted with it."""
        key = f"projects/{cloud.project}/locations/{REGION}/keyRings/r/cryptoKeys/k"
        cloud.apis.enable([f"{name}.googleapis.com" for name in ("cloudkms", "artifactregistry", "secretmanager", "storage")])
        for api in ("artifactregistry", "secretmanager", "storage"):
            grant = agent_grant(key, f"{api}.googleapis.com", cloud.number(), ())
            assert grant.read(cloud) is None
            assert f"serviceAccount:{cloud.apis.agent(grant.api)}" == grant.member
            grant.create(cloud, Work())
            assert grant.read(cloud) is not None
        repository = RepositoryInfo(f"projects/{cloud.project}/locations/{REGION}/repositories/sealed", kms_key=key)
        cloud.repositories.create(repository)
        assert cloud.repositories.get(repository.name) == repository
        bucket = BucketInfo(f"{cloud.project}-sealed", REGION, kms_key=key)
        cloud.storage.create_bucket(bucket)
        assert cloud.storage.bucket(bucket.name) == bucket
        secret = f"projects/{cloud.project}/secrets/sealed"
        cloud.secrets.create(secret, REGION, {}, key)
        assert cloud.secrets.kms_key(secret) == key

    def test_the_look_of_a_secrets_value(self, cloud: Cloud) -> None:
        """Empty, with a line break or another white space at an end, or as it should be; by number or `latest`."""
        name = f"projects/{cloud.project}/secrets/hf"
        cloud.secrets.create(name, REGION, {})
        for value in (b"one", b" \n", b"three\n", b" four"):
            cloud.secrets.add_version(name, value)
        asked = ("1", "2", "3", "4", "latest", "7")
        assert [cloud.secrets.flaw(name, one) for one in asked] == ["", "empty", "newline", "space", "space", None]
