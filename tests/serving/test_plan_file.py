"""plan -o and deploy plan.json: exactly what was approved is done, or nothing; the file holds no secret."""

from __future__ import annotations

import itertools
import json
import shutil
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gemmactl import __version__
from gemmactl.errors import Exit, Trouble
from gemmactl.kernel.plan import Op
from gemmactl.resources.cloud import RepositoryInfo
from gemmactl.serving import plan_file
from gemmactl.serving.deploy import deploy, plan
from gemmactl.serving.plan_file import Approved, Keep
from gemmactl.spec import Serve, Token, parse_model
from tests.fakes.cloud import FakeCloud
from tests.kernel.toy import Killed
from tests.serving.ear import SAMPLE, Ear, place, with_model

WISH = Serve("demo-proj", "us-central1", parse_model("gs://weights/m"), "gemma")
CANARY = "hf_CANARYcanaryCANARYcanary"
SERVICE = "service us-central1/gemma"


def refuse() -> Token:
    raise AssertionError("nobody may ask for a token here")


def planned(folder: Path, cloud: FakeCloud, wish: Serve = WISH) -> Path:
    """A plan in a file."""
    out = folder / "plan.json"
    result = plan(wish, place(cloud), again="", out=Keep(out, "gemmactl plan MODEL -o plan.json"))
    assert result.data["plan_file"] == str(out)
    return out


def load(path: Path) -> Approved:
    return plan_file.load(path, lambda: Token(CANARY))


def apply(path: Path, cloud: FakeCloud, **how: Any):
    approved = load(path)
    return deploy(approved.wish, place(cloud), how.pop("ear", Ear()), yes=True, approved=approved)


def refusal(path: Path, cloud: FakeCloud) -> Trouble:
    """The refusal of a plan that is not true any more; nothing was changed."""
    cloud.calls.clear()
    with pytest.raises(Trouble) as caught:
        apply(path, cloud)
    assert (caught.value.exit, caught.value.code, cloud.writes) == (Exit.REFUSED, "plan-moved", [])
    return caught.value


def seal(document: dict[str, Any]) -> str:
    """The document as if gemmactl had written it."""
    document.pop("digest", None)
    return json.dumps({**document, "digest": plan_file._digest(document)})


def test_what_was_approved_is_applied(tmp_path: Path) -> None:
    """The file is the owner's alone, its deploy is the plan's next command, and what it does is what the plan said."""
    cloud = with_model(FakeCloud())
    out = tmp_path / "plan.json"
    result = plan(WISH, place(cloud), again="x", out=Keep(out, "gemmactl plan gs://weights/m -o plan.json"))
    assert cloud.writes == []
    assert result.next == (f"gemmactl deploy {out}",)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["plan.json"]
    done = apply(out, cloud)
    assert done.exit is Exit.OK
    assert sorted(done.data["done"]) == sorted(s["address"] for s in result.data["steps"] if s["op"] != "keep")


def test_it_asks_like_any_deploy(tmp_path: Path) -> None:
    """A file is no yes."""
    cloud = with_model(FakeCloud())
    approved, ear = load(planned(tmp_path, cloud)), Ear(yes=False)
    cloud.calls.clear()
    with pytest.raises(Trouble) as caught:
        deploy(approved.wish, place(cloud), ear, yes=False, approved=approved)
    assert (caught.value.code, cloud.writes) == ("not-confirmed", [])
    assert any("by you@sandbox.invalid with gemmactl" in line for line in ear.said)


def test_a_change_in_the_cloud_is_named_with_was_and_now(tmp_path: Path) -> None:
    """Somebody changed the service between the plan and its deploy: which step, which field, what it was and is."""
    cloud = with_model(FakeCloud())
    assert deploy(WISH, place(cloud), Ear(), yes=True).exit is Exit.OK
    path = planned(tmp_path, cloud, replace(WISH, context=4096, given=frozenset({"context"})))
    live = next(iter(cloud.state.services.values()))
    live["template"]["maxInstanceRequestConcurrency"] = 7
    found = refusal(path, cloud)
    assert {"step": SERVICE, "field": "concurrency", "was": "64", "now": "7"} in found.facts["differences"]
    assert f"{SERVICE}: concurrency was 64, is 7" in found.why
    assert "gemmactl plan MODEL -o plan.json" in found.remedy


