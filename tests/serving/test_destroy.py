"""destroy: what goes, what stays with its price, and who must say so."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from gemmactl.errors import Exit, Trouble
from gemmactl.resources.stored_model import StoredModel
from gemmactl.result import Item, Line, Result
from gemmactl.serving.deploy import deploy, plan
from gemmactl.serving.destroy import Extent, destroy
from gemmactl.serving.place import Place
from gemmactl.spec import Serve, Token, parse_model
from tests.fakes.cloud import FakeCloud
from tests.serving.ear import SAMPLE, Ear, place, settings, with_model

WISH = Serve("demo-proj", "us-central1", parse_model("gs://weights/m"), "gemma")
BUCKET = "demo-proj-gemmactl-models-us-central1"
ALL = Extent(everything=True)


def uploaded(folder: Path, *names: str) -> Place:
    """Services whose models deploy uploaded itself; each name has a model of its own."""
    here = place(with_model(FakeCloud()))
    for name in names:
        shutil.copytree(SAMPLE, folder / name)
        (folder / name / "README.md").write_text(name)
        wish = replace(WISH, name=name, model=parse_model(str(folder / name)), given=frozenset())
        assert deploy(wish, here, Ear(), yes=True).exit is Exit.OK
    return here


def cloud(here: Place) -> FakeCloud:
    assert isinstance(here.cloud, FakeCloud)
    return here.cloud


def models(here: Place) -> set[str]:
    """The folders in the bucket of models."""
    return {name.partition("/")[0] for bucket, name in cloud(here).state.objects if "models" in bucket}


def heads(result: Result) -> list[str]:
    return [block.head for block in result.blocks if isinstance(block, Item)]


def test_what_stays_has_its_price(tmp_path: Path) -> None:
    """A model that lies elsewhere is told with its size and its month; what costs nothing has no price; the sum is said."""
    here = place(with_model(FakeCloud()))
    deploy(replace(WISH, hf_token=Token("hf_" + "a" * 30)), here, Ear(), yes=True)
    result = destroy(here, settings(tmp_path), "gemma", Ear(), yes=True)
    stays = {one["address"]: one for one in result.data["stays"]}
    size = sum(path.stat().st_size for path in SAMPLE.iterdir())
    assert stays["model gs://weights/m"]["bytes"] == size
    assert stays["model gs://weights/m"]["why"] == "in a bucket that gemmactl did not make"
    assert stays["model gs://weights/m"]["month"] == {"usd": round(size / 2**30 * 0.02, 4), "certainty": "listed"}
    assert stays["apis"]["month"]["usd"] == 0
    assert heads(result) == ["kept apis", "kept model gs://weights/m"]
    assert isinstance(result.blocks[0], Line)
    assert "a month" in result.blocks[0].text


@pytest.mark.parametrize("size", [2_000_000_000, None])
def test_images_that_stay_are_in_the_sum_or_named_beside_it(tmp_path: Path, size: int | None) -> None:
    """By the size that Artifact Registry tells of the repository; the image in it is not counted twice."""
    here = place(with_model(FakeCloud()))
    deploy(WISH, here, Ear(), yes=True)
    repositories = cloud(here).state.repositories
    repositories |= {name: replace(info, size=size) for name, info in repositories.items()}
    ear = Ear()
    result = destroy(here, settings(tmp_path), "gemma", ear, yes=True, extent=Extent(service_only=True))
    stays = {one["address"]: one for one in result.data["stays"]}
    kept, rest = stays.pop("repository us-central1/gemmactl"), sum(one["month"]["usd"] for one in stays.values())
    (said,) = (line for line in ear.said if line.startswith("what stays costs"))
    beside = ", plus the images of repository us-central1/gemmactl, size unknown"
    if size:
        assert (kept["bytes"], kept["month"]["usd"], kept["rate"]) == (size, 0.2, "")
        assert (result.data["stays_month"]["usd"], beside in said) == (pytest.approx(rest + 0.2), False)
        assert any("2.0 GB, $0.20 a month" in line for line in ear.said)
    else:
        assert (kept["month"]["usd"], said.endswith(beside.removeprefix(", plus "))) == (None, True)


def test_service_only_leaves_the_rest_and_says_how_it_goes(tmp_path: Path) -> None:
    """One delete; a deploy afterwards makes the service alone; the next command removes what was left."""
    here = place(with_model(FakeCloud()))
    deploy(WISH, here, Ear(), yes=True)
    cloud(here).calls.clear()
    result = destroy(here, settings(tmp_path), "gemma", Ear(), yes=True, extent=Extent(service_only=True))
    assert [call.name for call in cloud(here).writes] == ["run.delete"]
    assert "repository us-central1/gemmactl" in {one["address"] for one in result.data["stays"]}
    assert [step["kind"] for step in plan(WISH, here, again="").data["steps"] if step["op"] != "keep"] == ["service"]
    assert result.next == ("gemmactl destroy gemma --model gs://weights/m --project demo-proj",)
    destroy(here, settings(tmp_path), "gemma", Ear(), model="gs://weights/m", yes=True)
    assert (cloud(here).state.accounts, cloud(here).state.repositories) == ({}, {})


def test_models_go_with_all_alone(tmp_path: Path) -> None:
    """Without it bucket and folder stay; with it both go, after the name was typed."""
    here = uploaded(tmp_path, "one")
    assert len(models(here)) == 1
    ear = Ear(answers=["one"])
    result = destroy(here, settings(tmp_path), "one", ear, extent=ALL)
    assert result.exit is Exit.OK
    assert (models(here), BUCKET in cloud(here).state.buckets) == (set(), False)
    assert "Type one" in ear.asked[0]
    again = uploaded(tmp_path / "again", "one")
    kept = destroy(again, settings(tmp_path), "one", Ear(), yes=True)
    assert len(models(again)) == 1
    assert any(one["address"] == f"bucket {BUCKET}" and one["bytes"] for one in kept.data["stays"])


def test_all_takes_the_folders_of_this_service_alone(tmp_path: Path) -> None:
    """Another service's model stays and keeps the bucket; so does a folder that no service uses."""
    here = uploaded(tmp_path, "one", "two")
    first = destroy(here, settings(tmp_path), "one", Ear(answers=["one"]), extent=ALL)
    assert {name.rpartition("-")[0] for name in models(here)} == {"two"}
    assert any(one["why"] == "service two uses it" for one in first.data["stays"])
    cloud(here).storage.write(BUCKET, "old/model.safetensors", b"x")
    second = destroy(here, settings(tmp_path), "two", Ear(answers=["two"]), extent=ALL)
    assert models(here) == {"old"}
    (bucket,) = (one for one in second.data["stays"] if one["address"] == f"bucket {BUCKET}")
    assert bucket["why"].startswith("it also holds old;")


