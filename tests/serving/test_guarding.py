"""An open service that asks for keys, and its other revisions: what has requests by name, what has a tag, what moves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gemmactl.errors import Exit, Trouble
from gemmactl.resources.service_traffic import to_revision
from gemmactl.result import Item
from gemmactl.serving import from_yaml
from gemmactl.serving.deploy import deploy, plan
from gemmactl.serving.export import export
from gemmactl.serving.place import Place
from gemmactl.serving.rollout import Way
from gemmactl.serving.status import status
from gemmactl.serving.traffic import promote, rollback
from tests.fakes.cloud import FakeCloud
from tests.knative.sheets import sheet
from tests.serving.ear import Ear, place, settings, with_model
from tests.serving.rolling import NAME, NEWEST, WISH, live
from tests.serving.test_keys import Container

KEYED, PUBLIC = replace(WISH, auth="api-key"), replace(WISH, auth="public")
ONE, TWO = "gemma-00001-tst", "gemma-00002-tst"
NOWHERE = settings(Path("nowhere"))


def here(cloud: FakeCloud, *, asks: bool = True) -> Place:
    """A wire to a container that asks for keys, or does not."""
    return replace(place(cloud), wire=Container(cloud, asks=asks), api_key="")


def traffic(cloud: FakeCloud, *targets: dict[str, object]) -> None:
    """As another tool would have dealt it out."""
    live(cloud).update(traffic=list(targets), trafficStatuses=list(targets), etag='"theirs"')


@pytest.fixture
def cloud() -> FakeCloud:
    """A revision without keys, then one with them that is open and has all requests."""
    cloud = with_model(FakeCloud())
    for wish in (WISH, KEYED):
        assert deploy(wish, here(cloud, asks=wish is KEYED), Ear(), yes=True).exit is Exit.OK
    cloud.calls.clear()
    return cloud


def closed(cloud: FakeCloud) -> None:
    live(cloud).update(invokerIamDisabled=False)


def test_a_service_whose_requests_go_by_name_to_a_revision_without_a_guard_is_not_opened(cloud: FakeCloud) -> None:
    """Closed and rolled back: the newest revision has the guard, the one that serves has not. After a promote it is opened."""
    closed(cloud)
    assert rollback(here(cloud, asks=False), NOWHERE, "gemma", Ear(), to=ONE).exit is Exit.OK
    cloud.calls.clear()
    for verb in (lambda: plan(KEYED, here(cloud), again=""), lambda: deploy(KEYED, here(cloud), Ear(), yes=True)):
        with pytest.raises(Trouble) as caught:
            verb()
        assert (caught.value.code, caught.value.exit, cloud.writes) == ("revision-unguarded", Exit.REFUSED, [])
        assert (ONE in caught.value.what, "100 % of the requests, by its name" in caught.value.why) == (True, True)
        assert "gemmactl promote gemma --project demo-proj" in caught.value.remedy
    promote(here(cloud), NOWHERE, "gemma", Ear())
    assert deploy(KEYED, here(cloud), Ear(), yes=True).exit is Exit.OK
    assert (live(cloud)["invokerIamDisabled"], live(cloud)["traffic"]) == (True, [NEWEST])


def test_a_tag_by_name_keeps_it_closed_and_a_tag_on_the_newest_moves_along(cloud: FakeCloud) -> None:
    """A tag's address is opened with the service; one that follows the newest revision leads to the new one."""
    closed(cloud)
    traffic(cloud, NEWEST, {"revision": ONE, "tag": "old"})
    with pytest.raises(Trouble) as caught:
        deploy(KEYED, here(cloud), Ear(), yes=True)
    assert (caught.value.code, "--remove-tags=old" in caught.value.remedy) == ("revision-unguarded", True)
    fresh = with_model(FakeCloud())
    deploy(WISH, here(fresh, asks=False), Ear(), yes=True)
    traffic(fresh, {**NEWEST, "tag": "main"})
    assert deploy(KEYED, here(fresh), Ear(), yes=True).exit is Exit.OK
    assert live(fresh)["invokerIamDisabled"] is True


