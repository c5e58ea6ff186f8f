"""The daemon's process: holds the lock, serves, ends on a signal, on order, or when nobody comes. Knows no command."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType

from gemmactl.sandbox import daemon


def main() -> int:
    """Exit code 0 after an orderly end, 3 when another daemon lives."""
    parser = argparse.ArgumentParser(prog="python -m gemmactl.sandbox", description="the embedded pretended Google Cloud")
    parser.add_argument("--home", type=Path, default=daemon.default_home())
    home: Path = parser.parse_args().home.absolute()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    lock = daemon.hold(home)
    if lock is None:
        print(f"a sandbox already runs in {home}", file=sys.stderr)  # noqa: T201 - a process of its own: this is its screen
        return 3
    over = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        over.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    with lock:
        _serve(home, over)
    return 0


def _serve(home: Path, over: threading.Event) -> None:
    from gemmactl.sandbox import routes
    from gemmactl.sandbox.admin import Admin
    from gemmactl.sandbox.assembly import assemble
    from gemmactl.sandbox.server import Server
    from gemmactl.sandbox.world import World

    log = logging.getLogger("gemmactl.sandbox")
    # the old port first: what was told about it (a running shell's environment) stays true
    old = int(str(daemon.announced(home).get("base_url", "")).rpartition(":")[2] or 0)
    world = World(home)
    admin = Admin(daemon.build(), over.set)
    try:
        server = Server(world, old, admin)
    except OSError:
        server = Server(world, 0, admin)
    assemble(world)
    routes.load()
    server.start()
    daemon.announce(home, world.base_url)
    log.info("answering at %s", world.base_url)
    while not over.wait(1.0):
        if time.monotonic() - world.last_used > world.settings.daemon_idle:
            log.info("nobody came for %.0f s", world.settings.daemon_idle)
            break
    server.shutdown()
    server.server_close()
    world.close()
    log.info("ended")


if __name__ == "__main__":
    sys.exit(main())
