"""Who may call a service, and the pages that a refused caller sees. Knows no port and no process.

The pages are a guess, after Cloud Run's own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from gemmactl.sandbox.world import World

Json = dict[str, Any]
Refusal = tuple[int, str, dict[str, str]]
_RESERVED: Final = re.compile(r".*z|/eventlog|/_ah(/.*)?")
"""Paths that never reach a container from outside: source: Cloud Run's pages and published logs."""

_ALL: Final = "INGRESS_TRAFFIC_ALL"
"""Every caller of the sandbox is outside of Google's network: any other ingress turns him away. guess: with the same 404 as what
is not there; Cloud Run's page on ingress says only that such requests cannot reach the service."""

LOGIN_CLIENTS: Final = frozenset(
    f"{client}.apps.googleusercontent.com" for client in ("32555940559", "764086051850-6qr4p6gpi6hn506pt8ejuq83di341hur")
)
"""Audiences of a person's own tokens: gcloud's login and application-default login. guess: Cloud Run takes the first (its docs
test private services with `gcloud auth print-identity-token`); whether it takes the second is not documented."""


def refusal_of(world: World, service: Json | None, headers: Any, path: str, address: str) -> Refusal | None:
    """Why the request does not reach a container, or None. `address` is the URL that was called, an audience too."""
    bare = path.partition("?")[0]
    if service is None or _RESERVED.fullmatch(bare) or service.get("ingress", _ALL) != _ALL:
        return NOT_FOUND
    if service.get("invokerIamDisabled"):
        return None
    token = headers.get("x-serverless-authorization") or headers.get("authorization") or ""
    kind, _, jwt = token.partition(" ")
    caller = ""
    if token:
        found = world.tokens.verify_identity(jwt.strip()) if kind.lower() == "bearer" else None
        audiences = {address, service.get("uri", ""), *service.get("urls", []), *service.get("customAudiences", [])}
        if found is not None and found[0].startswith("user:"):
            audiences |= LOGIN_CLIENTS
        if found is None or found[1] not in audiences:
            text = f"Your client does not have permission to the requested URL <code>{_safe(bare)}</code>."
            why = 'Bearer error="invalid_token" error_description="The access token could not be verified"'
            return 401, _page(401, "Unauthorized", text), {"WWW-Authenticate": why}
        caller = found[0]
    if world.iam.holds(caller, "run.routes.invoke", service["name"]):
        return None
    text = f"Your client does not have permission to get URL <code>{_safe(bare)}</code> from this server."
    return 403, _page(403, "Forbidden", text), {}


def _safe(path: str) -> str:
    return re.sub(r"[<>&\"']", "", path)


def _page(status: int, title: str, text: str) -> str:
    return (
        '<html><head>\n<meta http-equiv="content-type" content="text/html;charset=utf-8">\n'
        f"<title>{status} {title}</title>\n</head>\n<body text=#000000 bgcolor=#ffffff>\n<h1>Error: {title}</h1>\n"
        f"<h2>{text}</h2>\n<h2></h2>\n</body></html>\n"
    )


NOT_FOUND: Final[Refusal] = (404, _page(404, "Page not found", "The requested URL was not found on this server."), {})
