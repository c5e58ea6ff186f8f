"""What the fine-tune job promises to the outside: variables, files of a run, exit codes, failure codes. Standard library only."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

# --- environment that the job reads ---------------------------------------------------------------
ENV_RUN: Final = "GEMMACTL_RUN"
"""The run's folder: `gs://bucket/gemmactl/runs/NAME/RUN_ID` or a directory. RUN_FILE in it says everything else."""
ENV_TASK_SECONDS: Final = "GEMMACTL_TASK_SECONDS"
"""Longest time of one attempt in seconds (the job's task timeout): the worker saves and stops before it. Default: no limit."""
ENV_USD_PER_HOUR: Final = "GEMMACTL_USD_PER_HOUR"
"""What an hour of this container costs; default: unknown, and then nothing is said of money and max_usd can't be kept."""
ENV_THREADS: Final = "GEMMACTL_TORCH_THREADS"
"""torch threads on CPU; default: torch's own choice."""
ENV_DEVICE: Final = "GEMMACTL_DEVICE"
"""`cpu` or `cuda:0`; default: a GPU if torch sees one, and CPU only where torch was built without CUDA."""
ENV_HF_TOKEN: Final = "HF_TOKEN"
ENV_HF_ENDPOINT: Final = "HF_ENDPOINT"
ENV_STORAGE_HOST: Final = "STORAGE_EMULATOR_HOST"
ENV_EXECUTION: Final = "CLOUD_RUN_EXECUTION"

# --- where things are in a bucket -----------------------------------------------------------------
RUNS: Final = "gemmactl/runs"
"""RUNS/NAME/RUN_ID: what belongs to a run that is under way. Never read by a server."""
MODELS: Final = "gemmactl/models"
"""MODELS/NAME/RUN_ID: a published model (merged weights), whole once its MANIFEST is there. MODELS/NAME/LATEST points to one."""
ADAPTERS: Final = "gemmactl/adapters"
"""ADAPTERS/NAME/RUN_ID: the adapter alone, published the same way. ADAPTERS/NAME/LATEST points to one."""
DATA: Final = "gemmactl/data"
"""DATA/SHA256/FILE: data files by content: the same file is uploaded once."""
LATEST: Final = "LATEST"
"""One line: the run id that a name stands for now. Moved with a generation match; everything else is never overwritten."""

# --- files of a run's folder ----------------------------------------------------------------------
RUN_FILE: Final = "run.json"
"""Written once by whoever starts the run: run.py has its form."""
METRICS: Final = "metrics.jsonl"
"""One line for each thing to tell (Line below); the whole object is written anew about every METRICS_SECONDS."""
METRICS_SECONDS: Final = 15.0
ATTEMPTS: Final = "attempts.jsonl"
"""One line for each attempt: number, execution, started, ended, step at both, seconds, dollars, why it ended."""
FAILED: Final = "FAILED"
"""JSON of a Failure: no attempt may go on. Read before torch is loaded; `gemmactl finetune resume` removes it."""
CANCELLED: Final = "CANCELLED"
"""There while the user wants the run to stand still; `resume` removes it."""
DONE: Final = "DONE"
"""JSON: where the model and the adapter were published, and the figures of the run. The last object of a run."""
CHECKPOINTS: Final = "checkpoints"
"""CHECKPOINTS/step-000123/...: one that lacks COMPLETE is not there."""
COMPLETE: Final = "COMPLETE"
"""JSON: {"step": n, "identity": "...", "files": {"name": {"size": n, "crc32c": n}}}; written after all files of its folder."""

# --- files beside published weights ---------------------------------------------------------------
CURVE: Final = "gemmactl/loss.png"
"""The others are inference_image.contract's: MANIFEST, LINEAGE, FINGERPRINT, REPORT."""

# --- how an attempt ends --------------------------------------------------------------------------
EXIT_DONE: Final = 0
EXIT_FAILED: Final = 1
"""The line before says why. With FAILED written no attempt goes on; without it the next one may."""
EXIT_DEADLINE: Final = 75
"""Saved and stopped before the attempt's time was over; the next attempt goes on. EX_TEMPFAIL of sysexits.h."""
EXIT_TERMINATED: Final = 143
"""Saved and stopped because of SIGTERM; the next attempt goes on."""


