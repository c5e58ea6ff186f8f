"""deploy, plan, status and destroy of a service that runs vLLM, on the in-memory cloud."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gemmactl import stack, vllm
from gemmactl.errors import Exit, Trouble
from gemmactl.kernel.plan import make_plan
from gemmactl.result import Facts
from gemmactl.serving.ask import Prompt, ask
from gemmactl.serving.deploy import deploy, plan
from gemmactl.serving.destroy import destroy
from gemmactl.serving.preflight import look
from gemmactl.serving.recall import recalled
from gemmactl.serving.repair import repair
from gemmactl.serving.status import status
from gemmactl.serving.wishes import wishes
from gemmactl.spec import Serve, parse_model
from inference_image.contract import ENV_OVERRIDES, ENV_QUANTIZE
from tests.checkpoint import zoo
from tests.fakes.cloud import FakeCloud, refusal
from tests.serving.ear import Answers, Ear, place, settings, with_model

WISH = Serve("demo-proj", "us-central1", parse_model("gs://weights/m"), "gemma", engine="vllm", engine_given=True)
SERVICE = "projects/demo-proj/locations/us-central1/services/gemma"
COMPLETION = {"choices": [{"text": "Ich", "finish_reason": "length"}], "usage": {"completion_tokens": 24}, "model": "m"}


def with_type(cloud: FakeCloud, folder: Path, **config: Any) -> FakeCloud:
    """The sample model with another config.json."""
    made = with_model(cloud)
    path = folder / "config.json"
    path.write_text(json.dumps(config))
    made.storage.write("weights", "m/config.json", path)
    made.calls.clear()
    return made


def with_gemma4(cloud: FakeCloud, folder: Path) -> FakeCloud:
    """A small Gemma 4 where WISH looks, beside the sample."""
    zoo.other("gemma4")(folder)
    made = with_model(cloud, "sample")
    for path in sorted(folder.iterdir()):
        made.storage.write("weights", f"m/{path.name}", path)
    made.calls.clear()
    return made


def deployed(cloud: FakeCloud, wish: Serve = WISH) -> Answers:
    wire = Answers(content=COMPLETION)
    result = deploy(wish, place(cloud, wire), Ear(), yes=True)
    assert result.exit is Exit.OK, result.problems
    return wire


def test_a_deploy_is_proven_over_vllms_own_route() -> None:
    """The official image streams from the bucket; the smoke test is a raw completion, which needs no chat template."""
    cloud = with_model(FakeCloud())
    wire = deployed(cloud)
    (container,) = cloud.state.services[SERVICE]["template"]["containers"]
    assert (container["image"], container["command"], container["args"][:2]) == (
        vllm.IMAGE,
        ["vllm"],
        ["serve", "gs://weights/m"],
    )
    assert container["startupProbe"]["httpGet"]["path"] == "/health"
    url, headers, body = next(one for one in wire.sent if vllm.MIRROR not in one[0])
    assert url.endswith("/v1/completions")
    assert headers["Authorization"].startswith("Bearer id-token-for-https://")
    assert body["model"] == "m"


@pytest.mark.parametrize(
    ("change", "code", "hints", "served"),
    [
        ({"auth": "api-key"}, "api-key-with-vllm", ("say --engine gemmactl",), True),
        ({"adapters": (("a", parse_model("hf:o/n")),)}, "adapter-with-vllm", ("say --engine gemmactl",), True),
        (
            {"env": ((ENV_QUANTIZE, "int8"),)},
            "quantize-with-vllm",
            ("leave --quantize out", "--engine gemmactl", "Gemma 3, Gemma, Gemma 2 (not of Gemma 3n, Gemma 4)"),
            False,
        ),
    ],
)
def test_a_way_out_of_what_vllm_cannot_do_leads_out(
    tmp_path: Path, change: dict[str, Any], code: str, hints: tuple[str, ...], *, served: bool
) -> None:
    """A Gemma 4 takes vLLM where nobody names an engine: the flag that is named ends that, and int8 is not promised to it."""
    cloud = with_gemma4(FakeCloud(), tmp_path / "m")
    auto = replace(WISH, engine="gemmactl", engine_given=False, **change)
    with pytest.raises(Trouble) as caught:
        plan(auto, place(cloud), again="")
    assert (caught.value.code, caught.value.exit) == (code, Exit.USAGE)
    assert all(hint in caught.value.remedy for hint in hints)
    own = replace(auto, engine_given=True)
    if served:
        assert plan(own, place(cloud), again="").exit is Exit.OK
    else:
        with pytest.raises(Trouble, match="not made for this model's family"):
            plan(own, place(cloud), again="")


@pytest.mark.parametrize("beside", [True, False])
def test_corrections_that_vllm_does_not_read_are_told(tmp_path: Path, *, beside: bool) -> None:
    """Of a Gemma 4 that took vLLM by itself: which, from where, and the engine that reads them; doctor says it too."""
    cloud = with_gemma4(FakeCloud(), tmp_path / "m")
    corrections = json.dumps({"generation_config.json": {"eos_token_id": [1, 106]}})
    wish = replace(WISH, engine="gemmactl", engine_given=False)
    if beside:
        path = tmp_path / "overrides.json"
        path.write_text(corrections)
        cloud.storage.write("weights", "m/gemmactl/overrides.json", path)
    else:
        wish = replace(wish, env=((ENV_OVERRIDES, corrections),))
    result = plan(wish, place(cloud), again="")
    (said,) = (f for f in result.data["model_findings"] if f["code"] == "overrides-not-applied")
    assert (said["severity"], said["object"]) == ("warning", "gemmactl/overrides.json" if beside else "--override")
    assert "generation_config.json:eos_token_id; answers may run on until the limit" in said["what"]
    assert "deploy with --engine gemmactl" in said["remedy"]
    own = plan(replace(wish, engine_given=True), place(cloud), again="")
    assert "overrides-not-applied" not in {f["code"] for f in own.data["model_findings"]}
    deployed(cloud, wish)
    found = repair(place(cloud), settings(tmp_path), "gemma", Ear(), fix=False, yes=False)
    assert "model-overrides-not-applied" in {one["code"] for one in found.data["findings"]}


def test_quantised_weights_are_not_sent_to_a_server_that_cannot_read_them(tmp_path: Path) -> None:
    """The way out of an unread correction is then the file itself."""
    config = {"model_type": "gemma3", "text_config": {}, "quantization_config": {"quant_method": "awq"}}
    cloud = with_type(FakeCloud(), tmp_path, **config)
    wish = replace(WISH, env=((ENV_OVERRIDES, json.dumps({"generation_config.json": {"top_k": 64}})),))
    said = {found.code: found for found in look(wish, cloud).remarks}
    assert said["overrides-not-applied"].remedy == "write the values into generation_config.json, which vLLM reads itself"
    assert "until the limit" not in said["overrides-not-applied"].what
    assert "--engine gemmactl" not in said["pin-not-enforced"].remedy


def test_a_second_deploy_writes_nothing() -> None:
    """Derived arguments come out the same."""
    cloud = with_model(FakeCloud())
    deployed(cloud)
    cloud.calls.clear()
    deployed(cloud)
    assert cloud.writes == []


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "gemma3", "text_config": {}, "quantization_config": {"quant_method": "awq"}},
        {"model_type": "something-new"},
    ],
)
def test_what_gemmactls_server_refuses_is_served(tmp_path: Path, config: dict[str, Any]) -> None:
    """Quantised weights and unknown types: refused without the flag, planned with it."""
    cloud = with_type(FakeCloud(), tmp_path, **config)
    with pytest.raises(Trouble) as caught:
        plan(replace(WISH, engine="gemmactl"), place(cloud), again="")
    assert caught.value.exit is Exit.REFUSED
    result = plan(WISH, place(cloud), again="")
    assert result.exit is Exit.OK
    assert result.data["sizing"]["engine"] == "vllm"
    assert cloud.writes == []


def test_vectors_are_no_text_for_any_engine(tmp_path: Path) -> None:
    """EmbeddingGemma stays refused, with what does serve it."""
    cloud = with_type(FakeCloud(), tmp_path, model_type="gemma3_text", use_bidirectional_attention=True)
    with pytest.raises(Trouble) as caught:
        plan(WISH, place(cloud), again="")
    assert caught.value.code == "family-unsupported"
    assert "embedding server" in caught.value.remedy


def test_a_config_with_a_key_twice_is_refused(tmp_path: Path) -> None:
    """A file that readers understand differently is not passed on."""
    cloud = with_model(FakeCloud())
    path = tmp_path / "config.json"
    path.write_text('{"model_type": "gemma2", "model_type": "gemma3"}')
    cloud.storage.write("weights", "m/config.json", path)
    with pytest.raises(Trouble) as caught:
        plan(WISH, place(cloud), again="")
    assert (caught.value.exit, caught.value.code) == (Exit.REFUSED, "config-invalid")


def test_the_sandbox_says_what_it_pretends() -> None:
    """Something stands in for vLLM there: it is said before the question; on the real cloud nothing of it is."""
    said = []
    for target in ("sandbox", "cloud"):
        cloud, ear = with_model(FakeCloud()), Ear()
        here = replace(place(cloud, Answers(404)), target=target)
        with pytest.raises(Trouble):
            deploy(WISH, here, replace(ear, yes=False), yes=False)
        assert cloud.writes == []
        said.append(any("stands in" in line for line in ear.said))
    assert said == [True, False]


def test_a_live_service_is_recalled_whole() -> None:
    """Engine from the command, context from the arguments, the pinned image as no choice: its stack has nothing to change."""
    cloud = with_model(FakeCloud())
    deployed(cloud)
    here = place(cloud)
    back = recalled(here, "gemma", cloud.state.services[SERVICE])
    assert (back.engine, back.image, back.context) == ("vllm", None, 8192)
    assert not make_plan(stack.serving(back), cloud).work
    own = recalled(here, "gemma", {**cloud.state.services[SERVICE], "template": {"containers": [{"image": "x"}]}})
    assert (own.engine, own.image) == ("gemmactl", "x")


def test_doctor_finds_nothing_wrong_with_it_and_one_lost_role(tmp_path: Path) -> None:
    """And names the second role on the bucket when somebody took it."""
    cloud = with_model(FakeCloud())
    deployed(cloud)
    assert repair(place(cloud), settings(tmp_path), "gemma", Ear(), fix=False, yes=False).exit is Exit.OK
    for roles in cloud.state.policies.values():
        roles.pop("roles/storage.legacyBucketReader", None)
    found = repair(place(cloud), settings(tmp_path), "gemma", Ear(), fix=False, yes=False)
    assert found.exit is Exit.FOUND
    assert any("roles/storage.legacyBucketReader" in json.dumps(one) for one in found.data["findings"])


def test_status_says_what_is_not_there(tmp_path: Path) -> None:
    """Its routes are vLLM's; ours are named as missing."""
    cloud = with_model(FakeCloud())
    deployed(cloud)
    result = status(place(cloud), settings(tmp_path), "gemma", Ear())
    facts = next(dict(block.rows) for block in result.blocks if isinstance(block, Facts))
    assert "/generate" in facts["engine"]
    assert "/ready" in facts["engine"]
    assert facts["model"] == "gs://weights/m"
    assert result.data["engine"] == "vllm"
    assert facts["last start"] == "not known: vLLM writes no timeline of its start"
    assert result.data["last_start"] is None


