"""What a deploy does with a new revision: closed or at 0 % until one prompt was answered, then its requests. In memory."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gemmactl.errors import Exit, Trouble
from gemmactl.resources.cloud import LogEntry
from gemmactl.result import Facts, Item, Result
from gemmactl.serving.deploy import deploy
from gemmactl.serving.rollout import Way
from gemmactl.spec import Serve
from tests.fakes.cloud import FakeCloud
from tests.serving.ear import Answers, Ear, place, with_model
from tests.serving.rolling import DEAD, FAILURE, NEWEST, NEXT, PUBLIC, URL, WISH, Looking, live, pending, run, said, shares


@pytest.fixture
def cloud() -> FakeCloud:
    return with_model(FakeCloud())


# --- the first one
def test_a_first_deploy_is_closed_until_it_answered(cloud: FakeCloud) -> None:
    """While the smoke test asks, with an ID token, nobody else gets in; then it is opened as asked, and all is as wished."""
    wire = Looking(cloud)
    assert run(cloud, PUBLIC, wire).exit is Exit.OK
    ((url, then),) = wire.seen
    assert (url, then.get("invokerIamDisabled"), wire.audiences) == (f"{URL}/generate", None, [URL])
    assert (live(cloud)["invokerIamDisabled"], live(cloud)["traffic"]) == (True, [NEWEST])
    assert pending(cloud, PUBLIC) == []


def test_a_first_deploy_that_does_not_answer_stays_closed(cloud: FakeCloud) -> None:
    """Exit 5, said so; the same command tries the same revision again and opens it."""
    result = run(cloud, PUBLIC, DEAD)
    assert result.exit is Exit.GATE
    assert "invokerIamDisabled" not in live(cloud)
    assert "it stays closed" in said(result)
    assert set(pending(cloud, PUBLIC)) == {"tested", "invoker_iam_disabled"}
    assert run(cloud, PUBLIC).exit is Exit.OK
    assert (live(cloud)["invokerIamDisabled"], len(cloud.state.revisions)) == (True, 1)


def test_a_first_rollout_that_fails_stays_closed(cloud: FakeCloud) -> None:
    """The container does not start: exit 5, closed, and the next one begins a new revision."""
    cloud.rollout = FAILURE
    assert run(cloud, PUBLIC).exit is Exit.GATE
    assert "invokerIamDisabled" not in live(cloud)
    cloud.rollout = ""
    assert run(cloud, PUBLIC).exit is Exit.OK
    assert (live(cloud)["traffic"], live(cloud)["invokerIamDisabled"]) == ([NEWEST], True)
    assert pending(cloud, PUBLIC) == []


@pytest.mark.parametrize("share", [100, 10, 0])
def test_what_never_answered_gets_no_share_later(cloud: FakeCloud, share: int) -> None:
    """The first revision fails its smoke test, the second passes: it has all requests, and the other is not noted as served.

    --no-traffic opens nothing all the same.
    """
    run(cloud, PUBLIC, DEAD)
    wire = Looking(cloud)
    assert run(cloud, replace(PUBLIC, timeout=900), wire, share=share).exit is Exit.OK
    assert [(url, then.get("invokerIamDisabled")) for url, then in wire.seen] == [(f"{URL}/generate", None)]
    assert (bool(live(cloud).get("invokerIamDisabled")), live(cloud)["traffic"]) == (share > 0, [NEWEST])
    assert live(cloud)["annotations"]["gemmactl/served"] == "gemma-00002-tst"


def first(cloud: FakeCloud, wish: Serve, how: Way) -> tuple[Result, list[str], list[str]]:
    """A deploy with what it said before its work, and the notes of its outcome."""
    ear = Ear(yes=True)
    result = deploy(wish, place(cloud), ear, yes=False, way=how)
    rows = [row for b in result.blocks if isinstance(b, Facts) for row in b.rows]
    return result, ear.said, [value for key, value in rows if key == "note"]


@pytest.mark.parametrize(
    ("how", "flag"), [(Way(10), "--canary 10"), (Way(0), "--no-traffic"), (Way(0, wait=False), "--no-traffic")]
)
def test_a_first_deploy_says_that_it_has_no_other_to_share_with(cloud: FakeCloud, how: Way, flag: str) -> None:
    """In the plan and in the outcome; it has all requests. A second revision gets its share, and nothing is said."""
    result, heard, notes = first(cloud, WISH, how)
    told = f"{flag}: the first revision that answers has all requests; there is no other one to keep them"
    assert (notes, result.data["limits"]) == ([told], [told])
    assert any(told in line for line in heard)
    assert shares(live(cloud)) == {"gemma-00001-tst": 100}
    run(cloud)
    assert first(cloud, NEXT, how)[2] == []


def test_no_traffic_opens_nothing(cloud: FakeCloud) -> None:
    """Said with the command that opens; it is not asked about, twice is once, and the deploy without it opens the service."""
    how = Way(0, opens="gemmactl deploy m --auth public")
    told = "--no-traffic: the service stays closed, not opened as --auth public asks; gemmactl deploy m --auth public opens it"
    for _ in range(2):
        cloud.calls.clear()
        result, heard, notes = first(cloud, PUBLIC, how)
        assert (result.exit, told in notes, any(told in line for line in heard)) == (Exit.OK, True, True)
        assert not any("anybody on the internet" in line for line in heard)
        assert not live(cloud).get("invokerIamDisabled")
    assert cloud.writes == []
    assert pending(cloud, PUBLIC) == ["invoker_iam_disabled"]


def test_no_traffic_keeps_an_open_service_open(cloud: FakeCloud) -> None:
    """It closes nothing either; without it a closed one is opened."""
    assert run(cloud, PUBLIC, share=0).exit is Exit.OK
    run(cloud, PUBLIC)
    assert live(cloud)["invokerIamDisabled"] is True
    result = run(cloud, replace(PUBLIC, timeout=900), share=0)
    assert (live(cloud)["invokerIamDisabled"], result.data["limits"]) == (True, [])


def test_a_service_that_runs_is_opened_after_a_prompt(cloud: FakeCloud) -> None:
    """--allow-unauthenticated on a private service: no new revision, a smoke test, then the door."""
    run(cloud)
    wire = Looking(cloud)
    assert run(cloud, PUBLIC, wire).exit is Exit.OK
    assert [body.get("invokerIamDisabled") for _, body in wire.seen] == [None]
    assert (live(cloud)["invokerIamDisabled"], len(cloud.state.revisions)) == (True, 1)
    run(cloud, WISH)
    assert not live(cloud).get("invokerIamDisabled")


# --- later ones
def test_a_new_revision_answers_at_its_tag_before_it_gets_requests(cloud: FakeCloud) -> None:
    """0 % and an address of its own during the smoke test, whose token is the service's; then all requests, and no tag."""
    run(cloud)
    wire = Looking(cloud)
    assert run(cloud, NEXT, wire).exit is Exit.OK
    ((url, then),) = wire.seen
    assert url == f"{URL.replace('://', '://gm-next---')}/generate"
    assert wire.audiences == [URL]
    assert shares(then) == {"gemma-00001-tst": 100, "gemma-00002-tst": 0}
    assert (live(cloud)["traffic"], shares(live(cloud))) == ([NEWEST], {"gemma-00002-tst": 100})
    assert pending(cloud, NEXT) == []


