"""Owns the order of a load: bytes first, then torch, then the model, then its first token. Knows no HTTP."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from inference_image import adapter_files, contract, layout
from inference_image.chunks import Patience, Source, open_source
from inference_image.chunks.arena import can_share
from inference_image.chunks.crew import Pace
from inference_image.chunks.openssl_library import tls_in_python
from inference_image.chunks.process import ProcessReaders
from inference_image.chunks.readers import Events, Readers, ThreadReaders
from inference_image.contract import Code, LoadFailed
from inference_image.engine.defaults import checkpoint_sampling
from inference_image.engine.generate import Engine
from inference_image.engine.grammar import Grammars
from inference_image.engine.paths import Built, prove, steps_of
from inference_image.engine.schedule import Part, Steps
from inference_image.engine.text import Text, TokenizerFiles, parsed
from inference_image.hardware import host_memory
from inference_image.pin import digest_of
from inference_image.settings import Settings
from inference_image.stream import RING, SPARE, CheckpointStream, gpu_expected
from inference_image.timeline import Timeline
from inference_image.vision import is_vision
from inference_image.weights import fill, needed_bytes, place, require_room

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer


T = TypeVar("T")


def load(
    settings: Settings,
    *,
    environ: Mapping[str, str] | None = None,
    timeline: Timeline | None = None,
    source: Source | None = None,
) -> Engine:
    """A model, ready to answer. `timeline.progress()` tells the stage and bytes from another thread.

    Raises LoadFailed, and nothing else.
    """
    timeline = timeline or Timeline()
    return finish(begin(settings, timeline, environ=environ, source=source), settings, timeline)


def begin(
    settings: Settings, timeline: Timeline, *, environ: Mapping[str, str] | None = None, source: Source | None = None
) -> CheckpointStream:
    """Start reading; imports neither torch nor transformers. Raises LoadFailed for a place that can't be one."""
    timeline.note(model=settings.model_name, source=settings.model)
    if settings.pin:
        timeline.note(pin=digest_of(settings.pin))
    events: Events = SimpleQueue()
    environ = os.environ if environ is None else environ
    readers = _readers(settings, environ, source, events)
    timeline.note(
        reader="threads" if isinstance(readers, ThreadReaders) else "process",
        tls="python" if tls_in_python(environ) else "openssl",
    )
    stream = CheckpointStream(readers, events, settings, timeline)
    stream.start()
    adapter_files.begin(settings, environ, timeline, stream.files, stream.adapters)
    return stream


