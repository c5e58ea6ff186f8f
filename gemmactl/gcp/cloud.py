"""One project of Google Cloud (or of the sandbox) as resources see it. Nothing is imported or called before its first use."""

from __future__ import annotations

from gemmactl.gcp.accounts import ServiceAccounts
from gemmactl.gcp.artifact_registry import ArtifactRegistry
from gemmactl.gcp.cloud_build import CloudBuild
from gemmactl.gcp.cloud_run import CloudRun
from gemmactl.gcp.cloud_run_jobs import CloudRunJobs
from gemmactl.gcp.endpoint import Endpoint
from gemmactl.gcp.identity import Identity
from gemmactl.gcp.logging import CloudLogging
from gemmactl.gcp.org_policies import OrgPolicies
from gemmactl.gcp.policies import Policies
from gemmactl.gcp.projects import Projects
from gemmactl.gcp.quotas import CloudQuotas
from gemmactl.gcp.secret_manager import SecretManager
from gemmactl.gcp.service_usage import ServiceUsage
from gemmactl.gcp.storage import CloudStorage
from gemmactl.gcp.subnets import Subnets
from gemmactl.gcp.wire import Wire
from gemmactl.kernel.resource import Clock
from gemmactl.resources import cloud as contract
from gemmactl.resources import surroundings
from gemmactl.resources.cloud_jobs import Jobs


class GoogleCloud:
    """Implements `resources.cloud.Cloud` over the official clients."""

    def __init__(self, wire: Wire) -> None:
        self.project = wire.project
        self._identity = wire.identity
        self._projects = Projects(wire)
        self.apis: contract.Apis = ServiceUsage(wire)
        self.accounts: contract.Accounts = ServiceAccounts(wire)
        self.policies: contract.Policies = Policies(wire)
        self.repositories: contract.Repositories = ArtifactRegistry(wire)
        self.storage: contract.Storage = CloudStorage(wire, self._projects.number)
        self.secrets: contract.Secrets = SecretManager(wire)
        self.builds: contract.Builds = CloudBuild(wire)
        self.run: contract.Run = CloudRun(wire)
        self.jobs: Jobs = CloudRunJobs(wire)
        self.logs: contract.Logs = CloudLogging(wire)
        self.quotas: contract.Quotas = CloudQuotas(wire)
        self.projects: surroundings.Projects = self._projects
        self.org_policies: surroundings.OrgPolicies = OrgPolicies(wire)
        self.subnets: surroundings.Subnets = Subnets(wire)

    def login(self) -> surroundings.Login:
        return self._identity.login()

    def number(self) -> str:
        return self._projects.number()

    def caller(self) -> str:
        return self._identity.member()

    def id_token(self, audience: str) -> str:
        return self._identity.id_token(audience)

    def digest_of(self, tag: str) -> str | None:
        return self.repositories.digest(tag)

    def newest_version(self, secret: str) -> str | None:
        return self.secrets.newest_version(secret)


def connect(project: str, endpoint: Endpoint | None = None, *, clock: Clock | None = None, impersonate: str = "") -> GoogleCloud:
    """Open a project, as the caller or as a service account that he may impersonate.

    Makes no call: credentials are looked for when the first one is made.
    """
    return GoogleCloud(Wire(project, Identity(project, endpoint, impersonate), endpoint, clock or Clock()))
