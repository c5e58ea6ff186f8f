"""vLLM as the other engine: its official image, its command line from a wish and back. Knows no cloud; not yet run on a GPU.

The command line was given to vLLM 0.26.0's own parser (openai/cli_args.make_arg_parser, from the wheel's sources, 2026-11-25),
which took it: tests/resources/test_vllm.py keeps what it read. Those of --loader fuse and --modernise followed
on 2026-11-26. The requests of client/openai.py were given to its own classes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gemmactl.spec import Loader, Serve
from inference_image.contract import DEFAULT_PORT

REPOSITORY: Final = "vllm/vllm-openai"
TAG: Final = "v0.26.0-cu129"
MIRROR: Final = "mirror.gcr.io"
"""Google's cache of Docker Hub's public images, under the same names: asked for the tag's digest, never pulled from."""
IMAGE: Final = f"{REPOSITORY}:{TAG}"
"""vLLM's official image on Docker Hub, its CUDA 12.9 build. A deploy names it by the digest that MIRROR tells for the tag; where
that does not answer, by the tag, which Cloud Run resolves when it makes a revision. No digest is written down here: no tool
fetched one. A copy in Artifact Registry can be named with --image.

Why this one. Cloud Run's L4 has driver 535.129.03 (CUDA 12.2): a CUDA 12.x build runs on it by minor-version compatibility, a
CUDA 13 build asks for driver 580 or for compatibility libraries, and since v0.20.0 the tag without a suffix is CUDA 13.0
(vllm-project/vllm pull 39878, 2026-04). v0.25.0-cu129 dies at its imports, torchcodec wants libnvrtc.so.13 (vllm issue 48592,
2026-07); v0.27.0 was reported with the same words (pull 47888, comment of 2026-08-15). Exactly this tag was published as
running on Cloud Run with an L4: github.com/xbill9/gemma4-queens, container-image.txt and make-deploy.txt in
gpu-2B-cloudrun-devops-agent/docs/evidence, 2026-09-10 (Gemma 4 from a mounted bucket; streaming from gs:// there is not
reported). vLLM's docker/Dockerfile puts runai-model-streamer[s3,gcs,azure] into it.
"""

COMMAND: Final = ("vllm",)
"""Said, although it is the image's own: the container then shows what it runs, and the image's shell wrapper that may put CUDA 13
compatibility libraries before the driver's own is left out."""

UTILIZATION: Final = 0.90
"""Share of the GPU that vLLM takes for weights, work and cache. Its own default was 0.90 for years and is 0.92 in 0.26.0; on a
card of 22 GiB the difference is what CUDA graphs are captured in."""
STREAM_BUFFER: Final = 8 << 30
"""Host memory that weights pass through. The streamer's default is 40 GB, more than an L4's instance has; less than the largest
tensor is refused by it (docs/src/usage.md), and Gemma 3n's per-layer embeddings are 4.7 GB."""

MOUNTED: Final[Mapping[str, str]] = {"safetensors-load-strategy": "eager"}
"""Flags for weights in a mounted bucket: each file is read whole and in order, "recommended for models on network filesystems"
(vllm/config/load.py of 0.26.0); mapped into memory it would be read in small pieces, each a request."""

MOUNT: Final = "/mnt/model"
"""Where --loader fuse shows the folder of the bucket."""

HEALTH: Final = "/health"
"""200 once the engine is up; before that nothing listens."""
CHAT: Final = "/v1/chat/completions"
COMPLETIONS: Final = "/v1/completions"

LACKS: Final = "/generate, its types, /ready and the timeline of a start are gemmactl's own server's"
"""What a service with vLLM does not have."""

ALWAYS: Final[Mapping[str, str]] = {
    # 1 put CUDA's compatibility libraries first and ended in error 803 with both builds (the field report above, 2026-08-03)
    "VLLM_ENABLE_CUDA_COMPATIBILITY": "0",
    "VLLM_NO_USAGE_STATS": "1",  # it would report to stats.vllm.ai
}
_OFFLINE: Final[Mapping[str, str]] = {"HF_HUB_OFFLINE": "1"}  # everything lies in the bucket


def environment(serve: Serve) -> dict[str, str]:
    """Variables beside gemmactl's own."""
    return {**ALWAYS, **({} if serve.model.kind == "hf" else _OFFLINE)}


def arguments(serve: Serve, uri: str, name: str) -> tuple[str, ...]:
    """`serve MODEL --...` for weights at `uri` (gs:// or hf:), answering as `name`; with --loader fuse they lie at MOUNT."""
    model, _, revision = uri.removeprefix("hf:").partition("@")
    flags: dict[str, str] = {
        "served-model-name": name,
        "host": "0.0.0.0",  # Cloud Run's proxy comes from outside the container
        "port": str(DEFAULT_PORT),
        "dtype": "bfloat16",  # float16 overflows in Gemma 2 and 3, and vLLM refuses it for them
        "max-model-len": "auto" if serve.context is None else str(serve.context),
        "max-num-seqs": str(serve.concurrency),
        "gpu-memory-utilization": f"{UTILIZATION:.2f}",
    }
    if serve.loader == "fuse":
        return ("serve", MOUNT, *(f"--{flag}={value}" for flag, value in {**flags, **MOUNTED}.items()))
    if uri.startswith("gs://"):
        flags["load-format"] = "runai_streamer"
        flags["model-loader-extra-config"] = json.dumps({"memory_limit": STREAM_BUFFER}, separators=(",", ":"))
    elif revision:
        flags["revision"] = revision
    place = uri if uri.startswith("gs://") else model
    return ("serve", place, *(f"--{flag}={value}" for flag, value in flags.items()))


def runs(container: Mapping[str, Any]) -> bool:
    """Whether a container of the Run API, as JSON, runs vLLM.

    Told by its command, not by a label: a label may stay behind when somebody changes the container, the command is what runs.
    """
    return tuple(container.get("command", ())) == COMMAND


def official(image: str) -> bool:
    """Whether it is vLLM's own image that was meant, by tag or by digest."""
    return image == IMAGE or image.startswith(f"{REPOSITORY}@sha256:")


def loader(arguments: Sequence[str]) -> Loader:
    """How the weights of a command line are read."""
    return "fuse" if tuple(arguments[:2]) == ("serve", MOUNT) else "stream"


def context(arguments: Sequence[str]) -> int | None:
    """--max-model-len of a command line; None: auto, or not there."""
    text = next((word.partition("=")[2] for word in arguments if word.startswith("--max-model-len=")), "")
    return int(text) if text.isdecimal() else None
