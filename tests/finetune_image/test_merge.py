"""A merge is the base's own files with the adapter added: sums, layout, names, refusals; and how much memory it takes."""

from __future__ import annotations

import json
import math
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from finetune_image.contract import TuneFailed
from finetune_image.merge import merged, plan
from inference_image.chunks import Object, open_source
from tests.finetune_image import bases
from tests.inference_image.checkpoints import MODEL, Stored, tensors_of
from tests.inference_image.loras import written

IN_TEXT, IN_WHOLE = "model.", "model.language_model."
"""What the class of a text model and of a multimodal one call the language model while it is trained."""


def result(base: Path, adapter: Path, most: int | None = None, *, block: int = 30_000) -> dict[str, bytes]:
    """{file: bytes} of a merge, made of small blocks."""
    made = plan(open_source(str(base), {}), adapter, most, block=block)
    return {shard.name: b"".join(merged(made, shard)) for shard in made.shards}


def weights(files: Mapping[str, bytes]) -> dict[str, Stored]:
    return {name: one for data in files.values() for name, one in tensors_of(data).items()}


def sums(base: Path, adapter: Path, scaling: float = 2.0) -> dict[str, Any]:
    """{name of the file: W + scaling x B x A} of every tensor that the adapter is about, in float32 by torch."""
    halves = tensors_of((adapter / "adapter_model.safetensors").read_bytes())
    found = {}
    for name, stored in bases.tensors(base).items():
        own = name.removeprefix("language_model.").removeprefix("model.").removesuffix(".weight")
        key = next((k for k in halves if k.endswith(f"{own}.lora_A.weight")), None)
        if key:
            a, b = bases.values(halves[key]), bases.values(halves[key.replace("lora_A", "lora_B")])
            found[name] = bases.values(stored) + scaling * (b @ a)
    return found


STEP = {"BF16": 2.0**-8, "F16": 2.0**-11, "F32": 2.0**-21}
"""Of a value: how far from it the nearest one of the dtype may be; more in float32, where the sum itself depends on its order."""


def rounded(new: Stored, total: Any) -> bool:
    """Whether every value is the one of its dtype that is nearest to float32's sum."""
    away = (bases.values(new) - total).abs()
    return bool((away <= total.abs() * STEP[new[0]] + 1e-7).all())


@pytest.mark.parametrize(("make", "inside"), [(bases.text, IN_TEXT), (bases.multimodal, IN_WHOLE)])
def test_a_merge_is_the_base_with_the_adapter_added(make: Callable[[Path], Path], inside: str, tmp_path: Path) -> None:
    """Touched tensors are float32's sum, rounded once; headers, other tensors and other files are the base's, byte for byte."""
    base, adapter = make(tmp_path / "base"), bases.adapter(tmp_path / "adapter", inside=inside)
    files, wanted = result(base, adapter), sums(base, adapter)
    assert len(wanted) == 4
    assert {path.name: path.stat().st_size for path in base.glob("*.safetensors")} == {n: len(d) for n, d in files.items()}
    old, new = bases.tensors(base), weights(files)
    for name, data in files.items():
        end = 8 + int.from_bytes(data[:8], "little")
        assert data[:end] == (base / name).read_bytes()[:end]
    assert {name for name in old if old[name] != new[name]} == set(wanted)
    for name, total in wanted.items():
        assert rounded(new[name], total)
        assert new[name][2] != old[name][2]
    made = plan(open_source(str(base), {}), adapter)
    assert made.index == (base / "model.safetensors.index.json").read_bytes()
    untouched = {shard.name for shard in made.shards if shard.twin}
    assert untouched == {name for name, data in files.items() if data == (base / name).read_bytes()}
    assert untouched


@pytest.mark.parametrize("dtype", ["F16", "F32"])
def test_a_merge_rounds_to_what_the_base_is_stored_in(dtype: str, tmp_path: Path) -> None:
    """float16 and float32 bases stay what they are."""
    base, adapter = bases.stored_as(tmp_path / "base", dtype), bases.adapter(tmp_path / "adapter")
    new = weights(result(base, adapter))
    for name, total in sums(base, adapter).items():
        assert new[name][0] == dtype
        assert rounded(new[name], total)


def test_the_size_of_a_block_changes_nothing(tmp_path: Path) -> None:
    """A block of some rows or of whole tensors: the same bytes, so another attempt publishes the same model."""
    adapter = bases.adapter(tmp_path / "adapter")
    assert result(MODEL, adapter, block=3000) == result(MODEL, adapter, block=40_000) == result(MODEL, adapter, block=8 << 20)


