"""The API key that a smoke test goes with, and the proof that a service asks for one at all. Knows no prompt and no plan."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from gemmactl.client.generate import Service, credentials, refusal
from gemmactl.errors import Exit, Trouble
from gemmactl.serving import key_store
from gemmactl.serving.find import Json
from gemmactl.serving.place import Place
from inference_image import api_keys
from inference_image.contract import ROUTE_VERSION, RequestCode

LABEL: Final = "smoke test of a deploy"
LIFE: Final = dt.timedelta(minutes=15)
"""What is left of a deploy that was killed opens nothing for longer."""
PATIENCE: Final = 120.0
"""Seconds in which instances may not know the key yet: Secret Manager promises no time."""


@contextmanager
def lent(place: Place, live: Json) -> Iterator[str]:
    """A key for one test: made for it, revoked after it, over by itself if nobody comes to that.

    Who may not change the keys goes with his own, GEMMACTL_API_KEY.
    """
    now = dt.datetime.now(dt.UTC)
    secret = key_store.secret_of(place, live)
    key = api_keys.fresh()
    row = api_keys.of(key, label=LABEL, created=f"{now:%Y-%m-%dT%H:%M:%SZ}", expires=f"{now + LIFE:%Y-%m-%dT%H:%M:%SZ}")
    try:
        key_store.change(place.cloud, secret, lambda keys: (*(k for k in keys if not k.over(now)), row))
    except Trouble as trouble:
        if trouble.facts.get("status") != 403 or not place.api_key:
            raise
        yield place.api_key
        return
    try:
        yield key
    finally:
        with suppress(Trouble):
            key_store.change(place.cloud, secret, lambda keys: tuple(k for k in keys if k.id != row.id))


def require_asked(service: Service) -> None:
    """See that a request without a key is refused: an image of a stranger, or an old one of ours, would answer anybody.

    Raises:
        Trouble: (gate) it answers, or not as a server of ours does.
    """
    headers = credentials(service, keyless=True)
    reply = service.wire.send("GET", service.url.rstrip("/") + ROUTE_VERSION, headers, None, 60.0)
    trouble = refusal(service, reply, ROUTE_VERSION)
    if reply.status == 401 and trouble.facts.get("refused") == RequestCode.API_KEY_MISSING:
        return
    if reply.status < 400:
        trouble = Trouble(
            f"{service.name} answers without an API key",
            why="its image does not know --auth api-key: it is not gemmactl's own, or one of an earlier version",
            remedy="leave out --image, or name one that this version of gemmactl built",
            code="key-not-asked",
            facts={"status": reply.status},
        )
    trouble.exit = Exit.GATE
    trouble.facts["gate"] = "smoke"
    raise trouble