def test_destroy_removes_it(tmp_path: Path) -> None:
    """From the live service alone; the model stays."""
    cloud = with_model(FakeCloud())
    deployed(cloud)
    destroy(place(cloud), settings(tmp_path), "gemma", Ear(), yes=True)
    assert not cloud.state.services
    assert not cloud.state.accounts
    assert not [m for roles in cloud.state.policies.values() for members in roles.values() for m in members]
    assert cloud.storage.list("weights", "m/")


@pytest.mark.parametrize(
    ("flags", "environ", "engine", "given"),
    [
        ({"engine": "vllm"}, {}, "vllm", True),
        ({"engine": "gemmactl"}, {"GEMMACTL_ENGINE": "vllm"}, "gemmactl", True),
        ({}, {"GEMMACTL_ENGINE": "vllm"}, "vllm", True),
        ({"engine": "auto"}, {}, "gemmactl", False),
        ({}, {}, "gemmactl", False),
    ],
)
def test_the_engine_is_a_setting(
    tmp_path: Path, flags: dict[str, str], environ: dict[str, str], engine: str, given: bool
) -> None:
    """Flag, then environment; auto leaves the choice to the model's family."""
    found = wishes(settings(tmp_path, **environ), {"model": "gs://weights/m", "project": "demo-proj", **flags}, Ear())
    assert (found.engine, found.engine_given) == (engine, given)


