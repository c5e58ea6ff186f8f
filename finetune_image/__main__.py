"""The container's entry: PID 1. Hears SIGTERM, looks whether there is anything to do, and only then loads what trains."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from finetune_image.contract import ENV_RUN, EXIT_FAILED, EXIT_TERMINATED, Code, TuneFailed
from finetune_image.halt import Halt, Terminated, listen
from finetune_image.seed_env import is_seed
from finetune_image.telling import say
from finetune_image.worker import attempt


def main(environ: Mapping[str, str]) -> int:
    """One attempt, to its exit code."""
    halt = Halt()
    listen(halt)
    try:
        return attempt(_run_of(environ), environ, halt=halt)
    except TuneFailed as failed:
        say(failed.failure.line())
        return EXIT_FAILED
    except Terminated:
        return EXIT_TERMINATED


def _run_of(environ: Mapping[str, str]) -> str:
    """The run's place. Raises TuneFailed(run_invalid)."""
    if uri := environ.get(ENV_RUN, "").strip():
        return uri
    if is_seed(environ):
        from finetune_image.seed_run import prepared

        return prepared(environ)
    raise TuneFailed(Code.RUN_INVALID, ENV_RUN, "it names no run", "gemmactl finetune run starts the job with it")


if __name__ == "__main__":
    code = main(os.environ)
    sys.stdout.flush()
    sys.stderr.flush()
    # threads of the libraries, and an upload that is late, must not hold up the end
    os._exit(code)
