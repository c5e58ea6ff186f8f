"""LoRA adapters on a shared base, held to PEFT's own answers, alone and mixed in a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from inference_image.contract import RequestCode
from inference_image.engine import Engine, Refused, Request, load
from inference_image.engine.generic import Generic
from inference_image.engine.schedule import Running, Steps
from inference_image.engine.slots import Slots
from inference_image.presets import PRESETS
from inference_image.settings import Settings
from inference_image.timeline import Timeline
from tests.inference_image import loras
from tests.inference_image.checkpoints import MODEL
from tests.inference_image.greedily import greedily
from tests.inference_image.served import transformers_own

TOKENS = 6


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Four kinds: plain, few targets in bfloat16, rank-stabilised, ranks and alphas of single modules."""
    root = tmp_path_factory.mktemp("adapters")
    alphas = {"layers.[02].self_attn.v_proj": 3, "down_proj": 16}
    return {
        "plain": loras.make(root / "plain", 1, strength=0.2),
        "few": loras.make(root / "few", 2, stored="bfloat16", target_modules=["q_proj", "v_proj"], strength=0.2),
        "stable": loras.make(root / "stable", 3, strength=0.2, use_rslora=True, r=6, lora_alpha=5),
        "patterns": loras.make(
            root / "patterns", 4, strength=0.1, rank_pattern={"q_proj": 2, "layers.1.mlp.up_proj": 8}, alpha_pattern=alphas
        ),
    }


@pytest.fixture(scope="module")
def timeline() -> Timeline:
    return Timeline()


@pytest.fixture(scope="module")
def engine(folders: dict[str, Path], timeline: Timeline) -> Iterator[Engine]:
    places = "\n".join(f"{name}={place}" for name, place in folders.items())
    loaded = load(Settings(model=str(MODEL), name="sample", threads=1, adapters=places), environ={}, timeline=timeline)
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def prompts(engine: Engine, examples: list[dict[str, str]]) -> list[tuple[int, ...]]:
    """Three, the last of which is longer than the sliding window."""
    made = [engine.request(PRESETS["text"], one["prompt"]).ids for one in examples[:2]]
    return [*made, (*made[0], *made[1] * 4)[:100]]


def answered(steps: Steps, asked: Sequence[tuple[tuple[int, ...], str | None]], chunk: int = 512) -> list[list[int]]:
    """Greedy answers to (prompt, adapter)."""
    sequences = [Running(ids, SimpleNamespace(request=Request(ids, TOKENS, adapter=name))) for ids, name in asked]
    return greedily(steps, sequences, lambda tokens: len(tokens) >= TOKENS or tokens[-1] in (1, 5), chunk)


def logits(engine: Engine, rows: Any) -> Any:
    import torch

    with transformers_own(engine) as model, torch.inference_mode():
        return model(input_ids=torch.tensor(rows)).logits


@pytest.fixture(scope="module")
def theirs(folders: dict[str, Path], prompts: list[tuple[int, ...]]) -> dict[tuple[tuple[int, ...], str | None], list[int]]:
    """PEFT's greedy answers in float32 to every prompt through every adapter, and through none."""
    models = {name: loras.peft(folders[name] if name else None, "float32") for name in (*folders, None)}
    return {(ids, name): loras.greedy(models[name], ids, TOKENS) for ids in prompts for name in models}


@pytest.fixture(scope="module")
def exact(folders: dict[str, Path]) -> Iterator[Engine]:
    """In float32, where a batch of any make-up rounds too little to change a token."""
    settings = Settings(model=str(MODEL), threads=1, dtype="float32", adapters=" ".join(f"{k}={v}" for k, v in folders.items()))
    loaded = load(settings, environ={})
    yield loaded
    loaded.close()


@pytest.mark.parametrize("name", [None, "plain", "few", "stable", "patterns"])
def test_logits_are_pefts_to_the_last_bit(
    name: str | None, engine: Engine, folders: dict[str, Path], prompts: list[tuple[int, ...]]
) -> None:
    """In the model's bfloat16: float32 and bfloat16 files, rsLoRA, ranks and alphas by pattern."""
    import torch

    peft = loras.peft(folders[name] if name else None)
    for ids in prompts:
        with engine.steps.adapters.serving(name), torch.inference_mode():  # type: ignore[attr-defined]
            assert torch.equal(logits(engine, [ids]), peft(input_ids=torch.tensor([ids])).logits)


