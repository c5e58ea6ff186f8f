"""stop and start: no instance at all, or as many as requests need. Neither removes anything, neither makes a revision."""

from __future__ import annotations

import json
from typing import Any, Final

from gemmactl.resources.service_state import stopped
from gemmactl.result import Facts, Line, Result
from gemmactl.serving import find, steering
from gemmactl.serving.find import Json
from gemmactl.serving.place import Place
from gemmactl.settings import Settings
from gemmactl.voice import Voice

KEPT: Final = "gemmactl/scaling"
"""Annotation: the service's own limits before it was stopped. Source: switching to manual scaling unsets them (Cloud Run's
page on manual scaling)."""
LIMITS: Final = ("minInstanceCount", "maxInstanceCount")


def stop(place: Place, settings: Settings, name: str | None, voice: Voice) -> Result:
    """End all instances and start none, whatever requests come: manual scaling to 0. Nothing is removed."""
    live = steering.ours(place, settings, name)
    short = find.short(live)
    data: dict[str, Any] = {**place.document(), "service": short, "stopped": True}
    again = f"gemmactl start {short} {place.flags}"
    if stopped(live):
        said = Line(f"{short} is stopped already", "good")
        return Result("stop", {**data, "changed": False}, (said,), (again,), place.target)
    steering.change(place, voice, live, _down)
    rows = (
        ("service", short),
        ("state", "stopped: no instance runs, none starts, requests are refused"),
        ("kept", "revisions, traffic, settings, address, model; nothing is billed for it but what is stored"),
    )
    return Result("stop", {**data, "changed": True}, (Facts(rows),), (again,), place.target)


def start(place: Place, settings: Settings, name: str | None, voice: Voice) -> Result:
    """Let requests start instances again, within the limits that were there before."""
    live = steering.ours(place, settings, name)
    short = find.short(live)
    data: dict[str, Any] = {**place.document(), "service": short, "stopped": False}
    follow = (f'gemmactl generate "Good morning." --type translation --name {short} {place.flags}',)
    if not stopped(live):
        said = Line(f"{short} is not stopped: a request starts an instance", "good")
        return Result("start", {**data, "changed": False}, (said,), follow, place.target)
    steering.change(place, voice, live, _up)
    kept = _least(live)
    billed = f"started: {kept} instance{'s' * (kept > 1)} from now on, asked or not, and billed; stop ends that"
    state = billed if kept else "started: the next request wakes it"
    rows = (("service", short), ("state", state), ("url", str(live.get("uri", ""))))
    return Result("start", {**data, "changed": True, "min_instances": kept}, (Facts(rows),), follow, place.target)


def _least(live: Json) -> int:
    """Instances that a started service never goes below: its own minimum, as it was noted, or its revision's."""
    own = _limits(live.get("annotations", {}).get(KEPT, "")).get("minInstanceCount", 0)
    return max(own, int(live.get("template", {}).get("scaling", {}).get("minInstanceCount", 0)))


def _down(live: Json) -> Json:
    if stopped(live):
        return {}
    limits = {key: live["scaling"][key] for key in LIMITS if live.get("scaling", {}).get(key)}
    note = {KEPT: json.dumps(limits, sort_keys=True)} if limits else {}
    return {
        "scaling": {"scalingMode": "MANUAL", "manualInstanceCount": 0},
        **({"annotations": {**live.get("annotations", {}), **note}} if note else {}),
    }


def _up(live: Json) -> Json:
    if not stopped(live):
        return {}
    notes = dict(live.get("annotations", {}))
    kept = notes.pop(KEPT, "")
    return {"scaling": {"scalingMode": "AUTOMATIC", **_limits(kept)}, **({"annotations": notes} if kept else {})}


def _limits(text: str) -> dict[str, int]:
    """The limits as they were noted; what somebody else wrote there is no limit."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return {key: found[key] for key in LIMITS if isinstance(found, dict) and isinstance(found.get(key), int)}