@pytest.mark.parametrize(
    ("config", "scaling"),
    [
        ({"lora_alpha": 8, "use_rslora": True}, 8 / math.sqrt(4)),
        ({"lora_alpha": 1}, 0.25),
        ({"alpha_pattern": {".*_proj": 32}}, 8.0),
    ],
)
def test_the_scaling_is_peft_s(config: dict[str, Any], scaling: float, tmp_path: Path) -> None:
    """Alpha over rank, over its root with rslora, and a module's own alpha where a pattern gives it one."""
    adapter = bases.adapter(tmp_path / "adapter", **config)
    new = weights(result(MODEL, adapter))
    for name, total in sums(MODEL, adapter, scaling).items():
        assert rounded(new[name], total)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"modules_to_save": ["lm_head"]}, "whole modules"),
        ({"trainable_token_indices": [5]}, "tokens of its own"),
        ({"peft_type": "IA3"}, "IA3"),
        ({"init_lora_weights": "pissa"}, "pissa"),
        ({"r": 8}, "rank"),
        ({"target_modules": ["k_proj"]}, "PEFT would leave them out"),
    ],
)
def test_what_is_no_plain_lora_is_refused(config: dict[str, Any], words: str, tmp_path: Path) -> None:
    """Before a byte is written, by name."""
    adapter = bases.adapter(tmp_path / "adapter")
    saved = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**saved, **config}))
    with pytest.raises(TuneFailed, match=f"merge_inexact.*{words}"):
        plan(open_source(str(MODEL), {}), adapter)


def test_an_adapter_of_another_base_is_refused(tmp_path: Path) -> None:
    """A pair that hits no tensor, or one of another shape, is never left out; neither is an adapter without any."""
    stem = "base_model.model.model.layers.7.self_attn.q_proj"
    halves = {f"{stem}.lora_{half}.weight": ("F32", [4, 4], bytes(64)) for half in "AB"}
    good = tensors_of((bases.adapter(tmp_path / "good") / "adapter_model.safetensors").read_bytes())
    key = next(name for name in good if "lora_A" in name)
    rows = {**good, key: ("F32", [4, 4], bytes(64))}
    for number, made in enumerate((halves, {**good, **halves}, rows, {})):
        adapter = written(tmp_path / str(number), made, target_modules=["q_proj", "down_proj"])
        with pytest.raises(TuneFailed, match="merge_inexact"):
            plan(open_source(str(MODEL), {}), adapter)
    (tmp_path / "empty").mkdir()
    with pytest.raises(TuneFailed, match=r"merge_inexact: adapter_config\.json"):
        plan(open_source(str(MODEL), {}), tmp_path / "empty")


def test_a_base_that_can_t_be_merged_into_is_refused(tmp_path: Path) -> None:
    """A quantised one, one that is not whole, and no model at all."""
    adapter = bases.adapter(tmp_path / "adapter")
    quantised = bases.text(tmp_path / "quantised")
    config = json.loads((quantised / "config.json").read_text())
    (quantised / "config.json").write_text(json.dumps({**config, "quantization_config": {"load_in_4bit": True}}))
    partial = bases.text(tmp_path / "partial")
    (partial / "model-00003-of-00004.safetensors").unlink()
    for base, code in ((quantised, "model_invalid"), (partial, "model_invalid"), (tmp_path / "none", "model_not_found")):
        with pytest.raises(TuneFailed, match=code):
            plan(open_source(str(base), {}), adapter)


def test_a_sum_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    """An adapter of NaNs, or one too large for float16, makes no file."""
    nan = bases.adapter(tmp_path / "nan", strength=math.nan)
    with pytest.raises(TuneFailed, match=r"merge_inexact: model\.layers.*not finite in BF16"):
        result(MODEL, nan)
    large = bases.adapter(tmp_path / "large", strength=300.0)
    with pytest.raises(TuneFailed, match="not finite in F16"):
        result(bases.stored_as(tmp_path / "base", "F16"), large)


@pytest.mark.parametrize("most", [1, 200_000, 1 << 30])
def test_shards_of_another_size(most: int, tmp_path: Path) -> None:
    """The base's order, no shard above the size but for one large tensor, an index that says where everything is."""
    base, adapter = bases.multimodal(tmp_path / "base"), bases.adapter(tmp_path / "adapter", inside=IN_WHOLE)
    made = plan(open_source(str(base), {}), adapter, most)
    files = {shard.name: b"".join(merged(made, shard)) for shard in made.shards}
    assert [len(files[shard.name]) for shard in made.shards] == [shard.size for shard in made.shards]
    new, same = weights(files), weights(result(base, adapter))
    assert new == same
    assert list(new) == list(bases.tensors(base))
    for data in files.values():
        inside = tensors_of(data)
        assert len(inside) == 1 or sum(len(one[2]) for one in inside.values()) <= most
    if most == 1 << 30:
        assert (list(files), made.index) == (["model.safetensors"], None)
        return
    index = json.loads(made.index or b"")
    assert index["metadata"]["total_size"] == sum(len(one[2]) for one in new.values())
    assert index["weight_map"] == {key: name for name, data in files.items() for key in tensors_of(data)}
    assert all(shard.twin is None for shard in made.shards)


class Vouched:
    """A folder whose store states checksums, one of them not that of its bytes."""

    def __init__(self, folder: Path) -> None:
        self._inner = open_source(str(folder), {})
        self.uri, self.pulse = self._inner.uri, self._inner.pulse

    def list(self) -> tuple[Object, ...]:
        return tuple(
            replace(one, crc32c=1) if one.name == "model-00001-of-00004.safetensors" else one for one in self._inner.list()
        )

    def read(self, object: Object, begin: int, end: int, sink: Any) -> None:  # noqa: A002 - see Source
        self._inner.read(object, begin, end, sink)


