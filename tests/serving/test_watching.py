"""status, logs, doctor and generate on a service in memory."""

from pathlib import Path

import pytest

from gemmactl.errors import Exit, Trouble
from gemmactl.resources.cloud import LogEntry, PolicyTarget
from gemmactl.result import Verbatim
from gemmactl.serving import find
from gemmactl.serving.ask import Prompt, ask
from gemmactl.serving.deploy import deploy
from gemmactl.serving.evidence import Watch
from gemmactl.serving.place import Place
from gemmactl.serving.repair import repair
from gemmactl.spec import Serve, parse_model
from inference_image.contract import Code, LoadFailure
from tests.fakes.cloud import FakeCloud
from tests.serving.ear import Answers, Ear, place, settings, with_model

FAILURE = LoadFailure(Code.ACCESS_DENIED, "gs://weights/m", "403")


def up(*names: str, wire: Answers | None = None) -> Place:
    """Services of ours, deployed."""
    cloud = with_model(FakeCloud())
    for name in names:
        wish = Serve("demo-proj", "us-central1", parse_model("gs://weights/m"), name)
        assert deploy(wish, place(cloud), Ear(), yes=True).exit is Exit.OK
    return place(cloud, wire)


def entry(second: int, payload: object, severity: str = "INFO") -> LogEntry:
    return LogEntry(f"2026-11-22T12:00:{second:02}.000000Z", severity, payload, f"id-{second}")  # type: ignore[arg-type]  # text or dict


def write(here: Place, *entries: LogEntry) -> None:
    here.cloud.state.logs += [("cloud_run_revision", e) for e in entries]  # type: ignore[attr-defined]  # the fake's own


def test_the_only_service_is_the_default(tmp_path: Path) -> None:
    """None: how to deploy; one: that one; two: exit 2 with the list; gemmactl.yaml decides; strangers don't count."""
    with pytest.raises(Trouble) as caught:
        find.name_of(up(), settings(tmp_path), None)
    assert (caught.value.exit, caught.value.code) == (Exit.USAGE, "service-none")
    one = up("one")
    one.cloud.state.services["projects/demo-proj/locations/us-central1/services/theirs"] = {"name": "x/theirs", "labels": {}}  # type: ignore[attr-defined]  # the fake's own
    assert find.name_of(one, settings(tmp_path), None) == "one"
    two = up("one", "two")
    with pytest.raises(Trouble) as caught:
        find.name_of(two, settings(tmp_path), None)
    assert (caught.value.exit, caught.value.why.endswith("one, two")) == (Exit.USAGE, True)
    (tmp_path / "gemmactl.yaml").write_text("name: two\n")
    assert find.name_of(two, settings(tmp_path), None) == "two"
    assert find.name_of(two, settings(tmp_path), "one") == "one"


def test_generate_prints_the_answer_alone(tmp_path: Path) -> None:
    """One verbatim block; the document has all the rest."""
    wire = Answers()
    result = ask(up("one", wire=wire), settings(tmp_path), None, Prompt("Hello.", "text", 5), Ear())
    assert result.blocks == (Verbatim("Hi"),)
    assert result.data["usage"] == {"completion_tokens": 8}
    assert wire.sent[0][2]["max_tokens"] == 5


def test_why_a_container_died_is_read_from_its_log(tmp_path: Path) -> None:
    """A load failure since the request began ends the wait; one before the last ready line is healed."""
    here = up("one")
    write(here, entry(1, {"load_failed": {"code": "access_denied", "object": "o", "detail": "d"}}), entry(2, {"timeline": {}}))
    assert Watch(here, "one").death() is None
    write(here, entry(3, {"load_failed": {"code": "access_denied", "object": "gs://weights/m", "detail": "403"}}, "ERROR"))
    died = Watch(here, "one").death()
    assert died is not None
    assert died.facts["load_failed"]["code"] == "access_denied"
    assert "doctor one --fix" in died.remedy
    with pytest.raises(Trouble) as caught:
        ask(
            Place(here.project, here.region, here.target, here.cloud, Answers(503, "")),
            settings(tmp_path),
            None,
            Prompt("x"),
            Ear(),
        )
    assert caught.value.facts["at_runtime_account"].startswith("gm-one-")
    assert caught.value.facts["at_bucket"] == "weights"


def test_who_may_not_read_logs_waits_on(tmp_path: Path) -> None:
    """A refused log is no reason to give up an answer."""
    here = up("one")

    def refuse(name: str) -> None:
        if name == "logs.entries":
            raise Trouble("no", why="denied", remedy="x")

    here.cloud.before_call = refuse  # type: ignore[attr-defined]  # the fake's own
    assert Watch(here, "one").death() is None


def test_doctor_finds_and_fixes_a_lost_role(tmp_path: Path) -> None:
    """Exit 6 with the role; --fix shows the plan, grants it and nothing else; after it, nothing is found."""
    here = up("one")
    member = f"serviceAccount:{find.about(find.service(here, settings(tmp_path), None))['runtime_account']}"
    here.cloud.policies.remove(PolicyTarget("bucket", "weights"), "roles/storage.objectViewer", member)
    found = repair(here, settings(tmp_path), None, Ear(), fix=False, yes=False)
    assert found.exit is Exit.FOUND
    assert [f["role"] for f in found.data["findings"]] == ["roles/storage.objectViewer"]
    assert found.next == ("gemmactl doctor one --fix --project demo-proj",)
    here.cloud.calls.clear()  # type: ignore[attr-defined]  # the fake's own
    with pytest.raises(Trouble):
        repair(here, settings(tmp_path), None, Ear(yes=False), fix=True, yes=False)
    assert here.cloud.writes == []  # type: ignore[attr-defined]  # the fake's own
    fixed = repair(here, settings(tmp_path), None, Ear(yes=True), fix=True, yes=False)
    assert fixed.exit is Exit.OK
    assert [c.name for c in here.cloud.writes] == ["policies.add"]  # type: ignore[attr-defined]  # the fake's own
    assert repair(here, settings(tmp_path), None, Ear(), fix=False, yes=False).exit is Exit.OK


def test_a_failure_line_is_what_doctor_reads() -> None:
    """The log line, parsed and written again, is the same."""
    import json

    assert LoadFailure.parse(json.loads(FAILURE.line())) == FAILURE
