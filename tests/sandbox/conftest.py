"""A sandbox in this process, and the official clients pointed at it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import Credentials
from google.auth.transport.requests import AuthorizedSession

from gemmactl.sandbox.assembly import assemble
from gemmactl.sandbox.endpoint import YOU
from gemmactl.sandbox.server import Server
from gemmactl.sandbox.world import World

PROJECT = "projects/gemmactl-sandbox"


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


class Cloud:
    """One running sandbox; `client(kind, email)` is an official client that speaks to it."""

    def __init__(self, world: World) -> None:
        self.world = world

    def client(self, kind: Any, email: str = YOU) -> Any:
        options = {"api_endpoint": self.world.base_url}
        return kind(transport="rest", credentials=Token(self.world.tokens.access(email)), client_options=options)

    def session(self, email: str = YOU) -> AuthorizedSession:
        return AuthorizedSession(Token(self.world.tokens.access(email)))

    def enable(self, *apis: str) -> None:
        from gemmactl.sandbox.apis_api import switch_on

        for api in apis:
            switch_on(self.world, f"{api}.googleapis.com")


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    world = assemble(World(tmp_path / "home"))
    server = Server(world)
    server.start()
    yield Cloud(world)
    server.shutdown()
    server.server_close()
    world.close()
