"""A sandbox in this process with nothing but Cloud Storage, and the fine-tune's Bucket on it. Knows no run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from google.auth.credentials import Credentials

from finetune_image.gcs import Bucket
from gemmactl.sandbox.endpoint import YOU
from gemmactl.sandbox.faults import Fault
from gemmactl.sandbox.server import Server
from gemmactl.sandbox.storage import Storage
from gemmactl.sandbox.world import World
from inference_image.chunks.source import Patience

WORKER = "worker@gemmactl-sandbox.iam.gserviceaccount.com"
NAME = "weights"


class Token(Credentials):
    """A token that is simply there."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self.token = token

    def refresh(self, request: Any) -> None:
        """It never expires."""

    @property
    def expired(self) -> bool:
        return False


@dataclass(frozen=True)
class Place:
    """A running store with the bucket gs://weights, which WORKER may use."""

    world: World

    @property
    def environ(self) -> dict[str, str]:
        return {"STORAGE_EMULATOR_HOST": self.world.base_url}

    def bucket(self, prefix: str = "run", email: str = WORKER, **more: Any) -> Bucket:
        waits: list[float] = more.pop("waits", [])
        patience = Patience(attempts=4, sleep=waits.append)
        credentials = Token(self.world.tokens.access(email))
        environ = {**self.environ, **more.pop("environ", {})}
        return Bucket(f"gs://{more.pop('name', NAME)}/{prefix}", environ, patience=patience, credentials=credentials, **more)

    def admit(self, email: str, role: str = "") -> None:
        """Make a service account, with a role on the bucket."""
        self.world.store.put("service_accounts", email, {"email": email})
        if role:
            self.world.iam.grant(f"serviceAccount:{email}", role, f"projects/_/buckets/{NAME}")

    def fault(self, match: str, **more: Any) -> Fault:
        made = Fault(match, **more)
        self.world.faults.add(made)
        return made


@contextmanager
def storage(home: Path) -> Iterator[Place]:
    """It answers on loopback until the end of the `with`."""
    world = World(home)
    world.store.put("apis", "storage.googleapis.com", {})
    world.storage = Storage(world)
    world.raw.append((re.compile(r"(/upload|/download)?/storage/v1/"), lambda _world, request: world.storage.handle(request)))
    server = Server(world)
    server.start()
    owner = {"Authorization": f"Bearer {world.tokens.access(YOU)}"}
    made = requests.post(f"{world.base_url}/storage/v1/b?project={world.project}", json={"name": NAME}, headers=owner, timeout=10)
    made.raise_for_status()
    place = Place(world)
    place.admit(WORKER, "roles/storage.objectUser")
    yield place
    server.shutdown()
    server.server_close()
    world.close()