def test_a_service_that_was_made_meanwhile_or_is_gone(tmp_path: Path) -> None:
    """A creation that is an update now, and an update that is a creation now."""
    other = replace(WISH, context=2048, given=frozenset({"context"}))
    cloud = with_model(FakeCloud())
    path = planned(tmp_path, cloud)
    deploy(other, place(cloud), Ear(), yes=True)
    assert {"step": SERVICE, "field": "", "was": "not there", "now": "there"} in refusal(path, cloud).facts["differences"]
    path = planned(tmp_path, cloud)
    cloud.state.services.clear()
    assert {"step": SERVICE, "field": "", "was": "there", "now": "not there"} in refusal(path, cloud).facts["differences"]


def test_what_was_as_wished_and_is_no_longer(tmp_path: Path) -> None:
    """A step that the plan kept must be kept, not changed unseen."""
    cloud = with_model(FakeCloud())
    deploy(WISH, place(cloud), Ear(), yes=True)
    path = planned(tmp_path, cloud, replace(WISH, context=4096, given=frozenset({"context"})))
    name = "projects/demo-proj/locations/us-central1/repositories/gemmactl"
    cloud.repositories.update(RepositoryInfo(name, "DOCKER", cloud.state.repositories[name].labels, 9, 90))
    assert {"step": "repository us-central1/gemmactl", "field": "keep_newest", "was": "10", "now": "9"} in refusal(
        path, cloud
    ).facts["differences"]


def test_another_model_directory_is_another_plan(tmp_path: Path) -> None:
    """Its content is in the name of what is uploaded; unchanged, it is applied."""
    model = Path(shutil.copytree(SAMPLE, tmp_path / "model"))
    cloud = FakeCloud()
    path = planned(tmp_path, cloud, replace(WISH, model=parse_model(str(model))))
    (model / "generation_config.json").write_text("{}")
    assert "model files gs://" in refusal(path, cloud).why
    shutil.copy(SAMPLE / "generation_config.json", model / "generation_config.json")
    assert apply(path, cloud).exit is Exit.OK


def test_weights_that_were_overwritten_are_another_plan(tmp_path: Path) -> None:
    """The same names and sizes, another generation: what was approved is not what would be served."""
    cloud = with_model(FakeCloud())
    path = planned(tmp_path, cloud)
    shard = next(SAMPLE.glob("*.safetensors"))
    cloud.storage.write("weights", f"m/{shard.name}", shard)
    assert "pin gs://weights/m for us-central1/gemma" in refusal(path, cloud).why


def test_another_build_context_is_another_plan(tmp_path: Path) -> None:
    """The image's name is what it is built from: another gemmactl builds another one, and is named."""
    cloud = with_model(FakeCloud())
    path = planned(tmp_path, cloud)
    text = path.read_text()
    tag = next(s["address"] for s in json.loads(text)["steps"] if s["address"].startswith("image "))
    older = json.loads(text.replace(tag.rpartition(":")[2], "0123456789abcdef"))
    older["gemmactl"] = "0.0.9"
    path.write_text(seal(older))
    found = refusal(path, cloud)
    assert found.why.startswith(f"gemmactl 0.0.9 made the plan, this is {__version__}\n")
    assert "image serve:0123456789abcdef: was in the plan (create), is no part of it" in found.why


@pytest.mark.parametrize("kill", ["accounts.create", "repositories.create", "builds.start", "run.create"])
def test_an_interrupted_deploy_of_a_plan_goes_on(tmp_path: Path, kill: str) -> None:
    """What is done needs nothing any more, and the rest is what was approved: the same command again ends it."""
    cloud = with_model(FakeCloud())
    path = planned(tmp_path, cloud)

    def die(name: str) -> None:
        if name == kill:
            raise Killed

    cloud.after_call = die
    with pytest.raises(Killed):
        apply(path, cloud)
    cloud.after_call = lambda _name: None
    cloud.calls.clear()
    again = apply(path, cloud)
    assert again.exit is Exit.OK
    assert plan(WISH, place(cloud), again="").data["changes"] == 0


def test_no_secret_is_in_the_file_and_it_must_be_given_again(tmp_path: Path) -> None:
    """A token is kept as the name of its variable; without it nothing starts; with it the deploy stores it."""
    cloud = with_model(FakeCloud())
    path = planned(tmp_path, cloud, replace(WISH, hf_token=Token(CANARY)))
    assert CANARY not in path.read_text()
    with pytest.raises(Trouble) as caught:
        plan_file.load(path, lambda: plan_file.token_again({}, Ear()))
    assert (caught.value.exit, "HF_TOKEN" in caught.value.remedy) == (Exit.USAGE, True)
    approved = plan_file.load(path, lambda: plan_file.token_again({"HF_TOKEN": CANARY}, Ear()))
    assert deploy(approved.wish, place(cloud), Ear(), yes=True, approved=approved).exit is Exit.OK
    assert CANARY.encode() in str(cloud.state.versions).encode()


