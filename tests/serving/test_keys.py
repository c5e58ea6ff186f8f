"""API keys: made, listed, revoked, two hands at once, and a deploy that proves that they are asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from gemmactl import stack
from gemmactl.client.wire import Reply
from gemmactl.errors import Exit, Trouble
from gemmactl.kernel.plan import make_plan
from gemmactl.kernel.resource import Clock
from gemmactl.resources.cloud import PolicyTarget
from gemmactl.result import Line, Table, Verbatim
from gemmactl.serving import key_store, keys
from gemmactl.serving.deploy import deploy, plan
from gemmactl.serving.destroy import destroy
from gemmactl.serving.place import Place
from gemmactl.serving.recall import recalled
from gemmactl.spec import Serve, parse_model
from inference_image import api_keys
from inference_image.contract import KEY_HEADER, REQUEST_STATUS, RequestCode
from tests.fakes.cloud import DIGEST, FakeCloud
from tests.fakes.refusal import refusal
from tests.serving.ear import ANSWER, Ear, place, settings, with_model

WISH = Serve("demo-proj", "us-central1", parse_model("gs://weights/m"), "gemma", auth="api-key")
NAME = "projects/demo-proj/locations/us-central1/services/gemma"
SECRET = "projects/demo-proj/secrets/gemma-api-keys-us-central1"
STILL = Clock(lambda: 0.0, lambda _seconds: None)


@dataclass
class Container:
    """A wire to a container that reads the newest version of the secret at each request; `asks` False: it knows no keys."""

    cloud: FakeCloud
    asks: bool = True
    secret: str = SECRET
    late: int = 0
    """How many requests are answered from an earlier reading."""
    sent: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout: float) -> Reply:
        self.sent.append((url, headers))
        if self.asks and (code := self._refusal(headers.get(KEY_HEADER, ""))):
            return Reply(REQUEST_STATUS[code], {}, json.dumps({"error": {"code": code, "message": "no"}}).encode())
        return Reply(200, {}, json.dumps(ANSWER).encode())

    def _refusal(self, key: str) -> RequestCode | None:
        if not key:
            return RequestCode.API_KEY_MISSING
        self.late -= 1
        known = api_keys.read(self.cloud.state.versions[self.secret][-1][1]) if self.late < 0 else ()
        return None if api_keys.holder(known, key) else RequestCode.INVALID_API_KEY


def up(cloud: FakeCloud, wire: Container | None = None, wish: Serve = WISH) -> Place:
    """The service deployed; nothing of the test's key is left."""
    here = replace(place(cloud), wire=wire or Container(cloud), api_key="")
    result = deploy(wish, here, Ear(), yes=True)
    assert result.exit is Exit.OK, result.problems
    return here


def kept(cloud: FakeCloud) -> dict[str, str]:
    """Id -> label."""
    return {key.id: key.label for key in key_store.read(cloud, SECRET)}


def test_a_deploy_mounts_the_keys_and_proves_that_they_are_asked_for(tmp_path: Path) -> None:
    """A secret of ours that only the runtime account reads, as a file; a probe without a key; a test key that is gone after."""
    cloud = with_model(FakeCloud())
    wire = Container(cloud)
    here = up(cloud, wire)
    body = cloud.state.services[NAME]
    box = body["template"]["containers"][0]
    assert body["template"]["volumes"] == [
        {
            "name": "api-keys",
            "secret": {"secret": "gemma-api-keys-us-central1", "items": [{"path": "keys.json", "version": "latest"}]},
        }
    ]
    assert box["volumeMounts"] == [{"name": "api-keys", "mountPath": "/secrets/gemmactl"}]
    assert {"name": "GEMMACTL_KEYS", "value": "/secrets/gemmactl/keys.json"} in box["env"]
    assert box["startupProbe"]["httpGet"] == {
        "path": "/health",
        "port": 8080,
        "httpHeaders": [{"name": "x-gemmactl-probe", "value": "ready"}],
    }
    account = body["template"]["serviceAccount"]
    assert cloud.state.policies[PolicyTarget("secret", SECRET)] == {
        "roles/secretmanager.secretAccessor": {f"serviceAccount:{account}"}
    }
    assert body["invokerIamDisabled"] is True
    asked, tried = wire.sent
    assert asked[0].endswith("/version")
    assert KEY_HEADER not in asked[1]
    # the first revision is tried while it is closed: the ID token goes in the header that leaves Authorization alone
    assert tried[1]["X-Serverless-Authorization"].startswith("Bearer id-token")
    assert "Authorization" not in tried[1]
    assert kept(cloud) == {}
    assert plan(WISH, here, again="").data["changes"] == 0
    assert [s.address for s in make_plan(stack.serving(recalled(here, "gemma", body)), cloud).work] == []


