"""A command line of an old vLLM -> the one of `vllm serve`, with what changed and why. Knows no service around it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from gemmactl import vllm
from gemmactl.serving.vllm_flags import KNOWN

ENTRY_POINTS: Final = ("vllm.entrypoints.api_server", "vllm.entrypoints.openai.api_server")
"""Modules that were run before `vllm serve`. The first called itself a demonstration that is not for production; the wheel of
0.26.0 has it no more."""

_DROPPED: Final = {
    "tensor-parallel-size": "an instance of Cloud Run has one GPU, which is the default",
    "pipeline-parallel-size": "an instance of Cloud Run has one GPU, which is the default",
    "host": "the container listens on every address, or Cloud Run's proxy does not reach it",
    "disable-log-requests": "requests are not logged any more unless --enable-log-requests asks for it",
}
_NO_LONGER: Final = "vLLM 0.26.0 has no such flag and would not start"
_SHORT: Final = {"tp": "tensor-parallel-size", "pp": "pipeline-parallel-size", "q": "quantization"}


@dataclass(frozen=True)
class Line:
    """The new command line. `changes`: (what it was, what it is, why)."""

    model: str
    args: tuple[str, ...]
    changes: tuple[tuple[str, str, str], ...] = ()


def entry_point(words: Sequence[str]) -> str | None:
    """The old module that a container's command and arguments run, if it is one."""
    return next((word for word in words if word in ENTRY_POINTS), None)


def renewed(words: Sequence[str], name: str, *, mounted: bool) -> Line:
    """Command and arguments of a container that runs an old entry point, as arguments for `vllm`.

    `name`: what it answers as when no flag says so; empty: the last part of the model's path. `mounted`: weights lie in a volume.
    """
    at = next(i for i, word in enumerate(words) if word in ENTRY_POINTS)
    model, changes = "", []
    kept: dict[str, str | None] = {}
    for flag, value in _flags(words[at + 1 :]):
        shown = f"--{flag}" if value is None else f"--{flag}={value}"
        if flag == "model":
            model = value or ""
        elif flag in _DROPPED:
            changes.append((shown, "left out", _DROPPED[flag]))
        elif flag == "guided-decoding-backend" and value:
            kept["structured-outputs-config"] = f'{{"backend":"{value}"}}'
            changes.append((shown, f"--structured-outputs-config={kept['structured-outputs-config']}", "it is called so now"))
        elif flag.removeprefix("no-") not in KNOWN:
            changes.append((shown, "left out", _NO_LONGER))
        elif flag == "dtype" and value in ("half", "float16"):
            changes.append((shown, "--dtype=bfloat16", "float16 overflows in Gemma 2 and 3, and vLLM refuses it for them"))
        else:
            kept[flag] = value
    wanted: dict[str, tuple[str, str]] = {
        "served-model-name": (name or model.rstrip("/").rpartition("/")[2], "requests name the model so"),
        "host": ("0.0.0.0", "Cloud Run's proxy comes from outside the container"),
        "dtype": ("bfloat16", "what Gemma was trained in"),
        "max-model-len": ("auto", "as long as the cache holds, instead of a start that fails for want of it"),
        "gpu-memory-utilization": (f"{vllm.UTILIZATION:.2f}", "what 0.26.0 takes by itself leaves CUDA graphs too little"),
    }
    if mounted:
        wanted |= {flag: (value, "a mounted bucket is slow at small reads") for flag, value in vllm.MOUNTED.items()}
    for flag, (value, why) in wanted.items():
        if flag not in kept:
            kept[flag] = value
            if (f"--{flag}={value}") not in {new for _, new, _ in changes}:
                changes.append(("none", f"--{flag}={value}", why))
    args = ("serve", model, *(f"--{flag}" if value is None else f"--{flag}={value}" for flag, value in kept.items()))
    return Line(model, args, tuple(changes))


def _flags(words: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """`--flag=value`, `--flag value` and `--flag`; underscores are hyphens, as vLLM reads them."""
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if not word.startswith("-"):
            continue  # a value of a flag that takes several
        flag, equals, value = word.lstrip("-").partition("=")
        flag = flag.replace("_", "-")
        flag = _SHORT.get(flag, flag) if not word.startswith("--") else flag
        if equals:
            yield flag, value
        elif at < len(words) and not words[at].startswith("-"):
            yield flag, words[at]
            at += 1
        else:
            yield flag, None
