"""The pretended hub of tests/local with a dataset repository, owner/name, beside the model of that name."""

from __future__ import annotations

from tests.local.fake_hub import Hub


class DatasetHub(Hub):
    """The bucket's objects as a dataset. source: the hub's addresses, /api/datasets/{id} and /datasets/{id}/resolve."""

    def do_GET(self) -> None:
        if self.path.startswith(("/api/datasets/", "/datasets/")):
            self.path = self.path.replace("/api/datasets/", "/api/models/").removeprefix("/datasets")
        else:
            self.path = "/no/model"
        super().do_GET()