def test_a_second_deploy_writes_nothing_and_says_that_it_tried_nothing() -> None:
    """Nothing changed, so no prompt is sent that would wake a GPU, whoever has a key; a change beside the revision needs one."""
    cloud = with_model(FakeCloud())
    here = up(cloud)
    cloud.calls.clear()
    result = deploy(WISH, here, Ear(), yes=True)
    assert (result.exit, result.data["smoke"], cloud.writes) == (Exit.OK, None, [])
    assert "nothing was changed" in str(result.blocks)
    own = keys.create(here, settings(Path("nowhere")), "gemma", Ear()).data["key"]
    assert deploy(WISH, replace(here, api_key=own), Ear(), yes=True).data["smoke"] is None
    assert "GEMMACTL_API_KEY is not set" in str(deploy(replace(WISH, iam=True), here, Ear(), yes=True).blocks)
    assert deploy(replace(WISH, iam=False), replace(here, api_key=own), Ear(), yes=True).data["smoke"]


def test_an_image_that_does_not_ask_is_never_opened() -> None:
    """Exit 5, with the reason; the service stays closed and the test's key is gone."""
    cloud = with_model(FakeCloud())
    wish = replace(WISH, image="us-central1-docker.pkg.dev/demo-proj/gemmactl/serve:old")
    cloud.state.images[str(wish.image)] = DIGEST
    result = deploy(wish, replace(place(cloud), wire=Container(cloud, asks=False)), Ear(), yes=True)
    assert (result.exit, result.problems[0].code) == (Exit.GATE, "key-not-asked")
    assert not cloud.state.services[NAME].get("invokerIamDisabled")
    assert kept(cloud) == {}


def test_a_container_that_learns_of_the_key_late_is_waited_for() -> None:
    """Secret Manager promises no time."""
    cloud = with_model(FakeCloud())
    up(cloud, wire := Container(cloud, late=1))
    assert len(wire.sent) == 4


def test_a_key_is_shown_once_and_kept_as_a_hash(tmp_path: Path) -> None:
    """Stdout has the key and nothing else; no other document, version or line has it."""
    cloud = with_model(FakeCloud())
    here, ear = up(cloud), Ear()
    result = keys.create(here, settings(tmp_path), "gemma", ear, label="ci", per_minute=60, expires="90d")
    (shown,) = result.blocks
    assert isinstance(shown, Verbatim)
    key = shown.text
    assert result.reveals == {key}
    assert not any(key in line for line in (*ear.said, *result.next))
    assert not any(key.encode() in data for versions in cloud.state.versions.values() for _, data in versions)
    (row,) = key_store.read(cloud, SECRET)
    assert (row.id, row.label, row.per_minute, row.sha256) == (result.data["id"], "ci", 60, api_keys.hashed(key))
    found = keys.listed(here, settings(tmp_path), None)
    (table,) = found.blocks
    assert isinstance(table, Table)
    assert table.rows[0][:2] == (row.id, "ci")
    assert row.sha256 not in str(found)


def test_revoking_by_id_and_by_the_key_itself(tmp_path: Path) -> None:
    """After a yes; what is revoked is in no version any more, what is not there is said without a question or repeating it."""
    cloud = with_model(FakeCloud())
    here, known = up(cloud), settings(tmp_path)
    one, two = (str(keys.create(here, known, "gemma", Ear(), label=label).data["key"]) for label in ("a", "b"))
    for ear, words in ((Ear(yes=False), "nothing was revoked"), (Ear(), "nobody")):
        with pytest.raises(Trouble, match=words):
            keys.revoke(here, known, "gemma", api_keys.of(one).id, ear)
    assert sorted(kept(cloud).values()) == ["a", "b"]
    assert keys.revoke(here, known, "gemma", api_keys.of(one).id, Ear(yes=True)).data["left"] == 1
    assert list(kept(cloud).values()) == ["b"]
    keys.revoke(here, known, "gemma", two, Ear(), yes=True)
    assert kept(cloud) == {}
    assert [api_keys.read(data) for word, data in cloud.state.versions[SECRET] if word == "ENABLED"] == [()]
    with pytest.raises(Trouble, match="has no key") as caught:
        keys.revoke(here, known, "gemma", two, Ear())
    assert two not in str(vars(caught.value))
    assert keys.listed(here, known, None).blocks == (Line("gemma has no keys: nobody can call it", "warn"),)


def test_two_hands_at_once_lose_nothing() -> None:
    """Whenever the other one comes in between, both changes are in the file, and one version is left."""
    steps = ("secrets.get", "secrets.read", "secrets.add_version", "secrets.relabel", "secrets.destroy_version")
    for step in steps:
        for first in (True, False):
            cloud = FakeCloud()
            cloud.secrets.create(SECRET, "us-central1", {})
            cloud.secrets.add_version(SECRET, api_keys.written(()))
            rows = [api_keys.of(api_keys.fresh(), label=label) for label in "abc"]
            if not first:
                key_store.change(cloud, SECRET, adding(rows[2]), STILL)
            waiting = [rows[1]]

            def other(name: str, step: str = step, cloud: FakeCloud = cloud, waiting: list[Any] = waiting) -> None:
                if name == step and waiting:
                    key_store.change(cloud, SECRET, adding(waiting.pop()), STILL)

            cloud.before_call = other
            key_store.change(cloud, SECRET, adding(rows[0]), STILL)
            cloud.before_call = lambda _name: None
            assert set(kept(cloud).values()) == ({"a", "b"} if first else {"a", "b", "c"}), step
            assert [word for word, _ in cloud.state.versions[SECRET]].count("ENABLED") == 1, step
            newest = api_keys.read(cloud.state.versions[SECRET][-1][1])
            assert {key.id: key.label for key in newest} == kept(cloud), step


