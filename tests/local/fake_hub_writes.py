"""The pretended hub with commits: preupload, LFS batch and upload, one commit after another. Knows what huggingface_hub sends.

source: huggingface_hub 2.4.0, _commit_api.py and lfs.py: the requests that it makes and the answers that it reads.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from tests.inference_image.fake_storage import Bucket
from tests.local.fake_hub import Hub


@dataclass
class Repository(Bucket):
    """The bucket's objects are the head's files; `commits` what each changed, `lfs` the contents that were sent."""

    commits: list[list[str]] = field(default_factory=list)
    lfs: dict[str, bytes] = field(default_factory=dict)
    race: bool = False
    """Somebody else commits before the next commit."""

    @property
    def head(self) -> str:
        return f"{len(self.commits):040x}"


class WritableHub(Hub):
    """Files that end in .safetensors or are large go to LFS, as a hub's .gitattributes say."""

    bucket: Repository

    def do_GET(self) -> None:
        if self.path.startswith("/api/models/owner/name/revision/main"):
            self.answer(200, json.dumps({"id": "owner/name", "sha": self.bucket.head, "siblings": []}).encode())
        else:
            super().do_GET()

    def do_POST(self) -> None:
        body = self._body()
        self.bucket.asked.append((self.path, dict(self.headers)))
        if self.headers.get("Authorization") not in (self.bucket.tokens or ()):
            self.answer(403, b"{}", X_Error_Message="you may not write here")
        elif "/preupload/main" in self.path:
            rows = [
                {
                    "path": f["path"],
                    "uploadMode": "lfs" if f["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for f in json.loads(body)["files"]
            ]
            self.answer(200, json.dumps({"files": rows}).encode())
        elif self.path.endswith("/info/lfs/objects/batch"):
            self.answer(
                200, json.dumps({"transfer": "basic", "objects": [self._upload(o) for o in json.loads(body)["objects"]]}).encode()
            )
        elif "/commit/main" in self.path:
            self._commit([json.loads(line) for line in body.splitlines() if line.strip()])
        else:
            self.answer(404, b"{}")

    def do_PUT(self) -> None:
        body = self._body()
        self.bucket.lfs[hashlib.sha256(body).hexdigest()] = body
        self.answer(200, b"")

    def _upload(self, wanted: dict[str, Any]) -> dict[str, Any]:
        there = wanted["oid"] in self.bucket.lfs
        put = {"upload": {"href": f"http://{self.headers['Host']}/lfs/{wanted['oid']}"}}
        return {**wanted, **({} if there else {"actions": put})}

    def _commit(self, lines: list[dict[str, Any]]) -> None:
        if self.bucket.race:
            self.bucket.commits.append(["theirs"])
            self.bucket.race = False
        if lines[0]["value"].get("parentCommit") != self.bucket.head:
            self.answer(412, b'{"error": "A commit has happened since. Please refresh and try again."}')
            return
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "lfsFile":
                self.bucket.put(value["path"], self.bucket.lfs[value["oid"]])
            elif line["key"] == "file":
                self.bucket.put(value["path"], base64.b64decode(value["content"]))
            else:
                del self.bucket.objects[value["path"]]
        self.bucket.commits.append([line["value"]["path"] for line in lines[1:]])
        made = {"commitUrl": f"http://{self.headers['Host']}/owner/name/commit/{self.bucket.head}", "commitOid": self.bucket.head}
        self.answer(200, json.dumps({**made, "hookOutput": ""}).encode())

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body
