"""A model with int8 weights: its modules compute what their weights say, its answers stay, and heads tied or not find theirs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from inference_image import families
from inference_image.contract import Code, LoadFailed
from inference_image.engine import Engine, load
from inference_image.presets import PRESETS
from inference_image.quantize import dequantize, scale_name
from inference_image.settings import Settings
from inference_image.timeline import Timeline
from tests.inference_image import fake_storage, loras, served
from tests.inference_image.checkpoints import MODEL, Stored, copy_of_sample, rewrite, tensors_of
from tests.inference_image.fake_storage import Bucket


def opened(folder: Path, timeline: Timeline | None = None, **more: Any) -> Engine:
    settings = Settings(model=str(folder), threads=1, quantize="int8", **more)
    return load(settings, environ={}, timeline=timeline)


def model_of(engine: Engine) -> Any:
    return engine.steps.model  # type: ignore[attr-defined]  # the slots' own


@pytest.fixture(scope="module")
def record() -> Timeline:
    return Timeline()


@pytest.fixture(scope="module")
def int8(record: Timeline) -> Iterator[Engine]:
    """The sample, quantised while it arrived."""
    engine = opened(MODEL, record)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def stored() -> dict[str, Any]:
    """The sample's tensors as they lie in its files."""
    import torch

    return {
        name: torch.frombuffer(bytearray(data), dtype=torch.bfloat16).view(shape)
        for path in sorted(MODEL.glob("*.safetensors"))
        for name, (_, shape, data) in tensors_of(path.read_bytes()).items()
    }


def test_every_matrix_is_int8_and_nothing_else(int8: Engine, record: Timeline, stored: dict[str, Any]) -> None:
    """Linear layers, embedding and tied head; norms stay. Half the bytes, told in the timeline."""
    import torch

    state = model_of(int8).state_dict()
    matrices = {name for name, one in stored.items() if one.dim() == 2}
    assert {name for name, one in state.items() if one.dtype == torch.int8} == matrices | {"lm_head.weight"}
    assert all(one.dtype == torch.bfloat16 for name, one in state.items() if name not in matrices | {"lm_head.weight"})
    said = record.record()
    own = sum(one.numel() * one.element_size() for name, one in state.items() if not name.startswith("lm_head."))
    assert (said["quantize"], said["weights_bytes"]) == ("int8", own)
    assert own < 0.51 * sum(2 * one.numel() for one in stored.values())


def test_a_tied_head_is_the_embeddings_own_memory(int8: Engine) -> None:
    """Nothing of it is there twice."""
    model = model_of(int8)
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    assert model.lm_head.weight_scale.data_ptr() == model.model.embed_tokens.weight_scale.data_ptr()


def test_the_likeliest_token_stays(engine: Engine, int8: Engine, examples: list[dict[str, str]]) -> None:
    """After each token of the answers of a third of the examples: with 0.85 M parameters there is no slack to hide in."""
    import torch

    for row in examples[::3]:
        prompt, answer = (
            list(engine.request(PRESETS[row["type"]], row["prompt"]).ids),
            engine.text.plain(row["answer"]),
        )
        ids = torch.tensor([prompt + answer])
        with torch.inference_mode(), served.transformers_own(int8) as ours, served.transformers_own(engine) as theirs:
            found, wanted = (one(input_ids=ids).logits[0, len(prompt) - 1 :].float() for one in (ours, theirs))
        assert torch.equal(found.argmax(-1), wanted.argmax(-1))
        assert float((found - wanted).norm() / wanted.norm()) < 0.03


def test_the_answers_are_the_same_alone_and_together(int8: Engine, examples: list[dict[str, str]]) -> None:
    """Through cache, stops and steps of many rows: two examples of each type at once, and one of them alone."""
    rows = [row for kind in PRESETS for row in [row for row in examples if row["type"] == kind][:2]]

    def asked(row: dict[str, str]) -> Any:
        return int8.submit(int8.request(PRESETS[row["type"]], row["prompt"]))

    for answers in ([asked(row) for row in rows], [asked(rows[0])]):
        for answer, row in zip(answers, rows, strict=False):
            pieces = list(answer)
            assert ("".join(piece.text for piece in pieces), pieces[-1].stop_reason) == (row["answer"], "stop")


