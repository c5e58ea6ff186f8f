"""status: the list, and one service with health, revisions, last start, drift and where each setting comes from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from gemmactl.client.wire import Reply
from gemmactl.errors import Exit, Trouble
from gemmactl.prices import Certainty, Price
from gemmactl.resources.cloud import Json, LogEntry, PolicyTarget
from gemmactl.resources.mark import OURS
from gemmactl.result import Item, Result, Table
from gemmactl.serving import find
from gemmactl.serving.deploy import deploy
from gemmactl.serving.place import Place
from gemmactl.serving.status import status
from gemmactl.settings import Value
from gemmactl.spec import Serve, parse_model
from tests.fakes.cloud import FakeCloud, Run
from tests.serving.ear import Answers, Ear, place, settings, with_model
from tests.serving.test_watching import up, write

HOME = "projects/demo-proj/locations/us-central1/services"


def seen(here: Place, folder: Path, name: str | None = "one", *, wake: bool = False) -> Result:
    return status(here, settings(folder), name, Ear(), wake=wake)


def table(result: Result, title: str) -> list[dict[str, str]]:
    found = next(b for b in result.blocks if isinstance(b, Table) and b.title == title)
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


def origin(result: Result) -> dict[str, tuple[str, str]]:
    return {one["setting"]: (one["value"], one["origin"]) for one in result.data["settings"]}


def edit(here: Place, change: Callable[[dict[str, Any]], None], name: str = "one") -> None:
    """Change a service as another program would."""
    change(here.cloud.state.services[f"{HOME}/{name}"])  # type: ignore[attr-defined]  # the fake's own


def fake(here: Place) -> FakeCloud:
    assert isinstance(here.cloud, FakeCloud)
    return here.cloud


def test_a_service_that_is_not_there(tmp_path: Path) -> None:
    """Named, with project and region."""
    with pytest.raises(Trouble) as caught:
        seen(up("one"), tmp_path, "other")
    assert caught.value.code == "service-missing"
    assert "us-central1" in caught.value.why


def test_without_a_name_it_lists_every_region_with_gpus(tmp_path: Path) -> None:
    """Ours alone, each with its region and its split of traffic; --region narrows; a region that is closed is told."""
    here = up("one", "two")
    cloud = fake(here)
    west = f"{HOME.replace('us-central1', 'europe-west4')}/far"
    split = [{"revision": "far-1", "percent": 90}, {"revision": "far-2", "percent": 10, "tag": "next"}]
    cloud.state.services[west] = {"name": west, "labels": dict(OURS), "trafficStatuses": split, "uri": "https://far"}
    cloud.state.services[f"{HOME}/theirs"] = {"name": f"{HOME}/theirs", "labels": {}}

    class Closed(Run):
        def list(self, region: str) -> tuple[Json, ...]:
            if region == "asia-south1":
                raise Trouble("asia-south1 is closed", why="403", remedy="x", facts={"status": 403})
            return super().list(region)

    cloud.run = Closed(cloud)
    cloud.calls.clear()
    result = seen(here, tmp_path, None)
    rows = [(one["service"], one["region"], one["ready"]) for one in result.data["services"]]
    assert rows == [("far", "europe-west4", False), ("one", "us-central1", True), ("two", "us-central1", True)]
    shown = table(result, "")
    assert (shown[0]["TRAFFIC"], shown[1]["TRAFFIC"], shown[1]["MODEL"]) == ("90 % + 10 %", "100 %", "gs://weights/m")
    assert result.data["not_read"] == {"asia-south1": "asia-south1 is closed"}
    assert result.next == ("gemmactl status far --project demo-proj --region europe-west4",)
    only = replace(here, region=Value("us-central1", "--region"))
    assert [one["service"] for one in seen(only, tmp_path, None).data["services"]] == ["one", "two"]
    assert cloud.writes == []


def test_an_empty_project_is_told_how_to_begin(tmp_path: Path) -> None:
    """No table, the regions that were looked into, and deploy as the next command."""
    result = seen(place(FakeCloud()), tmp_path, None)
    assert result.data["services"] == []
    assert result.next == ("gemmactl deploy MODEL --project demo-proj",)


def test_status_tells_what_serves(tmp_path: Path) -> None:
    """The same facts for people and for machines; nothing but reads, and none of them of the service itself."""
    wire = Answers()
    here = up("one", wire=wire)
    fake(here).calls.clear()
    result = seen(here, tmp_path)
    assert (result.data["ready"], result.data["model"]) == (True, "gs://weights/m")
    assert result.data["url"].startswith("https://")
    rows = dict(next(b.rows for b in result.blocks if hasattr(b, "rows") and isinstance(b.rows[0], tuple)))
    assert rows["state"] == "ready"
    assert rows["size"] == "nvidia-l4, 4 CPU, 16Gi"
    assert rows["callers"] == "members with roles/run.invoker"
    assert (fake(here).writes, wire.sent) == ([], [])


def test_a_sleeping_service_is_not_woken(tmp_path: Path) -> None:
    """Its last line in the log is all that is told; --wake asks it; one that is always there is asked at once."""
    wire = Answers(200, {"status": "ok"})
    here = up("one", wire=wire)
    write(here, LogEntry("2026-11-22T12:00:01.5Z", "INFO", "x", "i"))
    asleep = seen(here, tmp_path).data["health"]
    assert (asleep["state"], asleep["asked"]) == ("asleep or unknown", False)
    assert "2026-11-22T12:00:01Z" in asleep["words"]
    assert wire.sent == []
    assert seen(here, tmp_path, wake=True).data["health"]["state"] == "healthy"
    assert [url.rpartition("/")[2] for url, *_ in wire.sent] == ["health", "ready"]
    assert wire.sent[0][1]["Authorization"].startswith("Bearer id-token-for-https://")
    edit(here, lambda live: live["template"]["scaling"].update(minInstanceCount=1))
    assert seen(here, tmp_path).data["health"]["state"] == "healthy"


@pytest.mark.parametrize(
    ("status_code", "content", "state", "words"),
    [
        (403, "", "unhealthy", "may not call it"),
        (500, "", "unhealthy", "500"),
        (503, {"stage": "read weights"}, "unhealthy", "503"),
    ],
)
def test_what_is_not_healthy(tmp_path: Path, status_code: int, content: Any, state: str, words: str) -> None:
    """The status, and what it means where one can know."""
    found = seen(up("one", wire=Answers(status_code, content)), tmp_path, wake=True).data["health"]
    assert found["state"] == state
    assert words in found["words"]


@dataclass
class Loading(Answers):
    """A service that lives and loads."""

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout: float) -> Reply:
        if url.endswith("/ready"):
            return Reply(503, {}, b'{"stage": "read weights"}')
        return super().send(method, url, headers, body, timeout)


def test_one_that_loads_is_not_ill(tmp_path: Path) -> None:
    """The stage of its start is told."""
    found = seen(up("one", wire=Loading()), tmp_path, wake=True).data["health"]
    assert (found["state"], found["words"]) == ("loading", "read weights")


def test_wake_is_asked_of_one_service(tmp_path: Path) -> None:
    """A list wakes nobody."""
    with pytest.raises(Trouble) as caught:
        seen(up("one"), tmp_path, None, wake=True)
    assert (caught.value.exit, caught.value.code) == (Exit.USAGE, "name-missing")


def test_revisions_with_image_digest_traffic_and_tags(tmp_path: Path) -> None:
    """The newest first; a tag and a share of the traffic stand with their revision; who may not list them sees the rest."""
    here = up("one")
    wish = Serve("demo-proj", "us-central1", parse_model("gs://weights/m"), "one", timeout=900, given=frozenset())
    assert deploy(wish, here, Ear(), yes=True).exit is Exit.OK
    split = [{"revision": "one-00001-tst", "percent": 10, "tag": "old"}, {"percent": 90}]
    edit(here, lambda live: live.update(traffic=split, trafficStatuses=split))
    result = seen(here, tmp_path)
    facts = dict(next(b.rows for b in result.blocks if hasattr(b, "rows") and isinstance(b.rows[0], tuple)))
    assert facts["serving"] == "10 % one-00001-tst, 90 % one-00002-tst"
    rows = result.data["revisions"]
    assert [(r["revision"], r["percent"], r["tags"]) for r in rows] == [("one-00002-tst", 90, []), ("one-00001-tst", 10, ["old"])]
    assert all(r["digest"].startswith("sha256:") and r["model"] == "gs://weights/m" for r in rows)

    def refuse(call: str) -> None:
        if call == "run.revisions":
            raise Trouble("may not list", why="denied", remedy="x")

    fake(here).before_call = refuse
    half = seen(here, tmp_path)
    assert (half.data["revisions"], half.data["ready"]) == ([], True)
    assert any(isinstance(b, Item) and b.lines == ("may not list",) for b in half.blocks)


def test_the_last_start_as_the_container_told_it(tmp_path: Path) -> None:
    """Seconds, bytes, rate and phases; a line that is no record is no start; a log that is closed hides nothing else."""
    here = up("one")
    assert seen(here, tmp_path).data["last_start"] is None
    record = {"ready": 41.25, "bytes": 8_600_000_000, "gb_per_s": 0.51, "phases": [{"name": "bind\x1b[2J", "seconds": 0.2}, 7]}
    raw = {"resource": {"labels": {"revision_name": "one-00001-tst"}}}
    write(here, LogEntry("2026-11-22T12:00:01.5Z", "INFO", {"message": "ready", "timeline": record}, "i", raw))
    result = seen(here, tmp_path)
    told = result.data["last_start"]
    assert (told["seconds"], told["bytes"], told["revision"]) == (41.25, 8_600_000_000, "one-00001-tst")
    assert told["phases"] == [{"name": "bind [2J", "seconds": 0.2}]
    assert "41.2 s after the container started, 8.6 GB at 0.51 GB/s" in str(result.blocks)
    write(here, LogEntry("2026-11-22T12:00:02Z", "INFO", {"timeline": {"ready": "soon", "bytes": [1]}}, "j"))
    assert seen(here, tmp_path).data["last_start"]["seconds"] is None


def test_without_a_file_drift_is_what_no_deploy_makes(tmp_path: Path) -> None:
    """A lost grant and a changed entry point show; a setting looks like a wish, and that is said."""
    here = up("one")
    assert "no gemmactl.yaml says" in str(seen(here, tmp_path).blocks)
    member = f"serviceAccount:{find.about(find.service(here, settings(tmp_path), 'one'))['runtime_account']}"
    fake(here).policies.remove(PolicyTarget("bucket", "weights"), "roles/storage.objectViewer", member)
    edit(here, lambda live: live["template"]["containers"][0].update(command=["sh"]))
    edit(here, lambda live: live["template"]["containers"][0]["resources"]["limits"].update(memory="32Gi", cpu="8"))
    found = seen(here, tmp_path)
    assert [(s["op"], s["kind"]) for s in found.data["drift"]["steps"]] == [("create", "iam_member"), ("update", "service")]
    assert [f["field"] for f in found.data["drift"]["steps"][1]["fields"]] == ["command"]
    assert origin(found)["memory"] == ("32Gi", "a flag, or changed by other means")


def test_a_failed_rollout_is_a_state_and_no_drift(tmp_path: Path) -> None:
    """It is told as what it is, with doctor as the next command."""
    here = up("one")
    broken = {"type": "Ready", "state": "CONDITION_FAILED", "message": "it died"}
    edit(here, lambda live: live.update(terminalCondition=broken))
    result = seen(here, tmp_path)
    assert (result.data["ready"], result.data["drift"]["steps"]) == (False, [])
    assert result.next == ("gemmactl doctor one --project demo-proj",)


def test_drift_from_the_file_is_told_field_by_field(tmp_path: Path) -> None:
    """Live against what gemmactl.yaml has; a file about another service has no say."""
    here = up("one")
    (tmp_path / "gemmactl.yaml").write_text("name: one\nmodel: gs://weights/m\ntimeout: 15m\nmax-instances: 1\n")
    found = seen(here, tmp_path)
    (step,) = found.data["drift"]["steps"]
    assert [(f["field"], f["live"], f["wanted"]) for f in step["fields"]] == [("timeout", "1800", "900")]
    assert found.next == ("gemmactl plan --project demo-proj",)
    assert origin(found)["timeout"] == ("1800", "not as gemmactl.yaml has it")
    assert origin(found)["max_instances"] == ("1", "gemmactl.yaml")
    (tmp_path / "gemmactl.yaml").write_text("name: two\nmodel: gs://weights/m\ntimeout: 15m\n")
    other = seen(here, tmp_path)
    assert (other.data["drift"]["steps"], origin(other)["timeout"]) == ([], ("1800", "default"))


def test_settings_are_derived_default_or_said(tmp_path: Path) -> None:
    """As far as it can be known afterwards; a model that can't be read leaves open what its size says."""
    here = up("one")
    found = origin(seen(here, tmp_path))
    assert found["memory"] == ("16Gi", "derived from the model")
    assert found["max_context"][1] == "derived from the model"
    assert found["ingress"] == ("all", "default")
    assert (found["gpu_type"], found["quantize"]) == (("nvidia-l4", "default"), ("none", "default"))
    spoken = status(here, settings(tmp_path, GEMMACTL_TIMEOUT="30m"), "one", Ear())
    assert origin(spoken)["timeout"] == ("1800", "GEMMACTL_TIMEOUT")
    tagged = status(here, settings(tmp_path, GEMMACTL_NETWORK_TAGS="a,bc"), "one", Ear())
    assert next(one for one in tagged.data["settings"] if one["setting"] == "network_tags")["wanted"] == "a, bc"
    fake(here).state.objects.clear()
    assert origin(seen(here, tmp_path))["memory"] == ("16Gi", "derived from the model, or set")


