"""What deploy approves is written beside the weights, and its digest is in the revision; what changed is shown before a yes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gemmactl.checkpoint.files import DirectoryFiles
from gemmactl.errors import Exit, Trouble
from gemmactl.resources.cloud import BucketInfo
from gemmactl.serving.deploy import deploy, plan
from gemmactl.serving.destroy import destroy
from gemmactl.serving.folder import Hub
from gemmactl.serving.status import status
from gemmactl.serving.wishes import wishes
from gemmactl.spec import Serve, parse_model
from inference_image.pin import Pin, digest_of
from tests.fakes.cloud import FakeCloud
from tests.inference_image.loras import written
from tests.local.fake_hub import COMMIT
from tests.serving.ear import SAMPLE, Ear, place, settings, with_model

WISH = Serve("demo-proj", "us-central1", parse_model("gs://weights/m"), "gemma")
SHARD = "model-00002-of-00004.safetensors"
FOLDER = "m/gemmactl/pins/demo-proj/us-central1/gemma/"


def variables(cloud: FakeCloud) -> dict[str, str]:
    (live,) = cloud.state.services.values()
    return {one["name"]: one.get("value", "") for one in live["template"]["containers"][0]["env"]}


def pins(cloud: FakeCloud, folder: str = FOLDER) -> list[str]:
    return [name for _, name in sorted(cloud.state.objects) if name.startswith(folder)]


def deployed(cloud: FakeCloud, wish: Serve = WISH) -> str:
    result = deploy(wish, place(cloud), Ear(), yes=True)
    assert result.exit is Exit.OK, result.problems
    return variables(cloud).get("GEMMACTL_PIN", "")


def overwritten(cloud: FakeCloud, name: str = SHARD) -> None:
    """The same file once more, with its last byte another one."""
    _, content = cloud.state.objects["weights", f"m/{name}"]
    cloud.storage.write("weights", f"m/{name}", content[:-1] + bytes([content[-1] ^ 1]))


def steps(cloud: FakeCloud, wish: Serve = WISH) -> dict[str, Any]:
    return {one["address"]: one for one in plan(wish, place(cloud), again="").data["steps"] if one["op"] != "keep"}


def test_a_deploy_writes_what_it_approved_and_the_revision_names_it() -> None:
    """Each file that a start reads with generation, size and checksums, under the digest that the revision carries."""
    cloud = with_model(FakeCloud())
    cloud.storage.write("weights", "m/README.md", b"not read")
    text = deployed(cloud)
    assert [f"gs://weights/{name}" for name in pins(cloud)] == [text]
    _, data = cloud.state.objects["weights", text.removeprefix("gs://weights/")]
    pin = Pin.parse(data, digest_of(text))
    assert pin.service == "projects/demo-proj/locations/us-central1/services/gemma"
    (found,) = pin.places
    assert found.uri == "gs://weights/m"
    assert [one.name for one in found.objects] == sorted(path.name for path in SAMPLE.iterdir())
    info, _ = cloud.state.objects["weights", f"m/{SHARD}"]
    (shard,) = (one for one in found.objects if one.name == SHARD)
    assert (shard.generation, shard.size, shard.crc32c, shard.md5) == (info.generation, info.size, info.crc32c, info.md5)


def test_unchanged_weights_change_nothing() -> None:
    """The second deploy writes nothing, and doesn't ask what it may write."""
    cloud = with_model(FakeCloud())
    deployed(cloud)
    cloud.calls.clear()
    deployed(cloud)
    assert cloud.writes == []
    assert [one.subject for one in cloud.calls if one.name == "policies.test"] == []


def test_the_plan_says_which_files_are_others() -> None:
    """A shard that was overwritten is a new revision; its generations stand in the plan, and the old pin stays for a rollback."""
    cloud = with_model(FakeCloud())
    first = deployed(cloud)
    was, _ = cloud.state.objects["weights", f"m/{SHARD}"]
    overwritten(cloud)
    now, _ = cloud.state.objects["weights", f"m/{SHARD}"]
    found = steps(cloud)
    size = f"{was.size / 1e6:.1f} MB"
    row = {"field": SHARD, "live": f"generation {was.generation}, {size}", "wanted": f"generation {now.generation}, {size}"}
    (field,) = found["pin gs://weights/m for us-central1/gemma"]["fields"]
    assert {key: field[key] for key in row} == row
    assert [one["field"] for one in found["service us-central1/gemma"]["fields"]] == ["GEMMACTL_PIN"]
    second = deployed(cloud)
    assert {f"gs://weights/{name}" for name in pins(cloud)} == {first, second}
    assert steps(cloud) == {}