@pytest.mark.parametrize(("key", "tied"), [("gemma3", True), ("gemma3", False), ("gemma2", True), ("gemma", True)])
def test_the_modules_compute_what_their_weights_say(key: str, tied: bool) -> None:
    """Against transformers' own forward with the widened weights: the embedding bit for bit, logits within bf16's rounding."""
    import torch
    import transformers

    from inference_image.engine import model as models
    from inference_image.quantize import empty, quantize

    row = next(row for row in families.FAMILIES if row.key == key)
    sizes = {
        "vocab_size": 80, "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
        "head_dim": 16, "intermediate_size": 72, "tie_word_embeddings": tied, "pad_token_id": 0,
    }  # fmt: skip
    kind = getattr(transformers, row.text_class)
    torch.manual_seed(0)
    theirs = kind(kind.config_class(**sizes)).to(torch.bfloat16).eval()
    ours = deepcopy(theirs)
    wanted, names = models.needed(theirs), models.quantize(ours, row)
    tensors = dict(theirs.state_dict())
    for name in names & wanted.keys():
        made = empty(wanted[name], torch.bfloat16, torch.device("cpu"))
        quantize(tensors[name], made)
        theirs.get_parameter(name).data = dequantize(made)
        tensors |= {name: made.weight, scale_name(name): made.scale}
    models.assign(ours, {name: one for name, one in tensors.items() if one.dtype == torch.int8 or name not in names})
    ids = torch.arange(40).view(2, 20) * 2
    with torch.inference_mode():
        assert torch.equal(ours.get_input_embeddings()(ids), theirs.get_input_embeddings()(ids))
        found, true = ours(input_ids=ids).logits.float(), theirs(input_ids=ids).logits.float()
    assert float((found - true).norm() / true.norm()) < 0.02
    assert (ours.get_output_embeddings().weight is ours.get_input_embeddings().weight) is tied


@pytest.mark.parametrize(("count", "n", "k", "dtype"), [(3, 40, 48, "bfloat16"), (3, 41, 40, "bfloat16"), (2, 64, 33, "float32")])
def test_a_product_by_any_way(count: int, n: int, k: int, dtype: str) -> None:
    """Torch's own kernel where its rows are safe, blocks elsewhere, in several blocks too: one product, rounded to its dtype."""
    import torch

    from inference_image.engine import int8 as modules
    from inference_image.quantize import Int8

    torch.manual_seed(n)
    wanted: Any = getattr(torch, dtype)
    made = Int8(torch.randint(-127, 128, (n, k), dtype=torch.int8), (torch.rand(n) / 50).to(wanted))
    x = torch.randn(count, k + 1).to(wanted)[:, 1:]  # not contiguous
    true = (x.double() @ made.weight.double().T) * made.scale.double()
    ways = [modules.product(x, made), *(modules.by_blocks(x, made, block) for block in (1 << 20, 3 * k, 1))]
    for found in ways:
        assert found.dtype == wanted
        assert float((found.double() - true).norm() / true.norm()) < (4e-3 if dtype == "bfloat16" else 1e-6)


def test_an_answer_does_not_depend_on_its_neighbours() -> None:
    """A row's product is the same bits alone and among others."""
    import torch

    from inference_image.engine import int8 as modules
    from inference_image.quantize import Int8

    torch.manual_seed(0)
    made = Int8(torch.randint(-127, 128, (50, 64), dtype=torch.int8), torch.rand(50).bfloat16())
    x = torch.randn(9, 64).bfloat16()
    together = modules.product(x, made)
    assert all(torch.equal(modules.product(x[row : row + 1], made)[0], together[row]) for row in range(9))


def test_a_vision_tower_stays_as_it_is() -> None:
    """Of a model with images only the language model and its head become int8."""
    import torch
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    from inference_image.engine.int8 import quantized

    text = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
        "head_dim": 16, "vocab_size": 64,
    }  # fmt: skip
    vision = {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 56,
        "patch_size": 14, "vision_use_head": False,
    }  # fmt: skip
    with torch.device("meta"):
        whole = Gemma3ForConditionalGeneration(Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4))
    names = quantized(whole, families.GEMMA3.other_keys)
    assert len(names) == 9
    assert not [name for name in names if re.search("vision|projector", name)]