def redeployed(here: Place, folder: Path, name: str) -> None:
    """Its directory changed and deployed again: another folder, and the first one is named by an older revision alone."""
    config = folder / "config.json"
    config.write_text(config.read_text() + "\n")
    wish = replace(WISH, name=name, model=parse_model(str(folder)), given=frozenset())
    assert deploy(wish, here, Ear(), yes=True).exit is Exit.OK


def test_all_takes_what_was_uploaded_for_older_revisions(tmp_path: Path) -> None:
    """Both folders go, and the bucket with them; what a person put there keeps it."""
    here = uploaded(tmp_path, "one")
    redeployed(here, tmp_path / "one", "one")
    assert len(models(here)) == 2
    cloud(here).storage.write(BUCKET, "mine/model.safetensors", b"x")
    result = destroy(here, settings(tmp_path), "one", Ear(answers=["one"]), extent=ALL)
    assert (result.exit, models(here)) == (Exit.OK, {"mine"})


def test_without_all_older_uploads_stay_in_the_price(tmp_path: Path) -> None:
    """The bucket is told with the bytes of both folders."""
    here = uploaded(tmp_path, "one")
    redeployed(here, tmp_path / "one", "one")
    kept = destroy(here, settings(tmp_path), "one", Ear(), yes=True)
    (bucket,) = (one for one in kept.data["stays"] if one["address"] == f"bucket {BUCKET}")
    assert len(models(here)) == 2
    assert bucket["bytes"] > 2 * sum(path.stat().st_size for path in SAMPLE.glob("*.safetensors"))


