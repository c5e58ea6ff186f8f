"""The options of a run of finetune: training, output, job, the run itself. Knows no verb."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

_TRAIN, _JOB, _RUN = "Training", "Job", "The run"
WITH_LOCAL = (
    "data", "config", "set_", "model", "name", "bucket", "eval", "data_format", "prompt", "completion", "system", "limit",
    "epochs", "lr", "lora_r", "lora_alpha", "max_length", "quantize", "max_usd", "max_hours", "dry_run", "again", "yes",
)  # fmt: skip
"""Options that mean something on this machine."""

Name = Annotated[
    str | None, typer.Option(metavar="NAME", help="What the result is called, and its job: finetune-NAME. Default: DATA's name.")
]
Bucket = Annotated[
    str | None,
    typer.Option(
        metavar="BUCKET",
        help="Where data, checkpoints and the result lie. Default: one of gemmactl's own; with --local ./gemmactl-runs.",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A setting of finetune.yaml, as in train.weight_decay=0.01: also every field of trl's SFTConfig; again for more.",
        rich_help_panel=_TRAIN,
    ),
]
Epochs = Annotated[
    float | None, typer.Option(metavar="N", help="Passes over the rows. Default: 1.", rich_help_panel=_TRAIN)
]  # fmt: skip
Lr = Annotated[float | None, typer.Option("--lr", metavar="X", help="Learning rate. Default: 2e-4.", rich_help_panel=_TRAIN)]
LoraR = Annotated[
    int | None, typer.Option("--lora-r", metavar="N", help="Rank of the adapter. Default: 16.", rich_help_panel=_TRAIN)
]  # fmt: skip
LoraAlpha = Annotated[
    int | None,
    typer.Option("--lora-alpha", metavar="N", help="Weight of the adapter, over its rank. Default: 32.", rich_help_panel=_TRAIN),
]
Quantize = Annotated[
    Literal["auto", "none", "nf4"] | None,
    typer.Option(
        "--quantize",
        help="How the base is held while it is trained: bfloat16 (none) or 4 bits (nf4). Default: auto, nf4 above 5B.",
        rich_help_panel=_TRAIN,
    ),
]
MaxUsd = Annotated[
    float | None,
    typer.Option(
        "--max-usd",
        metavar="X",
        help="A promise: it saves, stops and publishes the best until then. List prices. Default: no limit.",
        rich_help_panel=_RUN,
    ),
]
MaxHours = Annotated[
    float | None,
    typer.Option("--max-hours", metavar="X", help="The same in hours of GPU. Default: no limit.", rich_help_panel=_RUN),
]
Cpu = Annotated[
    int | None, typer.Option(metavar="N", help="vCPUs. Default: 4 up to 4B, 8 above.", rich_help_panel=_JOB)
]  # fmt: skip
Memory = Annotated[
    str | None, typer.Option(metavar="SIZE", help="Memory. Default: 16Gi up to 4B, 32Gi above.", rich_help_panel=_JOB)
]  # fmt: skip
Timeout = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Longest attempt: 30m, 3600. It saves before. Default: 1h.", rich_help_panel=_JOB),
]
Retries = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Attempts after the first, each from the last checkpoint. Default: what --max-hours or the estimate needs, 3 to 10.",
        rich_help_panel=_JOB,
    ),
]
Network = Annotated[
    str | None, typer.Option(metavar="NAME", help="VPC network for its requests. Default: none.", rich_help_panel=_JOB)
]  # fmt: skip
Subnet = Annotated[
    str | None, typer.Option(metavar="NAME", help="Subnet of it. Default: the network's name.", rich_help_panel=_JOB)
]  # fmt: skip
VpcEgress = Annotated[
    Literal["all-traffic", "all", "private-ranges-only"] | None,
    typer.Option(
        "--vpc-egress",
        metavar="WHAT",
        help="What goes through it: private-ranges-only (default) or all-traffic.",
        rich_help_panel=_JOB,
    ),
]
GpuType = Annotated[
    str | None,
    typer.Option(metavar="TYPE", help="nvidia-l4 (24 GB, default) or nvidia-rtx-pro-6000 (96 GB).", rich_help_panel=_JOB),
]
NetworkTags = Annotated[
    str | None, typer.Option(metavar="TAG,...", help="Network tags, for firewall rules.", rich_help_panel=_JOB)
]  # fmt: skip
Image = Annotated[
    str | None, typer.Option(metavar="IMAGE", help="A worker's image that is there: nothing is built.", rich_help_panel=_JOB)
]  # fmt: skip
BuildServiceAccount = Annotated[
    str | None,
    typer.Option(metavar="EMAIL", help="Account that builds the image. Default: one of its own.", rich_help_panel=_JOB),
]
KmsKey = Annotated[
    str | None,
    typer.Option(
        metavar="KEY",
        help="Encrypt with your own key, projects/P/locations/L/keyRings/R/cryptoKeys/K: repository, buckets, secret, job. "
        "Default: keys of Google's, or what is there.",
        rich_help_panel=_JOB,
    ),
]
Iam = Annotated[
    bool | None,
    typer.Option(
        "--iam/--no-iam",
        help="--no-iam makes no account and no binding: another hand did. The job remembers it; --iam takes it back.",
        rich_help_panel=_JOB,
    ),
]
ServiceAccount = Annotated[
    str | None,
    typer.Option(
        metavar="EMAIL",
        help="Account that it runs as. Default: one of its own, which may use the bucket and read the base.",
        rich_help_panel=_JOB,
    ),
]
HfToken = Annotated[
    str | None,
    typer.Option(
        metavar="REF",
        help="Secret with the Hugging Face token, NAME:VERSION. The token itself comes from the variable HF_TOKEN or a prompt.",
        rich_help_panel=_JOB,
    ),
]
Follow = Annotated[
    bool,
    typer.Option(
        "--follow/--no-follow",
        help="Stay until its end, with progress; Ctrl-C leaves it running. --no-follow returns once it is started.",
        rich_help_panel=_RUN,
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show plan, job and run.json; change nothing.", rich_help_panel=_RUN)
]  # fmt: skip
ForAdmin = Annotated[
    bool,
    typer.Option(
        "--for-admin",
        help="Print only what you may not do yourself, and the roles that you lack, as a script for an administrator.",
        rich_help_panel=_RUN,
    ),
]
AsForm = Annotated[
    Literal["gcloud", "terraform"],
    typer.Option("--as", help="With --for-admin: the form of what is printed.", rich_help_panel=_RUN),
]
Local = Annotated[
    bool,
    typer.Option("--local", help="Train on this machine, GPU or CPU; needs the extra `finetune`.", rich_help_panel=_RUN),
]
Again = Annotated[
    bool, typer.Option("--again", help="Train once more what is done: another run beside it.", rich_help_panel=_RUN)
]  # fmt: skip