def test_a_plan_without_a_token_asks_for_none(tmp_path: Path) -> None:
    """And takes none that happens to be in the environment: the plan knew none."""
    cloud = with_model(FakeCloud())
    assert plan_file.load(planned(tmp_path, cloud), refuse).wish == WISH


def test_a_blocked_plan_is_not_kept(tmp_path: Path) -> None:
    """It could not be applied."""
    cloud = with_model(FakeCloud())
    name = "projects/demo-proj/locations/us-central1/repositories/gemmactl"
    cloud.repositories.create(RepositoryInfo(name, "PYTHON", {"managed-by": "gemmactl"}))
    result = plan(WISH, place(cloud), again="", out=Keep(tmp_path / "plan.json", ""))
    assert (result.exit, list(tmp_path.iterdir()), "plan_file" in result.data) == (Exit.REFUSED, [], False)


def test_a_plan_with_nothing_to_do_changes_nothing(tmp_path: Path) -> None:
    """As long as nothing is to be done."""
    cloud = with_model(FakeCloud())
    deploy(WISH, place(cloud), Ear(), yes=True)
    path = planned(tmp_path, cloud)
    cloud.calls.clear()
    assert apply(path, cloud).exit is Exit.OK
    assert cloud.writes == []


def spoiled(path: Path, how: str) -> None:
    document = json.loads(path.read_text())
    match how:
        case "gone":
            path.unlink()
        case "cut":
            path.write_text(path.read_text()[:200])
        case "other":
            path.write_text('{"schema": "gemmactl.plan/v9"}')
        case "edited":
            path.write_text(path.read_text().replace('"max_instances": 1', '"max_instances": 9'))
        case "newer":
            document["wish"]["colour"] = "red"
            path.write_text(seal(document))
        case "wrong":
            document["wish"]["cpu"] = "8"
            path.write_text(seal(document))


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("gone", "No such file"),
        ("cut", "it is no JSON"),
        ("other", "schema: gemmactl.plan/v1"),
        ("edited", "changed after it was written"),
        ("newer", "Serve has colour, which is not known here"),
        ("wrong", "cpu is not a value of type int"),
    ],
)
def test_a_file_that_is_no_plan_is_refused(tmp_path: Path, how: str, why: str) -> None:
    """As a usage error that says what is wrong with it."""
    path = planned(tmp_path, with_model(FakeCloud()))
    spoiled(path, how)
    with pytest.raises(Trouble) as caught:
        plan_file.load(path, refuse)
    assert (caught.value.exit, caught.value.code) == (Exit.USAGE, "plan-file")
    assert why in caught.value.why


def test_a_plan_goes_only_where_it_can_be_written_and_found_again(tmp_path: Path) -> None:
    """A folder that is not there, a directory, a name that deploy would take for a model."""
    cloud = with_model(FakeCloud())
    (tmp_path / "folder.json").mkdir()
    for out, code in (("nowhere/plan.json", "unwritable"), ("folder.json", "unwritable"), ("plan", "name")):
        with pytest.raises(Trouble) as caught:
            plan(WISH, place(cloud), again="", out=Keep(tmp_path / out, ""))
        assert (caught.value.exit, caught.value.code) == (Exit.USAGE, f"plan-file-{code}")
    assert [p.name for p in tmp_path.iterdir()] == ["folder.json"]


def test_options_beside_a_plan_are_refused() -> None:
    """They would make it another one."""
    plan_file.alone([], "plan.json")
    with pytest.raises(Trouble) as caught:
        plan_file.alone(["max_instances", "region"], "plan.json")
    assert (caught.value.exit, caught.value.what) == (Exit.USAGE, "--max-instances, --region can't be given beside plan.json")


def test_steps_as_text_hold_every_wish_and_no_secret(tmp_path: Path) -> None:
    """Down to single variables and labels, by name."""
    cloud = with_model(FakeCloud())
    document = json.loads(planned(tmp_path, cloud, replace(WISH, hf_token=Token(CANARY))).read_text())
    (service,) = [s for s in document["steps"] if s["address"] == SERVICE]
    assert service["op"] == Op.CREATE
    assert service["live"] is None
    wanted = service["wanted"]
    assert wanted["containers.1.env.GEMMACTL_MAX_CONTEXT.value"] == "8192"
    assert wanted["containers.1.env.HF_TOKEN.version"].startswith("newest version of ")
    assert wanted["labels.managed-by"] == "gemmactl"
    texts = itertools.chain.from_iterable((s["wanted"] | (s["live"] or {})).values() for s in document["steps"])
    assert not any(CANARY in text for text in texts)
