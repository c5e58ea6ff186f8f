"""The options of who may call a service and which way its requests go, each named and explained once. Knows no verb."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

_ACCESS = "Access and secrets"

Auth = Annotated[
    Literal["iam", "api-key", "public"] | None,
    typer.Option(
        "--auth",
        metavar="WHO",
        help="Who may call it. iam: members with roles/run.invoker. api-key: holders of a key of "
        "`gemmactl keys`. public: anybody. The last two are open to the internet: what that can cost at most is said, and asked. "
        "Default: iam.",
        rich_help_panel=_ACCESS,
    ),
]
Invoker = Annotated[
    list[str] | None,
    typer.Option(
        "--invoker",
        metavar="MEMBER",
        help="Grant roles/run.invoker on the service: user:EMAIL, group:EMAIL, serviceAccount:EMAIL, domain:NAME; again for "
        "more. Those who have it keep it.",
        rich_help_panel=_ACCESS,
    ),
]
Ingress = Annotated[
    Literal["all", "internal", "internal-and-cloud-load-balancing"] | None,
    typer.Option(
        "--ingress",
        metavar="FROM",
        help="From where it can be called: all, internal or internal-and-cloud-load-balancing. Default: as it is; all for a new "
        "service.",
        rich_help_panel=_ACCESS,
    ),
]
Network = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="VPC network that its requests may go through. Default: as it is, or none.", rich_help_panel=_ACCESS
    ),
]
Subnet = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Subnet of it, /26 or larger. Default: the network's name.", rich_help_panel=_ACCESS),
]
NetworkTags = Annotated[
    str | None, typer.Option(metavar="TAG,...", help="Network tags, for firewall rules.", rich_help_panel=_ACCESS)
]
VpcEgress = Annotated[
    Literal["all-traffic", "all", "private-ranges-only"] | None,
    typer.Option(
        "--vpc-egress",
        metavar="WHAT",
        help="What goes through the network: private-ranges-only, or all-traffic: Cloud Storage too, so that the subnet needs "
        "Private Google Access. Default: private-ranges-only.",
        rich_help_panel=_ACCESS,
    ),
]
BuildServiceAccount = Annotated[
    str | None,
    typer.Option(
        metavar="EMAIL",
        help="Account that builds the image. Default: one of its own that may write logs, read the build bucket and push to one "
        "repository.",
        rich_help_panel=_ACCESS,
    ),
]
KmsKey = Annotated[
    str | None,
    typer.Option(
        metavar="KEY",
        help="Encrypt with your own key, projects/P/locations/L/keyRings/R/cryptoKeys/K: repository, buckets, secret, "
        "revision. Default: keys of Google's, or what is there.",
        rich_help_panel=_ACCESS,
    ),
]
NoIam = Annotated[
    bool,
    typer.Option(
        "--no-iam",
        help="Make no account and no binding: they exist, made by another hand (plan --for-admin), and destroy leaves them. "
        "The service remembers it; --iam takes it back.",
        rich_help_panel=_ACCESS,
    ),
]
Iam = Annotated[bool, typer.Option("--iam", hidden=True)]
AllowUnauthenticated = Annotated[
    bool,
    typer.Option(
        "--allow-unauthenticated",
        help="gcloud's word for --auth public; --no-allow-unauthenticated is --auth iam.",
        rich_help_panel=_ACCESS,
    ),
]
NoAllowUnauthenticated = Annotated[bool, typer.Option("--no-allow-unauthenticated", hidden=True)]
