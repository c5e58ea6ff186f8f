"""A change of the keys that another hand overtakes, or that is interrupted: what is left, and what is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemmactl.errors import Exit, Trouble
from gemmactl.serving import key_store, keys
from inference_image import api_keys
from tests.fakes.cloud import FakeCloud
from tests.serving.ear import Ear, settings, with_model
from tests.serving.test_keys import SECRET, STILL, adding, kept, up


def test_who_comes_second_and_is_refused_leaves_what_counts() -> None:
    """His version is the newest and containers would read it: the other one's key would never work, a revoked one again."""
    cloud = FakeCloud()
    cloud.secrets.create(SECRET, "us-central1", {})
    cloud.secrets.add_version(SECRET, api_keys.written(()))
    old = api_keys.of(api_keys.fresh(), label="old")
    key_store.change(cloud, SECRET, adding(old), STILL)
    others = [lambda known: (*(key for key in known if key != old), api_keys.of(api_keys.fresh(), label="other"))]

    def other(name: str) -> None:
        if name == "secrets.add_version" and others:
            key_store.change(cloud, SECRET, others.pop(), STILL)

    def mine(known: key_store.Keys) -> key_store.Keys:
        if old not in known:
            raise Trouble("there is no such key", why="it was revoked", remedy="none", code="key-unknown")
        return (*known, api_keys.of(api_keys.fresh(), label="mine"))

    cloud.before_call = other
    with pytest.raises(Trouble) as caught:
        key_store.change(cloud, SECRET, mine, STILL)
    assert caught.value.code == "key-unknown"
    assert list(kept(cloud).values()) == ["other"]
    newest = api_keys.read(cloud.state.versions[SECRET][-1][1])
    assert [key.label for key in newest] == ["other"]
    assert [word for word, _ in cloud.state.versions[SECRET]].count("ENABLED") == 1


def test_ctrl_c_names_the_key_that_nobody_was_shown(tmp_path: Path) -> None:
    """Its hash is kept: the same command again would make a second one, so the way to take it back is told."""
    here = up(cloud := with_model(FakeCloud()))

    def stop(name: str) -> None:
        if name == "secrets.relabel":
            raise KeyboardInterrupt

    cloud.after_call = stop
    with pytest.raises(Trouble) as caught:
        keys.create(here, settings(tmp_path), "gemma", Ear(), label="ci")
    cloud.after_call = lambda _name: None
    (left,) = [one for one, label in kept(cloud).items() if label == "ci"]
    assert (caught.value.exit, f"gemmactl keys revoke gemma {left} " in caught.value.remedy) == (Exit.INTERRUPTED, True)
