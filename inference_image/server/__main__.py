"""The container's process: settings from the environment in, an exit code out. Owns the last line and nothing else."""

from __future__ import annotations

import os
import sys

from inference_image.contract import EXIT_LOAD_FAILED
from inference_image.engine.load import as_load_failed
from inference_image.server import log
from inference_image.server.process import serve
from inference_image.settings import Settings


def main() -> int:
    try:
        return serve(Settings.from_environ(os.environ), environ=os.environ)
    except Exception as error:  # noqa: BLE001 - whatever ends the process is told by its last line
        log.last(as_load_failed(error).failure.line())
        return EXIT_LOAD_FAILED


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Readers may sit in a socket and torch's teardown takes a second: nothing is left that needs it.
    os._exit(code)