def test_a_secret_that_was_emptied_by_hand_is_filled_again() -> None:
    """Its label names a version that is gone: after some tries the newest one counts."""
    cloud = FakeCloud()
    cloud.secrets.create(SECRET, "us-central1", {})
    cloud.secrets.add_version(SECRET, api_keys.written(()))
    key_store.change(cloud, SECRET, adding(api_keys.of(api_keys.fresh(), label="lost")), STILL)
    cloud.secrets.destroy_version(SECRET, "2")
    cloud.secrets.add_version(SECRET, api_keys.written(()))
    key_store.change(cloud, SECRET, adding(api_keys.of(api_keys.fresh(), label="new")), STILL)
    assert list(kept(cloud).values()) == ["new"]


def test_who_may_not_destroy_versions_gets_his_key_all_the_same(tmp_path: Path) -> None:
    """The change counts already: a key that is not shown any more would be lost."""
    cloud = with_model(FakeCloud())
    here = up(cloud)

    def denied(name: str) -> None:
        if name == "secrets.destroy_version":
            raise refusal(403, "Permission 'secretmanager.versions.destroy' denied")

    cloud.before_call = denied
    made = keys.create(here, settings(tmp_path), "gemma", Ear())
    assert list(kept(cloud)) == [api_keys.of(str(made.data["key"])).id]


def adding(row: api_keys.ApiKey) -> Callable[[key_store.Keys], key_store.Keys]:
    return lambda known: (*known, row)


def test_a_change_that_is_killed_at_any_call_leaves_the_keys_usable() -> None:
    """The next change goes on from what counts, whatever the killed one left."""
    for kill in range(1, 6):
        cloud = FakeCloud()
        cloud.secrets.create(SECRET, "us-central1", {})
        cloud.secrets.add_version(SECRET, api_keys.written(()))
        key_store.change(cloud, SECRET, adding(api_keys.of(api_keys.fresh(), label="old")), STILL)
        left = [kill]

        def stop(_name: str, left: list[int] = left) -> None:
            left[0] -= 1
            if not left[0]:
                raise KeyboardInterrupt

        cloud.after_call = stop
        with pytest.raises(KeyboardInterrupt):
            key_store.change(cloud, SECRET, adding(api_keys.of(api_keys.fresh(), label="killed")), STILL)
        cloud.after_call = lambda _name: None
        key_store.change(cloud, SECRET, adding(api_keys.of(api_keys.fresh(), label="new")), STILL)
        assert set(kept(cloud).values()) >= {"old", "new"}
        newest = api_keys.read(cloud.state.versions[SECRET][-1][1])
        assert {key.id for key in newest} == set(kept(cloud))


@pytest.mark.parametrize(
    ("wish", "flag"),
    [
        ({"label": "x" * 65}, "--label"),
        ({"label": "a\nb"}, "--label"),
        ({"expires": "soon"}, "--expires"),
        ({"expires": "0d"}, "--expires"),
    ],
)
def test_what_no_key_can_have(tmp_path: Path, wish: dict[str, Any], flag: str) -> None:
    """Refused before any call."""
    cloud = FakeCloud()
    with pytest.raises(Trouble) as caught:
        keys.create(place(cloud), settings(tmp_path), "gemma", Ear(), **wish)
    assert (caught.value.exit, caught.value.code, cloud.calls) == (Exit.USAGE, "key-wish-illegal", [])
    assert flag in caught.value.what


def test_a_service_that_asks_for_no_keys_has_none(tmp_path: Path) -> None:
    """Said with what it was deployed with."""
    here = place(with_model(FakeCloud()))
    deploy(replace(WISH, auth="iam"), here, Ear(), yes=True)
    with pytest.raises(Trouble) as caught:
        keys.create(here, settings(tmp_path), "gemma", Ear())
    assert (caught.value.code, "--auth iam" in caught.value.why) == ("no-keys-here", True)


def test_destroy_takes_the_keys_along(tmp_path: Path) -> None:
    """Also after the service was deployed with another --auth."""
    here = up(cloud := with_model(FakeCloud()))
    deploy(replace(WISH, auth="iam"), here, Ear(), yes=True)
    assert SECRET in cloud.state.secrets
    destroy(here, settings(tmp_path), "gemma", Ear(), yes=True)
    assert cloud.state.secrets == {}
