"""Derived settings are legal, fit and can be read; what the user gave stays and is checked."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemmactl import spec_rules
from gemmactl.checkpoint import arithmetic, container
from gemmactl.checkpoint.memory import Architecture, longest_context
from gemmactl.checkpoint.room import Room
from gemmactl.checkpoint.sizing import Sizing, Weights, derive
from gemmactl.errors import Exit, Trouble
from gemmactl.limits import GPUS, L4, RTX_PRO_6000
from gemmactl.spec import DERIVED, Probe, Serve, parse_model
from inference_image import contract
from tests.checkpoint.architectures import CONFIGS

WISH = Serve("demo-proj", "us-central1", parse_model("gs://weights/m"), "gemma")


def weights(name: str, *, stored: int = 2) -> Weights:
    shape = Architecture.of(CONFIGS[name])
    return Weights(shape, shape.parameters * stored)


def wish(**chosen: Any) -> Serve:
    """A wish where the user chose these."""
    return replace(WISH, **chosen, given=frozenset(chosen) & frozenset(DERIVED))


def sized(name: str, serve: Serve = WISH, room: Room | None = None, **more: Any) -> Sizing:
    made = weights(name)
    return derive(serve, made, made.bytes, room or Room(), **more)


def refused(name: str, serve: Serve, room: Room | None = None) -> Trouble:
    with pytest.raises(Trouble) as caught:
        sized(name, serve, room)
    return caught.value


def test_a_4b_on_an_l4() -> None:
    """The default context, as many requests waiting as are computed, the smallest container, a probe for its bytes."""
    found = sized("4b").wish
    assert (found.context, found.concurrency, found.cpu, found.memory, found.max_instances) == (8192, 64, 4, "16Gi", 1)
    assert (found.probe.path, found.probe.period, found.probe.budget) == ("/ready", 2, 324)
    assert found.concurrency == 2 * contract.PARALLEL_SEQUENCES


def test_the_context_is_what_model_engine_and_gpu_allow() -> None:
    """The model's own when it is shorter; less than the default where the GPU holds less."""
    short = Weights(Architecture.of({**CONFIGS["1b"], "max_position_embeddings": 512}), 10**9)
    assert derive(WISH, short, None, Room()).wish.context == 512
    tight = Weights(Architecture.of({**CONFIGS["12b"], "num_hidden_layers": 42}), 2 * 10**10)
    context = derive(WISH, tight, None, Room()).wish.context
    assert context == longest_context(tight.shape, L4.usable, 8192)
    assert 1024 <= context < 8192


def test_a_model_that_does_not_fit_is_refused_with_what_would() -> None:
    """12B in bfloat16 on an L4: exit 4, the sum in one line, each way out computed and marked."""
    found = refused("12b", WISH)
    assert (found.code, found.exit) == ("model-too-large", Exit.REFUSED)
    assert "weights 23.53 GB" in found.why
    assert "nvidia-l4 has 23.65 GB" in found.why
    assert "\n" not in found.why
    ways = found.remedy.splitlines()
    assert any("--gpu-type nvidia-rtx-pro-6000 (" in way and "of 101.97 GB" in way for way in ways)
    assert any(way.startswith("8-bit weights: ") and "--quantize int8 fits" in way for way in ways)
    assert not any("--max-context" in way for way in ways)
    assert found.facts["need_bytes"] > found.facts["usable_bytes"]


def test_the_way_to_another_gpu_can_be_walked() -> None:
    """The flags that the refusal names make a legal wish that fits; sizes of the other GPU must go."""
    found = refused("12b", replace(wish(cpu=8, memory="32Gi"), region="us-east4"))
    assert "--gpu-type nvidia-rtx-pro-6000 --region us-central1, without --cpu and --memory" in found.remedy
    walked = sized("12b", replace(WISH, gpu_type="nvidia-rtx-pro-6000", region="us-central1"))
    assert (walked.wish.cpu, walked.wish.memory, walked.wish.context) == (20, "80Gi", 8192)


def test_no_way_is_offered_that_leads_nowhere() -> None:
    """27B in float32: no GPU holds it; bfloat16 would."""
    found = refused("27b", replace(WISH, gpu_type="nvidia-rtx-pro-6000", env=((contract.ENV_DTYPE, "float32"),)))
    assert "another GPU" not in found.remedy
    assert "without GEMMACTL_DTYPE=float32" in found.remedy
    assert "would not fit either" in refused("27b", WISH).remedy


