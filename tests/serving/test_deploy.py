"""plan, deploy and destroy on the in-memory cloud, from wish to Result."""

from dataclasses import replace
from pathlib import Path

import pytest

from gemmactl import stack
from gemmactl.errors import Exit, Trouble
from gemmactl.kernel.plan import make_plan
from gemmactl.result import Line, Table
from gemmactl.serving.deploy import deploy, plan
from gemmactl.serving.destroy import destroy
from gemmactl.serving.preflight import look
from gemmactl.serving.recall import recalled
from gemmactl.spec import Probe, SecretRef, Serve, Token, parse_model
from tests.checkpoint.architectures import folder
from tests.fakes.cloud import DIGEST, FakeCloud
from tests.serving.ear import SAMPLE, Answers, Ear, place, settings, with_model

WISH = Serve("demo-proj", "us-central1", parse_model("gs://weights/m"), "gemma")
CANARY = "hf_CANARYcanaryCANARYcanary"


def test_the_first_line_of_a_plan_says_who_where_and_what() -> None:
    """Identity, project and region with their origins, and the target; only read calls are made."""
    cloud = with_model(FakeCloud())
    result = plan(WISH, place(cloud), again="gemmactl deploy x")
    assert result.blocks[0] == Line(
        "you@sandbox.invalid · project demo-proj (--project) · region us-central1 (default) · target cloud"
    )
    assert result.exit is Exit.OK
    assert result.data["changes"] > 5
    assert result.next == ("gemmactl deploy x",)
    assert cloud.writes == []


def test_detailed_exitcode_tells_pending_from_done() -> None:
    """3 before, 0 after a deploy."""
    cloud = with_model(FakeCloud())
    assert plan(WISH, place(cloud), again="", detailed=True).exit is Exit.PENDING
    deploy(WISH, place(cloud), Ear(), yes=True)
    done = plan(WISH, place(cloud), again="", detailed=True)
    assert (done.exit, done.data["changes"], done.next) == (Exit.OK, 0, ())


def test_deploy_shows_applies_and_proves() -> None:
    """The plan is shown before, the smoke test is sent with an ID token, the URL and the next command come out."""
    cloud, wire, ear = with_model(FakeCloud()), Answers(), Ear(yes=True)
    result = deploy(WISH, place(cloud, wire), ear, yes=False)
    assert result.exit is Exit.OK
    assert any(line.startswith("+ service") for line in ear.said)
    url, headers, body = wire.sent[0]
    assert url == f"{result.data['url']}/generate"
    assert headers["Authorization"].startswith("Bearer id-token-for-https://")
    assert "type" not in body
    assert result.next[0].startswith("gemmactl generate")


def test_a_second_deploy_writes_nothing() -> None:
    """And asks nobody: there is nothing to confirm."""
    cloud = with_model(FakeCloud())
    deploy(WISH, place(cloud), Ear(), yes=True)
    cloud.calls.clear()
    assert deploy(WISH, place(cloud), Ear(yes=None), yes=False).exit is Exit.OK
    assert cloud.writes == []


@pytest.mark.parametrize(("yes", "code"), [(None, Exit.USAGE), (False, Exit.FAILURE)])
def test_nothing_happens_without_a_yes(yes: bool | None, code: Exit) -> None:
    """Nobody there, or a no: no write call."""
    cloud = with_model(FakeCloud())
    with pytest.raises(Trouble) as caught:
        deploy(WISH, place(cloud), Ear(yes=yes), yes=False)
    assert caught.value.exit is code
    assert cloud.writes == []


def test_a_service_that_does_not_answer_fails_the_gate() -> None:
    """Exit 5, with the URL still told: the deploy is done, the proof failed."""
    cloud = with_model(FakeCloud())
    result = deploy(WISH, place(cloud, Answers(500, {"error": {"message": "nan"}})), Ear(), yes=True)
    assert result.exit is Exit.GATE
    assert result.data["url"]
    assert result.problems[0].facts["at_service"] == "gemma"