def test_a_new_revision_that_does_not_answer_gets_no_requests(cloud: FakeCloud) -> None:
    """Exit 5 with who serves on; a plan knows it; the same command tries it again without another revision."""
    run(cloud)
    cloud.state.logs = [('revision_name="gemma-00002-tst"', LogEntry("1", "ERROR", "Traceback (most recent call last):\nE: nan"))]
    result = run(cloud, NEXT, DEAD)
    assert [b.lines[-1] for b in result.blocks if isinstance(b, Item)] == ["E: nan"]
    assert (result.exit, shares(live(cloud))) == (Exit.GATE, {"gemma-00001-tst": 100, "gemma-00002-tst": 0})
    assert said(result).startswith("gemma-00001-tst serves on; gemma-00002-tst has no requests")
    assert pending(cloud, NEXT) == ["tested"]
    assert run(cloud, NEXT).exit is Exit.OK
    assert (live(cloud)["traffic"], len(cloud.state.revisions)) == ([NEWEST], 2)


def test_a_rollout_that_fails_shows_the_containers_traceback(cloud: FakeCloud) -> None:
    """The old revision serves on, and the words of the new one are on the screen without escape sequences; then it heals."""
    run(cloud)
    words = "Traceback (most recent call last):\n  File 'x.py', line 1\nValueError: no \x1b[31mmodel_type"
    cloud.state.logs = [('revision_name="gemma-00002-tst"', LogEntry("1", "ERROR", text)) for text in ("starting", words)]
    cloud.rollout = FAILURE
    result = run(cloud, NEXT)
    (item,) = [b for b in result.blocks if isinstance(b, Item)]
    assert (result.exit, item.head) == (Exit.GATE, "what gemma-00002-tst wrote")
    assert item.lines[0].endswith("Traceback (most recent call last):")
    assert item.lines[-1] == "ValueError: no  [31mmodel_type"
    assert "gemma-00001-tst serves on" in said(result)
    assert shares(live(cloud))["gemma-00001-tst"] == 100
    cloud.rollout = ""
    assert run(cloud, NEXT).exit is Exit.OK
    assert (live(cloud)["traffic"], shares(live(cloud))) == ([NEWEST], {"gemma-00003-tst": 100})


