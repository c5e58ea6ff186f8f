"""Whether an adapter was trained on the model that it is given to: by bytes, by place, by name; and when nobody can know."""

from __future__ import annotations

import json
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from finetune_image.lineage import document as lineage_file
from finetune_image.lineage import lineage as written_lineage
from finetune_image.run import File, Run, Wish
from gemmactl.resources.local_model import WANTED
from inference_image import adapter_files, bases
from inference_image.adapter_files import Adapter
from inference_image.bases import Claim, Model, fingerprint, judge
from inference_image.contract import Code, LoadFailed
from inference_image.releases import release
from inference_image.settings import Settings
from inference_image.timeline import Timeline
from tests.inference_image import fake_storage
from tests.inference_image.checkpoints import MODEL
from tests.inference_image.fake_storage import bucket_of
from tests.inference_image.loras import halves, written
from tests.inference_image.test_adapter_refusals import known_files

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TUNED, OTHER_TUNE = "gs://b/gemmactl/models/korean/0123456789ab", "gs://b/gemmactl/models/sql/ba9876543210"
SHARD = "model.safetensors"


def by_name(base: str, place: str, source: str = "") -> bool | None:
    return judge(Claim.of(base), Model(place, source)).same


def lineage(uri: str, **base: Any) -> bytes:
    return json.dumps({"schema": "gemmactl/lineage.v1", "base": {"uri": uri, **base}}).encode()


@pytest.mark.parametrize(
    ("base", "place"),
    [
        ("google/gemma-3-4b-it", "hf:google/gemma-3-4b-it"),
        (f"google/gemma-3-4b-it@{COMMIT}", "hf:google/gemma-3-4b-it@main"),
        ("google/gemma-3-4b-it", "gs://b/models/gemma-3-4b-it"),
        ("google/gemma-3-4b-it", "gs://b/gemma-3-4b-it-0123456789"),
        ("google/gemma-3-4b-it", "/models/google-gemma-3-4b-it/"),
        ("unsloth/gemma-3-4b-it-unsloth-bnb-4bit", "hf:google/gemma-3-4b-it"),
        ("/cache/hub/models--google--gemma-3-4b-it/snapshots/abc", "gs://b/gemma-3-4b-it"),
        ("/kaggle/input/gemma-3/transformers/gemma-3-4b-it/1", "https://huggingface.co/google/gemma-3-4b-it/resolve/main"),
        ("mylab/korean", "hf:mylab/korean@v2"),
        ("gs://b/own", "gs://b/own/"),
        (TUNED, TUNED.replace("gs://b", "/mnt/x")),
    ],
)
def test_known_to_be_the_same(base: str, place: str) -> None:
    """The same repository or place, the same release in any copy and form, the same run."""
    assert by_name(base, place) is True


@pytest.mark.parametrize(
    ("base", "place"),
    [
        ("google/gemma-3-4b-pt", "hf:google/gemma-3-4b-it"),
        ("google/gemma-3-4b-pt", "gs://b/gemma-3-4b-it"),
        ("google/medgemma-4b-it", "gs://b/gemma-3-4b-it-0123456789"),
        ("google/gemma-3-4b-it", "/models/translategemma-4b-it"),
        ("google/gemma-3-4b-it", "gs://b/gemma-3-4b-it-qat-q4_0-unquantized"),
        ("/mnt/gemma-3-4b-pt", "gs://b/gemma-3-4b-it"),
        ("mylab/korean", "hf:google/gemma-3-4b-it"),
        ("google/gemma-3-4b-it", "hf:mylab/korean"),
        (TUNED, OTHER_TUNE),
        (TUNED, "gs://b/gemma-3-4b-it"),
        ("google/gemma-3-4b-it", TUNED),
    ],
)
def test_known_to_be_another(base: str, place: str) -> None:
    """Two releases, two repositories, two fine-tunes, a fine-tune and a release: both names are told."""
    found = judge(Claim.of(base), Model(place))
    assert found.same is False
    assert found.problem is not None
    assert base in found.problem.what
    assert place in found.problem.what
    assert judge(Claim.of(base), Model(place), any_base=True) == bases.Judgement(False)


@pytest.mark.parametrize(
    ("base", "place"),
    [
        ("", "hf:google/gemma-3-4b-it"),
        ("google/gemma-3-4b-it", "gs://b/our-gemma"),
        ("mylab/korean", "gs://b/gemma-3-4b-it"),
        ("mylab/korean", "hf:mirror/korean-bf16"),
        ("outputs/merged", "hf:google/gemma-3-4b-it"),
        ("./checkpoint-100", "hf:google/gemma-3-4b-it"),
        ("/mnt/me/model", TUNED),
        ("gs://b/one", "gs://c/two"),
        ("mylab/korean", TUNED),
    ],
)
def test_can_not_be_known(base: str, place: str) -> None:
    """A folder that anybody named, a path of another machine, a possible mirror: nothing is refused."""
    assert by_name(base, place) is None


def test_a_manifest_tells_more_than_a_folders_name() -> None:
    """A copy keeps where it came from, whatever its folder is called; a manifest that is none is as none."""
    told = json.dumps({"source": "hf:google/gemma-3-4b-pt"}).encode()
    assert bases.source_of(told) == "hf:google/gemma-3-4b-pt"
    assert [bases.source_of(one) for one in (None, b"", b"{", b"[]", b'{"source": 1}')] == [""] * 5
    assert by_name("google/gemma-3-4b-it", "gs://b/ours", bases.source_of(told)) is False
    assert by_name("google/gemma-3-4b-pt", "gs://b/gemma-3-4b-it", bases.source_of(told)) is True


