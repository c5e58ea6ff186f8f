"""deploy of a file whose container answers prompts: tried before it is let in, and what the screen says when it fails."""

from __future__ import annotations

import _thread
from typing import Any

import pytest

from gemmactl.errors import Exit
from gemmactl.resources.cloud import LogEntry
from gemmactl.result import Item, Result
from gemmactl.serving.from_yaml import deploy, plan
from tests.fakes.cloud import FakeCloud
from tests.knative.sheets import SMALL, sheet
from tests.serving.ear import Ear, place, with_model
from tests.serving.rolling import DEAD, FAILURE, NEWEST, URL, Looking, live, said, shares

FLAGS = "--project demo-proj"
OPEN = "  annotations:\n    run.googleapis.com/invoker-iam-disabled: 'true'\n"
OURS = "  labels: {managed-by: gemmactl}\n"
BLOCK = "  traffic: [{latestRevision: true, percent: 100}]\n"
GCLOUD = "gcloud run services update-traffic gemma --to-revisions=gemma-00001-tst=100 --region=us-central1 --project=demo-proj"
AGAIN = "gemmactl deploy --from-yaml service.yaml --project demo-proj"


def text(*, beside: str = "", timeout: int = 300, block: str = "", model: bool = True) -> str:
    """A service named gemma; `beside`: of its metadata."""
    told = "        env: [{name: GEMMACTL_MODEL, value: 'gs://weights/m'}]\n" * model
    found = SMALL.replace("  name: small\n", f"  name: gemma\n{beside}")
    return found.replace("      containers:\n", f"      timeoutSeconds: {timeout}\n      containers:\n") + told + block


def run(cloud: FakeCloud, file: str, wire: Any = None, ear: Ear | None = None) -> Result:
    return deploy(sheet(file), place(cloud, wire), ear or Ear(), yes=True, again=AGAIN)


@pytest.fixture
def cloud() -> FakeCloud:
    return with_model(FakeCloud())


def wrote(cloud: FakeCloud, revision: str) -> None:
    words = "Traceback (most recent call last):\nE: nan"
    cloud.state.logs = [(f'revision_name="{revision}"', LogEntry("1", "ERROR", words))]


@pytest.mark.parametrize("block", ["", BLOCK])
def test_a_file_that_opens_the_service_is_tried_while_it_is_closed(cloud: FakeCloud, block: str) -> None:
    """Also with a traffic block: the door waits for the prompt; then all is as the file says, and a plan is empty."""
    wire, file = Looking(cloud), text(beside=OPEN, block=block)
    result = run(cloud, file, wire)
    assert (result.exit, [then.get("invokerIamDisabled") for _, then in wire.seen]) == (Exit.OK, [None])
    assert (live(cloud)["invokerIamDisabled"], live(cloud)["traffic"]) == (True, [NEWEST])
    assert plan(sheet(file), place(cloud), again="").data["changes"] == 0


@pytest.mark.parametrize("block", ["", BLOCK])
def test_a_first_one_that_does_not_answer_stays_closed(cloud: FakeCloud, block: str) -> None:
    """Exit 5, the container's own traceback, and the word that nobody gets in; the same command tries again."""
    wrote(cloud, "gemma-00001-tst")
    file = text(beside=OPEN, block=block)
    result = run(cloud, file, DEAD)
    assert (result.exit, live(cloud).get("invokerIamDisabled")) == (Exit.GATE, None)
    assert [b.lines[-1] for b in result.blocks if isinstance(b, Item)] == ["E: nan"]
    assert "it stays closed: only members with roles/run.invoker" in said(result)
    assert "back to" not in said(result)
    assert AGAIN in result.next
    assert run(cloud, file).exit is Exit.OK
    assert live(cloud)["invokerIamDisabled"] is True


