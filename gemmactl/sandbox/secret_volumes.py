"""Secrets that a container sees as files: each reading fetches the value anew. Knows no service and no instance.

source: Cloud Run's page "Configure secrets": reading a volume always fetches the value from Secret Manager, so it can
be used with `latest`. A file of that kind is a named pipe here, with a thread that answers whoever opens it.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gemmactl.sandbox.wire import ApiError

Json = dict[str, Any]


@dataclass(frozen=True)
class SecretFile:
    """`path` as the container names it; `selector` as a variable's secretKeyRef has it."""

    path: str
    selector: Json


def mounted(document: Mapping[str, Any], container: Mapping[str, Any]) -> tuple[SecretFile, ...]:
    """The files of a revision's secret volumes. Without items the file has the secret's name."""
    volumes = {v.get("name"): v["secret"] for v in document.get("volumes", ()) if "secret" in v}
    found = []
    for mount in container.get("volumeMounts", ()):
        source = volumes.get(mount.get("name"))
        if source is None:
            continue
        name = source.get("secret", "")
        for item in source.get("items") or [{"path": name.rpartition("/")[2], "version": "latest"}]:
            path = f"{mount.get('mountPath', '').rstrip('/')}/{item.get('path', '')}"
            found.append(SecretFile(path, {"secret": name, "version": item.get("version", "latest")}))
    return tuple(found)


class Pipe:
    """One file, until `close`. A value that can't be fetched reads as nothing; Cloud Run's own error there is not known."""

    def __init__(self, path: Path, value: Callable[[], bytes]) -> None:
        self._path, self._value = path, value
        self._closed = threading.Event()
        path.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(path, 0o400)
        threading.Thread(target=self._serve, name="secret-file", daemon=True).start()

    def close(self) -> None:
        self._closed.set()
        with contextlib.suppress(OSError):  # frees a thread that waits for a reader
            os.close(os.open(self._path, os.O_RDONLY | os.O_NONBLOCK))

    def _serve(self) -> None:
        while not self._closed.is_set():
            try:
                writer = os.open(self._path, os.O_WRONLY)  # waits for a reader
                # the next reader gets a pipe of its own: this one's bytes end when it is closed
                self._path.unlink()
                os.mkfifo(self._path, 0o400)
            except OSError:
                return
            try:
                if self._closed.is_set():
                    return
                os.write(writer, self._value())  # at most 64 KiB, which a pipe holds whether it is read or not
            except (OSError, ApiError):  # the reader is gone, or the secret
                pass
            finally:
                os.close(writer)