@pytest.mark.parametrize(
    ("context", "code", "remedy"),
    [(131073, "context-too-long", "--max-context 131072 or less"), (131072, "context-too-large", "--max-context 58880 fits")],
)
def test_a_context_of_the_users_is_checked(context: int, code: str, remedy: str) -> None:
    """Beyond what the model knows, and beyond what the GPU holds: refused with the longest that works."""
    tight = replace(wish(context=context), env=((contract.ENV_QUANTIZE, "int8"),))
    found = refused("12b", tight)
    assert (found.code, found.exit, remedy in found.remedy) == (code, Exit.REFUSED, True)
    assert sized("12b", replace(tight, context=58880)).wish.context == 58880


def test_what_the_user_gave_stays() -> None:
    """Every derived field."""
    chosen: dict[str, Any] = {
        "cpu": 8,
        "memory": "24Gi",
        "concurrency": 7,
        "probe": Probe(None, 8080, True, 240, 240, 240, 5),
        "max_instances": 3,
        "context": 1234,
    }
    found = sized("4b", wish(**chosen)).wish
    assert {name: getattr(found, name) for name in chosen} == chosen
    assert set(chosen) == set(DERIVED)


@pytest.mark.parametrize(
    ("chosen", "pair"),
    [({"cpu": 8}, (8, "16Gi")), ({"memory": "24Gi"}, (6, "24Gi")), ({"memory": "32Gi"}, (8, "32Gi")), ({"cpu": 4}, (4, "16Gi"))],
)
def test_half_a_size_gets_a_legal_other_half(chosen: dict[str, Any], pair: tuple[int, str]) -> None:
    """--cpu alone or --memory alone."""
    found = sized("4b", wish(**chosen)).wish
    assert (found.cpu, found.memory) == pair


def test_a_load_that_holds_more_gets_a_larger_container() -> None:
    """More staging, more memory, and the CPUs that go with it; too little of the user's is said, not refused."""
    wide = weights("4b", stored=4)
    assert derive(WISH, wide, None, Room()).wish.memory == "16Gi"
    env = ((contract.ENV_STAGING_MIB, "24576"),)
    found = derive(replace(WISH, env=env), wide, None, Room())
    assert (found.wish.cpu, found.wish.memory) == (6, "22Gi")
    assert found.host == container.Host(wide.loaded, 128 << 20)
    (said,) = derive(replace(wish(cpu=4), env=env), wide, None, Room()).cautions
    assert said.code == "host-memory"


def test_a_model_of_unknown_size_keeps_what_google_recommends() -> None:
    """hf: and another server's image: no context is set, nothing is refused for its size."""
    found = derive(WISH, None, None, Room())
    assert (found.wish.cpu, found.wish.memory, found.wish.context, found.wish.concurrency) == (8, "32Gi", None, 32)
    assert derive(replace(WISH, image="a.docker.pkg.dev/b/c"), None, None, Room()).wish.concurrency == 4
    assert found.wish.probe.budget == 600
    assert derive(wish(cpu=4), None, None, Room()).wish.memory == "16Gi"
    assert arithmetic.document(found)["weights_bytes"] is None


# --- quota ------------------------------------------------------------------------------------------

GIB = 2**30


@pytest.mark.parametrize(
    ("chosen", "room", "quota", "remedy"),
    [
        ({"max_instances": 4}, Room(gpus=3), "NvidiaL4GpuAllocNoZonalRedundancyPerProjectRegion", "--max-instances 3,"),
        ({"max_instances": 3}, Room(memory_bytes=40 * GIB), "MemAllocPerProjectRegion", "--max-instances 2,"),
        ({"max_instances": 6}, Room(cpus=20), "CpuAllocPerProjectRegion", "--max-instances 5,"),
        ({"memory": "32Gi"}, Room(memory_bytes=20 * GIB), "MemAllocPerProjectRegion", "--cpu 4 --memory 16Gi,"),
        ({}, Room(gpus=0), "NvidiaL4GpuAllocNoZonalRedundancyPerProjectRegion", "another --region,"),
    ],
)
def test_more_instances_than_the_quota_allows_are_refused(chosen: dict[str, Any], room: Room, quota: str, remedy: str) -> None:
    """The quota's name, requested and allowed as the server says them, what would do, and where to ask for more."""
    found = refused("4b", wish(**chosen), room)
    assert (found.code, found.exit) == ("quota-too-small", Exit.REFUSED)
    assert found.why.startswith(f"{quota} requested: ")
    assert " allowed: " in found.why
    assert remedy in found.remedy
    assert "g.co/cloudrun/gpu-quota" in found.remedy


def test_a_roll_out_that_overlaps_is_only_warned_about() -> None:
    """One more instance may live while a new revision replaces the old one; a first deploy has no such moment."""
    room = Room(gpus=3, cpus=20, memory_bytes=40 * GIB)
    assert sized("4b", wish(max_instances=2), room).cautions == ()
    (found,) = sized("4b", wish(max_instances=2), room, existing=True).cautions
    assert (found.code, found.object) == ("quota-overlap", "MemAllocPerProjectRegion")
    assert sized("4b", WISH, room, existing=True).cautions == ()


