"""promote and rollback: who gets requests, what is listed when a revision is unknown, what is asked before. In memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gemmactl.errors import Exit, Trouble
from gemmactl.resources.cloud import Json
from gemmactl.result import Result
from gemmactl.serving.traffic import promote, rollback
from tests.fakes.cloud import FakeCloud, refusal
from tests.serving.ear import Ear, place, settings, with_model
from tests.serving.rolling import DEAD, FAILURE, NAME, NEWEST, NEXT, URL, WISH, Looking, live, pending, run, shares

ONE, TWO, THREE = (f"gemma-0000{n}-tst" for n in (1, 2, 3))
THIRD = replace(WISH, timeout=600)


@pytest.fixture
def cloud() -> FakeCloud:
    return with_model(FakeCloud())


def go(cloud: FakeCloud, verb: Any, folder: Path, *argument: str, wire: Any = None, **more: Any) -> Result:
    result: Result = verb(place(cloud, wire), settings(folder), argument[0] if argument else None, Ear(), **more)
    return result


# --- forward
def test_a_canary_is_promoted_in_steps(cloud: FakeCloud, tmp_path: Path) -> None:
    """10 %, 50 %, all: then the newest serves without a tag, and a plan has nothing to do."""
    run(cloud)
    run(cloud, NEXT, share=10)
    assert go(cloud, promote, tmp_path, percent=50).exit is Exit.OK
    assert shares(live(cloud)) == {ONE: 50, TWO: 50}
    assert pending(cloud, NEXT) == []
    result = go(cloud, promote, tmp_path, "gemma")
    assert (live(cloud)["traffic"], shares(live(cloud))) == ([NEWEST], {TWO: 100})
    assert result.data["before"] == {ONE: 50, TWO: 50}
    assert result.next[0] == "gemmactl rollback gemma --project demo-proj"
    assert go(cloud, promote, tmp_path).data["changed"] is False


def test_an_untested_revision_is_tested_before_it_is_promoted(cloud: FakeCloud, tmp_path: Path) -> None:
    """One that a deploy left untested does not answer: it gets nothing and the exit is 5; once it answers it gets all."""
    run(cloud)
    run(cloud, NEXT, wait=False)
    with pytest.raises(Trouble) as caught:
        go(cloud, promote, tmp_path, wire=DEAD)
    assert (caught.value.exit, shares(live(cloud))) == (Exit.GATE, {ONE: 100, TWO: 0})
    wire = Looking(cloud)
    assert go(cloud, promote, tmp_path, wire=wire).exit is Exit.OK
    assert wire.seen[0][0] == URL.replace("://", "://gm-next---") + "/generate"
    assert live(cloud)["traffic"] == [NEWEST]


def test_a_first_revision_that_nobody_tested_is_tested(cloud: FakeCloud, tmp_path: Path) -> None:
    """A first deploy with --async: promote asks it one prompt, and nothing is left to do; one that is not ready is no choice."""
    run(cloud, wait=False)
    wire = Looking(cloud)
    assert go(cloud, promote, tmp_path, wire=wire).data["changed"] is True
    assert wire.seen[0][0] == f"{URL}/generate"
    assert (live(cloud)["traffic"], pending(cloud)) == ([NEWEST], [])


def test_a_first_service_whose_newest_revision_failed_has_nothing_to_promote(cloud: FakeCloud, tmp_path: Path) -> None:
    """What is ready is not what would get the requests."""
    run(cloud, wire=DEAD)
    cloud.rollout = FAILURE
    run(cloud, NEXT)
    assert go(cloud, promote, tmp_path).data["changed"] is False


# --- back
def test_rollback_goes_to_what_served_before_and_promote_forward_again(cloud: FakeCloud, tmp_path: Path) -> None:
    """All requests at once to the revision before, twice; a plan stays empty; promote tests the newest and returns to it."""
    for wish in (WISH, NEXT, THIRD):
        run(cloud, wish)
    assert go(cloud, rollback, tmp_path).data["traffic"] == {TWO: 100}
    assert go(cloud, rollback, tmp_path, "gemma").data["traffic"] == {ONE: 100}
    assert pending(cloud, THIRD) == []
    with pytest.raises(Trouble) as caught:
        go(cloud, rollback, tmp_path)
    assert (caught.value.code, caught.value.exit) == ("rollback-none", Exit.REFUSED)
    assert go(cloud, promote, tmp_path).exit is Exit.OK
    assert live(cloud)["traffic"] == [NEWEST]


def test_rollback_goes_to_what_served_last_not_to_what_was_left(cloud: FakeCloud, tmp_path: Path) -> None:
    """The second revision was rolled back from, the third came after it: back from that leads to the first one."""
    run(cloud)
    run(cloud, NEXT)
    go(cloud, rollback, tmp_path)
    run(cloud, THIRD)
    assert go(cloud, rollback, tmp_path).data["revision"] == ONE
    assert shares(live(cloud)) == {ONE: 100}


def test_a_deploy_after_a_rollback_says_who_serves(cloud: FakeCloud, tmp_path: Path) -> None:
    """The same settings change nothing and say so; other settings are proven and serve."""
    run(cloud)
    run(cloud, NEXT)
    go(cloud, rollback, tmp_path)
    same = run(cloud, NEXT)
    assert same.exit is Exit.OK
    assert "gemmactl promote gemma" in str(same.blocks)
    assert shares(live(cloud)) == {ONE: 100}
    assert run(cloud, THIRD).exit is Exit.OK
    assert live(cloud)["traffic"] == [NEWEST]


def test_a_canary_is_what_a_rollback_takes_back_first(cloud: FakeCloud, tmp_path: Path) -> None:
    """What served before the canary has all again."""
    run(cloud)
    run(cloud, NEXT, share=10)
    go(cloud, rollback, tmp_path)
    assert {name: share for name, share in shares(live(cloud)).items() if share} == {ONE: 100}


def test_a_revision_that_never_served_is_no_default(cloud: FakeCloud, tmp_path: Path) -> None:
    """One that failed its smoke test lies between: rollback passes over it, and takes it when it is named."""
    run(cloud)
    run(cloud, NEXT, DEAD)
    run(cloud, THIRD)
    assert go(cloud, rollback, tmp_path).data["revision"] == ONE
    assert go(cloud, rollback, tmp_path, to=TWO).data["traffic"] == {TWO: 100}


def test_ctrl_c_names_the_revision_so_that_a_repetition_goes_back_once(cloud: FakeCloud, tmp_path: Path) -> None:
    """The requests were moved and the prompt was waited for: what is to be typed goes to the same revision, and moves no more."""
    for wish in (WISH, NEXT, THIRD):
        run(cloud, wish)

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(Trouble) as caught:
        go(cloud, rollback, tmp_path, wire=Looking(cloud, interrupt))
    assert (caught.value.exit, shares(live(cloud))) == (Exit.INTERRUPTED, {TWO: 100})
    assert caught.value.remedy.startswith(f"gemmactl rollback gemma --to {TWO} --project demo-proj goes on")
    assert go(cloud, rollback, tmp_path, "gemma", to=TWO).data["changed"] is False


@pytest.mark.parametrize("way", ["named", "flag"])
def test_a_revision_can_be_named(cloud: FakeCloud, tmp_path: Path, way: str) -> None:
    """As the argument, which names the service too, or with --to."""
    for wish in (WISH, NEXT, THIRD):
        run(cloud, wish)
    result = go(cloud, rollback, tmp_path, ONE) if way == "named" else go(cloud, rollback, tmp_path, to=ONE)
    assert result.data["traffic"] == {ONE: 100}


def test_an_unknown_revision_lists_the_known_ones(cloud: FakeCloud, tmp_path: Path) -> None:
    """Exit 2 with each revision, its state and its date; nothing was written."""
    run(cloud)
    cloud.rollout = FAILURE
    run(cloud, NEXT)
    cloud.calls.clear()
    with pytest.raises(Trouble) as caught:
        go(cloud, rollback, tmp_path, "gemma-00009-abc")
    assert (caught.value.code, caught.value.exit) == ("revision-unknown", Exit.USAGE)
    assert f"{TWO} (not ready, 2026-11-22T12:00Z); {ONE} (100 % now, " in caught.value.why
    with pytest.raises(Trouble) as failed:
        go(cloud, rollback, tmp_path, to=TWO)
    assert (failed.value.code, cloud.writes) == ("revision-not-ready", [])


def test_rollback_while_the_newest_revision_has_failed(cloud: FakeCloud, tmp_path: Path) -> None:
    """The service is not Ready and stays so: the requests move all the same."""
    run(cloud)
    run(cloud, NEXT)
    cloud.rollout = FAILURE
    run(cloud, THIRD)
    assert go(cloud, rollback, tmp_path).data["traffic"] == {ONE: 100}
    assert shares(live(cloud))[ONE] == 100


def test_a_rollback_that_does_not_answer_says_so(cloud: FakeCloud, tmp_path: Path) -> None:
    """Exit 5: the requests were moved; the way forward is named."""
    run(cloud)
    run(cloud, NEXT)
    result = go(cloud, rollback, tmp_path, wire=DEAD)
    assert (result.exit, result.data["traffic"]) == (Exit.GATE, {ONE: 100})
    assert "gemmactl promote gemma --project demo-proj" in result.next


def test_another_writer_in_between_loses_nothing(cloud: FakeCloud, tmp_path: Path) -> None:
    """The etag has moved on: read again, and lay the traffic over what is there now."""
    run(cloud)
    run(cloud, NEXT)

    def meddle(name: str) -> None:
        if name == "run.update":
            cloud.before_call = lambda _name: None
            live(cloud).update(etag='"moved"', labels={**live(cloud)["labels"], "team": "x"})

    cloud.before_call = meddle
    assert go(cloud, rollback, tmp_path).exit is Exit.OK
    assert (live(cloud)["labels"]["team"], shares(live(cloud))) == ("x", {ONE: 100})


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_lost_answer_is_read_again(cloud: FakeCloud, tmp_path: Path, side: str) -> None:
    """503 before or after the write took effect: the verb ends well, and nothing is moved twice."""
    run(cloud)
    run(cloud, NEXT)
    cloud.calls.clear()

    def fail(name: str) -> None:
        if name == "run.update":
            setattr(cloud, f"{side}_call", lambda _name: None)
            raise refusal(503, "The service is currently unavailable.", passing=5)

    setattr(cloud, f"{side}_call", fail)
    assert go(cloud, rollback, tmp_path).exit is Exit.OK
    assert (shares(live(cloud)), len(cloud.writes)) == ({ONE: 100}, 1)


def test_a_service_of_somebody_else_is_left_alone(cloud: FakeCloud, tmp_path: Path) -> None:
    """Without our label nothing is written."""
    run(cloud)
    live(cloud)["labels"] = {}
    cloud.calls.clear()
    for verb in (promote, rollback):
        with pytest.raises(Trouble) as caught:
            go(cloud, verb, tmp_path, "gemma")
        assert (caught.value.code, caught.value.exit) == ("service-not-ours", Exit.REFUSED)
    assert cloud.writes == []


def test_a_name_without_room_for_a_tag_goes_back_and_forward(cloud: FakeCloud, tmp_path: Path) -> None:
    """No tag is ever written: promote moves all requests and tests after it, and a deploy after a rollback serves."""
    wish = replace(WISH, name="g" * 45)
    name = NAME.replace("gemma", wish.name)
    bodies: list[Json] = []
    cloud.before_call = lambda _called: bodies.append(dict(cloud.state.services.get(name, {})))
    run(cloud, wish)
    run(cloud, replace(wish, timeout=900))
    for forward in (lambda: go(cloud, promote, tmp_path), lambda: run(cloud, replace(wish, timeout=600))):
        go(cloud, rollback, tmp_path)
        assert shares(cloud.state.services[name]) == {f"{wish.name}-00001-tst": 100}
        with pytest.raises(Trouble, match="--percent"):
            go(cloud, promote, tmp_path, percent=50)
        assert forward().exit is Exit.OK
        assert cloud.state.services[name]["traffic"] == [NEWEST]
    assert "gm-next" not in str(bodies)


def test_an_image_that_is_gone_is_told_and_asked_for(cloud: FakeCloud, tmp_path: Path) -> None:
    """The revision before has no image in the project's registry any more: said, asked, and without a yes nothing changes.
    While the image is there nothing is said; where the registry may not be asked that is said, and the rollback goes on.
    """
    tags = [f"us-central1-docker.pkg.dev/demo-proj/team/serve:{n}" for n in (1, 2)]
    for n, tag in enumerate(tags):
        cloud.state.images[tag] = "sha256:" + f"{n}" * 64
        run(cloud, replace(WISH, image=f"{tag.rpartition(':')[0]}@{cloud.state.images[tag]}"))
    del cloud.state.images[tags[0]]
    ear = Ear(yes=False)
    with pytest.raises(Trouble) as caught:
        rollback(place(cloud), settings(tmp_path), None, ear)
    assert (caught.value.code, shares(live(cloud))) == ("not-confirmed", {TWO: 100})
    assert any(f"the image of {ONE} is gone" in line for line in ear.said)
    assert go(cloud, rollback, tmp_path, yes=True).data["traffic"] == {ONE: 100}
    quiet = Ear()
    rollback(place(cloud), settings(tmp_path), None, quiet, to=TWO)
    assert not any("image" in line for line in quiet.said)

    def closed(call: str) -> None:
        if call == "repositories.platforms":
            raise refusal(403, "Permission denied")

    cloud.before_call = closed
    unsure = Ear()
    assert rollback(place(cloud), settings(tmp_path), None, unsure, to=ONE).data["traffic"] == {ONE: 100}
    assert any(f"image of {ONE} is still there is unknown" in line for line in unsure.said)