def test_what_a_fine_tune_recorded_decides() -> None:
    """Equal files are the same base under any name; the same folder with weights written anew is another one."""
    files = {SHARD: (9, "AAAAAA==", "1"), "config.json": (2, "AAAAAQ==", "2")}
    pins = {SHARD: "1", "config.json": "2"}
    made = {"fingerprint": fingerprint({name: one[:2] for name, one in files.items()}), "generations": pins}
    claim = Claim.of("", lineage("gs://b/gemma-3-4b-pt", **made))
    assert judge(claim, Model("gs://c/gemma-3-4b-it", files={**files, "x/y.json": (1, "", "7")})).same is True
    again = {**files, SHARD: (9, "AAAAAg==", "3")}
    moved = judge(claim, Model("gs://b/gemma-3-4b-pt", files=again))
    assert moved.problem is not None
    assert "model.safetensors in that folder was written anew since" in moved.problem.what
    edited = {**files, "config.json": (3, "AAAAAg==", "9")}
    assert judge(claim, Model("gs://b/gemma-3-4b-pt", files=edited)).same is True
    assert judge(claim, Model("gs://b/gemma-3-4b-pt")).same is True
    assert judge(claim, Model("gs://c/gemma-3-4b-it", files=again)).same is False


def test_a_fine_tunes_own_record_is_read() -> None:
    """What its job writes beside an adapter is what is looked for: place, fingerprint, generations."""
    run = Run("r", "i", Wish(model=TUNED), "gs://b", File("gs://b/d", "0"), base="f" * 64, pins={SHARD: "1"})
    claim = Claim.of("google/gemma-3-4b-it", lineage_file(written_lineage(run, {})))
    assert [name.text for name in claim.names] == [TUNED, "google/gemma-3-4b-it"]
    assert (claim.fingerprint, claim.generations, claim.provable) == ("f" * 64, {SHARD: "1"}, True)
    assert judge(claim, Model(OTHER_TUNE)).same is False


@pytest.mark.parametrize("data", [None, b"", b"{", b"[]", b'{"base": 1}', b'{"base": {"uri": 1, "generations": 2}}'])
def test_a_lineage_that_is_none_of_ours_tells_nothing(data: bytes | None) -> None:
    """The config's name is left."""
    claim = Claim.of("google/gemma-3-4b-it", data)
    assert judge(claim, Model("gs://b/gemma-3-4b-it")).same is True
    assert not claim.generations


def test_what_is_a_release() -> None:
    """Only whole names, in any case, without what says how a copy is stored."""
    names = ("Gemma-3-4B-it", "gemma-3n-E4B-it", "gemma-3-27b-pt-bnb-4bit", "gemma-3-1b-it-FP8-Dynamic", "gemma-2-2b-jpn-it")
    assert all(release(name) for name in names)
    assert not any(release(name) for name in ("gemma-3-4b", "gemma-3-4b-it-korean", "gemma", "", "model", "4bit"))


def test_a_base_is_fingerprinted_by_the_files_that_are_uploaded_of_it() -> None:
    """One set of endings for both."""
    assert bases.READ == WANTED


def read(place: str, environ: dict[str, str] | None = None, *, any_base: bool = False, **named: Path) -> tuple[Adapter, ...]:
    """As a load reads them, on the sample's config in another place."""
    ready: Future[tuple[Adapter, ...]] = Future()
    settings = Settings(model=place, adapters=json.dumps({k: str(v) for k, v in named.items()}), any_base=any_base)
    adapter_files.begin(settings, environ or {}, Timeline(), known_files(), ready)
    return ready.result(20)


def test_the_engine_refuses_an_adapter_of_another_base_by_its_name(tmp_path: Path) -> None:
    """Though its shapes fit, and before the weights are there; asked to, it serves it and tells so."""
    folder = written(tmp_path / "a", base_model_name_or_path="google/gemma-3-1b-pt")
    with pytest.raises(LoadFailed) as failed:
        read("gs://b/gemma-3-1b-it", korean=folder)
    assert (failed.value.failure.code, failed.value.failure.object) == (Code.ADAPTER_INVALID, "adapter korean")
    assert "trained on google/gemma-3-1b-pt, and this model is gs://b/gemma-3-1b-it" in failed.value.failure.detail
    assert "under another name, set GEMMACTL_ADAPTER_ANY_BASE=1" in failed.value.failure.detail
    (found,) = read("gs://b/gemma-3-1b-it", any_base=True, korean=folder)
    assert found.document()["same_base"] is False
    assert read("gs://b/gemma-3-1b-pt", korean=folder)[0].document()["same_base"] is True
    assert read("gs://b/ours", korean=folder)[0].document()["same_base"] is None


def test_the_engine_holds_a_record_against_the_models_own_list(tmp_path: Path) -> None:
    """A fine-tune's adapter and its base in a bucket: the files are compared, whatever the config's name says."""
    folder = written(tmp_path / "a", halves(), base_model_name_or_path="google/gemma-3-4b-it")
    (folder / "gemmactl").mkdir()
    record, place = folder / "gemmactl" / "lineage.json", "gs://bucket/m"
    (folder / "gemmactl" / "manifest.json").write_text("{}")
    bucket = bucket_of(MODEL)
    with fake_storage.running(bucket) as address:
        environ = {"STORAGE_EMULATOR_HOST": address}
        from inference_image.chunks import open_source

        listed = open_source(place, environ).list()
        made = fingerprint({one.name: (one.size, bases.checksum(one.crc32c)) for one in listed})
        record.write_bytes(lineage("gs://elsewhere/base", fingerprint=made))
        assert read(place, environ, one=folder)[0].same_base is True
        record.write_bytes(lineage(place, fingerprint="", generations={SHARD: "1"}))
        with pytest.raises(LoadFailed, match="was written anew since"):
            read(place, environ, one=folder)
