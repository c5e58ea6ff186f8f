"""The sandbox's process as commands see it: ensure, status, stop, reset. Knows no API; imports no Google client.

`daemon.lock` is held by the daemon as long as it lives, so a stale pid file can't deceive: a lock dies with its process.
`start.lock` makes two commands that start at once start one daemon.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import IO, Any, Final

from gemmactl import __version__
from gemmactl.errors import Trouble
from gemmactl.sandbox.endpoint import YOU, Endpoint
from gemmactl.sandbox.store import private_folder

START_LIMIT: Final = 30.0
STOP_LIMIT: Final = 15.0
"""Seconds until a daemon that was asked to stop is killed: its instances have 10 s for themselves."""

MARK: Final = "gemmactl-sandbox"
"""File that says: this folder is a sandbox's and may be deleted."""


def default_home() -> Path:
    """GEMMACTL_SANDBOX_HOME, else the user's state folder."""
    given = os.environ.get("GEMMACTL_SANDBOX_HOME")
    if given:
        return Path(given).expanduser().absolute()
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "gemmactl" / "sandbox"


@cache
def build() -> str:
    """Version and a hash over this room's files: a daemon of other code is replaced."""
    folder = Path(__file__).parent
    digest = hashlib.sha256()
    for file in sorted([*folder.rglob("*.py"), *folder.rglob("*.json")]):
        digest.update(str(file.relative_to(folder)).encode() + b"\0" + file.read_bytes())
    return f"{__version__}+{digest.hexdigest()[:12]}"


def ensure(home: Path | None = None) -> Endpoint:
    """A running sandbox of this very code, started if need be.

    Raises:
        Trouble: it does not start; the end of its log is in `why`.
    """
    place = (home or default_home()).absolute()
    found = _answering(place)
    if found and found[1]["build"] == build():
        return found[0]
    _own(place)
    with _starting(place):
        found = _answering(place)
        if found and found[1]["build"] == build():
            return found[0]
        if _holder(place) is not None:
            _end(place)
        return _start(place)


def status(home: Path | None = None) -> dict[str, Any] | None:
    """What the running daemon says of itself; None when none runs."""
    found = _answering((home or default_home()).absolute())
    return found[1] if found else None


def stop(home: Path | None = None) -> bool:
    """End the daemon; its state stays. False when none ran."""
    place = (home or default_home()).absolute()
    if not (place / MARK).exists():
        return False
    with _starting(place):
        if _holder(place) is None:
            return False
        _end(place)
        return True


def reset(home: Path | None = None) -> None:
    """End the daemon and forget everything.

    Raises:
        Trouble: the folder is not a sandbox's.
    """
    place = (home or default_home()).absolute()
    if not place.exists():
        return
    if not (place / MARK).exists():
        raise Trouble(
            f"{place} is not deleted",
            why=f"it has no file {MARK}, so it is not a sandbox's folder",
            remedy="set GEMMACTL_SANDBOX_HOME to the sandbox's folder, or delete it yourself",
            code="sandbox-home",
        )
    with _starting(place) as lock:
        if _holder(place) is not None:
            _end(place)
        for entry in place.iterdir():
            # the lock and the mark stay: whoever waits for the lock must find it where it was
            if entry.name in (Path(lock.name).name, MARK):
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink(missing_ok=True)


def hold(home: Path) -> IO[str] | None:
    """The daemon's own lock, held until the file is closed; None when another daemon lives. Called by the daemon alone."""
    _own(home)
    lock = (home / "daemon.lock").open("a+", encoding="utf-8")
    end = time.monotonic() + 0.5
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            # somebody who looks whether a daemon lives holds it for a moment
            if time.monotonic() > end:
                lock.close()
                return None
            time.sleep(0.01)
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def announce(home: Path, base_url: str) -> None:
    """Write where the daemon answers; the last thing before it does."""
    scratch = home / "daemon.json.new"
    scratch.write_text(json.dumps({"pid": os.getpid(), "base_url": base_url, "build": build()}))
    scratch.replace(home / "daemon.json")