@pytest.mark.parametrize("same", [True, False])
def test_a_stored_head_is_tied_only_when_it_is_the_same(tmp_path: Path, same: bool) -> None:
    """A raw dump has the tied head too; one that was trained apart is a matrix of its own."""
    import torch

    folder = copy_of_sample(tmp_path / "m")
    first = next(path.name for path in folder.glob("*.safetensors") if b"embed_tokens" in path.read_bytes()[:4000])

    def change(tensors: dict[str, Stored]) -> None:
        dtype, shape, data = tensors["model.embed_tokens.weight"]
        half = (torch.frombuffer(bytearray(data), dtype=torch.bfloat16) / 2).view(torch.uint8).numpy().tobytes()
        tensors["lm_head.weight"] = (dtype, shape, data if same else half)

    rewrite(folder, change, first)
    engine = opened(folder)
    model = model_of(engine)
    engine.close()
    shared = model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    assert shared is same
    if not same:
        assert torch.equal(model.lm_head.weight, model.model.embed_tokens.weight)
        assert torch.equal(model.lm_head.weight_scale * 2, model.model.embed_tokens.weight_scale)


def test_a_checkpoint_is_still_held_to_its_own_names(tmp_path: Path) -> None:
    """What is missing is called by the checkpoint's name, as without int8."""
    folder = copy_of_sample(tmp_path / "m")
    rewrite(folder, lambda tensors: tensors.pop(next(name for name in tensors if "proj" in name)) and None)
    with pytest.raises(LoadFailed) as failed:
        opened(folder)
    assert failed.value.failure.code is Code.KEYS_MISSING
    assert "scale" not in failed.value.failure.detail


def test_reads_of_any_size_over_a_network_make_the_same_model(int8: Engine, sample_bucket: Bucket) -> None:
    """Through the reading process, in reads that end inside of rows and elements, beside each other: bit for bit."""
    import torch

    with fake_storage.running(sample_bucket) as address:
        engine = served.opened(address, Timeline(), quantize="int8", chunk=30_001)
    engine.close()
    wanted, found = model_of(int8).state_dict(), model_of(engine).state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], one) for name, one in wanted.items())


def test_an_adapter_is_added_to_the_int8_base(tmp_path: Path) -> None:
    """What PEFT adds to the bfloat16 base, within the error of int8; the base alone is far from it."""
    import torch

    folder = loras.make(tmp_path / "few", 2, target_modules=["q_proj", "v_proj", "down_proj"], strength=0.2)
    engine = opened(MODEL, adapters=f"few={folder}")
    peft, ids = loras.peft(folder), torch.arange(6, 70)[None]
    found = []
    for name in ("few", None):
        with engine.steps.adapters.serving(name), served.transformers_own(engine) as model, torch.inference_mode():  # type: ignore[attr-defined]
            found.append(model(input_ids=ids).logits.float())
    engine.close()
    with torch.inference_mode():
        wanted = peft(input_ids=ids).logits.float()
    errors = [float((one - wanted).norm() / wanted.norm()) for one in found]
    assert errors[0] < 0.05 < 10 * errors[0] < errors[1]


def test_float32_and_int8_go_together(examples: list[dict[str, str]]) -> None:
    """The model's dtype is that of its scales, its norms and what it computes in."""
    import torch

    engine = opened(MODEL, dtype="float32")
    row = examples[0]
    text = "".join(piece.text for piece in engine.submit(engine.request(PRESETS[row["type"]], row["prompt"])))
    engine.close()
    assert text == row["answer"]
    assert model_of(engine).lm_head.weight_scale.dtype == torch.float32


def test_memory_is_asked_for_what_int8_needs() -> None:
    """A machine that holds the model in int8 and not in bfloat16 loads it, and one that holds neither says how much it takes."""
    from inference_image.engine import begin, finish

    def loaded(available: int) -> None:
        settings = Settings(model=str(MODEL), threads=1, quantize="int8", max_context=64)
        timeline = Timeline()
        finish(begin(settings, timeline, environ={}), settings, timeline, memory=lambda: available).close()

    loaded(1_000_000)
    with pytest.raises(LoadFailed) as failed:
        loaded(800_000)
    assert failed.value.failure.code is Code.HOST_MEMORY


def test_a_family_that_was_never_tried_is_refused() -> None:
    """Its modules may read weights in their own ways."""
    from inference_image.engine.model import quantize

    row = next(row for row in families.FAMILIES if not row.int8)
    with pytest.raises(LoadFailed, match="int8 was never tried"):
        quantize(object(), row)  # type: ignore[arg-type]