def test_an_adapter_answers_as_peft_does(exact: Engine, theirs: dict[Any, list[int]]) -> None:
    """One request after another, token for token."""
    for asked, tokens in theirs.items():
        assert answered(exact.steps, [asked]) == [tokens]


def test_a_mixed_batch_answers_as_peft_does_one_by_one(exact: Engine, theirs: dict[Any, list[int]]) -> None:
    """Prompts of all adapters read together, in chunks that cut them, decoded together; rows change places as answers end.

    By rows of their own, by masks as a captured graph reads them, and on the slow path.
    """
    asked, wanted = [*theirs], [*theirs.values()]
    adapters = exact.steps.adapters  # type: ignore[attr-defined]
    assert answered(exact.steps, asked, chunk=33) == wanted
    assert answered(adapters.around(exact.steps.steps, recorded=True), asked, chunk=33) == wanted  # type: ignore[attr-defined]
    with transformers_own(exact) as model:
        assert answered(Generic(model, adapters=adapters), asked[:4]) == wanted[:4]


def test_requests_choose_by_name_and_leave_nothing_behind(engine: Engine, prompts: list[tuple[int, ...]]) -> None:
    """Each adapter answers differently, the base the same before and after; other names are refused with those there are."""

    def answer(adapter: str | None) -> str:
        return "".join(piece.text for piece in engine.submit(Request(prompts[0], 12, adapter=adapter)))

    first = answer(None)
    assert engine.adapters == ("plain", "few", "stable", "patterns")
    assert len({first, *map(answer, engine.adapters)}) == 5
    assert answer(None) == first
    with pytest.raises(Refused) as refused:
        engine.submit(Request(prompts[0], TOKENS, adapter="sample"))
    assert (refused.value.code, refused.value.facts) == (RequestCode.UNKNOWN_ADAPTER, {"adapters": list(engine.adapters)})


def test_the_timeline_tells_what_was_loaded(engine: Engine, timeline: Timeline, folders: dict[str, Path]) -> None:
    """Place, base by name, modules, ranks and bytes of each; its files with their checksums among the objects."""
    record = timeline.record()
    found = record["adapters"]["patterns"]
    assert (found["source"], found["modules"], found["ranks"]) == (str(folders["patterns"]), 21, [2, 4, 8])
    assert record["adapters"]["few"]["bytes"] == sum(4 * 4 * (128 + out) for out in (128, 32)) * 3
    assert [one["name"] for one in record["objects"] if one["name"].startswith("few/")] == [
        "few/adapter_config.json", "few/adapter_model.safetensors",
    ]  # fmt: skip
    assert all(one["crc32c"] for one in record["objects"] if "/" in one["name"])


MIXED = ("few", None, "plain", "patterns", "plain", "few")