def announced(home: Path) -> dict[str, Any]:
    """What the last daemon announced; {} when nothing readable is there."""
    try:
        document = json.loads((home / "daemon.json").read_text())
    except (OSError, ValueError):
        return {}
    good = isinstance(document, dict) and re.fullmatch(r"http://127\.0\.0\.1:\d{1,5}", str(document.get("base_url")))
    return document if good else {}


def _own(home: Path) -> None:
    """Make the folder the sandbox's.

    Raises:
        Trouble: it holds something else, which `reset` would delete.
    """
    mark = home / MARK
    try:
        if home.exists() and not mark.exists() and any(home.iterdir()):
            raise _not_a_home(home, "the folder is not empty and is not a sandbox's")
        private_folder(home)
        if not mark.exists():
            mark.write_text("The state of `gemmactl --project @sandbox`. `gemmactl sandbox reset` deletes it.\n")
    except OSError as error:
        raise _not_a_home(home, f"it can't be a folder of yours: {error.strerror or error}") from None


def _not_a_home(home: Path, why: str) -> Trouble:
    return Trouble(
        f"{home} is not used for the sandbox",
        why=why,
        remedy="set GEMMACTL_SANDBOX_HOME to a folder that is empty or does not exist",
        code="sandbox-home",
    )


def _answering(home: Path) -> tuple[Endpoint, dict[str, Any]] | None:
    """The daemon that answers with this home's secret, and its status."""
    said = announced(home)
    secret = home / "secret"
    # a dead daemon's port may be a stranger's by now, who must not be shown a token
    if not said or not secret.exists() or said.get("pid") != _holder(home):
        return None
    caller = os.environ.get("GEMMACTL_SANDBOX_AS") or YOU
    blank = Endpoint(said["base_url"], "", "", caller, secret.read_bytes())
    try:
        now = blank.status()
    except (OSError, ValueError, Trouble):
        return None
    if now.get("home") != str(home):
        return None
    return Endpoint(now["base_url"], now["project"], now["number"], caller, blank.secret), now


def _holder(home: Path) -> int | None:
    """Pid of the daemon that lives, whether it answers or not: the lock's holder wrote it into the lock."""
    try:
        with (home / "daemon.lock").open("r", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(lock.read() or 0)
    except FileNotFoundError:
        return None
    return None


def _end(home: Path) -> None:
    """Ask it to end, wait, and kill it when it does not."""
    pid = _holder(home)
    for send, limit in ((signal.SIGTERM, STOP_LIMIT), (signal.SIGKILL, 5.0)):
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, send)
        end = time.monotonic() + limit
        while time.monotonic() < end:
            if _holder(home) is None:
                return
            time.sleep(0.02)
    raise Trouble(
        "the sandbox does not end",
        why=f"process {pid} still holds {home / 'daemon.lock'}",
        remedy=f"end process {pid} and try again",
        code="sandbox-stuck",
    )


def _start(home: Path) -> Endpoint:
    log = (home / "daemon.log").open("ab")
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONSTARTUP", "PYTHONINSPECT")}
    # the checkout or site-packages that this command runs from, wherever the user stands
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]))
    with log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "gemmactl.sandbox", "--home", str(home)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=home,
            env=environment,
            start_new_session=True,
        )
    end = time.monotonic() + START_LIMIT
    while time.monotonic() < end:
        found = _answering(home)
        if found and found[1]["build"] == build():
            return found[0]
        # 3: another one was a moment earlier, and is about to answer
        if process.poll() not in (None, 3):
            break
        time.sleep(0.02)
    code = process.poll()
    raise Trouble(
        "the sandbox did not start",
        why=(f"its process ended with code {code}" if code is not None else f"no answer in {START_LIMIT:.0f} s") + _tail(home),
        remedy=f"read {home / 'daemon.log'}; `gemmactl sandbox reset` starts with an empty one",
        code="sandbox-start",
    )


def _tail(home: Path) -> str:
    lines = (home / "daemon.log").read_text(errors="replace").splitlines()[-3:]
    return "; " + " | ".join(lines) if lines else ""


@contextlib.contextmanager
def _starting(home: Path) -> Iterator[IO[str]]:
    """Only one command at a time starts, stops or resets."""
    with (home / "start.lock").open("a+", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
