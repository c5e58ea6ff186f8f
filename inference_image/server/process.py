"""Owns the life of a server: port first, then bytes, then imports, then ready; drain on SIGTERM. Knows no routes' content.

Nothing of torch, transformers, FastAPI or uvicorn is imported before the port is bound and the first reads are under way.
"""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from inference_image import contract, families
from inference_image.contract import Code, LoadFailed
from inference_image.settings import Settings
from inference_image.timeline import Timeline

if TYPE_CHECKING:
    from inference_image.engine.generate import Engine
    from inference_image.server.service import Service
    from inference_image.stream import CheckpointStream

_POLL = 0.05


def serve(
    settings: Settings,
    *,
    environ: Mapping[str, str],
    timeline: Timeline | None = None,
    on_ready: Callable[[str], None] | None = None,
    stop: threading.Event | None = None,
    finish: Callable[[CheckpointStream, Settings, Timeline], Engine] | None = None,
    drain_seconds: float = contract.DRAIN_SECONDS,
) -> int:
    """Serve one model until SIGTERM, SIGINT or `stop`, then drain; 0 at the end. Call it on the main thread.

    `on_ready` gets the address once a first token was produced. `finish` makes the engine; default: engine.load's. Raises
    LoadFailed, after the port was closed again.
    """
    stop = stop or threading.Event()
    _on_signals(stop)
    timeline = timeline or Timeline()
    with timeline.phase("bind port"):
        listener = _bind(settings)
    from inference_image.engine.load import as_load_failed, begin

    stream = begin(settings, timeline, environ=environ)
    with timeline.phase("import server"):
        import uvicorn

        from inference_image.server import foreign
        from inference_image.server.app import create_app
        from inference_image.server.connection import Connection
        from inference_image.server.loading import Told
        from inference_image.server.pictures import Pictures
        from inference_image.server.service import Service

        service = Service(settings, timeline, pictures=Pictures.of(settings, environ))
        foreign.install(quiet=lambda: service.engine is not None and not settings.log_prompts)
        server = uvicorn.Server(
            uvicorn.Config(
                create_app(service),
                http=Connection,
                log_config=None,
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=1,
                server_header=False,
                proxy_headers=False,  # nobody asks for a client's address
            )
        )
        # In a thread of its own uvicorn leaves the signals to us: it would re-raise SIGTERM and so never exit with 0.
        web = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="web", daemon=True)
        web.start()

    failed: list[LoadFailed] = []

    def load() -> None:
        from inference_image.engine.load import finish as usual

        try:
            service.engine = (finish or usual)(stream, settings, timeline)
            _announce(timeline)
            if on_ready is not None:
                on_ready("http://{}:{}".format(*listener.getsockname()[:2]))
        except BaseException as error:  # noqa: BLE001 - whatever ends a load is told as the last line, a library's panic too
            failed.append(as_load_failed(error))
            stop.set()

    threading.Thread(target=load, name="load", daemon=True).start()
    told = Told(timeline)
    # Polled, not waited for: a signal's set() would block on the lock that an interrupted wait() holds.
    while not stop.is_set():
        time.sleep(_POLL)
        told.look()
        if (early := stream.failure()) is not None:
            # Known before the imports end: a wrong bucket shall not cost five seconds.
            failed.append(as_load_failed(early))
            break
        if (death := service.engine.failed if service.engine is not None else None) is not None:
            # Its text may hold a part of a prompt: only its kind and place are told. Cloud Run replaces an instance that ends.
            foreign.died("the engine's thread ended", death)
            failed.append(LoadFailed(Code.CRASHED, "engine", f"the engine's thread ended: {type(death).__name__}"))
            break
        if not web.is_alive():
            failed.append(LoadFailed(Code.CRASHED, "server", "the HTTP server ended by itself"))
            break
    service.draining = True
    if not failed:
        drain(service, drain_seconds)
    server.should_exit = True
    web.join(timeout=3)
    if service.engine is not None:
        # A step that takes long must not hold the end up: at ten seconds Cloud Run kills.
        closing = threading.Thread(target=service.engine.close, name="close", daemon=True)
        closing.start()
        closing.join(timeout=0.5)
    if failed:
        raise failed[0]
    return 0


def _on_signals(stop: threading.Event) -> None:
    """SIGTERM and SIGINT ask to stop; only the main thread may say so."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())


def _bind(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        detail = f"can't listen on {settings.host}:{settings.port}: {error.strerror}"
        raise LoadFailed(Code.SETTING_INVALID, contract.ENV_PORT, detail) from None
    listener.listen(256)
    return listener


def _announce(timeline: Timeline) -> None:
    """The one line of a finished start; `gemmactl` reads it from the logs."""
    from inference_image.server import log

    timeline.note(ready=round(timeline.seconds(), 3))
    timeline.stage = "ready"
    if timeline.record().get("engine") == families.Engine.GENERIC:
        log.write("WARNING", "engine: generic: this family is served over transformers' own caches, one sequence after another")
    log.write("INFO", f"ready in {timeline.seconds():.1f} s", timeline=timeline.record())


def drain(service: Service, seconds: float = contract.DRAIN_SECONDS) -> None:
    """Let what runs and waits end by itself and reach its client; what doesn't in time is cancelled, and its client told."""
    deadline = time.monotonic() + seconds
    engine = service.engine
    while (service.in_flight or (engine is not None and engine.busy)) and time.monotonic() < deadline:
        time.sleep(_POLL)
    if engine is not None:
        engine.cancel_all()