def test_requests_that_were_moved_during_the_smoke_test_keep_it_closed(cloud: FakeCloud) -> None:
    """Somebody gave them to a revision without a guard after the plan was made: the write that opens looks again. Exit 5."""
    closed(cloud)

    def meddle(name: str) -> None:
        if name == "secrets.destroy_version":  # the key of the smoke test is gone, nothing was written to the service yet
            cloud.after_call = lambda _name: None
            traffic(cloud, *to_revision(live(cloud), ONE))

    cloud.after_call = meddle
    result = deploy(KEYED, here(cloud), Ear(), yes=True)
    assert (result.exit, result.problems[0].code) == (Exit.GATE, "revision-unguarded")
    assert live(cloud)["invokerIamDisabled"] is False


def test_a_rollback_that_another_deploy_overtakes_opens_nothing(cloud: FakeCloud) -> None:
    """The service was closed when the rollback looked, and open when it wrote: it is refused, and the requests stay."""
    closed(cloud)

    def meddle(name: str) -> None:
        if name == "run.update":
            cloud.before_call = lambda _name: None
            cloud.state.services[NAME] = {**live(cloud), "invokerIamDisabled": True, "etag": '"theirs"'}

    cloud.before_call = meddle
    with pytest.raises(Trouble) as caught:
        rollback(here(cloud), NOWHERE, "gemma", Ear(), to=ONE)
    assert (caught.value.code, live(cloud)["traffic"]) == ("revision-unguarded", [NEWEST])


def test_a_file_opens_no_revision_without_a_guard_either(cloud: FakeCloud, tmp_path: Path) -> None:
    """The exported service, closed and rolled back meanwhile: deployed again it stays closed, with the reason."""
    file = export(here(cloud), NOWHERE, "gemma", Ear()).blocks[0].text  # type: ignore[union-attr]  # a Verbatim
    assert "invoker-iam-disabled: 'true'" in file
    closed(cloud)
    traffic(cloud, {"revision": ONE, "percent": 100})
    without = file[: file.index("  traffic:")] if "  traffic:" in file else file
    result = from_yaml.deploy(sheet(without), here(cloud), Ear(), yes=True)
    assert (result.exit, result.problems[0].code) == (Exit.GATE, "revision-unguarded")
    assert live(cloud)["invokerIamDisabled"] is False


def test_of_an_open_service_it_is_said_and_not_refused(cloud: FakeCloud, tmp_path: Path) -> None:
    """From public to keys by a canary: nothing opens wider, and plan, deploy and status name who can be called without a key."""
    cloud = with_model(FakeCloud())
    deploy(PUBLIC, here(cloud, asks=False), Ear(), yes=True)
    ear = Ear()
    assert deploy(KEYED, here(cloud), ear, yes=True, way=Way(10)).exit is Exit.OK
    assert any(f"{ONE} asks for no API keys" in line for line in ear.said)
    found = status(here(cloud), settings(tmp_path), "gemma", Ear())
    (item,) = (b for b in found.blocks if isinstance(b, Item) and b.sign == "!")
    assert (item.head, item.lines[0]) == (
        f"{ONE} asks for no API keys: everybody can call it",
        "it is reached by 90 % of the requests",
    )
    assert [one["asks_for_keys"] for one in found.data["revisions"]] == [True, False]
    promote(here(cloud), NOWHERE, "gemma", Ear())
    after = status(here(cloud), settings(tmp_path), "gemma", Ear())
    assert not [b for b in after.blocks if isinstance(b, Item) and b.sign == "!"]


def test_a_usual_deploy_reads_no_revisions_for_it(cloud: FakeCloud) -> None:
    """The newest revision has all requests and its template asks for keys: nothing else needs a look."""
    assert deploy(KEYED, here(cloud), Ear(), yes=True).exit is Exit.OK
    assert "run.revisions" not in {call.name for call in cloud.calls}
    assert live(cloud)["name"] == NAME
