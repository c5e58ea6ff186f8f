"""The rules of accounts and keys that another hand made; each refusal names the way out. Knows no cloud."""

from __future__ import annotations

import re
from typing import Final

from gemmactl.errors import usage
from gemmactl.spec import Serve
from gemmactl.spec_parts import Handed, Keyed

_EMAIL: Final = re.compile(r"[a-z0-9][a-z0-9-]*@([a-z0-9.-]+\.)?gserviceaccount\.com")

_KEY: Final = re.compile(r"projects/[a-z0-9.:-]+/locations/(?P<location>[a-z0-9-]+)/keyRings/[\w-]{1,63}/cryptoKeys/[\w-]{1,63}")


def check(serve: Serve) -> None:
    """All rules in order.

    Raises:
        Trouble: (usage) a name that is none, or wishes that contradict each other.
    """
    accounts(serve)
    key(serve)
    if serve.iam is False and serve.invokers:
        raise usage(
            "--invoker and --no-iam are both given",
            why="--invoker writes an IAM binding, and --no-iam says that none is written",
            remedy="keep one of them",
            code="flags-contradict",
        )


def accounts(spec: Handed) -> None:
    """The rules of given accounts."""
    _account("--service-account", spec.service_account)
    _account("--build-service-account", spec.build_service_account)


def key(spec: Keyed) -> None:
    """The rule of a key of the customer's: it works in its own location alone."""
    found = _KEY.fullmatch(spec.kms_key) if spec.kms_key is not None else None
    if spec.kms_key is not None and (found is None or found["location"] != spec.region):
        raise usage(
            f"--kms-key {spec.kms_key!r} can't encrypt what is in {spec.region}",
            why="it is projects/P/locations/L/keyRings/R/cryptoKeys/K, and L is the region of the deployment"
            if found is None
            else f"the key is in {found['location']}: a key works in its own location alone",
            remedy=f"`gcloud kms keys list --location {spec.region} --keyring KEYRING` shows the keys there",
            code="kms-key-illegal",
        )


def _account(flag: str, email: str | None) -> None:
    if email is not None and not _EMAIL.fullmatch(email):
        raise usage(
            f"{flag} {email!r} is not a service account",
            why="it is an e-mail that ends in gserviceaccount.com",
            remedy="`gcloud iam service-accounts list` shows them; without the flag a dedicated one is made",
            code="service-account-illegal",
        )