def test_a_failed_step_names_itself_and_what_was_not_started() -> None:
    """The failing step's own Trouble, where it happened, and the rest of the plan."""
    cloud = with_model(FakeCloud())
    cloud.rollout = "The user-provided container failed the configured startup probe checks."
    result = deploy(WISH, place(cloud), Ear(), yes=True)
    assert result.exit is Exit.GATE
    assert result.data["failed"] == ["service us-central1/gemma"]
    assert result.problems[0].facts["at_project"] == "demo-proj"


@pytest.mark.parametrize(
    ("without", "code"),
    [
        ("config.json", "config-missing"),
        ("model-00003-of-00004.safetensors", "shard-missing"),
        ("tokenizer.json", "tokenizer-missing"),
    ],
)
def test_a_broken_model_is_refused_before_any_change(without: str, code: str) -> None:
    """Exit 4; nothing was made."""
    cloud = with_model(FakeCloud(), without=without)
    with pytest.raises(Trouble) as caught:
        deploy(WISH, place(cloud), Ear(), yes=True)
    assert (caught.value.exit, caught.value.code) == (Exit.REFUSED, code)
    assert cloud.writes == []


def test_an_empty_folder_is_refused() -> None:
    """The folder's own name stands in the refusal."""
    with pytest.raises(Trouble) as caught:
        plan(replace(WISH, model=parse_model("gs://weights/elsewhere")), place(with_model(FakeCloud())), again="")
    assert (caught.value.exit, "gs://weights/elsewhere" in caught.value.what) == (Exit.REFUSED, True)


def test_the_probe_is_as_long_as_the_weights_need() -> None:
    """Unless the user chose one: then it is kept."""
    cloud = with_model(FakeCloud())
    deploy(WISH, place(cloud), Ear(), yes=True)
    live = next(iter(cloud.state.services.values()))
    assert live["template"]["containers"][0]["startupProbe"]["failureThreshold"] == 46
    seed = Probe(None, 8080, True, 240, 240, 240, 5)
    deploy(replace(WISH, probe=seed, given=frozenset({"probe"})), place(cloud), Ear(), yes=True)
    live = next(iter(cloud.state.services.values()))
    assert live["template"]["containers"][0]["startupProbe"]["failureThreshold"] == 5


def test_the_plan_says_what_it_derived_and_how() -> None:
    """One line with size, context and concurrency; the arithmetic with --explain, and for machines always."""
    cloud = with_model(FakeCloud())
    plain, told = plan(WISH, place(cloud), again=""), plan(WISH, place(cloud), again="", explain=True)
    assert plain.blocks[1].text.endswith("nvidia-l4, 4 CPU, 16Gi, at most 1 instance · context 8192, 32 of 64 requests at once")  # type: ignore[union-attr]  # the second line
    tables = [[b for b in result.blocks if isinstance(b, Table)] for result in (plain, told)]
    assert [len(found) for found in tables] == [0, 2], "the arithmetic, and the checks"
    rows = {row[0]: row for row in tables[1][0].rows}
    assert {"GPU memory", "weights", "keys, values", "work memory", "context", "CPU, memory", "start-up"} <= set(rows)
    assert "not measured on a GPU" in rows["work memory"][2]
    assert rows["at once"][1] == "32 requests"
    sizing = plain.data["sizing"]
    assert (sizing["context"], sizing["weights_bytes"], sizing["given"]) == (8192, 845632 * 2, [])
    assert sizing == told.data["sizing"]


def test_the_context_that_was_approved_is_the_one_that_runs() -> None:
    """It is sent as the container's variable; another one is an update of that variable and of nothing else."""
    cloud = with_model(FakeCloud())
    deploy(WISH, place(cloud), Ear(), yes=True)
    live = next(iter(cloud.state.services.values()))
    assert {"name": "GEMMACTL_MAX_CONTEXT", "value": "8192"} in live["template"]["containers"][0]["env"]
    shorter = replace(WISH, context=4096, given=frozenset({"context"}))
    (step,) = [s for s in plan(shorter, place(cloud), again="").data["steps"] if s["op"] != "keep"]
    assert [(f["field"], f["live"], f["wanted"]) for f in step["fields"]] == [("GEMMACTL_MAX_CONTEXT", "8192", "4096")]