@pytest.mark.parametrize(
    ("chosen", "code"),
    [
        ({"probe": Probe(failures=10)}, "probe-short"),
        ({"concurrency": 80}, "concurrency-queue"),
    ],
)
def test_a_choice_that_works_with_a_surprise_is_said(chosen: dict[str, Any], code: str) -> None:
    """The user's value stays, the plan says what to expect."""
    found = sized("4b", wish(**chosen))
    assert [one.code for one in found.cautions] == [code]


# --- laws -------------------------------------------------------------------------------------------

CHOICES = {
    "cpu": st.sampled_from([3, 4, 8, 20, 24]),
    "memory": st.sampled_from(["8Gi", "16Gi", "32Gi", "80Gi", "96Gi"]),
    "concurrency": st.sampled_from([0, 1, 16, 80, 1000]),
    "probe": st.sampled_from(
        [Probe(), Probe(failures=3), Probe(None, tcp=True, timeout=240, period=240, failures=5), Probe(period=300)]
    ),
    "max_instances": st.integers(1, 5),
    "context": st.sampled_from([1, 4096, 32768, 131072, 200_000]),
}
QUOTAS = st.builds(
    Room,
    st.none() | st.integers(0, 8),
    st.none() | st.integers(0, 200),
    st.none() | st.integers(0, 300).map(lambda gib: gib * GIB),
)


def outcome(serve: Serve, made: Weights | None, room: Room, *, existing: bool) -> Sizing | Trouble:
    try:
        return derive(serve, made, made.bytes if made else None, room, existing=existing)
    except Trouble as trouble:
        return trouble


@settings(max_examples=200, deadline=None)
@given(
    name=st.sampled_from([*CONFIGS, ""]),
    gpu=st.sampled_from([*GPUS]),
    chosen=st.fixed_dictionaries({}, optional=CHOICES),
    room=QUOTAS,
    existing=st.booleans(),
)
def test_what_is_derived_is_legal_and_fits(name: str, gpu: str, chosen: dict[str, Any], room: Room, existing: bool) -> None:
    """Either a wish that keeps every rule, fits its GPU and quota and holds what was given, or a refusal with its way out."""
    made = weights(name) if name else None
    serve = replace(wish(**chosen), gpu_type=gpu)
    found = outcome(serve, made, room, existing=existing)
    if isinstance(found, Trouble):
        assert found.exit in {Exit.USAGE, Exit.REFUSED}
        assert found.remedy
        # nothing that is derived can be the reason
        assert chosen or found.code in {"model-too-large", "quota-too-small"}
        return
    spec_rules.check(found.wish)
    assert {field: getattr(found.wish, field) for field in chosen} == chosen
    assert found.wish.max_instances <= (room.gpus if room.gpus is not None else 1000)
    if found.fit:
        assert found.fit.demand.total <= found.gpu.usable
        assert found.wish.context == found.fit.context <= found.fit.longest <= found.fit.weights.shape.longest
        assert 1 <= found.fit.at_once <= min(found.fit.sequences, contract.PARALLEL_SEQUENCES)
        assert "concurrency" in chosen or found.wish.concurrency <= found.fit.at_once + contract.DEFAULT_QUEUE
    json.dumps(arithmetic.document(found))
    assert all(what and value and how for what, value, how in arithmetic.rows(found))


SHAPES = st.fixed_dictionaries(
    {
        "num_hidden_layers": st.integers(1, 62),
        "hidden_size": st.integers(1, 40).map(lambda n: n * 128),
        "intermediate_size": st.integers(1, 80).map(lambda n: n * 256),
        "num_key_value_heads": st.integers(1, 16),
        "sliding_window": st.integers(1, 4096),
    }
)


@settings(max_examples=100, deadline=None)
@given(sizes=SHAPES, tokens=st.integers(1, 131_072))
def test_more_model_or_more_context_never_needs_less(sizes: dict[str, int], tokens: int) -> None:
    """Monotone: one layer more, a longer context, a larger GPU."""
    small, large = Architecture.of(sizes), Architecture.of({**sizes, "num_hidden_layers": sizes["num_hidden_layers"] + 1})
    for one in (Architecture.kv, Architecture.activations):
        assert one(small, tokens) <= one(large, tokens)
        assert one(small, tokens) <= one(small, tokens + 1)
    found = [longest_context(shape, gpu.usable, tokens) for shape in (small, large) for gpu in (L4, RTX_PRO_6000)]
    assert found[0] <= found[1] <= tokens
    assert found[2] <= found[0]
    assert found[3] <= found[1]