def test_who_may_not_write_there_carries_the_pin_in_the_revision() -> None:
    """A team's bucket that is only read: nothing is written to it; whoever may write deploys the same without a change."""
    cloud = with_model(FakeCloud())
    cloud.lacking = frozenset({"storage.objects.create"})
    text = deployed(cloud)
    assert text.startswith('{"schema":"gemmactl/pin.v1"')
    assert pins(cloud) == []
    assert steps(cloud) == {}
    cloud.lacking = frozenset()
    assert steps(cloud) == {}
    overwritten(cloud)
    assert deployed(cloud).startswith("gs://weights/m/gemmactl/pins/")
    assert steps(cloud) == {}


def test_a_directory_is_pinned_by_its_content(tmp_path: Path) -> None:
    """Its generations are known only after the upload: size and checksum are, before it and after it."""
    cloud = FakeCloud()
    wish = replace(WISH, model=parse_model(str(SAMPLE)))
    text = deployed(cloud, wish)
    bucket, _, name = text.removeprefix("gs://").partition("/")
    pin = Pin.parse(cloud.state.objects[bucket, name][1], digest_of(text))
    assert pin.places[0].uri == variables(cloud)["GEMMACTL_MODEL"]
    assert {one.generation for one in pin.places[0].objects} == {0}
    assert steps(cloud, wish) == {}


def test_adapters_are_pinned_with_their_model(tmp_path: Path) -> None:
    """One document for all that a start reads; a changed adapter is a change like any other."""
    cloud = with_model(FakeCloud())
    for path in written(tmp_path / "lora").iterdir():
        cloud.storage.write("weights", f"lora/{path.name}", path)
    wish = replace(WISH, adapters=(("a", parse_model("gs://weights/lora")),))
    text = deployed(cloud, wish)
    pin = Pin.parse(cloud.state.objects["weights", text.removeprefix("gs://weights/")][1], digest_of(text))
    assert [found.uri for found in pin.places] == ["gs://weights/m", "gs://weights/lora"]
    assert [one.name for one in pin.places[1].objects] == ["adapter_config.json", "adapter_model.safetensors"]
    cloud.storage.write("weights", "lora/adapter_config.json", tmp_path / "lora" / "adapter_config.json")
    (field,) = steps(cloud, wish)["pin gs://weights/m for us-central1/gemma"]["fields"]
    assert field["field"] == "gs://weights/lora/adapter_config.json"


def test_a_pin_that_is_gone_is_written_again() -> None:
    """And nothing else changes: the revision names it already."""
    cloud = with_model(FakeCloud())
    text = deployed(cloud)
    cloud.storage.delete("weights", text.removeprefix("gs://weights/"))
    assert list(steps(cloud)) == ["pin gs://weights/m for us-central1/gemma"]
    assert deployed(cloud) == text
    assert steps(cloud) == {}


def test_a_deploy_that_died_after_the_pin_goes_on() -> None:
    """The pin is there, the revision is not: the same deploy ends as if nothing had happened."""
    cloud = with_model(FakeCloud())
    deployed(cloud)
    overwritten(cloud)
    cloud.before_call = lambda name: (_ for _ in ()).throw(KeyboardInterrupt) if name == "run.update" else None
    with pytest.raises(BaseException, match=r".*"):
        raise_unless_ok(cloud)
    cloud.before_call = lambda _name: None
    assert len(pins(cloud)) == 2
    deployed(cloud)
    assert len(pins(cloud)) == 2
    assert steps(cloud) == {}


def raise_unless_ok(cloud: FakeCloud) -> None:
    """An interruption may come out as itself or as a Result that says so."""
    if deploy(WISH, place(cloud), Ear(), yes=True).exit is not Exit.OK:
        raise KeyboardInterrupt


def test_vllm_is_not_held_to_it() -> None:
    """Its streamer takes no generations: the pin is recorded, and the plan and status say that it is no more than that."""
    cloud = with_model(FakeCloud())
    wish = replace(WISH, engine="vllm", engine_given=True)
    result = plan(wish, place(cloud), again="")
    (found,) = [one for one in result.data["model_findings"] if one["code"] == "pin-not-enforced"]
    assert found["remedy"].startswith("--engine gemmactl starts from exactly these files")
    assert "GEMMACTL_PIN" in str(result.data["steps"]) or "pin gs://weights/m" in str(result.data["steps"])