def test_bytes_that_the_store_does_not_vouch_for_make_no_shard(tmp_path: Path) -> None:
    """The last block of a shard is held back until the base's bytes are known to be right."""
    made = plan(Vouched(MODEL), bases.adapter(tmp_path / "adapter"), block=50_000)
    came: list[bytearray] = []
    with pytest.raises(TuneFailed, match=r"network_failed.*CRC-32C"):
        came.extend(merged(made, made.shards[0]))
    assert 0 < sum(map(len, came)) < made.shards[0].size


@pytest.mark.long
@pytest.mark.parametrize(("make", "inside"), [(bases.text, IN_TEXT), (bases.multimodal, IN_WHOLE)])
def test_a_merged_model_answers_as_base_and_adapter_do(make: Callable[[Path], Path], inside: str, tmp_path: Path) -> None:
    """In other shards too, transformers loads it without a word; it is as near to float32's sum as bfloat16 lets it be."""
    import torch
    from transformers import AutoModelForCausalLM, Gemma3ForCausalLM

    base, adapter = make(tmp_path / "base"), bases.adapter(tmp_path / "adapter", inside=inside)
    answers = []
    for number, most in enumerate((None, 500_000)):
        made = plan(open_source(str(base), {}), adapter, most)
        there = tmp_path / f"merged-{number}"
        bases.text(there) if most is None and inside == IN_TEXT else make(there)
        for old in there.glob("*.safetensors*"):
            old.unlink()
        for shard in made.shards:
            (there / shard.name).write_bytes(b"".join(merged(made, shard)))
        (there / "model.safetensors.index.json").write_bytes(made.index or b"")
        if inside == IN_WHOLE:  # the tower of the test is no real one: the language model alone
            from safetensors.torch import load_file

            state = {
                k.removeprefix("language_model."): v for path in there.glob("*.safetensors") for k, v in load_file(path).items()
            }
            model = Gemma3ForCausalLM.from_pretrained(MODEL, dtype=torch.bfloat16)
            missing, _ = model.load_state_dict({k: v for k, v in state.items() if "vision" not in k}, strict=False)
            assert missing == ["lm_head.weight"]
        else:
            model, told = AutoModelForCausalLM.from_pretrained(there, dtype=torch.bfloat16, output_loading_info=True)
            assert not any(told.values()), told
        answers.append(model.float().eval())
    reference = Gemma3ForCausalLM.from_pretrained(MODEL, dtype=torch.float32).eval()
    exact = {k.removeprefix("language_model."): v for k, v in sums(base, adapter).items()}
    reference.load_state_dict(exact, strict=False)
    tokens = torch.arange(6, 134).view(2, 64) * 7 % 1024
    with torch.inference_mode():
        wanted = reference(input_ids=tokens).logits.log_softmax(-1)
        for model in answers:
            found = model(input_ids=tokens).logits.log_softmax(-1)
            assert torch.nn.functional.kl_div(found, wanted, log_target=True, reduction="none").sum(-1).mean() < 1e-5
            assert not torch.equal(found, wanted)


RESIDENT = """
import resource, sys, torch
from pathlib import Path
from finetune_image.merge import merged, plan
from inference_image.chunks import open_source
torch.zeros(1 << 20).bfloat16().double() @ torch.zeros(1 << 20).double()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
made = plan(open_source(sys.argv[1], {}), Path(sys.argv[2]))
size = sum(len(data) for shard in made.shards for data in merged(made, shard))
print(size, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.long
def test_memory_does_not_grow_with_the_model(tmp_path: Path) -> None:
    """A gigabyte with a tensor of 512 MiB takes less than 200 MiB more than torch itself."""
    base = bases.text(tmp_path / "base")
    for old in base.glob("*.safetensors*"):
        old.unlink()
    rows, wide = {}, (262_144, 1024)
    names = ("model.embed_tokens.weight", "model.layers.0.mlp.down_proj.weight")
    for number, name in enumerate(names):
        rows[name] = {"dtype": "BF16", "shape": list(wide), "data_offsets": [number << 29, (number + 1) << 29]}
    text = json.dumps(rows).encode()
    with (base / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + (1 << 30))
    halves: dict[str, Stored] = {
        f"base_model.model.model.layers.0.mlp.down_proj.lora_{half}.weight": ("F32", size, bytes(4 * math.prod(size)))
        for half, size in (("A", [4, wide[1]]), ("B", [wide[0], 4]))
    }
    adapter = written(tmp_path / "adapter", halves, target_modules=["down_proj"])
    command = [sys.executable, "-c", RESIDENT, str(base), str(adapter)]
    size, grown = map(int, subprocess.run(command, check=True, capture_output=True, text=True, timeout=200).stdout.split())
    assert size == (base / "model.safetensors").stat().st_size
    assert grown < 200
