"""Folders that deploys of a service uploaded and only its older revisions name. Knows no plan and removes nothing."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from gemmactl.errors import Trouble
from gemmactl.resources import names
from gemmactl.resources.mark import marked
from gemmactl.resources.stored_model import StoredModel, stored
from gemmactl.serving import adapting, find
from gemmactl.serving.listing import everywhere
from gemmactl.serving.place import Place
from gemmactl.spec import Model, Serve, parse_model
from inference_image.contract import ENV_ADAPTERS

_BY_CONTENT: Final = re.compile(r"[^/]+-[0-9a-f]{10}")
"""How an upload names its folder (stack.py): what a person put beside it is not called so."""


def older(place: Place, wish: Serve, known: Collection[str]) -> tuple[StoredModel, ...]:
    """Those in the bucket of ours, as far as revisions can be listed. `known`: addresses that are dealt with already."""
    bucket = names.bucket(wish.project, "models", wish.region)
    named = [one for one in _named(place, find.full_name(place, wish.name)) if _BY_CONTENT.fullmatch(one.prefix)]
    found = tuple(one for one in stored(bucket, named) if one.address not in known)
    return found if found and _ours(place, bucket) else ()


def held_by_others(place: Place, wish: Serve, mine: Collection[StoredModel]) -> dict[str, str]:
    """Address of a folder, and of its bucket -> which other service has a revision, maybe an old one, that starts from it.

    A rollback of that service may come back to it.
    """
    keep: dict[str, str] = {}
    for region, services in everywhere(place).services.items() if mine else ():
        for live in services:
            name = find.short(live)
            if (region, name) == (wish.region, wish.name):
                continue
            theirs = {f"model {one.uri}" for one in _named(place, str(live["name"]))}
            for one in mine:
                if one.address in theirs:
                    keep |= dict.fromkeys((one.address, f"bucket {one.bucket}"), f"a revision of service {name} uses it")
    return keep


def _named(place: Place, service: str) -> tuple[Model, ...]:
    """Models and adapters that the revisions of a service name."""
    try:
        revisions = place.cloud.run.revisions(service)
    except Trouble:
        return ()
    found: list[Model] = []
    for shaped in ({"template": one} for one in revisions):
        uri = find.model_of(shaped)
        found += [parse_model(uri)] if uri.startswith("gs://") else []
        found += [model for _, model in adapting.remembered(find.variable(shaped, ENV_ADAPTERS))]
    return tuple(dict.fromkeys(found))


def _ours(place: Place, bucket: str) -> bool:
    try:
        info = place.cloud.storage.bucket(bucket)
    except Trouble:
        return False
    return info is not None and marked(info.labels)
