"""What every cloud does with a customer's key; the rest of the contract is in suite.py."""

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
