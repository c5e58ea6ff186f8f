"""doctor at the wire, in a project where nothing was deployed: reads alone, whose they are, and what an API that is off hides."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import requests

from gemmactl.commands.doctor import examined
from gemmactl.doctor.checks.bucket_access import CHECKS as ACCESS
from gemmactl.errors import Exit
from gemmactl.gcp.cloud import connect
from gemmactl.resources.cloud import BucketInfo
from gemmactl.result import Result
from gemmactl.sandbox.assembly import assemble
from gemmactl.sandbox.endpoint import Endpoint
from gemmactl.sandbox.server import Handler, Server
from gemmactl.sandbox.world import World
from gemmactl.serving.place import Place
from gemmactl.settings import Value
from gemmactl.ui.layout import lay
from tests.serving.ear import Answers, Ear, settings

STRANGER: Final = "stranger@example.com"
READS: Final = (":testIamPermissions", ":getIamPolicy", "/entries:list", ":batchGet")
"""How the paths of those POSTs end that change nothing."""


class Listening(Handler):
    """The sandbox's own handler; what came is kept."""

    came: list[tuple[str, str]]

    def listen(self) -> None:
        self.came.append((self.command, self.path.partition("?")[0]))
        self.handle_one()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = listen


@pytest.fixture
def came() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def endpoint(tmp_path: Path, came: list[tuple[str, str]]) -> Iterator[Endpoint]:
    world = assemble(World(tmp_path / "home"))
    server = Server(world)
    server.RequestHandlerClass = type("Here", (Listening,), {"came": came})
    server.start()
    yield Endpoint(world.base_url, world.project, world.number, secret=world.secret)
    server.shutdown()
    server.server_close()
    world.close()


def at(endpoint: Endpoint) -> Place:
    cloud = connect(endpoint.project, endpoint)
    return Place(Value(endpoint.project, "--project"), Value("us-central1", "default"), "sandbox", cloud, Answers())


def doctor(place: Place, folder: Path) -> Result:
    return examined(place, settings(folder), None, Ear(), fix=False, yes=False, retry=False, for_admin=False)


def ends(result: Result) -> dict[str, str]:
    return {one["check"]: one["end"] for one in result.data["checked"]}


def test_an_empty_project_is_only_read(endpoint: Endpoint, tmp_path: Path, came: list[tuple[str, str]]) -> None:
    """APIs that are off are one finding; no call could change a thing; screen and document say whose eyes it was."""
    result = doctor(at(endpoint), tmp_path)
    assert result.exit is Exit.FOUND
    assert [f["code"] for f in result.data["findings"] if f["state"] == "problem"] == ["api-disabled"]
    assert len(came) > 20
    assert [one for one in came if one[0] != "GET" and not one[1].endswith(READS)] == []
    member = "user:you@sandbox.invalid"
    assert result.data["identity"] == member
    assert next(iter(lay(result.blocks, 1000))).text.startswith(member.partition(":")[2])


def test_who_may_look_at_nothing_finds_nothing_out(endpoint: Endpoint, tmp_path: Path, came: list[tuple[str, str]]) -> None:
    """A stranger's look is unknown, names what is missing, and reads as well."""
    stranger = Endpoint(endpoint.base_url, endpoint.project, endpoint.number, STRANGER, endpoint.secret)
    result = doctor(at(stranger), tmp_path)
    assert (result.exit, result.data["identity"]) == (Exit.FOUND, f"user:{STRANGER}")
    found = ends(result)
    assert {found[name] for name in ("project", "apis", "quota", "service agent")} == {"unknown"}
    assert [one for one in came if one[0] != "GET" and not one[1].endswith(READS)] == []


def test_what_storage_hides_while_it_is_off(endpoint: Endpoint, tmp_path: Path) -> None:
    """The model's bucket and who may reach it are unknown, and never fine; the API is told once; on again, both are fine."""
    here = at(endpoint)
    named = [f"{name}.googleapis.com" for name in ("run", "iam", "artifactregistry", "cloudbuild", "secretmanager", "logging")]
    here.cloud.apis.enable(named)
    here.cloud.storage.create_bucket(BucketInfo("wire-weights", "us-central1"))
    storage = f"{endpoint.base_url}/v1/projects/{endpoint.project}/services/storage.googleapis.com"
    answer = requests.post(f"{storage}:disable", json={}, headers={"Authorization": f"Bearer {endpoint.token()}"}, timeout=10)
    assert answer.ok, answer.text
    (tmp_path / "gemmactl.yaml").write_text("model: gs://wire-weights/m\n", encoding="utf-8")
    (access,) = ACCESS
    off = doctor(here, tmp_path)
    assert (ends(off)["bucket"], ends(off)[access.name]) == ("unknown", "unknown")
    told = [f for f in off.data["findings"] if "storage.googleapis.com" in f["title"]]
    assert [f["code"] for f in told if f["state"] == "problem"] == ["api-disabled"]
    assert {f["state"] for f in told if f["code"] == "unknown"} == {"advice"}
    here.cloud.apis.enable(["storage.googleapis.com"])
    on = ends(doctor(here, tmp_path))
    assert (on["bucket"], on[access.name]) == ("ok", "ok")
