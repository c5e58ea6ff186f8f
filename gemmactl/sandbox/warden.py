"""A small process between the daemon and one container: passes SIGTERM on, and ends the container when the daemon is gone.

Run as a script, isolated, with the standard library only: `warden.py GRACE ARGV...`. Its stdin is a pipe that the daemon holds:
a byte in it means kill now; closed (also by a SIGKILL of the daemon) it means stop. The daemon itself can't use
PR_SET_PDEATHSIG: that fires already when the thread ends that started the process.
"""

import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable


def main(arguments: list[str]) -> int:
    """Run ARGV in a process group of its own. Returns its exit status; what a signal has ended ends the warden alike."""
    grace, argv = float(arguments[0]), arguments[1:]
    before = _die_with_me()
    try:
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=before)  # noqa: PLW1509 - one thread so far
    except OSError as error:
        # source: corpus img-005, shortened
        sys.stderr.write(f"terminated: Application failed to start: failed to load {argv[0]}: {error.strerror or error}\n")
        return 127
    for kind in (signal.SIGTERM, signal.SIGINT):
        signal.signal(kind, lambda _number, _frame: _stop(child, grace))
    threading.Thread(target=_watch, args=(child, grace), daemon=True).start()
    status = child.wait()
    _signal(child, signal.SIGKILL)  # what the container had started and left behind
    if status < 0:
        _die_of(-status)
    return status


def _watch(child: "subprocess.Popen[bytes]", grace: float) -> None:
    while os.read(0, 4096):
        _signal(child, signal.SIGKILL)
    _stop(child, grace)


def _stop(child: "subprocess.Popen[bytes]", grace: float) -> None:
    _signal(child, signal.SIGTERM)
    timer = threading.Timer(grace, _signal, (child, signal.SIGKILL))
    timer.daemon = True
    timer.start()


def _signal(child: "subprocess.Popen[bytes]", kind: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, kind)


def _die_of(number: int) -> None:
    """The same signal, so that the daemon sees which it was: an exit status of 128 + n may be the container's own."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):  # SIGKILL needs no handler and can have none
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _die_with_me() -> Callable[[], object] | None:
    """On Linux: the container is killed when even this process is."""
    if not sys.platform.startswith("linux"):
        return None
    import ctypes

    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(1, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
