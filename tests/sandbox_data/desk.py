"""A sandbox with what steps stand on, its owner, and a caller who holds what he is given. Knows no case."""

from __future__ import annotations

import itertools

from gemmactl.gcp.cloud import GoogleCloud, connect
from gemmactl.resources.bucket import BuildBucket
from gemmactl.resources.cloud import PolicyTarget
from gemmactl.resources.iam_member import IamMember
from gemmactl.resources.needs import Need
from gemmactl.resources.repository import Repository
from gemmactl.resources.service_account import ServiceAccount
from gemmactl.sandbox.endpoint import Endpoint
from gemmactl.sandbox.world import World
from tests.resources.wishes import work

P, REGION, DEV = "gemmactl-sandbox", "us-central1", "dev@sandbox.invalid"
BUILDER = f"serviceAccount:builder@{P}.iam.gserviceaccount.com"
REPO = f"projects/{P}/locations/{REGION}/repositories/gemmactl"
RUNNER = f"runner@{P}.iam.gserviceaccount.com"


class Desk:
    """A sandbox with what steps stand on, its owner, and a caller who holds what he is given."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.owner = self.as_(f"you@{DEV.partition('@')[2]}")
        self.dev = self.as_(DEV)
        self.names = map("n{}".format, itertools.count())
        for resource in (
            ServiceAccount(P, "builder"),
            ServiceAccount(P, "runner"),
            Repository(P, REGION, "gemmactl"),
            BuildBucket("sources", REGION),
            IamMember(PolicyTarget("project", P), "roles/logging.logWriter", BUILDER),
            IamMember(PolicyTarget("bucket", "sources"), "roles/storage.objectViewer", BUILDER),
            IamMember(PolicyTarget("repository", REPO), "roles/artifactregistry.writer", BUILDER),
        ):
            resource.create(self.owner, work())

    def as_(self, email: str) -> GoogleCloud:
        return connect(P, Endpoint(self.world.base_url, P, self.world.number, email, self.world.secret))

    def only(self, needs: tuple[Need, ...]) -> None:
        """The caller holds these permissions, each on its own thing, and no other."""
        for name, document in self.world.store.items("policies"):
            for binding in document["policy"]["bindings"]:
                self.world.iam.revoke(f"user:{DEV}", binding["role"], name)
        for target in {need.target for need in needs}:
            role = f"projects/{P}/roles/{target.kind}"
            self.world.iam.define(role, [n.permission for n in needs if n.target == target])
            self.world.iam.grant(f"user:{DEV}", role, full_name(target))


def full_name(target: PolicyTarget) -> str:
    kinds = {"project": "projects/{}", "bucket": "projects/_/buckets/{}", "service_account": f"projects/{P}/serviceAccounts/{{}}"}
    return kinds.get(target.kind, "{}").format(target.name)
