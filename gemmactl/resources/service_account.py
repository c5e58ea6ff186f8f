"""A service account. Its description says that gemmactl made it; one without that mark is used but never deleted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from gemmactl.kernel.resource import Resource, Work
from gemmactl.resources import mark
from gemmactl.resources.cloud import Cloud


def email_of(account_id: str, project: str) -> str:
    """E-mail of a service account; `example.com:app` projects turn around in it."""
    domain, _, name = project.rpartition(":")
    return f"{account_id}@{f'{name}.{domain}' if domain else project}.iam.gserviceaccount.com"


def project_of(email: str) -> str:
    """The project that an account's e-mail names: an id, a number, or `-` where it names none.

    Asked through `-`, IAM answers 403 for an account that does not exist, and 404 through its project.
    Source: https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts/get
    """
    account, _, host = email.partition("@")
    if host == "developer.gserviceaccount.com":
        return account.removesuffix("-compute")
    place = account if host == "appspot.gserviceaccount.com" else host.removesuffix(".iam.gserviceaccount.com")
    if place == host:
        return "-"
    name, _, domain = place.partition(".")
    return f"{domain}:{name}" if domain else name


@dataclass(frozen=True)
class ServiceAccount(Resource):
    """An identity for builds or for the running service."""

    kind: ClassVar[str] = "service_account"
    settles: ClassVar[bool] = True
    by_others: ClassVar[bool] = True
    fixed: ClassVar[frozenset[str]] = frozenset({"disabled"})

    project: str
    account_id: str
    title: str = field(default="", compare=False)
    disabled: bool = False
    after: tuple[str, ...] = field(default=(), compare=False)
    description: str = field(default="", compare=False)

    @property
    def email(self) -> str:
        return email_of(self.account_id, self.project)

    @property
    def member(self) -> str:
        return f"serviceAccount:{self.email}"

    @property
    def address(self) -> str:
        return f"service account {self.account_id}"

    @property
    def needs(self) -> tuple[str, ...]:
        return self.after

    @property
    def explain_fixed(self) -> str:
        return f"somebody disabled it; if that was not meant: gcloud iam service-accounts enable {self.email}"

    def read(self, cloud: Cloud) -> ServiceAccount | None:
        account = cloud.accounts.get(self.email)
        if account is None:
            return None
        return ServiceAccount(
            self.project, self.account_id, account.display_name, account.disabled, description=account.description
        )

    def create(self, cloud: Cloud, work: Work) -> None:
        cloud.accounts.create(self.account_id, self.title or self.account_id, mark.NOTE)

    def delete(self, cloud: Cloud, live: ServiceAccount, work: Work) -> None:
        cloud.accounts.delete(self.email)

    def ours(self, cloud: Cloud, live: ServiceAccount) -> bool:
        return mark.noted(live.description)

    def diff_text(self, name: str, value: object) -> str:
        return "disabled" if value else "enabled"
