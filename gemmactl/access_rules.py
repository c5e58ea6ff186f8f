"""Who may call a service and which way its requests go: the grammar of the flags and the rules between them. Knows no cloud."""

from __future__ import annotations

import re
from typing import Final, TypeVar, get_args

from gemmactl.errors import Trouble, usage
from gemmactl.spec import Auth, Egress, Ingress, Serve
from gemmactl.spec_parts import Networked
from inference_image.contract import ENV_KEYS, ROUTE_HEALTH, ROUTE_READY

T = TypeVar("T", bound=str)
_AUTH: Final[tuple[Auth, ...]] = get_args(Auth)
_INGRESS: Final[tuple[Ingress, ...]] = get_args(Ingress)
_EGRESS: Final[tuple[Egress, ...]] = get_args(Egress)

# Google's page "Principal identifiers": those that a policy of a service takes
_EMAIL: Final = r"[^@\s,:]+@[^@\s,:]+\.[^@\s,:]+"
_MEMBER: Final = re.compile(
    rf"(?:user|group|serviceAccount):{_EMAIL}|domain:[a-z0-9-]+(?:\.[a-z0-9-]+)+"
    r"|principal(?:Set)?://(?:iam|cloudresourcemanager)\.googleapis\.com/[^\s,]+"
)
_EVERYBODY: Final = frozenset({"allUsers", "allAuthenticatedUsers"})

# source: the proto of Subnetwork and Network, a name as RFC 1035 has it; or the path of one, which may be another project's
_NAME: Final = r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?"
_NETWORK: Final = re.compile(rf"(?:projects/[a-z0-9.:-]+/global/networks/)?{_NAME}")
_SUBNET: Final = re.compile(rf"(?:projects/[a-z0-9.:-]+/regions/[a-z0-9-]+/subnetworks/)?{_NAME}")

OWN_SERVER: Final = "say --engine gemmactl, where gemmactl's own server reads the model"
"""The way out of what vLLM can't do. Never "leave --engine out": for some models vLLM is what a deploy then takes."""


def auth(text: str) -> Auth:
    """--auth."""
    return _one(text, _AUTH)


def ingress(text: str) -> Ingress:
    """--ingress."""
    return _one(text, _INGRESS)


def egress(text: str) -> Egress:
    """--vpc-egress; `all` is gcloud's older word for all-traffic."""
    return _one("all-traffic" if text == "all" else text, _EGRESS)


def words(text: str) -> tuple[str, ...]:
    """Texts with commas between, each once."""
    return tuple(dict.fromkeys(filter(None, map(str.strip, text.split(",")))))


def member(text: str) -> str:
    """A member as a policy holds it: IAM reads addresses in any case and gives them back in lower case; principals keep theirs.

    Source: normalizeIamMemberCasing of Terraform's google provider.
    """
    kind, colon, name = text.partition(":")
    return f"{kind}{colon}{name.lower()}" if kind in ("user", "group", "serviceAccount", "domain") else text


def _one(text: str, known: tuple[T, ...]) -> T:
    for word in known:
        if word == text:
            return word
    raise ValueError(" or ".join(known))


def check(serve: Serve) -> None:
    """The rules between who may call and what answers, and those of the way out.

    Raises:
        Trouble: (usage) a wish that Cloud Run would reject, or that would not keep what it says.
    """
    for member in serve.invokers:
        _member(member)
    if serve.invokers and serve.open:
        raise usage(
            f"--invoker says nothing with --auth {serve.auth}",
            why="it grants roles/run.invoker, and with this --auth Cloud Run asks nobody for it",
            remedy="leave out --invoker, or choose --auth iam",
            code="invoker-with-open",
        )
    if ENV_KEYS in dict(serve.env):
        raise usage(
            f"the variable {ENV_KEYS} is --auth's own",
            why="--auth api-key mounts the keys' secret and sets it",
            remedy=f"say --auth api-key, and leave {ENV_KEYS} out of --set-env-vars",
            code="env-twice",
        )
    if serve.auth == "api-key":
        _keys(serve)
    network(serve)


def _member(text: str) -> None:
    if text in _EVERYBODY:
        raise usage(
            f"--invoker {text} is not taken",
            why="it opens the service to everybody, which many organisations forbid in policies, and which no plan should hide",
            remedy="say --auth public; or --auth api-key, where callers need a key",
            code="invoker-everybody",
        )
    if not _MEMBER.fullmatch(text):
        guess = f"serviceAccount:{text}" if text.endswith(".gserviceaccount.com") else f"user:{text}"
        raise usage(
            f"--invoker {text!r} is not an IAM member",
            why="it is user:EMAIL, group:EMAIL, serviceAccount:EMAIL, domain:NAME, or principal:// and principalSet:// of a pool",
            remedy=f"write --invoker {guess}" if re.fullmatch(_EMAIL, text) else "for example --invoker group:team@example.com",
            code="invoker-illegal",
        )


def _keys(serve: Serve) -> None:
    if serve.engine == "vllm":
        # source: vllm-project/vllm, vllm/entrypoints/openai/server_utils.py, AuthenticationMiddleware at 029329a: a request
        # whose path doesn't start with /v1 is let through, so are OPTIONS
        raise usage(
            "--auth api-key can't go with vLLM",
            why="vLLM's own key guards the paths under /v1 alone: /tokenize, /metrics and the others would be open to everybody",
            remedy=f"keep --auth iam and name callers with --invoker, or {OWN_SERVER}",
            code="api-key-with-vllm",
        )
    path = serve.probe.path
    if path is not None and path not in (ROUTE_READY, ROUTE_HEALTH):
        raise usage(
            f"the startup probe's path {path} would be refused: --auth api-key asks for a key there",
            why=f"Cloud Run's probe has none; only {ROUTE_HEALTH} answers without one",
            remedy=f"use httpGet.path={ROUTE_READY}: it is asked for in a way that needs no key",
            code="probe-needs-key",
        )


def network(serve: Networked) -> None:
    """The rules of the way out.

    Raises:
        Trouble: (usage) a name that is none, or a part of a network without one.
    """
    for flag, value, form in (("--network", serve.network, _NETWORK), ("--subnet", serve.subnet, _SUBNET)):
        if value is not None and not form.fullmatch(value):
            raise _unreachable(f"{flag} {value!r} is not a name", "a name has 1 to 63 lower-case letters, digits and hyphens")
    if serve.network is None and serve.subnet is None and (serve.vpc_egress or serve.network_tags):
        flag = "--vpc-egress" if serve.vpc_egress else "--network-tags"
        raise _unreachable(f"{flag} has no network", "neither --network nor --subnet names the VPC that it is about")
    if odd := [tag for tag in serve.network_tags if not re.fullmatch(_NAME, tag)]:
        raise _unreachable(f"--network-tags {odd[0]!r} is not a tag", "a tag has 1 to 63 lower-case letters, digits and hyphens")


def _unreachable(what: str, why: str) -> Trouble:
    return usage(
        what,
        why=why,
        remedy="for example --network default --subnet default --vpc-egress all-traffic",
        code="network-illegal",
    )