def test_an_engine_that_is_none_is_a_usage_error(tmp_path: Path) -> None:
    """From the environment, where no option parser looks."""
    with pytest.raises(Trouble) as caught:
        wishes(settings(tmp_path, GEMMACTL_ENGINE="tgi"), {"model": "gs://weights/m", "project": "demo-proj"}, Ear())
    assert (caught.value.exit, caught.value.code) == (Exit.USAGE, "setting-illegal")


@pytest.mark.parametrize("readable", [True, False])
def test_generate_uses_the_types_beside_the_model(tmp_path: Path, *, readable: bool) -> None:
    """VLLM knows none, so they are read from the bucket; who may not read it still has the built-in ones."""
    cloud = with_model(FakeCloud())
    deployed(cloud)
    path = tmp_path / "presets.yaml"
    path.write_text("schema: gemmactl/presets.v1\ntypes: {poem: {mode: raw, template: 'Poem: {prompt}'}}\n")
    cloud.storage.write("weights", "m/gemmactl/presets.yaml", path)

    def denied(name: str) -> None:
        if name == "storage.read":
            raise refusal(403, "denied")

    if not readable:
        cloud.before_call = denied
    wire = Answers(content=COMPLETION)
    asked = Prompt("rain", "poem" if readable else "translation")
    result = ask(place(cloud, wire), settings(tmp_path), "gemma", asked, Ear())
    assert result.data["type"] == asked.type
    assert wire.sent[0][2]["prompt"].startswith("Poem: rain" if readable else "### Instruction")
