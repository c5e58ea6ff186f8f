"""From flags, --set and finetune.yaml to what is trained and what it runs on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from finetune_image.run import Wish, parse
from gemmactl.errors import Exit, Trouble
from gemmactl.resources import names
from gemmactl.spec import SecretRef, Token
from gemmactl.tune import wishes
from gemmactl.tune.wishes import Asked
from gemmactl.tune_spec import Tune
from tests.serving.ear import Ear, settings

CANARY = "hf_CANARYcanaryCANARYcanary"


def asked(folder: Path, environ: dict[str, str] | None = None, **flags: Any) -> Asked:
    given = {"data": "sql.jsonl", "project": "demo-proj", "model": "gs://weights/m", **flags}
    return wishes.asked(settings(folder, **(environ or {})), given, Ear(), folder)


def refusal(folder: Path, **flags: Any) -> Trouble:
    with pytest.raises(Trouble) as caught:
        asked(folder, **flags)
    assert caught.value.exit is Exit.USAGE
    return caught.value


def test_a_file_alone_is_enough(tmp_path: Path) -> None:
    """The base is Google's 4B, the name is the file's, the bucket gemmactl's own."""
    found = asked(tmp_path, {"HF_TOKEN": CANARY}, model=None)
    assert (found.wish.model, found.wish.name, found.wish.data.train) == (Wish.model, "sql", "sql.jsonl")
    assert found.tune.bucket == names.bucket("demo-proj", "models", "us-central1")
    assert (found.tune.hf_token is not None, found.given) == (True, frozenset())


def test_flags_win_over_set_and_set_over_the_file(tmp_path: Path) -> None:
    """And what nobody says keeps its default; 1e-4 is a number everywhere."""
    (tmp_path / "f.yaml").write_text(
        "name: from-file\ntrain: {lr: 1e-4, epochs: 2, max_length: 512, weight_decay: 1e-2}\n"
        "output: {shard: 1GiB}\nlora: {r: 8}\n"
    )
    found = asked(tmp_path, config=Path("f.yaml"), set_=["train.lr=5e-5", "train.epochs=3", "lora.alpha=64"], lr=1e-3).wish
    assert (found.train.lr, found.train.epochs, found.train.max_length, found.train.sft) == (1e-3, 3, 512, {"weight_decay": 0.01})
    assert (found.output.shard, found.lora.r, found.lora.alpha, found.name) == (2**30, 8, 64, "from-file")


def test_every_flag_has_its_place(tmp_path: Path) -> None:
    """No flag is passed over."""
    said = {
        "model": "gs://weights/m", "name": "n", "data": "d.jsonl", "eval": "0.1", "limit": 7, "prompt": "{q}",
        "completion": "{a}", "system": "s", "data_format": "template", "quantize": "nf4",
        "lora_r": 4, "lora_alpha": 8, "epochs": 2.0, "lr": 1e-3,
        "max_length": 99, "max_usd": 3.0, "max_hours": 2.0,
    }  # fmt: skip
    assert said.keys() == wishes.SPOTS.keys()
    made: dict[str, Any] = asked(tmp_path, **said).wish.document()
    for flag, spot in wishes.SPOTS.items():
        part: Any = made
        for name in spot.split("."):
            part = part[name]
        assert part == (0.1 if flag == "eval" else said[flag]), flag


def test_the_job_is_said_by_flags_or_the_file(tmp_path: Path) -> None:
    """Size, time, attempts, network, account; a CPU count brings its memory; a bucket may be written as gs://."""
    (tmp_path / "f.yaml").write_text(
        "job: {cpu: 8, timeout: 30m, retries: 5, network: vpc, vpc-egress: all-traffic, region: europe-west4, bucket: gs://mine}\n"
    )
    found = asked(tmp_path, config=Path("f.yaml"), retries=2, service_account="a@demo-proj.iam.gserviceaccount.com")
    tune = found.tune
    assert (tune.cpu, tune.memory, tune.timeout, tune.retries, tune.region, tune.bucket) == (
        8,
        "16Gi",
        1800,
        2,
        "europe-west4",
        "mine",
    )
    assert (tune.network, tune.vpc_egress, tune.service_account) == ("vpc", "all-traffic", "a@demo-proj.iam.gserviceaccount.com")
    assert found.given == {"cpu", "retries"}
    assert tune.reads == ("weights",)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"set_": ["train.learning=1"]}, "there is no such setting; did you mean"),
        ({"set_": ["lora.rnk=4"]}, "lora.rnk"),
        ({"set_": ["train.fp16=true"]}, "bfloat16"),
        ({"set_": ["no-equals"]}, "NAME=VALUE"),
        ({"set_": ["name.x=1", "name=2"]}, "must be str"),
        ({"set_": ["train=1", "train.lr=1"]}, "train is a value"),
        ({"set_": ["output.shard=big"]}, "is no size"),
        ({"set_": [f"name={CANARY}"]}, "looks like a Hugging Face token"),
        ({"set_": ["job.cpus=8"]}, "did you mean cpu?"),
        ({"epochs": 0.0}, "train.epochs"),
        ({"data": None}, "no data is named"),
        ({"model": "ftp://x/y"}, "is not a place"),
        ({"retries": 11}, "out of range"),
        ({"hf_token": CANARY, "model": "o/n"}, "--hf-token takes no token"),
        ({"hf_token": CANARY}, "--hf-token takes no token"),
        ({"model": "o/n"}, "--hf-token NAME:VERSION"),
    ],
)
def test_what_can_not_be_is_refused_with_its_place(tmp_path: Path, flags: dict[str, Any], words: str) -> None:
    """Exit 2, before any call; a secret is never repeated."""
    found = refusal(tmp_path, **flags)
    said = f"{found.what} {found.why} {found.remedy}"
    assert words in said
    assert CANARY not in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: a\nname: b\n", "name is there twice, in lines 1 and 2"),
        ("train: {lr: 1, lr: 2}\n", "lr is there twice"),
        ("- a\n", "it must be a mapping"),
        ("a: [\n", "look at line 2"),
        (f"model: {CANARY}\n", "line 1 holds a Hugging Face token"),
        ("job: 5\n", "it must be a mapping"),
        ("a: &x\n  b: *x\n", "a can't be so"),
    ],
)
def test_a_file_that_can_not_be_read_says_where(tmp_path: Path, text: str, words: str) -> None:
    """Line, name, reason; never a crash, never a token."""
    (tmp_path / "f.yaml").write_text(text)
    found = refusal(tmp_path, config=Path("f.yaml"))
    assert words in f"{found.what} {found.why}"
    assert CANARY not in f"{found.what} {found.why} {found.remedy}"


