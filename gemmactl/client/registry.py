"""The digest that a tag has in a public container registry. Asks without credentials; knows no image and pulls none."""

from __future__ import annotations

import hashlib
import re
from typing import Final
from urllib.parse import urlencode, urlsplit

from gemmactl.client.wire import Reply, Wire
from gemmactl.errors import Trouble

# source: github.com/opencontainers/distribution-spec (pulling manifests) and distribution.github.io (tokens)
_KINDS: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
ACCEPT: Final = ", ".join(_KINDS)
SECONDS: Final = 5.0
_CHALLENGE: Final = re.compile(r'(\w+)="([^"]*)"')


def digest(wire: Wire, host: str, repository: str, tag: str) -> str | None:
    """`sha256:...` of the manifest that the tag names; None: the registry does not say.

    It is computed from the manifest itself: what the registry only claims is not taken.
    """
    url = f"https://{host}/v2/{repository}/manifests/{tag}"
    try:
        reply = wire.send("GET", url, {"Accept": ACCEPT}, None, SECONDS)
        if reply.status == 401 and (token := _token(wire, host, reply)):
            reply = wire.send("GET", url, {"Accept": ACCEPT, "Authorization": f"Bearer {token}"}, None, SECONDS)
    except Trouble:
        return None
    found = f"sha256:{hashlib.sha256(reply.body).hexdigest()}"
    return found if reply.status == 200 and reply.headers.get("docker-content-digest") == found else None


def _token(wire: Wire, host: str, refused: Reply) -> str:
    """A token for anybody, from the registry's own host alone."""
    challenge = refused.headers.get("www-authenticate", "")
    said = dict(_CHALLENGE.findall(challenge))
    realm = said.pop("realm", "")
    if not challenge.startswith("Bearer ") or urlsplit(realm)[:2] != ("https", host):
        return ""
    answer = wire.send("GET", f"{realm}?{urlencode(said)}", {}, None, SECONDS).json()
    return str(answer.get("token") or answer.get("access_token") or "") if isinstance(answer, dict) else ""
