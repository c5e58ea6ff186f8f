"""`generate --local`: the container's engine in this process. Knows nothing of a service."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from gemmactl.client.generate import Answer
from gemmactl.errors import usage
from gemmactl.kernel.events import Done, Progress, Started
from gemmactl.local import model as models
from gemmactl.result import Result
from gemmactl.serving.ask import Prompt, told
from gemmactl.serving.looking import folders
from gemmactl.voice import Voice
from inference_image import contract
from inference_image.contract import LoadFailed
from inference_image.presets import Preset, Presets, UnknownTypeError

if TYPE_CHECKING:
    from inference_image.engine import Engine, Piece


def answer(text: str, prompt: Prompt, voice: Voice, environ: Mapping[str, str]) -> Result:
    """One answer: streamed as it grows in text format, one document with JSON.

    Raises:
        Trouble: the extra `local` is missing, the model is refused, or the request is.
    """
    voice.aim("local")
    where = models.place(text)
    models.require(models.needed(environ))
    engine = _load(where, text, prompt, voice, environ)
    try:
        preset = _preset(engine.presets, prompt)
        found = _collect(_submitted(engine, preset, prompt), voice, prompt.adapter or engine.name, preset.type)
    finally:
        engine.close()
    if not voice.streams:
        return told(found, "local", source=where)
    voice.data("\n")
    return Result("generate", {**found.document(), "source": where}, target="local")


def _preset(presets: Presets, prompt: Prompt) -> Preset:
    try:
        return presets.choose(prompt.type, prompt.text)
    except UnknownTypeError as error:
        raise usage(
            f"--type {prompt.type!r} is not a type",
            why=f"types: {', '.join(error.known)}",
            remedy="choose one of them",
            code="type-unknown",
        ) from None


def _load(where: str, shown: str, prompt: Prompt, voice: Voice, environ: Mapping[str, str]) -> Engine:
    models.hush(environ)
    from inference_image.engine import load
    from inference_image.settings import Settings
    from inference_image.timeline import Timeline

    report = models.look(where, folders(environ.get("GOOGLE_CLOUD_PROJECT", "")), environ)
    if report is not None:
        _preset(report.presets, prompt)  # a type that is none is told before the model is loaded
    timeline, since = Timeline(), time.monotonic()
    address = f"model {shown}"
    voice.events(Started(address, "load"))
    ended = threading.Event()
    watch = threading.Thread(target=_watch, args=(timeline, address, voice, ended), daemon=True)
    watch.start()
    try:
        settings = Settings.from_environ({**environ, contract.ENV_MODEL: where})
        engine = load(settings, environ=environ, timeline=timeline)
    except LoadFailed as failed:
        raise models.trouble(failed, shown) from None
    finally:
        ended.set()
        watch.join()
    voice.events(Done(address, "load", time.monotonic() - since))
    return engine


def _watch(timeline: object, address: str, voice: Voice, ended: threading.Event) -> None:
    """Tell the stage now and then; the timeline is written by the loader's own threads."""
    while not ended.wait(0.5):
        progress = timeline.progress()  # type: ignore[attr-defined]  # the engine's type, imported where torch may be
        stage, total = progress.get("stage", "loading"), progress.get("bytes_total") or 0
        size = f" {progress.get('bytes_done', 0) / 1e6:.0f} of {total / 1e6:.0f} MB" if total else ""
        voice.events(Progress(address, f"{stage}{size}"))


def _submitted(engine: Engine, preset: Preset, prompt: Prompt) -> Iterable[Piece]:
    from inference_image.contract import RequestCode
    from inference_image.engine import Refused

    files = [path.read_bytes() for path in prompt.images]
    try:
        request = engine.request(preset, prompt.text, max_tokens=prompt.max_tokens, images=files)
        return engine.submit(replace(request, adapter=prompt.adapter))
    except Refused as error:
        seen = error.code is RequestCode.UNSUPPORTED_CONTENT
        raise usage(
            "the request is refused",
            why=error.message,
            remedy="another --image" if seen else "a shorter prompt, or a smaller --max-tokens",
            code=str(error.code),
        ) from None


def _collect(pieces: Iterable[Piece], voice: Voice, name: str, kind: str) -> Answer:
    parts: list[str] = []
    reason, usage_ = "", {}
    for piece in pieces:
        parts.append(piece.text)
        if voice.streams:
            voice.data(piece.text)
        if piece.stop_reason is not None:
            reason = piece.stop_reason
        if piece.usage is not None:
            counted = piece.usage
            usage_ = {
                "prompt_tokens": counted.prompt_tokens,
                "completion_tokens": counted.completion_tokens,
                "total_tokens": counted.prompt_tokens + counted.completion_tokens,
            }
    return Answer("".join(parts), reason, usage_, name, kind)
