"""The options that verbs share, each named and explained once. Knows no verb."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

_SIZE, _ACCESS, _START, _ROLLOUT = "Size", "Access and secrets", "Start-up and scaling", "Roll-out"

Format = Annotated[
    Literal["text", "json"],
    typer.Option("--format", help="text for people; json: one document on stdout, all talk on stderr.", show_default=True),
]
Project = Annotated[
    str | None,
    typer.Option(
        metavar="ID",
        help="Project id, or @sandbox for the pretended cloud on this machine. Default: gemmactl.yaml, environment, gcloud.",
    ),
]
Region = Annotated[
    str | None,
    typer.Option(metavar="REGION", help="Region with the GPU. Default: gemmactl.yaml, environment, gcloud, us-central1."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed without a terminal and when CI is set.")]
ModelArgument = Annotated[
    str | None,
    typer.Argument(metavar="MODEL", help="gs://BUCKET/FOLDER, a directory, or hf:owner/name. Default: model in gemmactl.yaml."),
]
NameArgument = Annotated[
    str | None,
    typer.Argument(metavar="NAME", help="The service. Default: gemmactl.yaml, else the only one of ours in project and region."),
]
Name = Annotated[str | None, typer.Option(metavar="NAME", help="Name of the service. Default: derived from the model's folder.")]
Engine = Annotated[
    Literal["auto", "gemmactl", "vllm"] | None,
    typer.Option(
        "--engine",
        help="What answers: gemmactl's own server, or vLLM's official image, for quantised weights and types that gemmactl's "
        "does not read, and in batches for families that it serves slowly. Default: auto, which is vLLM for a Gemma 4 and for "
        "quantised weights, else gemmactl.",
    ),
]
Loader = Annotated[
    Literal["stream", "fuse"] | None,
    typer.Option(
        "--loader",
        help="With vLLM: stream reads the bucket in parallel; fuse mounts the model's folder, read-only, as Google's guides do. "
        "Default: stream.",
    ),
]
Image = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="A container image to run. Default: gemmactl's own server, built in your project and used by digest; with "
        "vLLM its pinned one.",
    ),
]
GpuCount = Annotated[
    Literal["1"],
    typer.Option("--gpu", metavar="1", help="GPUs for each instance; Cloud Run gives exactly 1.", rich_help_panel=_SIZE),
]
GpuType = Annotated[
    str | None,
    typer.Option(
        metavar="TYPE",
        help="nvidia-l4 (24 GB) or nvidia-rtx-pro-6000 (96 GB). Default: nvidia-l4, the cheapest that holds a 4B model.",
        rich_help_panel=_SIZE,
    ),
]
Cpu = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="vCPUs. Default: the fewest that are legal with the memory: 4 with an L4, 20 with an RTX.",
        rich_help_panel=_SIZE,
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Memory, such as 32Gi. Default: the least that holds a load (weights pass through it to the GPU): 16Gi with an L4, "
        "80Gi with an RTX; 8 CPU and 32Gi for hf: models on an L4.",
        rich_help_panel=_SIZE,
    ),
]
Concurrency = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Requests that one instance takes at once, 1 to 1000. Default: twice what it computes at once, which is what "
        "the GPU holds, at most 32; the others wait in its queue. With vLLM what its cache holds, at most 32.",
        rich_help_panel=_START,
    ),
]
# gcloud's pairs --[no-]x: the half that says something is shown, the other is taken too. One column less in 80.
NoCpuThrottling = Annotated[
    bool,
    typer.Option(
        "--no-cpu-throttling", help="CPU also between requests: what a GPU needs, and the default.", rich_help_panel=_SIZE
    ),
]
CpuThrottling = Annotated[bool, typer.Option("--cpu-throttling", hidden=True)]
StartupProbe = Annotated[
    str | None,
    typer.Option(
        metavar="K=V,...",
        help="httpGet.path, httpGet.port, tcpSocket.port, initialDelaySeconds, timeoutSeconds, periodSeconds, failureThreshold. "
        "Default: /ready (vLLM: /health) every 2 s for 90 s to 30 minutes, by the size of the weights: a ready model is seen "
        "within 2 s.",
        rich_help_panel=_START,
    ),
]
Timeout = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Longest request: 1800, 30m, 1h. Default: 30m, long enough for a long answer after a cold start.",
        rich_help_panel=_START,
    ),
]
MaxContext = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Longest prompt and answer together, in tokens. Default: the model's own, at most 8192, and what the GPU holds.",
        rich_help_panel=_SIZE,
    ),
]
Quantize = Annotated[
    Literal["none", "int8"] | None,
    typer.Option(
        "--quantize",
        help="int8: weights become 8-bit while they arrive, embedding and head too, in half the memory: 12B fits an L4. With "
        "gemmactl's own engine. Default: none.",
        rich_help_panel=_SIZE,
    ),
]
Images = Annotated[
    bool,
    typer.Option(
        "--images",
        help="Answer images too: the vision tower is loaded, 0.8 GB more with a 4B. Default: text only, which starts faster.",
        rich_help_panel=_SIZE,
    ),
]
SkipUnverified = Annotated[
    bool,
    typer.Option(
        "--skip-unverified",
        help="Leave out a vision tower's bytes even where no manifest can prove what is read beside them. Told in the timeline.",
        rich_help_panel=_SIZE,
    ),
]
Adapter = Annotated[
    list[str] | None,
    typer.Option(
        "--adapter",
        metavar="NAME=PLACE",
        help="A LoRA adapter on the model: gs://BUCKET/FOLDER, a directory or hf:owner/name; again for more. Requests choose it "
        "by its name.",
    ),
]
OneAdapter = Annotated[
    str | None,
    typer.Option(
        "--adapter",
        metavar="NAME",
        help="The LoRA adapter that answers, by its name at the service; with --local where it is: a PLACE, or NAME=PLACE.",
    ),
]
Presets = Annotated[
    str | None,
    typer.Option(
        "--presets",
        metavar="FILE",
        help="Types of /generate for this deployment, in YAML or JSON: they go over those beside the model "
        "(gemmactl/presets.yaml) and the built-in ones.",
        rich_help_panel=_START,
    ),
]
MaxInstances = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Default: 1, so that nothing can cost more than one GPU; a new project has 3.", rich_help_panel=_START
    ),
]
MinInstances = Annotated[
    int | None,
    typer.Option(metavar="N", help="Default: 0, nothing runs and nothing is billed between requests.", rich_help_panel=_START),
]
ServiceAccount = Annotated[
    str | None,
    typer.Option(
        metavar="EMAIL",
        help="Runtime account. Default: one of its own that may read the model and nothing else.",
        rich_help_panel=_ACCESS,
    ),
]
SetEnvVars = Annotated[str | None, typer.Option(metavar="K=V,...", help="Variables of the container.", rich_help_panel=_ACCESS)]
SetSecrets = Annotated[
    str | None,
    typer.Option(metavar="K=REF,...", help="Variables from Secret Manager: KEY=NAME:VERSION.", rich_help_panel=_ACCESS),
]
HfToken = Annotated[
    str | None,
    typer.Option(
        metavar="REF",
        help="Secret with the Hugging Face token, NAME:VERSION. The token itself comes from the variable HF_TOKEN or a prompt.",
        rich_help_panel=_ACCESS,
    ),
]
RotateHfToken = Annotated[
    bool, typer.Option("--rotate-hf-token", help="Store the token of HF_TOKEN as a new version.", rich_help_panel=_ACCESS)
]
Type = Annotated[
    str | None,
    typer.Option(
        "--type",
        metavar="TYPE",
        help="translation, text, product, sql, or one of the model's own presets. Default: theirs, else sql for "
        "`Question: ... Context: ...` and text for all else.",
    ),
]
MaxTokens = Annotated[int | None, typer.Option(metavar="N", min=1, help="Longest answer in tokens. Default: the type's own.")]
LocalModel = Annotated[
    str | None,
    typer.Option(
        "--local", metavar="MODEL", help="Answer with the same engine in this process, on GPU or CPU, without a service."
    ),
]
Service = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="The service. Default: gemmactl.yaml, else the only one of ours.")
]
ImageFile = Annotated[
    list[Path] | None,
    typer.Option(
        "--image",
        metavar="FILE",
        help="An image to show before the prompt, PNG, JPEG, WebP or GIF; again for more. With --local, and a model that sees.",
    ),
]
LogFile = Annotated[
    Path | None,
    typer.Option("--from-log", metavar="FILE", help="Diagnose a pasted error or log instead; - reads stdin.", allow_dash=True),
]
Canary = Annotated[
    int | None,
    typer.Option(
        "--canary",
        metavar="PERCENT",
        min=1,
        max=99,
        help="Give a new revision only this share of the requests once it has answered; `gemmactl promote` gives it the rest. "
        "A first revision has all of them: there is no other one.",
        rich_help_panel=_ROLLOUT,
    ),
]
NoTraffic = Annotated[
    bool,
    typer.Option(
        "--no-traffic",
        help="Leave a new revision without requests, tested, at an address of its own, until `gemmactl promote`; a closed "
        "service is not opened. A first revision has the requests of those who may call it: there is no other one.",
        rich_help_panel=_ROLLOUT,
    ),
]
Async = Annotated[
    bool,
    typer.Option(
        "--async",
        help="Return as soon as Cloud Run has accepted the service. The new revision gets no requests: the same command without "
        "--async waits for it, tests it and lets it serve.",
        rich_help_panel=_ROLLOUT,
    ),
]
Override = Annotated[
    list[str] | None,
    typer.Option(
        "--override",
        metavar="FILE:KEY=JSON",
        help="Correct a small file of the model for this deployment alone, as in config.json:eos_token_id=[1,106]; again "
        "for more. `gemmactl inspect --fix` prints what a model needs. Read by gemmactl's own server, not by vLLM.",
    ),
]
