"""The rules of accounts and keys that another hand made; each refusal names the way out. Knows no cloud."""

from __future__ import annotations

import re
from typing import Final

from gemmactl.errors import usage
from gemmactl.spec import Serve

_EMAIL: Final = re.compile(r"[a-z0-9][a-z0-9-]*@([a-z0-9.-]+\.)?gserviceaccount\.com")


def check(serve: Serve) -> None:
    """All rules in order.

    Raises:
        Trouble: (usage) a name that is none, or wishes that contradict each other.
    """
    _account("--service-account", serve.service_account)
    _account("--build-service-account", serve.build_service_account)
    if serve.iam is False and serve.invokers:
        raise usage(
            "--invoker and --no-iam are both given",
            why="--invoker writes an IAM binding, and --no-iam says that none is written",
            remedy="keep one of them",
            code="flags-contradict",
        )


def _account(flag: str, email: str | None) -> None:
    if email is not None and not _EMAIL.fullmatch(email):
        raise usage(
            f"{flag} {email!r} is not a service account",
            why="it is an e-mail that ends in gserviceaccount.com",
            remedy="`gcloud iam service-accounts list` shows them; without the flag a dedicated one is made",
            code="service-account-illegal",
        )
