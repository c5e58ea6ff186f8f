"""A pretended Hugging Face hub on loopback with one model, owner/name: tree, ranges, content ids, a gate, one commit."""

from __future__ import annotations

import hashlib
import json
import re

from tests.inference_image.fake_storage import Handler

COMMIT = "0123456789abcdef" * 2 + "01234567"


class Hub(Handler):
    """A hub with one model, owner/name, that holds the bucket's objects. Shards have LFS ids, other files git's."""

    def do_GET(self) -> None:
        bucket = self.bucket
        bucket.asked.append((self.path, dict(self.headers)))
        if bucket.tokens is not None and self.headers.get("Authorization") not in bucket.tokens:
            self.answer(403, b"", X_Error_Code="GatedRepo", X_Error_Message="Access to model owner/name is restricted")
        elif self.path == "/api/models/owner/name/revision/main":
            self.answer(200, json.dumps({"id": "owner/name", "sha": COMMIT}).encode())
        elif self.path.startswith(tuple(f"/api/models/owner/name/tree/{name}?" for name in ("main", COMMIT))):
            rows = [{"type": "file", "path": n, "size": len(d), **identity(n, d)} for n, d in sorted(bucket.objects.items())]
            self.answer(200, json.dumps(rows).encode())
        elif found := re.fullmatch(rf"/owner/name/resolve/(?:main|{COMMIT})/(.*)", self.path):
            self.blob(found[1])
        else:
            self.answer(404, b"Repository not found")

    def blob(self, name: str) -> None:
        data = self.bucket.objects[name]
        first, last = (int(number) for number in re.findall(r"\d+", self.headers["Range"]))
        fault = self.bucket.faults.pop(0) if self.bucket.faults else None
        if fault is not None and fault(self, data, first, last + 1):
            return
        self.send_response(206)
        self.send_header("ETag", f'"{generation(name, data)}"')
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        self.send_header("Content-Length", str(last + 1 - first))
        self.end_headers()
        self.wfile.write(data[first : last + 1])


def identity(name: str, data: bytes) -> dict[str, object]:
    """What the tree says of a file's content. source: the hub's API, GET /api/models/{id}/tree/{revision}."""
    blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    lfs = {"lfs": {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}}
    return {"oid": blob, **(lfs if name.endswith(".safetensors") else {})}


def generation(name: str, data: bytes) -> str:
    found = identity(name, data)
    return str(found.get("lfs", found)["oid"])  # type: ignore[index]  # a mapping in both cases
