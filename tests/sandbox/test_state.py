"""State: what survives a restart, operations, the store, tokens."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from conftest import PROJECT, Cloud
from google.api_core import exceptions
from google.cloud import artifactregistry_v1, secretmanager_v1
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2, struct_pb2

from gemmactl.sandbox.assembly import assemble
from gemmactl.sandbox.operations import Operations
from gemmactl.sandbox.store import Store
from gemmactl.sandbox.tokens import Tokens
from gemmactl.sandbox.wire import failed
from gemmactl.sandbox.world import World

PARENT = f"{PROJECT}/locations/us-central1"


def test_a_second_world_over_the_same_home_has_everything(cloud: Cloud) -> None:
    """APIs, secrets with payloads, repositories, policies, accounts, logs, operations: all are there again."""
    cloud.enable("secretmanager", "artifactregistry")
    secrets = cloud.client(secretmanager_v1.SecretManagerServiceClient)
    secrets.create_secret(parent=PROJECT, secret_id="hf", secret={"replication": {"automatic": {}}})
    secrets.add_secret_version(parent=f"{PROJECT}/secrets/hf", payload={"data": b"abc"})
    registry = cloud.client(artifactregistry_v1.ArtifactRegistryClient)
    operation = registry.create_repository(parent=PARENT, repository_id="gemma", repository={"format_": "DOCKER"}).operation
    cloud.world.iam.grant("user:dev@sandbox.invalid", "roles/viewer", PROJECT)
    cloud.world.logs.write("x", "global", {}, "hello")
    again = assemble(World(cloud.world.home))
    assert again.secret == cloud.world.secret
    for name in cloud.world.store.collections():
        assert again.store.items(name) == cloud.world.store.items(name)
    assert again.iam.holds("user:dev@sandbox.invalid", "run.services.get", PROJECT)
    assert again.logs.entries("")[0]["textPayload"] == "hello"
    assert again.operations.get(operation.name) == operation


def test_an_operation_cut_off_by_a_stop_ends_as_an_error(tmp_path) -> None:
    """Nobody waits for work that no longer runs."""
    store, go = Store(tmp_path), threading.Event()
    running = Operations(store).start(PARENT, None, lambda: (go.wait(10) and empty_pb2.Empty()) or empty_pb2.Empty())
    assert not running.done
    found = Operations(Store(tmp_path)).get(running.name)
    go.set()
    assert (found.done, found.error.code) == (True, 14)


def test_operations_tell_their_progress_and_their_end(cloud: Cloud) -> None:
    """Metadata while it runs, a typed response at the end, by GET and by wait."""
    go = threading.Event()

    def work():
        go.wait(10)
        return struct_pb2.Value(string_value="made")

    operations = cloud.world.operations
    started = operations.start(PARENT, struct_pb2.Value(string_value="begun"), work)
    assert started.name.startswith(f"{PARENT}/operations/")
    operations.note(started.name, struct_pb2.Value(string_value="half"))
    url = f"{cloud.world.base_url}/v2/{started.name}"
    session = cloud.session()
    running = session.get(url).json()
    assert (running.get("done"), running["metadata"]["value"]) == (None, "half")
    go.set()
    finished = session.post(url + ":wait", json={}).json()
    assert (finished["done"], finished["response"]["value"]) == (True, "made")
    listed = session.get(f"{cloud.world.base_url}/v2/{PARENT}/operations").json()["operations"]
    assert [o["name"] for o in listed] == [started.name]
    assert session.delete(url).json() == {}
    assert session.get(url).status_code == 404


@pytest.mark.parametrize(
    ("raised", "code", "message"),
    [
        (failed("FAILED_PRECONDITION", "not ready"), 9, "not ready"),
        (RuntimeError("the innards"), 13, "Internal error encountered."),
    ],
)
def test_work_that_fails_is_the_operations_error(tmp_path, raised: Exception, code: int, message: str) -> None:
    """An ApiError with its code and text; a bug as INTERNAL without its text."""
    operations = Operations(Store(tmp_path))

    def work():
        raise raised

    found = operations.wait(operations.start("p", None, work).name, 10)
    assert (found.done, found.error.code, found.error.message) == (True, code, message)


def test_an_unknown_operation_is_a_404(cloud: Cloud) -> None:
    """Also through an official client's poll."""
    client = cloud.client(artifactregistry_v1.ArtifactRegistryClient)
    with pytest.raises(exceptions.NotFound):
        client.get_operation(operations_pb2.GetOperationRequest(name=f"{PARENT}/operations/none"))


