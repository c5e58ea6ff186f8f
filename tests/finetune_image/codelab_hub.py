"""A pretended hub on loopback with the codelab's two repositories: the model google/gemma-2b and its dataset. Knows no test."""

from __future__ import annotations

import json

from tests.inference_image.fake_storage import Bucket
from tests.local.fake_hub import Hub

MODEL, DATASET = "google/gemma-2b", "b-mc2/sql-create-context"
ROWS = "sql_create_context_v4.json"
"""source: the dataset's only file with rows, a JSON list of objects with answer, question and context."""


class CodelabHub(Hub):
    """Objects of the bucket by `models/` and `datasets/`; each repository under its own name."""

    def do_GET(self) -> None:
        whole = self.bucket
        for kind, name in (("models", MODEL), ("datasets", DATASET)):
            front = "" if kind == "models" else "/datasets"
            for address, plain in ((f"/api/{kind}/{name}/", "/api/models/owner/name/"), (f"{front}/{name}/", "/owner/name/")):
                if self.path.startswith(address):
                    whole.asked.append((self.path, dict(self.headers)))
                    self.path = plain + self.path.removeprefix(address)
                    self.bucket = Bucket({k.removeprefix(f"{kind}/"): v for k, v in whole.objects.items() if k.startswith(kind)})
                    try:
                        super().do_GET()
                    finally:
                        self.bucket = whole
                    return
        self.answer(404, b"Repository not found")


def rows(pairs: list[tuple[str, str, str]]) -> bytes:
    """(question, context, answer) as the dataset has them."""
    return json.dumps([{"answer": answer, "question": q, "context": context} for q, context, answer in pairs]).encode()
