"""What a plan says before a yes: fields with their effect, how long, how much; on 80 columns and for machines."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gemmactl.errors import Exit
from gemmactl.resources.cloud import BucketInfo, RepositoryInfo
from gemmactl.result import Facts, Item, Line
from gemmactl.serving import plan_time
from gemmactl.serving.deploy import deploy, plan
from gemmactl.serving.plan_time import Phase, span, total
from gemmactl.serving.preflight import look
from gemmactl.spec import Serve, Token, parse_model
from gemmactl.ui.layout import lay
from tests.fakes.cloud import FakeCloud
from tests.serving.ear import SAMPLE, Ear, place, with_model

WISH = Serve("demo-proj", "us-central1", parse_model("gs://weights/m"), "gemma")


def bill(result) -> dict[str, str]:
    """The rows of time and money."""
    (found,) = [b for b in result.blocks if isinstance(b, Facts)]
    return dict(found.rows)


def deployed() -> FakeCloud:
    cloud = with_model(FakeCloud())
    assert deploy(WISH, place(cloud), Ear(), yes=True).exit is Exit.OK
    return cloud


def test_each_field_says_how_it_changes() -> None:
    """A label changes in place, a variable makes a new revision: on the screen and for machines."""
    cloud = deployed()
    live = next(iter(cloud.state.services.values()))
    live["labels"]["team"] = live["labels"].pop("gemmactl-name", "x")
    wish = replace(WISH, context=4096, auth="public", given=frozenset({"context"}))
    result = plan(wish, place(cloud), again="")
    (step,) = [s for s in result.data["steps"] if s["op"] != "keep"]
    effects = {f["field"]: (f["effect"], f["fixed"]) for f in step["fields"]}
    assert effects["GEMMACTL_MAX_CONTEXT"] == ("new revision", False)
    assert effects["invoker_iam_disabled"] == ("in place", False)
    (item,) = [b for b in result.blocks if isinstance(b, Item) and b.sign == "~"]
    assert "GEMMACTL_MAX_CONTEXT: 8192 -> 4096 (new revision)" in item.lines
    assert "invoker_iam_disabled: no -> yes (in place)" in item.lines


def test_what_cannot_change_in_place_blocks_with_a_way_out() -> None:
    """Exit 4 also with --detailed-exitcode, no time, no next command, the field and what to do are told."""
    cloud = with_model(FakeCloud())
    name = "projects/demo-proj/locations/us-central1/repositories/gemmactl"
    cloud.repositories.create(RepositoryInfo(name, "PYTHON", {"managed-by": "gemmactl"}))
    for detailed in (False, True):
        result = plan(WISH, place(cloud), again="gemmactl deploy x", detailed=detailed)
        assert (result.exit, result.next) == (Exit.REFUSED, ())
    (item,) = [b for b in result.blocks if isinstance(b, Item) and b.sign == "!"]
    assert any(line == "format: PYTHON -> DOCKER (can't change in place)" for line in item.lines)
    assert item.lines[-1].startswith("what to do: ")
    assert "time" not in bill(result)


def test_a_first_deploy_says_how_long_and_how_much() -> None:
    """The build once, permissions, the start; asleep, awake, a wake-up, the most of a month; dated sources in one dim line."""
    result = plan(replace(WISH, hf_token=Token("hf_x"), max_instances=2), place(with_model(FakeCloud())), again="")
    rows = bill(result)
    assert rows["time"] == "10 to 17 min: permissions 0 to 7 min; build about 9 min (first time only); start about 30 s"
    assert rows["once"] == "about $0.14 for the build"
    assert rows["asleep"] == "from $0.06 a month: model under $0.01, secrets $0.06, image $0.10 for each GB of it"
    assert rows["awake"] == "$1.05 an hour for each instance"
    assert rows["wake-up"] == "at least $0.18: a start of about 30 s, then 10 min until it sleeps again"
    assert (
        rows["ceiling"] == "from $1,527.98 a month: $1,527.92 for 2 instances awake all the time, from $0.06 for what is stored"
    )
    assert result.data["costs"]["ceiling_month"]["usd"] == pytest.approx(1527.98, abs=0.01)
    (made,) = [b for b in result.blocks if isinstance(b, Item) and b.head == "repository us-central1/gemmactl"]
    assert made.lines == ("images older than 90 days are deleted, but for the newest 10 of each name",)
    last = result.blocks[-1]
    assert isinstance(last, Line)
    assert (last.tone, "run 2026-10" in last.text) == ("dim", True)
    assert max(len(line.text) for line in lay((result.blocks[-2], last), 80)) <= 80


def test_machines_get_the_same_as_numbers() -> None:
    """Seconds and dollars with their certainty, also when nothing is to be done."""
    cloud = with_model(FakeCloud())
    data = plan(WISH, place(cloud), again="").data
    assert [p["phase"] for p in data["time"]["phases"]] == ["permissions", "build", "start"]
    assert (data["time"]["least_seconds"], data["time"]["most_seconds"]) == (pytest.approx(570, abs=1), pytest.approx(990, abs=1))
    assert data["costs"]["instance_hour"]["certainty"] == "listed"
    deploy(WISH, place(cloud), Ear(), yes=True)
    done = plan(WISH, place(cloud), again="")
    assert done.data["time"]["phases"] == []
    assert done.data["costs"] == data["costs"]
    assert "time" not in bill(done)


def test_an_image_that_is_there_is_not_built_and_labels_start_nothing() -> None:
    """A new revision of a built image takes a start; a change beside the revision takes none."""
    cloud = deployed()
    wish = replace(WISH, context=4096, given=frozenset({"context"}))
    assert bill(plan(wish, place(cloud), again=""))["time"] == "about 30 s: start about 30 s"
    opened = plan(replace(WISH, auth="public"), place(cloud), again="")
    assert (bill(opened)["time"], opened.data["time"]["phases"]) == ("some seconds", [])


def test_bytes_to_upload_are_told_and_their_time_is_not_made_up() -> None:
    """Of a directory; those that the bucket has already are not counted."""
    cloud = FakeCloud()
    cloud.storage.create_bucket(BucketInfo("demo-proj-gemmactl-models-us-central1", "us-central1"))
    result = plan(replace(WISH, model=parse_model(str(SAMPLE))), place(cloud), again="")
    assert "10 to 17 min and the upload: " in bill(result)["time"]
    assert "upload: 1." in bill(result)["time"]
    assert "MB, as fast as your line" in bill(result)["time"]
    phase = result.data["time"]["phases"][1]
    assert (phase["phase"], phase["least_seconds"]) == ("upload", None)


def test_a_model_that_nobody_could_look_at_has_no_length_of_start() -> None:
    """The wake-up is a lower bound all the same: the time until the instance goes."""
    wish = replace(WISH, image="us-docker.pkg.dev/other/repo/image:1")
    rows = bill(plan(wish, place(with_model(FakeCloud())), again=""))
    assert "start: not known" in rows["time"]
    assert rows["wake-up"].startswith("at least $")
    assert "a start of unknown length" in rows["wake-up"]


def test_instances_that_never_sleep_are_in_what_a_quiet_month_costs() -> None:
    """--min-instances costs all month, and the screen says so."""
    rows = bill(plan(replace(WISH, min_instances=1), place(with_model(FakeCloud())), again=""))
    assert rows["asleep"].startswith("from $763.96 a month: 1 instance that never sleeps $763.96, ")


def test_lengths_in_words() -> None:
    """Minutes from a minute and a half on; equal ends are one number; what is not known stands beside the sum."""
    assert [span(540, 540), span(30, 31.5), span(30, 120), span(0, 420)] == [
        "about 9 min",
        "30 to 32 s",
        "1 to 2 min",
        "0 to 7 min",
    ]
    assert total(()) == "some seconds"
    assert total((Phase("upload", None, None, "x"),)) == "upload: not known"
    assert total((Phase("start", 60, 60), Phase("upload", None, None, "x"))) == "about 60 s and the upload"


def test_the_start_of_a_large_model_is_a_range() -> None:
    """A bucket's usual rate and the least that any delivers."""
    sizing = look(WISH, with_model(FakeCloud())).sizing
    assert plan_time.start(replace(sizing, size=8_600_000_000)) == (pytest.approx(38.6), pytest.approx(116.0))


def test_images_are_priced_by_what_their_repository_holds() -> None:
    """Of a built one the size is told, and is in every sum; while another is still to be built it is a lower bound."""
    cloud = deployed()
    name = "projects/demo-proj/locations/us-central1/repositories/gemmactl"
    cloud.state.repositories[name] = replace(cloud.state.repositories[name], size=5 * 10**9)
    result = plan(WISH, place(cloud), again="")
    assert result.data["changes"] == 0
    assert bill(result)["asleep"] == "$0.50 a month: model under $0.01, image $0.50"
    assert bill(result)["ceiling"] == "$764.46 a month: $763.96 for 1 instance awake all the time, $0.50 for what is stored"
    assert result.data["costs"]["ceiling_month"]["stored"]["usd"] == pytest.approx(0.50, abs=0.01)
    cloud.state.images.clear()
    assert bill(plan(WISH, place(cloud), again=""))["asleep"].startswith("from $0.50 a month: ")
