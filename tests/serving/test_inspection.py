"""inspect as a verb: what is shown, written or carried, on a directory, a bucket and a repository of the Hub."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from gemmactl.checkpoint.corrections import parse_flags
from gemmactl.checkpoint.files import BucketFiles, DirectoryFiles, Files
from gemmactl.doctor.finding import Finding
from gemmactl.errors import Exit, Trouble, refused
from gemmactl.result import Result
from gemmactl.serving.deploy import deploy
from gemmactl.serving.folder import Folders
from gemmactl.serving.inspection import Look, show
from gemmactl.serving.looking import looking
from gemmactl.serving.overriding import variable
from gemmactl.serving.preflight import look
from gemmactl.serving.repair import repair
from gemmactl.serving.wishes import wishes
from gemmactl.spec import Serve, parse_model
from gemmactl.ui.layout import lay
from inference_image import contract
from tests.checkpoint import zoo
from tests.fakes.cloud import FakeCloud
from tests.fakes.refusal import refusal
from tests.serving.ear import SAMPLE, Answers, Ear, place, settings, with_model

WISH = Serve("demo-proj", "us-central1", parse_model("gs://weights/m"), "gemma")


def never(text: str) -> Files:
    raise AssertionError(text)


def no_cloud() -> FakeCloud:
    raise AssertionError("a directory needs no cloud")


def on_disk() -> Folders:
    return Folders(no_cloud, never)


def text(result: Result, width: int = 80) -> str:
    return "\n".join(line.text for line in lay(result.blocks, width))


def uploaded(cloud: FakeCloud, folder: Path) -> FakeCloud:
    """A folder in place of the sample in gs://weights/m."""
    made = with_model(cloud, "elsewhere")
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        made.storage.write("weights", f"m/{path.relative_to(folder).as_posix()}", path)
    made.calls.clear()
    return made


def faulty(folder: Path) -> Path:
    """An end of turn that is not configured, and no template: both can be corrected by small files."""
    next(a for a in zoo.ZOO if a.name == "the end of a turn never learnt, text").make(folder)
    (folder / "chat_template.jinja").unlink()
    return folder


def test_a_sound_model_is_shown_with_where_it_fits() -> None:
    """Exit 0; family, parameters, GPUs, stops; and the deploy line."""
    result = show(Look(parse_model(str(SAMPLE))), on_disk(), Ear())
    assert result.exit is Exit.OK
    shown = text(result)
    for words in (
        "Gemma 3 (gemma3_text)",
        "0.85 M parameters, BF16",
        "fits l4",
        "end at 1, 5",
        "nothing is wrong with it",
    ):
        assert words in shown
    assert result.next == (f"gemmactl deploy {SAMPLE} --project PROJECT_ID",)
    assert [f["fits"] for f in result.data["fits"]] == [True, True]


def test_errors_come_first_and_end_with_6(tmp_path: Path) -> None:
    """What can't be served before what surprises; the document has every finding with its refusal."""
    zoo.gone("chat_template.jinja", zoo.SHARDS[0])(_made(tmp_path))
    result = show(Look(parse_model(str(tmp_path / "m"))), on_disk(), Ear())
    assert result.exit is Exit.FOUND
    signs = [line[0] for line in text(result, 200).splitlines() if line[:2] in ("! ", "? ", "= ")]
    assert signs == sorted(signs, key="!?=".index)
    assert {f["code"]: f["refusal"] for f in result.data["findings"]}["shard-missing"] == "shard_missing"


def _made(tmp_path: Path) -> Path:
    zoo.text(tmp_path / "m")
    return tmp_path / "m"


def test_a_model_for_vllm_is_told_apart_from_a_broken_one(tmp_path: Path) -> None:
    """Exit 6, because this engine refuses it; and the line that serves it."""
    next(a for a in zoo.ZOO if a.name == "awq").make(tmp_path / "m")
    result = show(Look(parse_model(str(tmp_path / "m"))), on_disk(), Ear())
    assert (result.exit, result.data["engine"], result.data["family"]) == (Exit.FOUND, "vllm", "gemma3")
    assert "vLLM does" in text(result)
    assert result.next[-1].endswith("--engine vllm --project PROJECT_ID")


def test_a_family_of_the_slow_path_is_served_and_told(tmp_path: Path) -> None:
    """Gemma 2 needs no other server: it fits, it says that it is slower here, and what is faster."""
    next(a for a in zoo.ZOO if a.name == "gemma2").make(tmp_path / "m")
    result = show(Look(parse_model(str(tmp_path / "m"))), on_disk(), Ear())
    assert (result.exit, result.data["engine"], result.data["family"]) == (Exit.OK, "generic", "gemma2")
    assert all(row["fits"] for row in result.data["fits"])
    (finding,) = (f for f in result.data["findings"] if f["code"] == "engine-generic")
    assert "slower" in finding["what"]
    assert "--engine vllm" in finding["remedy"]
    assert "caches: slower" in text(result)
    assert result.next[-1].endswith("--project PROJECT_ID")


