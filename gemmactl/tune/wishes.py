"""Flags, --set and finetune.yaml -> what a fine-tune is (Wish) and what it runs on (Tune). Knows no cloud."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Final

from finetune_image.contract import TuneFailed
from finetune_image.run import Wish, parse
from gemmactl import access_rules, spec_parse, spec_rules, tune_rules
from gemmactl.errors import Trouble, usage
from gemmactl.resources import names
from gemmactl.serving.wishes import project_id
from gemmactl.settings import Settings, Value
from gemmactl.spec import Model, SecretRef, Token, parse_model
from gemmactl.tune import settings_file
from gemmactl.tune_spec import Tune
from gemmactl.voice import Voice

SPOTS: Final[Mapping[str, str]] = {
    "model": "model", "name": "name", "data": "data.train", "eval": "data.eval", "limit": "data.limit", "prompt": "data.prompt",
    "completion": "data.completion", "system": "data.system", "data_format": "data.format", "quantize": "quantize",
    "lora_r": "lora.r", "lora_alpha": "lora.alpha", "epochs": "train.epochs", "lr": "train.lr", "max_length": "train.max_length",
    "max_usd": "stop.max_usd", "max_hours": "stop.max_hours",
}  # fmt: skip
"""Flag -> its place in finetune.yaml."""
JOB: Final = (
    "project", "region", "bucket", "gpu_type", "cpu", "memory", "timeout", "retries", "network", "subnet", "vpc_egress",
    "network_tags", "service_account", "build_service_account", "iam", "kms_key", "hf_token", "image",
)  # fmt: skip
"""Flags of what it runs on, and names of the part `job` of finetune.yaml."""
LOCAL_BUCKET: Final = "gemmactl-runs"
"""Folder that stands for the bucket with --local."""


@dataclass(frozen=True)
class Asked:
    """`tune` lacks what a look at the base decides: CPU, memory and retries that are not in `given`, and the run."""

    wish: Wish
    model: Model
    tune: Tune
    given: frozenset[str]
    project: Value
    region: Value
    said: Mapping[str, str] = field(default_factory=dict)
    """Flags of the job as text, for a next command."""


@dataclass(frozen=True)
class Local:
    """A fine-tune on this machine. `bucket`: the folder that stands for it."""

    wish: Wish
    model: Model
    bucket: Path


def document(flags: Mapping[str, Any], folder: Path) -> tuple[Wish, settings_file.Document]:
    """The wish, and the part `job` as it was said. Flags win over --set, --set over the file.

    Raises:
        Trouble: (usage) an unknown name, with what was meant; a value that can't be; no data.
    """
    config: Path | None = flags.get("config")
    where = "the command line"
    made: settings_file.Document = {}
    if config is not None:
        where = str(config)
        made = settings_file.load(folder / config)
        _beside(made, (folder / config).parent, folder)
    settings_file.settle(made, list(flags.get("set_") or ()))
    for flag, spot in SPOTS.items():
        if (value := flags.get(flag)) is not None:
            settings_file.put(made, spot, settings_file.value_of(value) if flag == "eval" else value)
    settings_file.sizes(made)
    job = _job(made.pop("job", None), where)
    if not _data(made):
        raise usage(
            "no data is named",
            why="DATA is missing: a file, gs://BUCKET/FILE, or hf:owner/name",
            remedy="gemmactl finetune run DATA.jsonl; or write `data: {train: DATA.jsonl}` into a file for --config",
            code="data-missing",
        )
    made.setdefault("name", _name(_data(made)))
    try:
        return parse(made, where), job
    except TuneFailed as failed:
        raise _refused(failed) from None


def asked(settings: Settings, flags: Mapping[str, Any], voice: Voice, folder: Path) -> Asked:
    """A fine-tune in the cloud, legal by itself.

    Raises:
        Trouble: (usage) something is missing or not legal.
    """
    wish, job = document(flags, folder)
    said = {key: str(value) for key, value in job.items() if value is not None}
    said |= {key: str(flags[key]) for key in JOB if flags.get(key) is not None}
    project, region = settings.project(said.get("project")), settings.region(said.get("region"))
    model = base_model(wish.model, folder)
    if text := flags.get("hf_token"):  # a token is none on a command line, whatever the base needs
        spec_parse.token_reference(text)
    row = spec_rules.gpu(said.get("gpu_type", Tune.gpu_type))
    cpu, memory = spec_rules.partner(row, _whole("cpu", said), said.get("memory"))
    bucket = said.get("bucket", "").removeprefix("gs://").rstrip("/")
    tune = Tune(
        project=project_id(project),
        region=region.text,
        name=wish.name,
        bucket=bucket or names.bucket(project_id(project), "models", region.text),
        reads=(model.bucket,) if model.kind == "gs" else (),
        gpu_type=row.name,
        cpu=cpu,
        memory=memory,
        network=said.get("network"),
        subnet=said.get("subnet"),
        vpc_egress=access_rules.egress(said["vpc_egress"]) if "vpc_egress" in said else None,
        network_tags=access_rules.words(said.get("network_tags", "")),
        service_account=said.get("service_account"),
        build_service_account=said.get("build_service_account"),
        iam=_switch("iam", said),
        kms_key=said.get("kms_key"),
        hf_token=_token(settings, said, flags, voice) if model.kind == "hf" else None,
        image=said.get("image"),
    )
    if "timeout" in said:
        tune = replace(tune, timeout=spec_parse.duration(said["timeout"]))
    if (retries := _whole("retries", said)) is not None:
        tune = replace(tune, retries=retries)
    tune_rules.check(tune)
    return Asked(wish, model, tune, frozenset(said) & {"cpu", "memory", "retries"}, project, region, said)


def _switch(key: str, said: Mapping[str, str]) -> bool | None:
    """Yes, no, or nothing said."""
    if key not in said:
        return None
    word = said[key].lower()
    if word not in ("true", "false"):
        raise _setting(f"job.{key}: {said[key]!r}", "it is true or false")
    return word == "true"


def here(flags: Mapping[str, Any], folder: Path) -> Local:
    """A fine-tune on this machine.

    Raises:
        Trouble: (usage) something is missing or not legal.
    """
    wish, job = document(flags, folder)
    bucket = str(flags.get("bucket") or job.get("bucket") or LOCAL_BUCKET)
    if "://" in bucket:
        raise usage(
            f"--bucket {bucket} is no directory",
            why="with --local everything stays on this machine: a directory stands for the bucket",
            remedy=f"leave --bucket out ({LOCAL_BUCKET}), or name a directory",
            code="flags-contradict",
        )
    model = base_model(wish.model, folder)
    return Local(replace(wish, model=model.text if model.kind != "gs" else model.uri), model, folder / bucket)


def base_model(text: str, folder: Path) -> Model:
    """The base model: gs://, a directory that is there or is written as one, else a name of the Hub.

    Raises:
        Trouble: (usage) it is none of these.
    """
    if text.startswith(("gs://", "hf:")) or "://" in text:
        return parse_model(text)
    if text.startswith((".", "/", "~")) or (folder / text).is_dir() or text.count("/") != 1:
        return Model("dir", str(folder / Path(text).expanduser()))
    return parse_model(f"hf:{text}")


def _job(found: Any, where: str) -> settings_file.Document:
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise _setting(f"{where}: job", f"it must be a mapping, not {found!r}")
    made = {str(key).replace("-", "_"): value for key, value in found.items()}
    for key, value in made.items():
        if key not in JOB:
            near = difflib.get_close_matches(key, JOB, n=1)
            meant = f"did you mean {near[0]}?" if near else f"known: {', '.join(JOB)}"
            raise _setting(f"{where}: job.{key}", f"there is no such setting; {meant}")
        if value is not None and not isinstance(value, str | int):
            raise _setting(f"{where}: job.{key}", f"it must be a value, not {value!r}")
    return made


def _beside(made: settings_file.Document, home: Path, folder: Path) -> None:
    """Files and the directory of a base that finetune.yaml names lie beside it, wherever the command is run."""
    data, model = made.get("data"), made.get("model")
    if home == folder:
        return
    if isinstance(model, str) and (model.startswith(".") or (home / model).is_dir()):
        made["model"] = str(home / model)
    if not isinstance(data, dict):
        return
    for key in ("train", "eval"):
        text = data.get(key)
        if isinstance(text, str) and not text.startswith(("/", "~", "hf:")) and "://" not in text:
            data[key] = str(home / text)


def _data(made: settings_file.Document) -> str:
    data = made.get("data")
    return str(data.get("train") or "") if isinstance(data, dict) else ""


def _name(data: str) -> str:
    """A name from the data: `./sql-train.jsonl` -> sql-train; as Wish's own default where nothing of it is left."""
    leaf = PurePosixPath(data.removeprefix("hf:").partition(":")[0] if data.startswith("hf:") else data).name
    stem = re.sub(r"[^a-z0-9]+", "-", leaf.partition(".")[0].lower()).strip("-")[:40].strip("-")
    return stem if stem[:1].isalpha() else Wish.name