def test_the_bill_of_a_live_service(tmp_path: Path) -> None:
    """From its live size and the bytes of its model; the last start's seconds make the price of a wake-up; asked for only."""
    here = up("one")
    record = {"ready": 60.0, "bytes": 1, "gb_per_s": None}
    write(here, LogEntry("2026-11-22T12:00:01Z", "INFO", {"timeline": record}, "i"))
    assert "costs" not in seen(here, tmp_path).data
    found = status(here, settings(tmp_path), "one", Ear(), cost=True)
    bill = found.data["costs"]
    assert bill["instance_hour"] == Price(3600 * (0.0001867 + 4 * 0.000018 + 16 * 0.000002), Certainty.LISTED).document()
    assert (bill["wake_up"]["start_seconds"], bill["ceiling_month"]["instances"]) == (60.0, 1)
    assert bill["asleep_month"]["model"]["usd"] is not None
    assert "cloud.google.com/SERVICE/pricing" in str(found.blocks[-1])
    with pytest.raises(Trouble, match="--cost"):
        status(here, settings(tmp_path), None, Ear(), cost=True)


def test_a_strangers_service_is_shown_without_a_judgement(tmp_path: Path) -> None:
    """What it should be is nobody's to say here."""
    here = place(with_model(FakeCloud()))
    box = {"image": "x/y", "resources": {"limits": {"cpu": "2", "memory": "2Gi"}}}
    fake(here).state.services[f"{HOME}/theirs"] = {"name": f"{HOME}/theirs", "labels": {}, "template": {"containers": [box]}}
    found = seen(here, tmp_path, "theirs")
    assert found.data["drift"]["unknown"] == "gemmactl did not make it"
    assert found.data["health"]["state"] == "unreachable"
