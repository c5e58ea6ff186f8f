"""What every cloud does with builds and images; the rest of the contract is in suite.py."""

from __future__ import annotations

from gemmactl.resources.cloud import BucketInfo, Cloud, Json, PolicyTarget

REGION = "us-central1"


class BuildsContract:
    """Subclass it with the fixtures `cloud` and `image`, which is in a registry, and `both` beside it for two platforms."""

    def test_the_newest_build_with_a_tag(self, cloud: Cloud) -> None:
        """Of two with the tag the later one, with its account; none of another tag, none in another region."""
        cloud.apis.enable([f"{n}.googleapis.com" for n in ("cloudbuild", "storage", "iam", "cloudresourcemanager", "logging")])
        account = cloud.accounts.create("builder", "", "").email
        bucket = BucketInfo(f"{cloud.project}-src", REGION)
        cloud.storage.create_bucket(bucket)
        cloud.policies.add(PolicyTarget("bucket", bucket.name), "roles/storage.objectViewer", f"serviceAccount:{account}")
        source = cloud.storage.write(bucket.name, "a.tgz", b"no archive")

        def start(*tags: str) -> str:
            body: Json = {
                "source": {"storageSource": {"bucket": bucket.name, "object": "a.tgz", "generation": str(source.generation)}},
                "steps": [{"name": "gcr.io/cloud-builders/docker", "args": ["build", "."]}],
                "images": [f"{REGION}-docker.pkg.dev/{cloud.project}/images/a:1"],
                "serviceAccount": f"projects/{cloud.project}/serviceAccounts/{account}",
                "options": {"logging": "CLOUD_LOGGING_ONLY"},
                "tags": list(tags),
            }
            return cloud.builds.start(REGION, body)

        start("for-gemma")
        later = start("gemmactl", "for-gemma")
        start("for-other")
        newest = cloud.builds.newest(REGION, "for-gemma")
        assert newest is not None
        assert (newest.id, newest.account) == (later, account)
        assert newest.created
        assert cloud.builds.newest(REGION, "for-none") is None
        assert cloud.builds.newest("global", "for-gemma") is None

    def test_what_machine_an_image_is_for(self, cloud: Cloud, image: str) -> None:
        """Of a tag and of a digest; of an index all that it holds; None of what is not there."""
        cloud.apis.enable([f"{n}.googleapis.com" for n in ("artifactregistry", "cloudresourcemanager")])
        digest = cloud.repositories.digest(image)
        assert cloud.repositories.platforms(image) == ("linux/amd64",)
        assert cloud.repositories.platforms(f"{image.rpartition(':')[0]}@{digest}") == ("linux/amd64",)
        assert cloud.repositories.platforms(image.replace("nothing", "both")) == ("linux/amd64", "linux/arm64")
        assert cloud.repositories.platforms(image.replace(":v1", ":v2")) is None
