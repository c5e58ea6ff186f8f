"""What jobs.run may change for one execution. Pure; knows no permission."""

from __future__ import annotations

import copy
from typing import Any

from gemmactl.sandbox.wire import failed

Json = dict[str, Any]


def overridden(template: Json, overrides: Json) -> Json:
    """The job's template with `overrides` (RunJobRequest.Overrides as JSON): args replaced, env merged by name.

    Raises:
        ApiError: 400 for a container that the job has not.
    """
    out = copy.deepcopy(template)
    out |= {key: overrides[key] for key in ("taskCount",) if key in overrides}
    task = out["template"]
    task |= {key: overrides[key] for key in ("timeout",) if key in overrides}
    for wish in overrides.get("containerOverrides", []):
        container = _container(task["containers"], wish.get("name", ""))
        if wish.get("clearArgs"):
            container.pop("args", None)
        if wish.get("args"):
            container["args"] = wish["args"]
        named = {env["name"]: env for env in (*container.get("env", []), *wish.get("env", []))}
        if named:
            container["env"] = list(named.values())
    return out


def _container(containers: list[Json], name: str) -> Json:
    """By its name; the only one is meant whatever it is called. Source: an emulator's comparison with the API."""
    found = next((one for one in containers if one.get("name", "") == name), None)
    if found is None and len(containers) == 1:
        found = containers[0]
    if found is None:
        raise failed("INVALID_ARGUMENT", f"overrides.container_overrides: there is no container '{name}'.")  # guess
    return found