def test_a_model_larger_than_the_gpu_is_refused(tmp_path: Path) -> None:
    """A 12B folder: exit 4 before any change; with another server's image its size is not ours to judge."""
    cloud = FakeCloud()
    wish = replace(WISH, model=parse_model(str(folder(tmp_path / "12b", "12b"))))
    with pytest.raises(Trouble) as caught:
        deploy(wish, place(cloud), Ear(), yes=True)
    assert (caught.value.exit, caught.value.code) == (Exit.REFUSED, "model-too-large")
    assert cloud.writes == []
    other = look(replace(wish, image="us-docker.pkg.dev/other/repo/vllm:1"), cloud)
    assert (other.wish.context, other.wish.cpu, other.wish.memory) == (None, 8, "32Gi")


def test_a_config_that_is_no_model_is_refused_with_the_engines_code(tmp_path: Path) -> None:
    """What layout finds wrong with config.json, before any change."""
    place_of = folder(tmp_path / "1b", "1b")
    (place_of / "config.json").write_text('{"model_type": "gemma3_text", "hidden_size": -1}')
    with pytest.raises(Trouble) as caught:
        look(replace(WISH, model=parse_model(str(place_of))), FakeCloud())
    assert (caught.value.code, caught.value.exit) == ("config-invalid", Exit.REFUSED)
    assert "hidden_size is -1" in caught.value.what


RECALLED = [
    WISH,
    replace(
        WISH,
        probe=Probe(None, 8080, True, 240, 240, 240, 5),
        concurrency=1,
        auth="public",
        given=frozenset({"probe", "concurrency"}),
    ),
    replace(WISH, context=2048, cpu=8, memory="24Gi", given=frozenset({"context", "cpu", "memory"})),
    replace(WISH, image="us-docker.pkg.dev/other/repo/image:1", env=(("GEMMACTL_MAX_CONTEXT", "as long as it gets"),)),
    replace(WISH, env=(("A", "1"), ("B", "x=y,z")), max_instances=2, min_instances=1, timeout=60),
    replace(WISH, hf_token=Token(CANARY)),
    replace(WISH, ingress="internal-and-cloud-load-balancing", network="default", network_tags=("a", "b")),
    replace(WISH, ingress="internal", subnet="gpus", vpc_egress="all-traffic"),
    replace(WISH, service_account="mine@demo-proj.iam.gserviceaccount.com", image="us-docker.pkg.dev/other/repo/image:1"),
]


@pytest.mark.parametrize("wish", RECALLED)
def test_a_live_service_tells_the_wish_that_it_was_made_from(wish: Serve) -> None:
    """The plan of the recalled wish is empty: doctor and destroy see the stack that deploy made."""
    cloud = with_model(FakeCloud())
    cloud.accounts.create("mine", "", "")
    cloud.state.images["us-docker.pkg.dev/other/repo/image:1"] = DIGEST
    here = place(cloud)
    result = deploy(wish, here, Ear(), yes=True)
    assert result.exit is Exit.OK, result.problems
    live = next(iter(cloud.state.services.values()))
    steps = make_plan(stack.serving(recalled(here, "gemma", live)), cloud).work
    assert [(s.address, s.changes) for s in steps] == []


def test_a_deploy_without_a_token_keeps_the_one_the_service_has() -> None:
    """The variable is missing in this shell: that is no wish to take the token away, neither ours nor a stranger's secret."""
    for token in (Token(CANARY), SecretRef("team-token", "7")):
        cloud = with_model(FakeCloud())
        here = place(cloud)
        if isinstance(token, SecretRef):
            cloud.secrets.create(secret := f"projects/demo-proj/secrets/{token.name}", "us-central1", {})
            cloud.state.versions[secret] = [("ENABLED", b"x")] * 7
        deploy(replace(WISH, hf_token=token), here, Ear(), yes=True)
        assert "HF_TOKEN" in str(cloud.state.services)
        assert plan(WISH, here, again="").data["changes"] == 0