class Code(StrEnum):
    """Why a run can't go on. Each has advice in the Failure and a row in doctor."""

    RUN_INVALID = "run_invalid"
    SETTINGS_INVALID = "settings_invalid"
    DATA_NOT_FOUND = "data_not_found"
    DATA_INVALID = "data_invalid"
    DATA_CHANGED = "data_changed"
    MODEL_NOT_FOUND = "model_not_found"
    MODEL_INVALID = "model_invalid"
    MODEL_GATED = "model_gated"
    ACCESS_DENIED = "access_denied"
    NETWORK_FAILED = "network_failed"
    IDENTITY_MISMATCH = "identity_mismatch"
    OUT_OF_GPU_MEMORY = "out_of_gpu_memory"
    OUT_OF_MEMORY = "out_of_memory"
    LOSS_NOT_FINITE = "loss_not_finite"
    NO_PROGRESS = "no_progress"
    BUDGET_SPENT = "budget_spent"
    NO_GPU = "no_gpu"
    MERGE_INEXACT = "merge_inexact"
    PUBLISH_CLASH = "publish_clash"
    INTERNAL = "internal"


HOPELESS: Final = frozenset(Code) - {Code.NETWORK_FAILED, Code.INTERNAL}
"""Codes after which FAILED is written: another attempt would end alike. INTERNAL becomes NO_PROGRESS when it comes back."""


@dataclass(frozen=True)
class Failure:
    """`where`: the file, row, setting or object it is about; `advice`: what to do, best first."""

    code: Code
    where: str
    detail: str
    advice: tuple[str, ...] = ()

    def text(self) -> str:
        """The document FAILED."""
        return json.dumps(asdict(self)) + "\n"

    def line(self) -> str:
        """The last line that the process prints, for Cloud Logging and for doctor."""
        message = f"fine-tune failed: {self.code}: {self.where}: {self.detail}"
        return json.dumps({"severity": "ERROR", "message": message, "finetune_failed": asdict(self)})


class TuneFailed(Exception):  # noqa: N818 - the word of the log line and of doctor
    """A run, its settings or its data can't be used."""

    def __init__(self, code: Code, where: str, detail: str, *advice: str) -> None:
        super().__init__(f"{code}: {where}: {detail}")
        self.failure = Failure(code, where, detail, advice)


class Kind(StrEnum):
    """What a line of METRICS tells."""

    PHASE = "phase"
    """`phase`: PHASES' word; `text`: more."""
    TRAIN = "train"
    """step, max_steps, epoch, loss, lr, grad_norm, tokens, tokens_per_s, eta_s, gpu_gb, usd."""
    EVAL = "eval"
    """step, loss (held-out), baseline, best."""
    CHECKPOINT = "checkpoint"
    """step, seconds."""
    NOTE = "note"
    """text: something the user should know (a smaller micro-batch, rows left out)."""
    END = "end"
    """why: done, deadline, terminated, failed, cancelled, budget; code where it failed."""


PHASES: Final = ("reading data", "reading model", "measuring", "training", "evaluating", "merging", "publishing", "done")


def metric(kind: Kind, at: float, attempt: int, **fields: Any) -> str:
    """One line of METRICS, and of the job's stdout (Cloud Logging reads severity and message). `at`: Unix seconds.

    A number that is none is a word: JSON has no NaN, and Cloud Logging takes a line with one for plain text.
    """
    odd = {k: str(v) for k, v in fields.items() if isinstance(v, float) and not math.isfinite(v)}
    shown = {k: v for k, v in (fields | odd).items() if v is not None}
    words = " ".join(f"{k}={v}" for k, v in shown.items())
    return json.dumps({"severity": "INFO", "message": f"{kind} {words}", "kind": kind, "at": at, "attempt": attempt, **shown})
