"""`sandbox status|stop|reset`: the pretended cloud's process and state as a user sees them. Knows no API of it."""

from __future__ import annotations

from gemmactl.errors import Trouble
from gemmactl.result import Facts, Line, Result
from gemmactl.voice import Voice

USE = "gemmactl deploy MODEL --project @sandbox"


def status(voice: Voice) -> Result:
    """Whether it runs and where its state is; starts nothing."""
    from gemmactl.sandbox import daemon

    voice.aim("sandbox")
    home, found = daemon.default_home(), daemon.status()
    rows = [("state", str(home)), ("running", "yes" if found else "no")]
    rows += [(str(key), str(value)) for key, value in (found or {}).items() if key in ("base_url", "pid", "build")]
    data = {"running": bool(found), "home": str(home), "daemon": found or {}}
    return Result("sandbox status", data, (Facts(tuple(rows)),), () if found else (USE,), "sandbox")


def stop(voice: Voice) -> Result:
    """End its processes; deployed services are there again with the next command."""
    from gemmactl.sandbox import daemon

    voice.aim("sandbox")
    stopped = daemon.stop()
    line = (
        "stopped; the next command with --project @sandbox starts it again, with its state" if stopped else "it was not running"
    )
    return Result("sandbox stop", {"stopped": stopped}, (Line(line),), (), "sandbox")


def reset(voice: Voice, *, yes: bool) -> Result:
    """Forget everything that was made in it."""
    from gemmactl.sandbox import daemon

    voice.aim("sandbox")
    home = daemon.default_home()
    if not yes and home.exists() and not voice.confirm(f"Remove everything in {home}?", flag="--yes"):
        raise Trouble(
            "nothing was removed", why="it was not confirmed", remedy="run it again when you are sure", code="not-confirmed"
        )
    daemon.reset()
    return Result("sandbox reset", {"home": str(home)}, (Line(f"{home} is empty"),), (), "sandbox")