def test_recorded_steps_go_through_the_adapters_of_their_batch(exact: Engine, theirs: dict[Any, list[int]]) -> None:
    """Steps recorded without adapters serve batches of the base, those with masks all others, whatever was routed meanwhile.

    The recorder of this test decides at the recording, as a graph does, and computes again at each replay.
    """
    adapters, made = exact.steps.adapters, []  # type: ignore[attr-defined]
    routing = adapters.routing

    def record(compute: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        kind, found = (routing.parts, routing.static), compute()
        made.append(kind)

        def replay() -> None:
            now = (routing.parts, routing.static)
            routing.parts, routing.static = kind
            found.copy_(compute())
            routing.parts, routing.static = now

        return replay, found

    slots = Slots(exact.steps.model, rows=6, length=256, record=record, kind=adapters.kind)  # type: ignore[attr-defined]
    steps = adapters.around(slots, recorded=slots.recorded)
    slots.rehearse(lambda: len(made) >= 2)
    assert adapters.record(slots, lambda: len(made) >= 4) > 0
    assert answered(steps, [*theirs]) == [*theirs.values()]
    bases = [asked for asked in theirs if asked[1] is None]
    before = len(made)
    assert answered(steps, bases) == [theirs[one] for one in bases]
    assert not any(static for _, static in made[before:]), "a batch of the base needs no masks"
    assert all(parts == () for parts, _ in made)


def test_rows_of_a_batch_go_through_their_own_adapters(exact: Engine, prompts: list[tuple[int, ...]]) -> None:
    """Five in one pass are what each is alone, by rows of their own and by masks that a captured graph could read."""
    import torch

    adapters = exact.steps.adapters  # type: ignore[attr-defined]
    rows = [list(prompts[2][at : at + 40]) for at in range(len(MIXED))]
    alone = []
    for ids, name in zip(rows, MIXED, strict=True):
        with adapters.serving(name):
            alone.append(logits(exact, [ids])[0])
    wanted, routing = torch.stack(alone), adapters.routing
    routing.set([adapters.numbers[name] for name in MIXED], [40] * len(MIXED))
    found = {"rows": logits(exact, rows)}
    adapters.prepare_static(rows=40 * len(MIXED) + 3)
    found["rows of views"] = logits(exact, rows)  # the matrices now lie side by side
    routing.fill([adapters.numbers[name] for name in MIXED for _ in range(40)])
    found["masks"] = logits(exact, rows)
    routing.fill([])
    bare = logits(exact, rows)
    routing.clear()
    base = logits(exact, rows)
    for how, one in found.items():
        torch.testing.assert_close(one, wanted, rtol=1e-4, atol=1e-4, msg=how)
        assert torch.equal(one.argmax(-1), wanted.argmax(-1))
    assert torch.equal(bare, base)
    assert float((wanted - base)[[0, 2, 3, 4, 5]].abs().amax(dim=(1, 2)).min()) > 1


@pytest.mark.parametrize("shape", ["decode", "flat", "padded"])
def test_one_module_by_rows(shape: str) -> None:
    """[B, 1, h], [1, N, h] and [B, T, h]: each row gets exactly its adapter's part, others the base's very bits."""
    import torch

    from inference_image.engine.adapters import Adapted, Low
    from inference_image.engine.routing import BASE, Columns, Routing

    torch.manual_seed(0)
    routing, linear = Routing(), torch.nn.Linear(16, 24, bias=False)
    module = Adapted(routing)
    module.low = {0: Low(torch.randn(4, 16), torch.randn(24, 4), 2.0), 2: Low(torch.randn(2, 16), torch.randn(24, 2), 0.5)}
    linear.register_forward_hook(module)
    of = [0, BASE, 2, 1, 0]
    counts = {"decode": [1] * 5, "flat": [3, 2, 0, 4, 1], "padded": [6] * 5}[shape]
    x = torch.randn(*{"decode": (5, 1, 16), "flat": (1, 10, 16), "padded": (5, 6, 16)}[shape])
    every = [adapter for adapter, count in zip(of, counts, strict=True) for _ in range(count)]
    with torch.inference_mode():
        base = linear(x)
        wanted = base.clone().view(-1, 24)
        for at, adapter in enumerate(every):
            if adapter in module.low:
                a, b, scaling = module.low[adapter]
                wanted[at] += (b @ (a @ x.view(-1, 16)[at])) * scaling
        routing.set(of, None if shape == "decode" else counts)
        by_rows = linear(x)
        scales = torch.zeros(4, 6)
        scales[0, :4], scales[2, 4:] = 2.0, 0.5
        routing.lay([Columns(scales, torch.full((40, 6), 9.0))])
        module.lay_beside(routing.columns[0])
        routing.fill(every)
        masked = linear(x)
    for found in (by_rows, masked):
        assert found.shape == (*x.shape[:2], 24)
        torch.testing.assert_close(found.view(-1, 24), wanted)
    bare = [at for at, adapter in enumerate(every) if adapter not in module.low]
    assert torch.equal(by_rows.view(-1, 24)[bare], base.view(-1, 24)[bare])