def test_an_unknown_type_gets_the_nearest_row_and_vllm(tmp_path: Path) -> None:
    """No row has the type: the likest is named, and the server that may know it."""
    next(a for a in zoo.ZOO if a.name == "llama").make(tmp_path / "m")
    result = show(Look(parse_model(str(tmp_path / "m"))), on_disk(), Ear())
    (finding,) = (f for f in result.data["findings"] if f["code"] == "family-unsupported")
    assert "nearest" in finding["what"]
    assert "--engine vllm" in finding["remedy"]


# --- fix -----------------------------------------------------------------------------------------------------


def test_fix_writes_what_it_shows_and_looks_again(tmp_path: Path) -> None:
    """New small files beside the weights; afterwards nothing is left to say."""
    folder = faulty(tmp_path / "m")
    ear = Ear(yes=True)
    result = show(Look(parse_model(str(folder))), on_disk(), ear, fix=True)
    assert result.exit is Exit.OK
    assert sorted(result.data["written"]) == ["chat_template.jinja", "gemmactl/overrides.json"]
    assert [f for f in result.data["findings"] if f["severity"] != "note"] == []
    assert any("chat_template.jinja" in line for line in ear.said)


def test_fix_asks_first(tmp_path: Path) -> None:
    """A no writes nothing."""
    folder = faulty(tmp_path / "m")
    before = sorted(p.name for p in folder.rglob("*"))
    with pytest.raises(Trouble) as caught:
        show(Look(parse_model(str(folder))), on_disk(), Ear(yes=False), fix=True)
    assert caught.value.code == "not-confirmed"
    assert sorted(p.name for p in folder.rglob("*")) == before


def test_fix_of_a_sound_model_says_so() -> None:
    """Nothing to write, nothing asked."""
    result = show(Look(parse_model(str(SAMPLE))), on_disk(), Ear(yes=None), fix=True)
    assert "nothing here can be corrected" in text(result)


def test_without_write_access_the_deployment_carries_the_correction(tmp_path: Path) -> None:
    """403 on the bucket: the flags are printed, deploy takes them, and the container gets them as its variable."""
    cloud = uploaded(FakeCloud(), faulty(tmp_path / "m"))

    def deny(name: str) -> None:
        if name == "storage.write":
            raise refusal(403, "no storage.objects.create")

    cloud.before_call = deny
    result = show(Look(WISH.model, flags=" --project demo-proj"), Folders(lambda: cloud, never), Ear(yes=True), fix=True)
    assert result.data["written"] == []
    cloud.before_call = lambda _name: None
    flags = result.data["override"]
    assert shlex.join(["--override", flags[0]]) in result.next[0]
    wish = wishes(settings(tmp_path), {"project": "demo-proj", "model": "gs://weights/m", "override": flags}, Ear())
    deploy(wish, place(cloud, Answers()), Ear(), yes=True)
    live = next(iter(cloud.state.services.values()))
    told = {e["name"]: e.get("value") for e in live["template"]["containers"][0]["env"]}
    assert json.loads(told[contract.ENV_OVERRIDES]) == parse_flags(flags)


def test_an_override_that_is_no_correction_is_a_usage_error() -> None:
    """Exit 2 with the form that works."""
    with pytest.raises(Trouble) as caught:
        variable({"override": ["tokenizer.json:model={}"]})
    assert (caught.value.exit, caught.value.code) == (Exit.USAGE, "override-illegal")


# --- the other verbs look first -----------------------------------------------------------------------------------


def test_deploy_refuses_what_inspect_refuses_before_anything_is_made(tmp_path: Path) -> None:
    """Exit 4 with the finding's code; no write call."""
    folder = _made(tmp_path)
    zoo.rename(folder, lambda key: f"transformer.{key}")
    cloud = uploaded(FakeCloud(), folder)
    with pytest.raises(Trouble) as caught:
        deploy(WISH, place(cloud), Ear(yes=True), yes=True)
    assert (caught.value.exit, caught.value.code) == (Exit.REFUSED, "keys-foreign")
    assert cloud.writes == []


def test_a_repository_that_can_not_be_read_from_here_is_left_to_the_container() -> None:
    """Its token may do what this machine's may not: a remark, not a refusal."""

    def gated(text: str) -> Files:
        raise refused(f"{text} may not be read", why="gated", remedy="HF_TOKEN", code="hub-access")

    seen = look(Serve("demo-proj", "us-central1", parse_model("hf:google/gemma-3-4b-it"), "gemma"), FakeCloud(), from_hub=gated)
    assert seen.report is None
    assert [f.code for f in seen.remarks] == ["model-unseen", "hub-not-pinned"]


