"""One container instance as processes of this machine: environment, run folder, output, end. Knows no probe and no request.

What a real container has and this has not: a file system of its own (paths of the image are mapped in argv and PYTHONPATH only),
the USER of the Dockerfile, a memory limit.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Final

from gemmactl.sandbox.assembling import inside
from gemmactl.sandbox.container_logs import Entry, pump
from gemmactl.sandbox.metadata import Identity, MetadataServer
from gemmactl.sandbox.recipes import Recipe
from gemmactl.sandbox.secret_volumes import Pipe

GRACE: Final = 10.0
"""Seconds between SIGTERM and SIGKILL, as on Cloud Run."""
_HERE: Final = Path(__file__).parent
_OF_THIS_MACHINE: Final = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LD_PRELOAD", "HOME", "TMPDIR", "VIRTUAL_ENV")
"""Names whose value in an image speaks of paths that only the image has."""
_OF_THE_NETWORK: Final = ("HTTPS_PROXY", "https_proxy", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE", "HF_ENDPOINT")
"""How this machine reaches the outside; a container on Cloud Run reaches it too."""


class NothingToStart(Exception):  # noqa: N818 - what is wrong with the image
    """The image names no program."""


class Instance:
    """A started container. `exited` is set as soon as its process is gone."""

    def __init__(
        self, recipe: Recipe, folder: Path, identity: Identity, write: Callable[[str, Entry, str], None], grace: float = GRACE
    ) -> None:
        self.id = uuid.uuid4().hex
        self.exited = threading.Event()
        self.exit_code: int | None = None
        """128 + n when signal n has ended it."""
        self.term_signal = 0
        """The signal that has ended it; 0: it exited by itself."""
        self.stopping = False
        self._grace = grace
        self._folder = folder / self.id
        argv = recipe.argv()
        if not argv:
            raise NothingToStart
        self.port = _free_port()
        root = self._folder / "root"
        # a copy, because a container's file system is its own and is gone with it
        shutil.copytree(recipe.image_root, root, symlinks=True)
        (self._folder / "tmp").mkdir()
        (self._folder / "home").mkdir()
        for fill in recipe.folders:
            fill(root)
        argv = [_mapped(root, word) for word in argv]
        work = inside(root, recipe.config.get("workdir") or "/")
        work.mkdir(parents=True, exist_ok=True)
        self._pipes = [Pipe(inside(root, path), value) for path, value in recipe.files.items()]
        self._metadata = MetadataServer(identity)
        environment = self._environment(recipe, root, work)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_HERE / "warden.py"), str(grace), *argv],
                cwd=work,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError:
            self._metadata.close()
            self._unmount()
            raise
        self._pumps = [
            _thread(_pump, stream, name, write)
            for name, stream in (("stdout", self._process.stdout), ("stderr", self._process.stderr))
        ]
        _thread(self._wait, write)

    @property
    def pid(self) -> int:
        """Of the warden; its only child is the container."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        return not self.exited.is_set() and not self.stopping

    def stop(self) -> None:
        """SIGTERM, SIGKILL after the grace time, and wait until it is over."""
        self.stopping = True
        if self._process.stdin:
            with contextlib.suppress(OSError):  # it was gone already
                self._process.stdin.close()
        self.exited.wait(self._grace + 5)

    def kill(self) -> None:
        """SIGKILL at once to all of its processes, as when the machine below it goes away. Does not wait."""
        if self._process.stdin:
            with contextlib.suppress(OSError, ValueError):  # it was gone already, or is being stopped
                self._process.stdin.write(b"k")
                self._process.stdin.flush()

    def _wait(self, write: Callable[[str, Entry, str], None]) -> None:
        status = self._process.wait()
        self.term_signal = max(-status, 0)
        code = 128 - status if status < 0 else status
        for reader in self._pumps:
            reader.join(timeout=5)  # its last line is the reason: it must be in the log before anybody looks
        if not self.stopping:
            # source: corpus run-005; of a signal: published logs of OOM kills
            ending = f"terminated on signal {self.term_signal}" if self.term_signal else f"called exit({code})"
            write("varlog/system", f"Container {ending}.", "WARNING")
        self.exit_code = code
        self._metadata.close()
        self._unmount()
        shutil.rmtree(self._folder, ignore_errors=True)
        self.exited.set()

    def _unmount(self) -> None:
        for pipe in self._pipes:
            pipe.close()

    def _environment(self, recipe: Recipe, root: Path, work: Path) -> dict[str, str]:
        image_env = {k: v for k, v in recipe.config.get("env", {}).items() if k not in _OF_THIS_MACHINE}
        own_paths = [
            str(inside(root, p)) for p in recipe.config.get("env", {}).get("PYTHONPATH", "").split(":") if p.startswith("/")
        ]
        own_tools = [
            str(inside(root, p))
            for p in recipe.config.get("env", {}).get("PATH", "").split(":")
            if p.startswith("/") and inside(root, p).is_dir()
        ]
        return {
            **{k: os.environ[k] for k in _OF_THE_NETWORK if k in os.environ},
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            "LANG": "C.UTF-8",
            "OMP_NUM_THREADS": "1",
            **({} if recipe.gpu else {"CUDA_VISIBLE_DEVICES": ""}),
            **image_env,
            # a file of a volume is where this machine has it
            **{k: str(inside(root, v)) if v in recipe.files else v for k, v in recipe.env.items()},
            "PATH": ":".join((*own_tools, f"{_python_folder(self._folder)}:/usr/local/bin:/usr/bin:/bin")),
            "HOME": str(self._folder / "home"),
            "TMPDIR": str(self._folder / "tmp"),
            "PYTHONPATH": os.pathsep.join(dict.fromkeys([str(_HERE / "guard"), str(work), *own_paths])),
            "PYTHONNOUSERSITE": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            **({"PORT": str(self.port), "HOST": "127.0.0.1"} if recipe.serves else {}),
            **recipe.told,
            "GCE_METADATA_HOST": self._metadata.address,
            "GCE_METADATA_IP": self._metadata.address,
            "GCE_METADATA_ROOT": self._metadata.address,
            "STORAGE_EMULATOR_HOST": recipe.storage_url,
        }


def _mapped(root: Path, word: str) -> str:
    """A path of the image as this machine sees it, also behind `--flag=`; any other word as it is."""
    flag, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    if value.startswith("/") and ".." not in value.split("/") and inside(root, value).exists():
        return f"{flag}{equals}{inside(root, value)}"
    return word


def _pump(stream: BinaryIO, name: str, write: Callable[[str, Entry, str], None]) -> None:
    with stream:
        pump(stream, lambda entry, severity: write(name, entry, severity))


def _thread(target: Callable[..., None], *args: Any) -> threading.Thread:
    thread = threading.Thread(target=target, args=args, daemon=True)
    thread.start()
    return thread


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _python_folder(folder: Path) -> Path:
    """A folder where `python` and `python3` are this very interpreter, its virtual environment included."""
    beside = Path(sys.executable).parent
    if (beside / "python").exists() and (beside / "python3").exists():
        return beside
    own = folder / "bin"
    own.mkdir(exist_ok=True)
    for name in ("python", "python3"):
        # a script, not a link: through a link Python would not find the pyvenv.cfg beside it
        (own / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        (own / name).chmod(0o755)
    return own