def test_a_new_revision_of_a_file_has_no_requests_before_it_answered(cloud: FakeCloud) -> None:
    """Without a traffic block: 0 % and its own address; a failure leaves the old one serving, and says so."""
    run(cloud, text())
    wrote(cloud, "gemma-00002-tst")
    result = run(cloud, text(timeout=900), DEAD)
    assert (result.exit, shares(live(cloud))) == (Exit.GATE, {"gemma-00001-tst": 100, "gemma-00002-tst": 0})
    assert said(result).startswith("gemma-00001-tst serves on; gemma-00002-tst has no requests")
    assert [b.lines[-1] for b in result.blocks if isinstance(b, Item)] == ["E: nan"]
    wire = Looking(cloud)
    assert run(cloud, text(timeout=900), wire).exit is Exit.OK
    assert [url for url, _ in wire.seen] == [f"{URL.replace('://', '://gm-next---')}/generate"]
    assert (live(cloud)["traffic"], len(cloud.state.revisions)) == ([NEWEST], 2)


@pytest.mark.parametrize(
    ("label", "back"),
    [
        (OURS, f"gemmactl rollback gemma --to gemma-00001-tst {FLAGS}"),
        (
            "",
            GCLOUD,
        ),
    ],
)
def test_a_traffic_block_moves_requests_at_once_and_a_failure_tells_the_way_back(cloud: FakeCloud, label: str, back: str) -> None:
    """Exit 5 with the container's words, who serves, and the command that gives the requests back; a repetition asks again."""
    run(cloud, text(beside=label, block=BLOCK))
    wrote(cloud, "gemma-00002-tst")
    file = text(beside=label, block=BLOCK, timeout=900)
    result = run(cloud, file, DEAD)
    assert (result.exit, shares(live(cloud))) == (Exit.GATE, {"gemma-00002-tst": 100})
    assert "gemma-00002-tst has 100 % of the requests, and gemma-00002-tst did not answer" in said(result)
    assert f"back to what served before: {back}" in said(result)
    assert result.next == (back,)
    assert [b.lines[-1] for b in result.blocks if isinstance(b, Item)] == ["E: nan"]
    assert run(cloud, file, DEAD).exit is Exit.GATE


def test_a_container_that_answers_no_known_prompt_is_opened_at_once_and_the_plan_says_so(cloud: FakeCloud) -> None:
    """The file's one write, as gcloud would send it: no tag, no note; a start that fails is told with who serves."""
    file = text(beside=OPEN, model=False)
    ear = Ear()
    assert run(cloud, file, ear=ear).data["smoke"] is None
    assert any("open at once, untried" in line for line in ear.said)
    assert "gm-next" not in str(cloud.calls)
    cloud.rollout = FAILURE
    result = run(cloud, text(beside=OPEN, model=False, timeout=900))
    assert said(result).startswith("gemma-00001-tst serves on; gemma-00002-tst has no requests")


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize(("block", "when"), [("", "no requests before its smoke test"), (BLOCK, "its requests once it is ready")])
def test_ctrl_c_prints_the_whole_command_and_what_becomes_of_the_revision(cloud: FakeCloud, block: str, when: str) -> None:
    """130; the command with its file joins, and no test is promised where the file deals out the requests itself."""
    cloud.polls = 10**9

    def interrupt(name: str) -> None:
        if name == "run.finished":
            cloud.before_call = lambda _name: None
            _thread.interrupt_main()

    cloud.before_call = interrupt
    left = run(cloud, text(block=block))
    assert (left.exit, left.problems[0].code, left.next) == (Exit.INTERRUPTED, "detached", (AGAIN,))
    assert left.problems[0].remedy.startswith(f"{AGAIN} joins what is under way")
    assert left.problems[0].why.endswith(when)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_before_the_service_prints_the_whole_command_too(cloud: FakeCloud) -> None:
    """Nothing was under way yet: the same command makes what is missing."""
    cloud.enforce_apis = True
    cloud.apis.enable(["storage.googleapis.com"])
    cloud.polls = 10**9

    def interrupt(name: str) -> None:
        if name == "apis.enable":
            cloud.before_call = lambda _name: None
            _thread.interrupt_main()

    cloud.before_call = interrupt
    ended = run(cloud, text())
    assert (ended.exit, ended.problems[0].code, ended.next) == (Exit.INTERRUPTED, "interrupted", (AGAIN,))
    assert ended.problems[0].remedy.startswith(f"{AGAIN}: it re-attaches")
