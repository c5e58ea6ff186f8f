"""The revisions of a service: what each runs, which weights it names, what reaches it. Pure."""

from __future__ import annotations

from typing import Any

from gemmactl import vllm
from gemmactl.result import Table
from gemmactl.serving import find, guarding, pinning
from gemmactl.serving.find import Json
from gemmactl.serving.listing import traffic
from inference_image.contract import ENV_MODEL, ENV_PIN

SHOWN = 10
"""Rows for people: the newest, and whatever gets requests. Machines get all."""


def documents(live: Json, revisions: tuple[Json, ...]) -> list[dict[str, Any]]:
    """One for each revision, the newest first."""
    shares: dict[str, int] = {}
    tags: dict[str, list[str]] = {}
    for revision, percent, tag in traffic(live):
        shares[revision] = shares.get(revision, 0) + percent
        tags.setdefault(revision, []).extend([tag] if tag else [])
    return [_document(one, shares, tags) for one in revisions]


def table(found: list[dict[str, Any]]) -> Table:
    """The same for people; digests as short as they stay useful."""
    columns = ("REVISION", "TRAFFIC", "TAG", "STATE", "CREATED", "IMAGE", "PIN", "MODEL")
    shown = [one for at, one in enumerate(found) if at < SHOWN or one["percent"] or one["tags"]]
    left = len(found) - len(shown)
    title = "revisions" if not left else f"revisions ({left} older ones without traffic are left out; --format json has all)"
    return Table(columns, tuple(_row(one) for one in shown), title)


def _document(revision: Json, shares: dict[str, int], tags: dict[str, list[str]]) -> dict[str, Any]:
    name = find.tail(revision.get("name", ""))
    box: Json = next(iter(revision.get("containers", ())), {})
    image = str(box.get("image", ""))
    env = {str(e.get("name")): str(e.get("value", "")) for e in box.get("env", ())}
    ready: Json = next((c for c in revision.get("conditions", ()) if c.get("type") == "Ready"), {})
    return {
        "revision": name,
        "created": str(revision.get("createTime", "")),
        "ready": ready.get("state") == "CONDITION_SUCCEEDED",
        "message": str(ready.get("message", "")),
        "percent": shares.get(name, 0),
        "tags": tags.get(name, []),
        "engine": "vllm" if vllm.runs(box) else "gemmactl",
        "image": image,
        "digest": image.partition("@")[2],
        "model": env.get(ENV_MODEL, ""),
        "pin": pinning.digest(env.get(ENV_PIN, "")),
        "asks_for_keys": bool(guarding.asking((revision,))),
    }


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    image = str(one["digest"])[:19] or str(one["image"]).rpartition("/")[2]
    return (
        str(one["revision"]),
        f"{one['percent']} %" if one["percent"] else "-",
        ", ".join(one["tags"]) or "-",
        "ready" if one["ready"] else "not ready",
        f"{str(one['created'])[:16]}Z" if one["created"] else "-",
        image or "-",
        str(one["pin"])[:12] or "-",
        str(one["model"]) or "-",
    )
