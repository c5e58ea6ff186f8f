"""A fine-tune that can't go on: one row for each code of its image's contract, and how an attempt ends. Knows no trainer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from finetune_image.contract import EXIT_DEADLINE, EXIT_TERMINATED, Code
from gemmactl.doctor.consequences import NOT_STARTED
from gemmactl.doctor.finding import Category, FixKind
from gemmactl.doctor.last_line import QUOTED, patterns
from gemmactl.doctor.row import CONSEQUENCE, Row


@dataclass(frozen=True)
class _Why:
    title: str
    cause: str
    remedy: str
    fix_kind: FixKind = "user_action"
    commands: tuple[str, ...] = ()


_RESUME: Final = "`gemmactl finetune resume NAME` goes on from the last checkpoint."
_WHERE: Final = r"(?P<where>[^:\"]{0,200}(?::[^ :\"][^:\"]{0,200}){0,2})"
"""A place may hold colons, `gs://...` or `data.jsonl:2`, but none with a space after it."""

WHY: Final[dict[Code, _Why]] = {
    Code.RUN_INVALID: _Why(
        "The run's document can't be read: {where}",
        "run.json was changed by hand, cut short, or written by a newer version than the image that reads it.",
        "Start it again with `gemmactl finetune run`: its document is written anew, its image built from one version.",
    ),
    Code.SETTINGS_INVALID: _Why(
        "A setting of the fine-tune can't be used: {where}",
        "There is no setting of that name, its value has another form, or the trainer refuses it together with another one.",
        "Correct it in finetune.yaml or with --set; `gemmactl finetune check` reads the settings without spending anything.",
        "config_change",
    ),
    Code.DATA_NOT_FOUND: _Why(
        "There is no data at {where}",
        "The file or the dataset is not there, its name is misspelled, or it was removed from the bucket since the run was made.",
        "Give the data again: `gemmactl finetune run DATA` puts it into the bucket by its content.",
        commands=("gcloud storage ls gs://{bucket}/gemmactl/data",),
    ),
    Code.DATA_INVALID: _Why(
        "The data can't be trained on: {where}",
        "A row is not JSON, has another form than others, or turns that don't alternate; the text names file, line and reason.",
        "`gemmactl finetune check DATA` lists every such row. Correct them, then start the run again.",
    ),
    Code.DATA_CHANGED: _Why(
        "{where} is not the data that the run was made with",
        "A run is pinned to its data by SHA-256, so that a checkpoint is never continued on other rows.",
        "Start a new run with the data as it is now: `gemmactl finetune run DATA`. The earlier run stays as it is.",
    ),
    Code.MODEL_NOT_FOUND: _Why(
        "There is no base model at {where}",
        "The name or the folder is misspelled, or it was moved; a folder must hold config.json.",
        "Look with `gemmactl inspect MODEL`, and name it with --model.",
        commands=("gcloud storage ls gs://{bucket}",),
    ),
    Code.MODEL_INVALID: _Why(
        "The base model can't be used: {where}",
        "A file of it is missing or damaged, its weights don't fit its config, or its family can't be fine-tuned here.",
        "`gemmactl inspect MODEL` names what is wrong. Copy it again from where it came: `gemmactl copy`.",
    ),
    Code.MODEL_GATED: _Why(
        "Hugging Face does not give {where} to this token",
        "The token's own account must have accepted Gemma's terms; a fine-grained token must also allow gated repositories.",
        (
            "Accept the terms on the model's page, then start again with HF_TOKEN set. Or copy the model once into a bucket and"
            " train from there: `gemmactl copy hf:OWNER/NAME gs://BUCKET/NAME`; the job then needs no token."
        ),
    ),
    Code.ACCESS_DENIED: _Why(
        "The job's own account may not do what it must at {where}",
        "It writes to the bucket of runs and reads that of the base; a grant is missing, was taken away, or is not in effect.",
        "Run `gemmactl finetune run` again: the grants are part of its plan. A new grant may take some minutes.",
        "iam_grant",
    ),
    Code.NETWORK_FAILED: _Why(
        "{where} could not be reached",
        "Cloud Storage or Hugging Face did not answer for long; with VPC egress, Private Google Access or a NAT may be missing.",
        f"The next attempt tries it again by itself. After the last one: {_RESUME}",
        "retry",
    ),
    Code.IDENTITY_MISMATCH: _Why(
        "A checkpoint belongs to another run than this one: {where}",
        "Settings, data, base model or library versions differ from those that it was trained with.",
        "Start a new run: `gemmactl finetune run --again`. The folder of a run is written by its own worker alone.",
    ),
    Code.OUT_OF_GPU_MEMORY: _Why(
        "The GPU's memory does not hold one sequence of this training",
        "The worker made its micro-batch as small as it can be, and it is still too large: an L4 has about 22 GiB to use.",
        (
            "In this order: a shorter train.max_length, quantize: nf4, a smaller lora.r, a smaller base model, or"
            " --gpu-type nvidia-rtx-pro-6000."
        ),
        "config_change",
    ),
    Code.OUT_OF_MEMORY: _Why(
        "The container's memory (not the GPU's) was full",
        "Files that are written in the container count as well: on Cloud Run its file system is memory.",
        "Give the job more: --cpu 8 --memory 32Gi.",
        "config_change",
    ),
    Code.LOSS_NOT_FINITE: _Why(
        "The loss is no number any more",
        "The learning rate is too high for this data, or rows without an answer to learn from are among it.",
        "Lower train.lr to a tenth, look at the data with `gemmactl finetune check`, and start a new run.",
        "config_change",
    ),
    Code.NO_PROGRESS: _Why(
        "Attempts end without getting any further",
        "The same fault came back, or an attempt's time was over before its first checkpoint; its log says which.",
        "Look at `gemmactl finetune logs NAME`. Where time was the reason, a smaller checkpoint.minutes helps.",
        "diagnose",
    ),
    Code.BUDGET_SPENT: _Why(
        "The run has reached the limit that was set for it",
        "stop.max_usd and stop.max_hours are promises: the worker saves and stops before they are broken.",
        "The same `gemmactl finetune run` command with a higher --max-usd or --max-hours goes on with the run.",
    ),
    Code.NO_GPU: _Why(
        "The job's container sees no GPU",
        "The job has none, or the image's CUDA is newer than the driver (L4: 535, CUDA 12.2).",
        "Run `gemmactl finetune run` again: GPU and image are part of its plan. An image of your own needs torch for CUDA 12.6.",
        "config_change",
    ),
    Code.MERGE_INEXACT: _Why(
        "The merged model does not answer as the trained one did: {where}",
        "Its held-out loss is worse than that of base and adapter together, so it was not published; the adapter is whole.",
        "Report it with the run's report.md. Until then serve base and adapter: `gemmactl deploy BASE --adapter NAME=ADAPTER`.",
        "diagnose",
    ),
    Code.PUBLISH_CLASH: _Why(
        "Something else lies where the model is to be published: {where}",
        "Nothing of a published model is ever overwritten, and what is there differs from what this run made.",
        "Start it as a run of its own with `gemmactl finetune run --again`, or remove the folder if nobody uses it.",
    ),
    Code.INTERNAL: _Why(
        "The worker stopped with an error that it did not expect",
        "{detail}",
        "The next attempt goes on from the last checkpoint. If it comes back, look at the traceback in `gemmactl finetune logs`.",
        "diagnose",
    ),
}


_CATEGORY: Final[dict[Code, Category]] = {
    **dict.fromkeys((Code.RUN_INVALID, Code.SETTINGS_INVALID), "config"),
    **dict.fromkeys((Code.DATA_NOT_FOUND, Code.DATA_INVALID, Code.DATA_CHANGED), "config"),
    **dict.fromkeys((Code.MODEL_NOT_FOUND, Code.MODEL_INVALID, Code.MODEL_GATED), "model"),
    **dict.fromkeys((Code.OUT_OF_GPU_MEMORY, Code.NO_GPU), "gpu"),
    Code.ACCESS_DENIED: "iam",
    Code.NETWORK_FAILED: "network",
    Code.OUT_OF_MEMORY: "container",
}
"""What the fault is about; all others are of the run itself, so `jobs`."""


def _row(code: Code, why: _Why) -> Row:
    denied = code is Code.ACCESS_DENIED
    return Row(
        code=f"finetune-{code.replace('_', '-')}",
        category=_CATEGORY.get(code, "jobs"),
        subcategory=str(code),
        title=why.title,
        cause=why.cause,
        remedy=why.remedy,
        patterns=patterns("fine-tune failed", "finetune_failed", code, _WHERE, 900),
        fix_kind=why.fix_kind,
        commands=why.commands,
        not_fix=("more retries: another attempt ends alike",) if code not in (Code.NETWORK_FAILED, Code.INTERNAL) else (),
        principal="$RUNTIME_SA" if denied else "",
        role="roles/storage.objectUser" if denied else "",
        scope="bucket" if denied else "",
        explains=(*QUOTED, "category:jobs"),
        confidence=0.95,
    )


ENDINGS: Final = (
    Row(
        code="finetune-time-over",
        category="jobs",
        subcategory="deadline",
        title="An attempt of the fine-tune saved and stopped because its time was over",
        cause="A task with a GPU may take an hour, so a long run is several attempts: this is no fault, the next one goes on.",
        remedy=f"Nothing, while attempts are left. After the last one: {_RESUME}",
        patterns=(rf"exit code:? {EXIT_DEADLINE}\b", rf"Container called exit\({EXIT_DEADLINE}\)"),
        fix_kind="retry",
        not_fix=("any IAM grant",),
        explains=NOT_STARTED,
        rank=CONSEQUENCE,
        confidence=0.8,
    ),
    Row(
        code="task-terminated",
        category="jobs",
        subcategory="terminated",
        title="Cloud Run ended the task with SIGTERM",
        cause="Its time was over, it was cancelled, or its machine went into maintenance: tasks with a GPU are not moved.",
        remedy=f"gemmactl's fine-tunes save then and go on in the next attempt. After the last one: {_RESUME}",
        patterns=(
            rf"exit code:? {EXIT_TERMINATED}\b",
            rf"Container called exit\({EXIT_TERMINATED}\)",
            r"exit(?:ed)? (?:with )?(?:status|code)[: ]{1,2}143\b",
            r"Container terminated (?:on|by) signal:? 15\b",
        ),
        fix_kind="retry",
        not_fix=("any IAM grant",),
        explains=(*NOT_STARTED, "process-crashed"),
        rank=CONSEQUENCE,
        confidence=0.8,
    ),
)

ROWS: Final = (*(_row(code, WHY[code]) for code in Code), *ENDINGS)