def test_what_the_store_gives_is_the_callers_own(tmp_path) -> None:
    """Changing what was read or what was put changes nothing that is stored."""
    store, document = Store(tmp_path), {"a": [1]}
    store.put("things", "x", document)
    document["a"].append(2)
    (store.get("things", "x") or {})["a"].append(3)
    assert store.get("things", "x") == {"a": [1]} == Store(tmp_path).get("things", "x")


@pytest.mark.parametrize("name", ["projects/_/buckets/b/objects/a b%2Fü", "x" * 900, "..", "a.b.json", "*"])
def test_any_name_can_be_stored(tmp_path, name: str) -> None:
    """Names with slashes, of any length, that mean something to a file system."""
    store = Store(tmp_path / "state")
    store.put("things", name, {"a": 1})
    assert Store(tmp_path / "state").items("things") == [(name, {"a": 1})]
    assert store.delete("things", name)
    assert not store.delete("things", name)
    assert Store(tmp_path / "state").items("things") == []


def test_a_kill_between_write_and_rename_leaves_the_old_document(tmp_path) -> None:
    """A half-written file is never read."""
    store = Store(tmp_path)
    store.put("things", "x", {"a": 1})
    (tmp_path / "things" / "x.tmp").write_text('{"name": "x", "docu')
    assert Store(tmp_path).get("things", "x") == {"a": 1}


def test_counters_go_on_after_a_restart_and_under_threads(tmp_path) -> None:
    """No number is given twice."""
    store, got = Store(tmp_path), []
    threads = [threading.Thread(target=lambda: got.extend(store.count("n") for _ in range(20))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == list(range(1, 81))
    assert Store(tmp_path).count("n") == 81


def test_access_tokens_are_bound_to_their_email() -> None:
    """A token for one identity is none for another, and kinds of members follow from the address."""
    tokens = Tokens(b"s", lambda: datetime.now(UTC))
    assert tokens.verify(tokens.access("a@x.invalid")) == "user:a@x.invalid"
    robot = "r@p.iam.gserviceaccount.com"
    assert tokens.verify(tokens.access(robot)) == f"serviceAccount:{robot}"
    mac = tokens.access("a@x.invalid").partition("|")[2]
    assert tokens.verify(f"b@x.invalid|{mac}") is None


def test_identity_tokens_have_an_audience_and_an_end() -> None:
    """An ID token is no access token, expires after an hour, and can't be changed."""
    time = [datetime(2026, 1, 1, tzinfo=UTC)]
    tokens = Tokens(b"s", lambda: time[0])
    jwt = tokens.identity("a@x.invalid", "https://service")
    assert tokens.verify_identity(jwt) == ("user:a@x.invalid", "https://service")
    assert tokens.verify(jwt) is None
    assert tokens.verify_identity(tokens.access("a@x.invalid")) is None
    head, _, mac = jwt.rpartition(".")
    assert tokens.verify_identity(f"{head}x.{mac}") is None
    time[0] += timedelta(hours=1)
    assert tokens.verify_identity(jwt) is None


def test_the_home_is_the_users_own(tmp_path) -> None:
    """Folder 0700, secret 0600."""
    world = World(tmp_path / "home")
    assert world.home.stat().st_mode & 0o777 == 0o700
    assert (world.home / "secret").stat().st_mode & 0o777 == 0o600
    assert world.secret.decode() not in repr(world)