@pytest.mark.parametrize("text", ["hf:owner/name", "hf:owner/name@main"])
def test_a_first_deploy_that_the_hub_does_not_answer_is_told_to_be_unpinned(text: str) -> None:
    """With the name that pins it by hand, which then says nothing more; so is an adapter of the Hub."""

    def silent(_text: str) -> DirectoryFiles:
        raise Trouble("no way to the Hub", why="", remedy="")

    here = replace(place(with_model(FakeCloud())), hub=silent)
    by_hand = f"hf:owner/name@{COMMIT}"

    def unpinned(wish: Serve) -> list[str]:
        found = plan(wish, here, again="").data["model_findings"]
        assert all("hf:owner/name@COMMIT" in one["remedy"] for one in found if one["code"] == "hub-not-pinned")
        return [one["object"] for one in found if one["code"] == "hub-not-pinned"]

    assert unpinned(replace(WISH, model=parse_model(text))) == [text]
    assert unpinned(replace(WISH, model=parse_model(by_hand))) == []
    assert unpinned(replace(WISH, adapters=(("a", parse_model(text)),))) == [text]


def test_status_tells_the_pin_of_each_revision(tmp_path: Path) -> None:
    """The service's and its revisions' digests; people see the beginning."""
    cloud = with_model(FakeCloud())
    text = deployed(cloud)
    result = status(place(cloud), settings(tmp_path), "gemma", Ear())
    assert result.data["pin"] == digest_of(text)
    assert [one["pin"] for one in result.data["revisions"]] == [digest_of(text)]
    assert f"pin {digest_of(text)[:12]}" in str(result.blocks)


def test_destroy_takes_the_pins_and_leaves_the_weights(tmp_path: Path) -> None:
    """Those of older revisions too, and no other service's."""
    cloud = with_model(FakeCloud())
    cloud.storage.create_bucket(BucketInfo("other", "us-central1"))
    here = place(cloud)
    deployed(cloud)
    overwritten(cloud)
    deployed(cloud)
    assert deploy(replace(WISH, name="two"), here, Ear(), yes=True).exit is Exit.OK
    assert destroy(here, settings(tmp_path), "gemma", Ear(), yes=True).exit is Exit.OK
    assert pins(cloud) == []
    assert len(pins(cloud, "m/gemmactl/pins/demo-proj/us-central1/two/")) == 1
    assert ("weights", f"m/{SHARD}") in cloud.state.objects


def test_destroy_takes_the_pins_beside_older_models_too(tmp_path: Path) -> None:
    """A service that served another folder before: nothing of it stays in either."""
    cloud = with_model(FakeCloud())
    for path in SAMPLE.iterdir():
        cloud.storage.write("weights", f"new/{path.name}", path)
    deployed(cloud)
    deployed(cloud, replace(WISH, model=parse_model("gs://weights/new")))
    assert len(pins(cloud)) == len(pins(cloud, "new/gemmactl/pins/")) == 1
    assert destroy(place(cloud), settings(tmp_path), "gemma", Ear(), yes=True).exit is Exit.OK
    assert [name for _, name in cloud.state.objects if "/gemmactl/pins/" in name] == []


def test_the_variable_is_not_set_by_hand(tmp_path: Path) -> None:
    """Another's word for what was approved is none: refused before any call."""
    with pytest.raises(Trouble) as caught:
        wishes(
            settings(tmp_path),
            {"project": "my-project", "region": "us-central1", "model": "gs://weights/m", "set_env_vars": "GEMMACTL_PIN=x"},
            Ear(),
        )
    assert (caught.value.code, caught.value.exit) == ("env-reserved", Exit.USAGE)


class AtCommit(DirectoryFiles):
    """A repository of the Hub whose branch is at a commit."""

    def commit(self) -> str:
        return COMMIT


def test_a_model_of_the_hub_is_pinned_by_its_commit() -> None:
    """What its branch is now is what the container is told; where the Hub can't be asked later on, it stays at that."""
    cloud, wish = FakeCloud(), replace(WISH, model=parse_model("hf:owner/name"))
    asked: list[str] = []

    def hub(text: str) -> DirectoryFiles:
        asked.append(text)
        return AtCommit(SAMPLE)

    def gated(text: str) -> DirectoryFiles:
        raise Trouble("may not be read", why="", remedy="")

    here = place(cloud)
    done = deploy(wish, replace(here, hub=hub), Ear(), yes=True)
    assert done.exit is Exit.OK, done.problems
    assert variables(cloud)["GEMMACTL_MODEL"] == f"hf:owner/name@{COMMIT}"
    assert "GEMMACTL_PIN" not in variables(cloud)
    assert asked == ["hf:owner/name", f"hf:owner/name@{COMMIT}"]

    def model(asked_for: Serve, later: Hub) -> list[str]:
        found = plan(asked_for, replace(here, hub=later), again="").data["steps"]
        return [one["wanted"] for step in found for one in step["fields"] if one["field"] == "GEMMACTL_MODEL"]

    assert [model(wish, later) for later in (hub, gated)] == [[], []]
    assert model(replace(wish, model=parse_model("hf:owner/name@main")), gated) == ["hf:owner/name@main"]