def _readers(settings: Settings, environ: Mapping[str, str], source: Source | None, events: Events) -> Readers:
    """A process for what comes over a network, because torch's import would hold threads up; threads for a directory."""
    patience = Patience(stall=settings.stall)
    most = min(settings.connections_most, RING // settings.chunk - SPARE) if gpu_expected(settings) else settings.connections_most
    pace = Pace(settings.connections, max(settings.connections, most))
    place = source or open_source(settings.model, environ, patience=patience, pin=settings.pin)
    remote = ":" in settings.model.partition("/")[0]
    apart = settings.reader == "process" or (settings.reader == "auto" and remote)
    if source is None and apart and can_share():
        try:
            return ProcessReaders(settings.model, environ, pace, settings.stall, events, pin=settings.pin)
        except OSError:
            if settings.reader == "process":
                raise
    return ThreadReaders(place, pace, events)


def finish(
    stream: CheckpointStream,
    settings: Settings,
    timeline: Timeline,
    *,
    memory: Callable[[], int | None] = host_memory,
) -> Engine:
    """The rest of a load that `begin` started: import torch, build, fill, check, first token. Raises LoadFailed."""
    try:
        return _finish(stream, settings, timeline, memory)
    except BaseException as error:
        stream.landing.stop()
        raise as_load_failed(error) from error


def _finish(stream: CheckpointStream, settings: Settings, timeline: Timeline, memory: Callable[[], int | None]) -> Engine:
    # Two seconds for Gemma 3's tokenizer, beside an import that takes one core: it does not hold Python's lock.
    tokenizer = _in_thread(lambda: _tokenizer(stream, timeline))
    with timeline.phase("import torch"):
        import torch

        if settings.threads:
            torch.set_num_threads(settings.threads)
    if (early := stream.failure()) is not None:
        raise early
    with timeline.phase("open device"):
        from inference_image.engine import model as models

        device = models.choose_device(settings.device)
        dtype = models.choose_dtype(settings.dtype, device)
        timeline.note(device=_name(device), dtype=str(dtype).removeprefix("torch."))
    timeline.stage = "read headers"
    files, table = stream.files.result(), stream.tensors.result()
    adapters = stream.take_adapters()  # a few files, there long before the model is
    why = models.unclaimed(files.family, files.text_config)
    timeline.note(modules="our own" if why is None else f"transformers': {why}")
    if why is not None or files.vision is not None:
        with timeline.phase("import transformers"):
            import transformers  # noqa: F401 - the cost of the import gets a phase of its own
    with timeline.phase("build model"):
        from inference_image.engine.adapters import Adapters
        from inference_image.engine.eyes import Eyes

        model = models.build(files.family, files.text_config, dtype, device)
        config = model.config
        eyes = Eyes(files.family, files.vision, files.preprocessor, dtype, device) if files.vision is not None else None
        layout.require_complete(models.needed(model) | (eyes.needed() if eyes is not None else {}), table, settings.model)
        int8 = models.quantize(model, files.family) if settings.int8 else frozenset[str]()
        weights = needed_bytes(table, dtype.itemsize, int8)
        timeline.note(quantize=settings.quantize, weights_bytes=weights)
        needed = weights + sum(one.bytes for one in adapters)
        _require_memory(needed, device, memory)
        tensors = place(stream.landing, device, dtype, int8)
        models.assign(model, {name: one for name, one in tensors.items() if not is_vision(name)})
        if eyes is not None:
            eyes.assign(tensors)
    # From here on the model is whole but for its bytes: they arrive while everything else is made.
    filled = _in_thread(lambda: _filled(stream, tensors, device, timeline))
    with timeline.phase("build tokenizer"):
        beside = TokenizerFiles(stream.tokenizer.result(), files.tokenizer_config, files.chat_template)
        text = Text(
            beside,
            files.family,
            config.vocab_size,
            image_tokens=eyes.tokens if eyes is not None else 0,
            tokenizer=tokenizer.result(),
        )
        text.require_presets(files.presets)
    with timeline.phase("build adapters"):
        loras = Adapters.install(model, adapters, device)
        del adapters  # the bytes of their files
    with timeline.phase("rehearse"):
        length = min(int(config.max_position_embeddings), settings.max_context or contract.DEFAULT_CONTEXT)
        built = Built(model, files, loras, eyes, length, _free_memory(device, memory, needed))
        steps = steps_of(built, settings, timeline, filled.done)
    timeline.stage = "read weights"
    filled.result()
    stream.finished.result()
    if device.type == "cpu":  # steps that a GPU has recorded read the head where it is
        models.tie_if_equal(model, files.text_config)
    with timeline.phase("first token"):
        prove(steps, timeline)
        for name in (None, *loras.names):
            _self_test(steps, text, config.vocab_size, name)
    configured = (one.get("eos_token_id") for one in (files.config, files.text_config, files.generation_config))
    stop_ids = text.stop_ids(*configured)
    return Engine(
        steps,
        text,
        name=settings.model_name,
        stop_ids=stop_ids,
        max_context=length,
        max_queue=settings.max_queue,
        defaults=checkpoint_sampling(files.generation_config),
        adapters=loras.names,
        grammars=Grammars(text, stop_ids, config.vocab_size),
        eyes=eyes,
        presets=files.presets,
    )


def _tokenizer(stream: CheckpointStream, timeline: Timeline) -> Tokenizer:
    data = stream.tokenizer.result()
    with timeline.phase("read tokenizer"):
        return parsed(data)


def _filled(stream: CheckpointStream, tensors: Mapping[str, torch.Tensor], device: torch.device, timeline: Timeline) -> None:
    with timeline.phase("fill model"):
        fill(stream.landing, tensors, device)


def _in_thread(work: Callable[[], T]) -> Future[T]:
    """Do it beside what follows."""
    done: Future[T] = Future()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is waited for
            done.set_exception(error)
        else:
            done.set_result(result)

    threading.Thread(target=run, name="beside", daemon=True).start()
    return done


def _free_memory(device: torch.device, memory: Callable[[], int | None], needed: int) -> int | None:
    """Bytes beside the weights, which have their place already."""
    if device.type == "cuda":
        import torch

        return torch.cuda.mem_get_info(device)[0]
    limit = memory()
    return None if limit is None else limit - needed


def _name(device: torch.device) -> str:
    if device.type != "cuda":
        return device.type
    import torch

    return f"cuda: {torch.cuda.get_device_name(device)}"


def _require_memory(needed: int, device: torch.device, memory: Callable[[], int | None]) -> None:
    if device.type == "cuda":
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        require_room(needed, free, Code.GPU_MEMORY, "cuda")
    else:
        require_room(needed, memory(), Code.HOST_MEMORY, "memory")


def _self_test(steps: Steps, text: Text, vocabulary: int, adapter: str | None = None) -> None:
    """A prompt and one more token through all layers before anybody is told `ready`. Raises LoadFailed(self_test_failed)."""
    import torch

    ids = [text.bos if text.bos is not None else 0, *_first_words(text, vocabulary)]
    where = "logits" if adapter is None else f"adapter {adapter}"
    logits = steps.prompt([Part(0, 0, ids, last=True, tag=adapter)])[0]
    both = [logits, steps.decode([int(logits.argmax())], [len(ids)], [adapter])[0]]
    for one in (step.float() for step in both):
        if not bool(torch.isfinite(one).all()):
            raise LoadFailed(Code.SELF_TEST_FAILED, where, "the first token's logits are not finite")
        if float(one.max()) == float(one.min()):
            raise LoadFailed(Code.SELF_TEST_FAILED, where, "every token is equally likely: these are no trained weights")


def _first_words(text: Text, rows: int) -> list[int]:
    """A tokenizer that breaks here would break at the first prompt. Raises LoadFailed(tokenizer_invalid)."""
    try:
        ids = text.plain("Hello")
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - the Rust side raises bare Exception, and a panic of its own that is none
        raise LoadFailed(Code.TOKENIZER_INVALID, contract.TOKENIZER, str(error)[:300]) from None
    layout.require_vocabulary(max([0, *ids]) + 1, rows)
    return ids


def as_load_failed(error: BaseException) -> LoadFailed:
    """Any exception of a load as its code; what nobody foresaw is `crashed` with its type and first line."""
    if isinstance(error, LoadFailed):
        return error
    text = str(error).strip().splitlines()[0][:300] if str(error).strip() else ""
    detail = f"{type(error).__name__}: {text}"
    low = detail.lower()
    if isinstance(error, MemoryError) or "can't allocate memory" in low or "defaultcpuallocator" in low:
        return LoadFailed(Code.HOST_MEMORY, "memory", detail)
    if type(error).__name__ == "OutOfMemoryError" or "cuda out of memory" in low:
        return LoadFailed(Code.GPU_MEMORY, "cuda", detail)
    if type(error).__name__ == "AcceleratorError" or "cuda" in low or "nvidia driver" in low:
        return LoadFailed(Code.GPU_UNAVAILABLE, "cuda", detail)
    return LoadFailed(Code.CRASHED, "server", detail)