def test_an_older_upload_that_another_services_revision_names_stays(tmp_path: Path) -> None:
    """Also where that revision is an old one: a rollback may come back to it."""
    here = uploaded(tmp_path, "one")
    (folder,) = models(here)
    two = replace(WISH, name="two", model=parse_model(f"gs://{BUCKET}/{folder}"), given=frozenset())
    deploy(two, here, Ear(), yes=True)
    deploy(replace(two, model=WISH.model), here, Ear(), yes=True)
    redeployed(here, tmp_path / "one", "one")
    result = destroy(here, settings(tmp_path), "one", Ear(answers=["one"]), extent=ALL)
    assert models(here) == {folder}
    assert any(one["why"] == "a revision of service two uses it" for one in result.data["stays"])


def test_one_model_under_two_services_stays_for_the_other(tmp_path: Path) -> None:
    """The same folder, deployed twice: destroying one with everything leaves it."""
    here = uploaded(tmp_path, "one")
    (folder,) = models(here)
    wish = replace(WISH, name="two", model=parse_model(f"gs://{BUCKET}/{folder}"), given=frozenset())
    deploy(wish, here, Ear(), yes=True)
    destroy(here, settings(tmp_path), "one", Ear(answers=["one"]), extent=ALL)
    assert models(here) == {folder}


def test_a_strangers_model_is_not_taken_by_all(tmp_path: Path) -> None:
    """Deploy did not put it there; what it did put beside it, the pin, goes."""
    here = place(with_model(FakeCloud()))
    before = {key for key in cloud(here).state.objects if key[0] == "weights"}
    deploy(WISH, here, Ear(), yes=True)
    destroy(here, settings(tmp_path), "gemma", Ear(answers=["gemma"]), extent=ALL)
    assert {key for key in cloud(here).state.objects if key[0] == "weights"} == before


@pytest.mark.parametrize(
    ("extent", "yes", "answers", "code"),
    [
        (Extent(everything=True, service_only=True), True, [], "flags-contradict"),
        (ALL, True, [], "name-needed"),
        (ALL, False, [], "usage"),
        (ALL, False, ["yes"], "not-confirmed"),
        (Extent(everything=True, confirm="other"), True, [], "name-differs"),
    ],
)
def test_all_wants_the_name(tmp_path: Path, extent: Extent, yes: bool, answers: list[str], code: str) -> None:
    """A yes is not enough, nor is another word, nor is there a default without a terminal: nothing is removed."""
    here = uploaded(tmp_path, "one")
    cloud(here).calls.clear()
    with pytest.raises(Trouble) as caught:
        destroy(here, settings(tmp_path), "one", Ear(answers=answers), yes=yes, extent=extent)
    assert (caught.value.code, cloud(here).writes) == (code, [])


def test_the_name_may_be_said_beforehand(tmp_path: Path) -> None:
    """--all --confirm NAME asks nobody."""
    here = uploaded(tmp_path, "one")
    destroy(here, settings(tmp_path), "one", Ear(), extent=Extent(everything=True, confirm="one"))
    assert models(here) == set()


def test_an_interrupted_removal_goes_on_and_leaves_no_half_model(tmp_path: Path) -> None:
    """The small files go first, so that no reader takes what is left for a model; the same command again takes the rest."""
    here = uploaded(tmp_path, "one", "two")
    seen: list[str] = []

    def stop(call: str) -> None:
        if call == "storage.delete":
            seen.append(call)
            if len(seen) == len(list(SAMPLE.iterdir())):
                raise Trouble("no", why="stopped", remedy="x")

    cloud(here).before_call = stop
    half = destroy(here, settings(tmp_path), "one", Ear(answers=["one"]), extent=ALL)
    assert half.exit is Exit.FAILURE
    left = [name for bucket, name in cloud(here).state.objects if bucket == BUCKET and name.startswith("one")]
    assert left
    assert not any(name.endswith(".json") for name in left)
    cloud(here).before_call = lambda _: None
    (folder,) = {name.partition("/")[0] for name in left}
    model = f"gs://{BUCKET}/{folder}"
    destroy(here, settings(tmp_path), "one", Ear(answers=["one"]), model=model, extent=ALL)
    assert {name.rpartition("-")[0] for name in models(here)} == {"two"}


def test_a_folder_without_a_name_is_never_removed() -> None:
    """It would be the whole bucket."""
    with pytest.raises(ValueError, match="whole bucket"):
        StoredModel(BUCKET, "/")
