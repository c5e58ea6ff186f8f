"""Persisted collections of JSON documents: one file per document, replaced whole. Knows no API."""

from __future__ import annotations

import copy
import hashlib
import json
import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote

Document = dict[str, Any]


class Store:
    """`collection` -> `name` -> document. What `get` returns is the caller's own copy; only `put` changes the store."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.RLock()
        self._rows: dict[str, dict[str, Document]] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for file in folder.glob("*/*.json"):
            kept = json.loads(file.read_text(encoding="utf-8"))
            self._rows.setdefault(file.parent.name, {})[kept["name"]] = kept["document"]

    def get(self, collection: str, name: str) -> Document | None:
        with self._lock:
            return copy.deepcopy(self._rows.get(collection, {}).get(name))

    def put(self, collection: str, name: str, document: Document) -> None:
        """Store it whole: a daemon killed in the middle leaves the old document or the new one."""
        with self._lock:
            file = self._file(collection, name)
            file.parent.mkdir(exist_ok=True)
            scratch = file.with_suffix(".tmp")
            scratch.write_text(json.dumps({"name": name, "document": document}), encoding="utf-8")
            scratch.replace(file)
            self._rows.setdefault(collection, {})[name] = copy.deepcopy(document)

    def delete(self, collection: str, name: str) -> bool:
        """Forget it; False when it was not there."""
        with self._lock:
            if self._rows.get(collection, {}).pop(name, None) is None:
                return False
            self._file(collection, name).unlink(missing_ok=True)
            return True

    def items(self, collection: str) -> list[tuple[str, Document]]:
        """All of a collection, by name."""
        with self._lock:
            return sorted(copy.deepcopy(self._rows.get(collection, {})).items())

    def collections(self) -> list[str]:
        """Names of those that hold something."""
        with self._lock:
            return sorted(name for name, rows in self._rows.items() if rows)

    def count(self, name: str) -> int:
        """The next number of a named sequence: 1, 2, 3, also across restarts."""
        with self._lock:
            number = int((self.get("counters", name) or {"value": 0})["value"]) + 1
            self.put("counters", name, {"value": number})
            return number

    @property
    def lock(self) -> threading.RLock:
        """Held around a read, a decision and a write that belong together."""
        return self._lock

    def _file(self, collection: str, name: str) -> Path:
        readable = quote(name, safe="")
        # 255 bytes is the longest file name; the true one stands in the document
        if len(readable) > 200:
            readable = f"{readable[:100]}~{hashlib.sha256(name.encode()).hexdigest()}"
        return self._folder / collection / f"{readable}.json"


def private_folder(folder: Path) -> Path:
    """Make a folder that only its owner can enter."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)
    return folder
