"""Secrets as files: which ones a container has, and that each reading has the value of its moment."""

from __future__ import annotations

import threading
from pathlib import Path

from gemmactl.sandbox.secret_volumes import Pipe, SecretFile, mounted
from gemmactl.sandbox.wire import failed


def test_files_of_a_revision() -> None:
    """With items their paths and versions, without them the secret's name; other volumes are none."""
    document = {
        "volumes": [
            {"name": "keys", "secret": {"secret": "gemma-keys", "items": [{"path": "keys.json", "version": "latest"}]}},
            {"name": "bare", "secret": {"secret": "projects/p/secrets/token"}},
            {"name": "scratch", "emptyDir": {}},
        ]
    }
    mounts = [{"name": "keys", "mountPath": "/a/"}, {"name": "bare", "mountPath": "/b"}, {"name": "scratch", "mountPath": "/c"}]
    assert mounted(document, {"volumeMounts": mounts}) == (
        SecretFile("/a/keys.json", {"secret": "gemma-keys", "version": "latest"}),
        SecretFile("/b/token", {"secret": "projects/p/secrets/token", "version": "latest"}),
    )


def test_each_reading_fetches_the_value(tmp_path: Path) -> None:
    """One reading right after another gets the next value, whole and once; a value that can't be fetched reads as nothing."""
    values = [b"one" * 10_000, b"two", failed("NOT_FOUND", "gone"), b"three"]

    def value() -> bytes:
        found = values.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    pipe = Pipe(tmp_path / "run" / "keys.json", value)
    try:
        path = tmp_path / "run" / "keys.json"
        assert [path.read_bytes() for _ in range(4)] == [b"one" * 10_000, b"two", b"", b"three"]
    finally:
        pipe.close()
    for thread in threading.enumerate():
        if thread.name == "secret-file":
            thread.join(timeout=5)
            assert not thread.is_alive()