def test_destroy_removes_what_is_ours_and_lists_what_stays(tmp_path: Path) -> None:
    """Nothing of ours is left but what lasts; a second destroy has nothing to do without the service, and says how to go on."""
    cloud = with_model(FakeCloud())
    here = place(cloud)
    deploy(replace(WISH, hf_token=Token(CANARY)), here, Ear(), yes=True)
    result = destroy(here, settings(tmp_path), None, Ear(), yes=True)
    assert result.exit is Exit.OK
    state = cloud.state
    assert (state.services, state.accounts, state.repositories, state.secrets) == ({}, {}, {}, {})
    assert "weights" in state.buckets
    assert any("apis" in block.head for block in result.blocks if hasattr(block, "head"))
    with pytest.raises(Trouble) as caught:
        destroy(here, settings(tmp_path), "gemma", Ear(), yes=True)
    assert "--model MODEL" in caught.value.remedy
    assert destroy(here, settings(tmp_path), "gemma", Ear(), model="gs://weights/m", yes=True).data["changes"] == 0


def test_what_another_service_stands_on_is_kept(tmp_path: Path) -> None:
    """Two services share repository, build account and bucket: destroying one leaves them to the other."""
    cloud = with_model(FakeCloud())
    here = place(cloud)
    for name in ("one", "two"):
        deploy(replace(WISH, name=name), here, Ear(), yes=True)
    result = destroy(here, settings(tmp_path), "one", Ear(), yes=True)
    assert {s["address"]: s["note"] for s in result.data["steps"]}["repository us-central1/gemmactl"] == "service two uses it"
    assert plan(replace(WISH, name="two"), here, again="").data["changes"] == 0


def test_the_token_is_in_no_result_event_or_talk() -> None:
    """One canary over everything that deploy says and returns."""
    cloud, ear = with_model(FakeCloud()), Ear(yes=True)
    wish = replace(WISH, hf_token=Token(CANARY))
    results = [plan(wish, place(cloud), again=""), deploy(wish, place(cloud), ear, yes=False)]
    assert "CANARY" not in str([r.document() for r in results]) + str(ear.said) + str(ear.told) + str([r.blocks for r in results])


def test_a_strangers_secret_stays_his(tmp_path: Path) -> None:
    """A reference to an existing secret: bound, never made, never removed."""
    cloud = with_model(FakeCloud())
    cloud.secrets.create("projects/demo-proj/secrets/theirs", "us-central1", {})
    cloud.secrets.add_version("projects/demo-proj/secrets/theirs", b"x")
    here = place(cloud)
    assert deploy(replace(WISH, hf_token=SecretRef("theirs")), here, Ear(), yes=True).exit is Exit.OK
    destroy(here, settings(tmp_path), None, Ear(), yes=True)
    assert list(cloud.state.secrets) == ["projects/demo-proj/secrets/theirs"]


def test_a_service_that_somebody_else_made_is_not_taken_over() -> None:
    """Plan and deploy refuse before any change, and say how to hand it over; nothing is written."""
    cloud = with_model(FakeCloud())
    deploy(WISH, place(cloud), Ear(), yes=True)
    next(iter(cloud.state.services.values()))["labels"] = {"team": "web"}
    cloud.calls.clear()
    for run in (lambda: plan(WISH, place(cloud), again="x"), lambda: deploy(WISH, place(cloud), Ear(), yes=True)):
        with pytest.raises(Trouble) as caught:
            run()
        assert (caught.value.code, caught.value.exit) == ("service-not-ours", Exit.REFUSED)
        assert "--update-labels=managed-by=gemmactl" in caught.value.remedy
    assert cloud.writes == []


def test_a_long_look_at_a_directory_is_announced(tmp_path: Path) -> None:
    """A plan of a large model reads each byte once for its checksums: who waits is told, and a small model waits for nothing."""
    large, small = Ear(), Ear()
    plan(replace(WISH, model=parse_model(str(folder(tmp_path / "m", "270m")))), place(FakeCloud()), again="", voice=large)
    plan(replace(WISH, model=parse_model(str(SAMPLE))), place(FakeCloud()), again="", voice=small)
    assert large.said == [f"reading 0.5 GB of {tmp_path}/m: its checksums name what is uploaded"]
    assert small.said == []
