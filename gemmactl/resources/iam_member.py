"""One member in one role on one thing: the only way in which gemmactl touches IAM. Never replaces a policy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from gemmactl.errors import Trouble
from gemmactl.kernel.resource import Resource, Work
from gemmactl.resources import mark
from gemmactl.resources.cloud import Cloud, PolicyTarget


@dataclass(frozen=True)
class IamMember(Resource):
    """An additive binding without condition. doctor's remedies are values of this class too."""

    kind: ClassVar[str] = "iam_member"
    settles: ClassVar[bool] = True
    by_others: ClassVar[bool] = True

    target: PolicyTarget
    role: str
    member: str
    after: tuple[str, ...] = field(default=(), compare=False)

    @property
    def address(self) -> str:
        who = (self.member.partition(":")[2] or self.member).removesuffix(".iam.gserviceaccount.com")
        parts = self.target.name.split("/")
        # with the project: two secrets of one name in two projects are two addresses
        what = f"{parts[1]}/{parts[-1]}" if parts[0] == "projects" else self.target.name.removesuffix(".iam.gserviceaccount.com")
        return f"grant {self.role.removeprefix('roles/')} on {self.target.kind} {what} to {who}"

    @property
    def needs(self) -> tuple[str, ...]:
        return self.after

    @property
    def lock(self) -> str | None:
        return f"policy {self.target.kind} {self.target.name}"

    def read(self, cloud: Cloud) -> IamMember | None:
        held = self.member in cloud.policies.members(self.target, self.role)
        return IamMember(self.target, self.role, self.member) if held else None

    def create(self, cloud: Cloud, work: Work) -> None:
        cloud.policies.add(self.target, self.role, self.member)

    def delete(self, cloud: Cloud, live: IamMember, work: Work) -> None:
        cloud.policies.remove(self.target, self.role, self.member)

    def cures(self, trouble: Trouble) -> bool:
        """A refusal that names the member, who holds the role. Acting as an account names it too, and is the caller's right."""
        acting = trouble.facts.get("permission") == "iam.serviceAccounts.actAs"
        return not acting and self.member.partition(":")[2] in str(trouble.facts)

    def ours(self, cloud: Cloud, live: IamMember) -> bool:
        """Only a service account's binding can be ours: because we made the account, or the thing it is on."""
        scheme, _, email = self.member.partition(":")
        if scheme != "serviceAccount":
            return False
        account = cloud.accounts.get(email)
        return (account is not None and mark.noted(account.description)) or self._target_is_ours(cloud)

    def _target_is_ours(self, cloud: Cloud) -> bool:
        match self.target.kind:
            case "bucket":
                return self._bucket_is_ours(cloud)
            case "repository":
                repository = cloud.repositories.get(self.target.name)
                return repository is not None and mark.marked(repository.labels)
            case "secret":
                return mark.marked(cloud.secrets.get(self.target.name) or {})
            case "service":
                return mark.marked((cloud.run.get(self.target.name) or {}).get("labels", {}))
            case "job":
                return mark.marked((cloud.jobs.get(self.target.name) or {}).get("labels", {}))
            case "service_account":
                account = cloud.accounts.get(self.target.name)
                return account is not None and mark.noted(account.description)
            case _:
                return False

    def _bucket_is_ours(self, cloud: Cloud) -> bool:
        """A model's bucket may be another project's, or one that the caller can't look at: then it is a stranger's."""
        try:
            bucket = cloud.storage.bucket(self.target.name)
        except Trouble as trouble:
            if trouble.code == "bucket-of-another-project" or trouble.facts.get("status") == 403:
                return False
            raise
        return bucket is not None and mark.marked(bucket.labels)