def test_a_repository_is_inspected_when_it_can_be_read(tmp_path: Path) -> None:
    """The same look as for a bucket, sizes included."""
    folder = _made(tmp_path)
    wish = Serve("demo-proj", "us-central1", parse_model("hf:me/mine"), "gemma")
    seen = look(wish, FakeCloud(), from_hub=lambda _text: DirectoryFiles(folder))
    assert seen.report
    assert seen.sizing.fit
    assert (seen.wish.cpu, seen.wish.memory) == (4, "16Gi")


def test_doctor_lists_the_findings_of_the_model(tmp_path: Path) -> None:
    """Errors as problems with the engine's word, warnings as advice that is no fault by itself."""
    cloud = with_model(FakeCloud())
    deploy(WISH, place(cloud, Answers()), Ear(), yes=True)
    fine = repair(place(cloud), settings(tmp_path), None, Ear(), fix=False, yes=False)
    assert fine.exit is Exit.OK
    cloud.storage.delete("weights", "m/chat_template.jinja")
    advised = repair(place(cloud), settings(tmp_path), None, Ear(), fix=False, yes=False)
    assert (advised.exit, _codes(advised)) == (Exit.OK, {"model-template-missing": "advice"})
    cloud.storage.delete("weights", f"m/{zoo.SHARDS[1]}")
    broken = repair(place(cloud), settings(tmp_path), None, Ear(), fix=False, yes=False)
    assert broken.exit is Exit.FOUND
    assert _codes(broken)["model-shard-missing"] == "problem"


def _codes(result: Result) -> dict[str, str]:
    return {f["code"]: f["state"] for f in result.data["findings"]}


def test_doctor_that_may_not_read_the_model_says_unknown(tmp_path: Path) -> None:
    """Never read as ok: the missing permission is named."""
    cloud = with_model(FakeCloud())
    deploy(WISH, place(cloud, Answers()), Ear(), yes=True)

    def deny(name: str) -> None:
        if name == "storage.list":
            raise refusal(403, "denied", permission="storage.objects.list")

    cloud.before_call = deny
    result = repair(place(cloud), settings(tmp_path), None, Ear(), fix=False, yes=False)
    assert result.exit is Exit.FOUND
    assert ("unknown", "storage.objects.list") in {(f["state"], f["permission"]) for f in result.data["findings"]}


def test_a_directory_needs_neither_project_nor_cloud(tmp_path: Path) -> None:
    """The verb as the command line calls it, in an empty environment."""
    result = looking(settings(tmp_path), {"model": str(SAMPLE)}, Ear(), fix=False, yes=False)
    assert (result.target, result.exit) == ("local", Exit.OK)


def test_advice_is_a_state_of_findings() -> None:
    """It is never offered to --fix."""
    assert not Finding("x", "model", "t", "c", "r", state="advice").safe


def test_a_bucket_is_written_with_a_precondition(tmp_path: Path) -> None:
    """A file that appeared meanwhile is not replaced."""
    cloud = uploaded(FakeCloud(), _made(tmp_path))
    files = BucketFiles(cloud.storage, "weights", "m")
    with pytest.raises(Trouble) as caught:
        files.write_new("config.json", b"{}")
    assert caught.value.facts["status"] == 412
    files.write_new(contract.OVERRIDES, b"{}")
    files.again().write_new(contract.OVERRIDES, b"{ }")
    assert cloud.storage.read("weights", f"m/{contract.OVERRIDES}") == b"{ }"


def test_types_beside_a_model_are_shown_and_judged_with_the_deployments(tmp_path: Path) -> None:
    """Inspect lists them; deploy judges its own on top, and refuses before anything is changed."""
    next(a for a in zoo.ZOO if a.name == "presets of its own, text").make(tmp_path / "m")
    result = show(Look(parse_model(str(tmp_path / "m"))), on_disk(), Ear())
    assert result.data["types"] == {
        "translation": "built-in", "text": "built-in", "product": "built-in", "x": contract.PRESETS,
    }  # fmt: skip
    assert "translation, text, product, x" in text(result)
    assert "types" not in text(show(Look(parse_model(str(SAMPLE))), on_disk(), Ear()))
    cloud = uploaded(FakeCloud(), tmp_path / "m")
    variable_ = '{"schema":"gemmactl/presets.v1","types":{"sql":null}}'
    with pytest.raises(Trouble, match="type sql: null removes") as caught:
        deploy(replace(WISH, env=((contract.ENV_PRESETS, variable_),)), place(cloud), Ear(), yes=True)
    assert (caught.value.code, caught.value.exit) == ("presets-invalid", Exit.REFUSED)
    assert cloud.writes == []
