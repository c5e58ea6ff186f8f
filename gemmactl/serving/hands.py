"""What another hand must have done before anything starts, as far as the caller may look. Knows no script."""

from __future__ import annotations

from dataclasses import replace
from shlex import quote
from typing import Final, TypeVar

from gemmactl.errors import Trouble, refused
from gemmactl.kernel.plan import Plan, api_disabled, not_allowed
from gemmactl.resources.cloud import Cloud
from gemmactl.resources.image import Image
from gemmactl.resources.job import Job
from gemmactl.resources.service import Service
from gemmactl.spec import Serve
from gemmactl.tune_spec import Tune

Wish = TypeVar("Wish", Serve, Tune)


_ADMIN: Final = "`gemmactl plan --iam --for-admin` with the same words prints what an administrator runs"


def numbered(wish: Wish, cloud: Cloud) -> Wish:
    """With a customer's key the project's number is needed: it names Google's service agents."""
    return wish if wish.kms_key is None else replace(wish, project_number=cloud.number())


def unreadable(trouble: Trouble, wish: Serve, project: str) -> Trouble:
    """A refusal of the look at the model, when all that is said is that the caller lacks a right; any other as it is."""
    if not not_allowed(trouble):
        return trouble
    missing = trouble.facts.get("permission", "")
    return refused(
        f"{wish.model.text} is unknown{f' (missing permission {missing})' if missing else ''}",
        why=f"the model is looked at before anything is planned. {trouble.why}",
        remedy="all that you lack at once, as a script for an administrator: "
        f"gemmactl plan {quote(wish.model.text)} --project {quote(project)} --for-admin",
        code="model-unread",
        facts=trouble.facts,
    )


def require_given(wish: Serve | Tune, planned: Plan, cloud: Cloud) -> None:
    """The accounts that another hand was to make are there. Grants can't be looked at in general: their use shows them.

    Raises:
        Trouble: (refused) an account is not there, or disabled.
    """
    if wish.iam is not False:
        return
    builds = [s.resource.account for s in planned.work if isinstance(s.resource, Image)]
    runs = [s.resource.service_account for s in planned.steps if isinstance(s.resource, Service | Job)]
    for email in dict.fromkeys(e for e in (*builds, *runs) if e):
        try:
            account = cloud.accounts.get(email)
        except Trouble as trouble:
            if api_disabled(trouble) or not_allowed(trouble):
                continue
            raise
        if account is None or account.disabled:
            raise refused(
                f"service account {email} {'is disabled' if account else 'does not exist'}",
                why="--no-iam makes no account: it must be there",
                remedy=f"{_ADMIN if isinstance(wish, Serve) else 'let an administrator make it'}; or name one that is there: "
                "--service-account, --build-service-account",
                code="account-not-given",
                facts={"resource": email},
            )