def test_tags_of_others_stay(cloud: FakeCloud) -> None:
    """Somebody's tags on a revision and on the newest survive a rollout."""
    run(cloud)
    live(cloud)["traffic"] = [
        {**NEWEST, "tag": "blue"},
        {"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION", "revision": "gemma-00001-tst", "tag": "old"},
    ]
    wire = Looking(cloud)
    assert run(cloud, NEXT, wire).exit is Exit.OK
    assert {t.get("tag") for t in wire.seen[0][1]["traffic"]} == {None, "blue", "old", "gm-next"}
    assert {t["tag"]: t["revision"] for t in live(cloud)["trafficStatuses"]} == {
        "blue": "gemma-00002-tst",
        "old": "gemma-00001-tst",
    }
    assert live(cloud)["traffic"][0] == {**NEWEST, "tag": "blue"}


@pytest.mark.parametrize(("share", "spread"), [(10, [90, 10]), (0, [100, 0])])
def test_a_canary_gets_its_share_after_its_test(cloud: FakeCloud, share: int, spread: list[int]) -> None:
    """--canary and --no-traffic end as wished for any next plan, and name what goes on; the candidate keeps its address."""
    run(cloud)
    result = run(cloud, NEXT, share=share)
    assert result.exit is Exit.OK
    assert list(shares(live(cloud)).values()) == spread
    assert result.data["candidate"] == "gemma-00002-tst"
    assert result.data["candidate_url"] == URL.replace("://", "://gm-next---")
    assert result.next[0].startswith("gemmactl promote gemma")
    assert pending(cloud, NEXT) == []


def test_a_deploy_over_a_canary_keeps_the_split_until_it_is_proven(cloud: FakeCloud) -> None:
    """What serves is held as it is, share by share."""
    run(cloud)
    run(cloud, NEXT, share=10)
    wire = Looking(cloud)
    run(cloud, replace(NEXT, timeout=600), wire)
    assert shares(wire.seen[0][1]) == {"gemma-00001-tst": 90, "gemma-00002-tst": 10, "gemma-00003-tst": 0}
    assert shares(live(cloud)) == {"gemma-00003-tst": 100}


def test_a_name_without_room_for_a_tag_is_deployed_without_one(cloud: FakeCloud) -> None:
    """Tag and service name share 46 characters: a longer name gets its revision at once, tested after it."""
    wish = replace(WISH, name="g" * 45)
    assert run(cloud, wish).exit is Exit.OK
    assert run(cloud, replace(wish, timeout=900)).exit is Exit.OK
    assert "gm-next" not in str(cloud.state.services)
    assert pending(cloud, replace(wish, timeout=900)) == []


def test_a_deploy_that_changes_nothing_wakes_nobody(cloud: FakeCloud) -> None:
    """No prompt, said so; a change beside the revision tries it, and says before that it may wake an instance."""
    run(cloud)
    wire, ear = Answers(), Ear()
    same = deploy(WISH, place(cloud, wire), ear, yes=True)
    assert (same.exit, same.data["done"], same.data["smoke"], wire.sent) == (Exit.OK, [], None, [])
    assert any("nothing was changed" in value for b in same.blocks if isinstance(b, Facts) for _, value in b.rows)
    deploy(replace(WISH, invokers=("user:ann@example.com",)), place(cloud, wire), ear, yes=True)
    assert len(wire.sent) == 1
    assert any("wakes an instance where none is awake" in line for line in ear.said)


def test_a_name_without_room_for_a_tag_is_tested_until_it_answered(cloud: FakeCloud) -> None:
    """Its revision serves at once, so no field remembers a test that failed: the same command tries again."""
    wish = replace(WISH, name="g" * 45)
    assert run(cloud, wish, DEAD).exit is Exit.GATE
    assert pending(cloud, wish) == []
    assert run(cloud, wish, DEAD).exit is Exit.GATE
    assert run(cloud, wish).data["smoke"]


@pytest.mark.parametrize("share", [10, 0])
def test_a_name_without_room_for_a_tag_has_no_share(cloud: FakeCloud, share: int) -> None:
    """--canary and --no-traffic are refused before any call: nothing would hold the others' requests back."""
    with pytest.raises(Trouble) as caught:
        run(cloud, replace(WISH, name="g" * 40), share=share)
    assert (caught.value.exit, caught.value.code, cloud.calls) == (Exit.USAGE, "tag-without-room", [])


def test_a_name_without_room_for_a_tag_says_what_async_does(cloud: FakeCloud) -> None:
    """Its new revision has the requests before anybody tried it, and no other word is said."""
    wish = replace(WISH, name="g" * 45)
    run(cloud, wish)
    result = run(cloud, replace(wish, timeout=900), wait=False)
    assert "has all requests as soon as it is ready" in str(result.blocks)
