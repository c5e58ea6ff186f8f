"""The file of a service's API keys in Secret Manager: read, and changed so that two hands at once lose nothing. Knows no screen.

Secret Manager adds versions without a condition, but changes a secret's labels only under the etag that was read. So a label
names the version that counts: a change is read from that one, written as a new version, and counts from the moment in which the
label moves on. Who finds the label moved by somebody else begins again, and his version goes. Versions are read by number, which
is consistent at once; `latest`, by which containers read, may lag (its page on consistency: minutes as a rule, no promise).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from gemmactl.errors import Trouble
from gemmactl.kernel.resource import Clock
from gemmactl.resources import names
from gemmactl.serving import find
from gemmactl.serving.find import Json
from gemmactl.serving.place import Place
from inference_image import api_keys
from inference_image.api_keys import ApiKey

if TYPE_CHECKING:
    from gemmactl.resources.cloud import Cloud

COUNTS: Final = "gemmactl-keys-version"
"""Label of the secret: the number of the version that counts."""
FIRST: Final = "1"
TRIES: Final = 8
Keys = tuple[ApiKey, ...]
Change = Callable[[Keys], Keys]


def secret_of(place: Place, live: Json) -> str:
    """Full name of the secret that a live service reads; where it mounts none yet, of the one that a deploy makes for it."""
    name = find.keys_secret(live) or names.keys_secret(find.short(live), place.region.text)
    return names.secret(place.id, name)[0]


def read(cloud: Cloud, secret: str) -> Keys:
    """The keys as they are.

    Raises:
        Trouble: the secret is not there, or holds something else.
    """
    for attempt in range(TRIES):
        _, version = _counting(cloud, secret, attempt)
        if (keys := _keys(cloud, secret, version)) is not None:
            return keys
    raise _busy(secret)


def change(cloud: Cloud, secret: str, edit: Change, clock: Clock | None = None) -> Keys:
    """The keys after `edit`, which may be called more than once; expired ones go on the way.

    Raises:
        Trouble: what `edit` raises; the secret is not there; others write all the time.
    """
    clock = clock or Clock()
    lost: list[str] = []
    refused: Trouble | None = None
    for attempt in range(TRIES):
        if attempt:
            clock.sleep(min(4.0, 0.3 * 2**attempt) * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, not a secret
        label, version = _counting(cloud, secret, attempt)
        before = _keys(cloud, secret, version)
        if before is None:
            continue
        try:
            after = edit(before)
        except Trouble as trouble:
            if not lost:
                raise
            # containers read the lost version as `latest`: what counts is written over it, unchanged
            refused, after = trouble, before
        made = cloud.secrets.add_version(secret, api_keys.written(after))
        if cloud.secrets.relabel(secret, COUNTS, label, made):
            for old in (*lost, *([version] if version else ())):
                # what is revoked shall not lie about, and each version costs; but the change is made, whoever may not destroy
                with suppress(Trouble):
                    cloud.secrets.destroy_version(secret, old)
            if refused is not None:
                raise refused
            return after
        # destroyed only later: until the next one is there, containers read this one as `latest`
        lost.append(made)
    raise refused or _busy(secret)


def _counting(cloud: Cloud, secret: str, attempt: int) -> tuple[str | None, str | None]:
    """(the label, the version that counts): before the first change it is the one that the secret was made with.

    Where that one stays away, somebody took it by hand, and a deploy filled the secret anew: then it is the newest that is there.
    """
    labels = cloud.secrets.get(secret)
    if labels is None:
        raise Trouble(
            f"there is no secret {secret.rpartition('/')[2]}",
            why="a deploy with --auth api-key makes it; somebody removed it since, or the deploy did not come to its end",
            remedy="run the same `gemmactl deploy` again",
            code="keys-missing",
        )
    label = labels.get(COUNTS)
    return label, (label or FIRST) if attempt < TRIES // 2 else cloud.secrets.newest_version(secret)


def _keys(cloud: Cloud, secret: str, version: str | None) -> Keys | None:
    """None: somebody has moved on from that version meanwhile."""
    if version is None:
        return ()
    try:
        data = cloud.secrets.read(secret, version)
    except Trouble as trouble:
        if trouble.facts.get("status") == 400:  # destroyed
            return None
        raise
    if data is None:
        return None
    try:
        return api_keys.read(data)
    except ValueError as error:
        raise Trouble(
            f"version {version} of secret {secret.rpartition('/')[2]} holds no API keys",
            why=str(error),
            remedy="destroy the service's secret and deploy again; its keys are lost",
            code="keys-unreadable",
            facts={"secret": secret, "version": version},
        ) from None


def _busy(secret: str) -> Trouble:
    return Trouble(
        f"secret {secret.rpartition('/')[2]} changes all the time",
        why=f"{TRIES} times somebody else was faster, or the version that its label names is destroyed",
        remedy="run the same command again in a minute",
        code="keys-busy",
    )
