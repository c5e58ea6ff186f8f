"""What is asked at a terminal, at the wire: the real command line in a pseudo terminal, its writes recorded at each answer."""

from __future__ import annotations

import pytest

from gemmactl.gcp.cloud import connect
from gemmactl.resources.cloud import BucketInfo
from gemmactl.sandbox.endpoint import Endpoint
from gemmactl.sandbox.rollout import REVISIONS, SERVICES
from gemmactl.serving import keys
from gemmactl.serving.deploy import deploy
from gemmactl.serving.place import Place
from gemmactl.settings import Value
from gemmactl.spec import Serve, parse_model
from tests.fakes.cloud import FakeCloud
from tests.knative.sheets import SMALL
from tests.serving.ear import Answers, Ear, place, settings
from tests.tune.running import ROWS
from tests.wire.conftest import SAMPLE, Terminal

P = "gemmactl-sandbox"
NAME = "projects/gemmactl-sandbox/locations/us-central1/services/gemma"


@pytest.fixture
def guarded(terminal: Terminal) -> Terminal:
    """A project with one open service that asks for keys, as a deploy in memory left it."""
    cloud = FakeCloud("gemmactl-sandbox")
    wish = Serve("gemmactl-sandbox", "us-central1", parse_model(str(SAMPLE)), "gemma", auth="api-key")
    deploy(wish, place(cloud, Answers(401)), Ear(), yes=True)
    terminal.world.store.put(SERVICES, NAME, {**cloud.state.services[NAME], "invokerIamDisabled": True})
    for name, revision in cloud.state.revisions.items():
        terminal.world.store.put(REVISIONS, name, revision)
    return terminal


def test_opening_a_guarded_service_is_asked_twice(guarded: Terminal) -> None:
    """From API keys to everybody: yes to the plan and no to the second question, and nothing was written."""
    code, screen, writes = guarded.typed("deploy", str(SAMPLE), "--name", "gemma", "--auth", "public", answers=("y", "n"))
    assert (code, writes, guarded.writes) == (1, [0, 0], [])
    assert "GEMMACTL_KEYS: /secrets/gemmactl/keys.json -> none" in screen
    assert screen.index("Apply this plan? [y/N] y") < screen.index("Let everybody call it without a key? [y/N] n")
    assert "anybody on the internet may then call it" in screen
    assert "that the service is opened was not confirmed" in screen


def test_destroy_asks_and_removes_after_the_answer_alone(guarded: Terminal) -> None:
    """Anything but a yes removes nothing; yes removes the service, and no write comes before it."""
    code, screen, writes = guarded.typed("destroy", "gemma", answers=("",))
    assert (code, writes, guarded.writes) == (1, [0], [])
    assert "nothing was removed" in screen
    code, _, writes = guarded.typed("destroy", "gemma", answers=("yes",))
    assert (code, writes) == (0, [0])
    assert f"DELETE run.googleapis.com/v2/{NAME}" in guarded.writes
    assert guarded.world.store.get(SERVICES, NAME) is None


@pytest.mark.long
@pytest.mark.timeout(240)
def test_a_no_to_every_verb_that_asks(guarded: Terminal) -> None:
    """A file's deploy, a repair, a key taken back, a fine-tune, everything removed: asked, refused, not one write sent."""
    world, folder = guarded.world, guarded.folder
    cloud = connect(P, Endpoint(world.base_url, P, world.number, secret=world.secret))
    here = Place(Value(P, "--project"), Value("us-central1", "default"), "sandbox", cloud)
    cloud.secrets.create(f"projects/{P}/secrets/gemma-api-keys-us-central1", "us-central1", {})
    key = keys.create(here, settings(folder), "gemma", Ear()).data["id"]
    cloud.storage.create_bucket(BucketInfo("weights", "us-central1"))
    for path in SAMPLE.iterdir():
        cloud.storage.write("weights", f"m/{path.name}", path)
    world.store.delete("apis", "artifactregistry.googleapis.com")
    (folder / "service.yaml").write_text(SMALL)
    (folder / "rows.jsonl").write_text(ROWS)
    for argv, answer in (
        (("deploy", "--from-yaml", "service.yaml"), "n"),
        (("doctor", "gemma", "--fix"), "n"),
        (("keys", "revoke", "gemma", key), "n"),
        (("finetune", "run", "rows.jsonl", "--model", "gs://weights/m"), "n"),
        (("destroy", "gemma", "--all"), "other"),
    ):
        code, screen, writes = guarded.typed(*argv, answers=(answer,))
        assert (code, writes, guarded.writes) == (1, [0], []), screen
        assert "not confirmed" in screen, screen