def _whole(key: str, said: Mapping[str, str]) -> int | None:
    if key not in said:
        return None
    if not said[key].strip().isdigit():
        raise _setting(f"--{key}", f"it must be a whole number, not {said[key]!r}")
    return int(said[key])


def _token(settings: Settings, said: Mapping[str, str], flags: Mapping[str, Any], voice: Voice) -> SecretRef | Token | None:
    """--hf-token, HF_TOKEN, finetune.yaml, then a hidden prompt: as deploy reads it. A dry run asks nobody."""
    if text := flags.get("hf_token"):
        return spec_parse.token_reference(text)
    if text := settings.environ.get("HF_TOKEN"):
        return spec_parse.token(text, "HF_TOKEN")
    if text := said.get("hf_token"):
        return spec_parse.reference(text, "job.hf_token")
    if flags.get("dry_run"):
        return None
    instead = "set the variable HF_TOKEN, or name a secret: --hf-token NAME:VERSION"
    return spec_parse.token(voice.secret("Hugging Face token", instead=instead), "the prompt")


def _refused(failed: TuneFailed) -> Trouble:
    found = failed.failure
    return _setting(found.where, found.detail, *found.advice)


def _setting(what: str, why: str, *advice: str) -> Trouble:
    return usage(
        f"{what} can't be so",
        why=why,
        remedy="\n".join(advice) or "correct it; gemmactl finetune run --help and docs/finetune.md list the settings",
        code="finetune-setting",
    )