def test_a_file_names_data_beside_itself(tmp_path: Path) -> None:
    """Wherever the command is run; places that are no file stay."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "f.yaml").write_text("{model: ./base, data: {train: rows.jsonl, eval: 'hf:o/n:test'}}\n")
    found = asked(tmp_path, config=Path("sub/f.yaml"), data=None, model=None)
    assert (found.wish.data.train, found.wish.data.eval) == (str(tmp_path / "sub" / "rows.jsonl"), "hf:o/n:test")
    assert (found.model.kind, found.model.text) == ("dir", str(tmp_path / "sub" / "base"))


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("./SQL train.jsonl", "sql-train"),
        ("gs://b/x/rows.v2.jsonl.gz", "rows"),
        ("hf:owner/my_set:train", "my-set"),
        ("1.jsonl", "tuned"),
    ],
)
def test_the_name_is_the_data_s(tmp_path: Path, data: str, name: str) -> None:
    """Lower case, hyphens, a letter first."""
    assert asked(tmp_path, data=data).wish.name == name


def test_a_token_is_asked_for_as_deploy_does(tmp_path: Path) -> None:
    """A reference, the variable HF_TOKEN; a base in a bucket needs none, and a dry run asks nobody."""
    assert asked(tmp_path, model="o/n", hf_token="t:3").tune.hf_token == SecretRef("t", "3")
    assert isinstance(asked(tmp_path, {"HF_TOKEN": CANARY}, model="o/n").tune.hf_token, Token)
    assert asked(tmp_path, {"HF_TOKEN": CANARY}).tune.hf_token is None
    assert asked(tmp_path, model="o/n", dry_run=True).tune.hf_token is None


def test_a_run_on_this_machine_has_a_folder_for_a_bucket(tmp_path: Path) -> None:
    """The base may be a directory then."""
    (tmp_path / "base").mkdir()
    found = wishes.here({"data": "x.jsonl", "model": "base"}, tmp_path)
    assert (found.bucket, found.model.kind, found.wish.model) == (tmp_path / "gemmactl-runs", "dir", str(tmp_path / "base"))
    with pytest.raises(Trouble, match="is no directory"):
        wishes.here({"data": "x.jsonl", "bucket": "gs://b"}, tmp_path)


def test_the_wish_survives_its_document(tmp_path: Path) -> None:
    """What run.json holds is read back as the same wish."""
    found = asked(tmp_path, set_=["train.weight_decay=0.1", "data.eval=other.jsonl"]).wish
    assert parse(found.document()) == found
    assert isinstance(Tune("p", "r", "n", "b"), Tune)


def test_the_documented_file_is_one(tmp_path: Path) -> None:
    """finetune.yaml as docs/finetune.md shows it is read, setting by setting."""
    text = (Path(__file__).parents[2] / "docs" / "finetune.md").read_text().partition("```yaml\n")[2].partition("```")[0]
    (tmp_path / "finetune.yaml").write_text(text)
    found = asked(tmp_path, config=Path("finetune.yaml"), data=None)
    assert (found.wish.train.lr, found.wish.train.sft, found.wish.output.shard) == (2e-4, {"weight_decay": 0.01}, 2**30)
    assert (found.tune.timeout, found.given, found.wish.data.prompt) == (
        3600,
        {"cpu", "memory", "retries"},
        "Question: {question}\nContext: {context}",
    )


def test_other_hands_and_keys_are_wishes_of_the_job(tmp_path: Path) -> None:
    """Flags and finetune.yaml say the same of accounts, tags, keys and the GPU; a word that is no switch is refused."""
    key = "projects/p/locations/us-central1/keyRings/r/cryptoKeys/k"
    (tmp_path / "tune.yaml").write_text(f"job: {{iam: false, kms_key: {key}, network: vpc, network_tags: 'a,b'}}\n")
    filed = asked(tmp_path, config=Path("tune.yaml")).tune
    flags = {"iam": False, "kms_key": key, "network": "vpc", "network_tags": "a,b"}
    assert asked(tmp_path, **flags).tune == filed
    assert (filed.iam, filed.kms_key, filed.network_tags) == (False, key, ("a", "b"))
    assert asked(tmp_path).tune.iam is None
    large = asked(tmp_path, gpu_type="nvidia-rtx-pro-6000").tune
    assert (large.gpu_type, large.cpu, large.memory) == ("nvidia-rtx-pro-6000", 20, "80Gi")
    (tmp_path / "odd.yaml").write_text("job: {iam: maybe}\n")
    assert refusal(tmp_path, config=Path("odd.yaml")).code == "finetune-setting"
