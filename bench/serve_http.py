"""The engine over HTTP and in one process, at the same work: 32 answers at once. Knows no table.

    python -m bench.serve_http inside FOLDER    one process: submit, read pieces
    python -m bench.serve_http client PORT      32 connections, each an SSE stream of /generate

Both work one round for each line on their input, and print a line of JSON for it: tokens and seconds. Both live as long as the
benchmark and take turns, so that a ratio is of the same seconds of a shared machine. The server is the container's own process.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

STREAMS = 32
TOKENS = 96
PROMPTS = [
    f"Question: how many singers are there in town {number}? Context: CREATE TABLE singer (id INT)" for number in range(32)
]


def inside(folder: str) -> None:
    from inference_image.engine import Sampling, load
    from inference_image.presets import PRESETS
    from inference_image.settings import Settings

    engine = load(Settings(model=folder, threads=1, dtype="float32", device="cpu"), environ={})

    async def one(prompt: str) -> int:
        asked = engine.request(PRESETS["sql"], prompt, max_tokens=TOKENS, sampling=Sampling(temperature=1.0, seed=7))
        last = None
        async for piece in engine.submit(asked):
            last = piece
        return last.usage.completion_tokens

    asyncio.run(_rounds(one))


def client(port: str) -> None:
    async def one(prompt: str) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
        wish = {"type": "sql", "prompt": prompt, "max_tokens": TOKENS, "temperature": 1.0, "seed": 7, "stream": True}
        body = json.dumps(wish).encode()
        writer.write(
            b"POST /generate HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        last = b""
        while line := await reader.readline():
            if line.startswith(b"data: {"):
                last = line
        writer.close()
        return int(json.loads(last[6:])["usage"]["completion_tokens"])

    asyncio.run(_rounds(one))


async def _rounds(one: Callable[[str], Awaitable[int]]) -> None:
    """All prompts at once, as often as asked."""
    for _ in iter(sys.stdin.readline, ""):
        began = time.perf_counter()
        counts = await asyncio.gather(*map(one, PROMPTS))
        print(json.dumps({"tokens": sum(counts), "seconds": time.perf_counter() - began}), flush=True)


@contextmanager
def serving(folder: Path) -> Iterator[int]:
    """The container's process over a folder; its port once it is ready."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environ = os.environ | {
        "GEMMACTL_MODEL": str(folder), "GEMMACTL_TORCH_THREADS": "1", "GEMMACTL_DTYPE": "float32", "GEMMACTL_DEVICE": "cpu",
        "PORT": str(port), "HOST": "127.0.0.1",
    }  # fmt: skip
    server = subprocess.Popen([sys.executable, "-m", "inference_image.server"], env=environ, stdout=subprocess.DEVNULL)
    try:
        for _ in range(600):
            time.sleep(0.1)
            try:
                with urlopen(f"http://127.0.0.1:{port}/ready", timeout=1) as answer:
                    if answer.status == 200:
                        break
            except OSError:
                continue
        yield port
    finally:
        server.terminate()
        server.wait()


@contextmanager
def working(command: Sequence[str]) -> Iterator[Callable[[], float]]:
    """A process of this module, and a function that has it work one round: tokens a second."""
    words = [sys.executable, "-m", "bench.serve_http", *command]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, lines = process.stdin, process.stdout

        def work() -> float:
            stdin.write("\n")
            row = json.loads(next(line for line in lines if line.startswith("{")))
            return float(row["tokens"]) / float(row["seconds"])

        yield work
        stdin.close()  # it ends, for nothing more is asked


@contextmanager
def ways(folder: Path) -> Iterator[dict[str, Callable[[], float]]]:
    """One process and HTTP, each ready to work a round."""
    with working(["inside", str(folder)]) as inside, serving(folder) as port, working(["client", str(port)]) as http:
        yield {"inside": inside, "http": http}


if __name__ == "__main__":
    {"inside": inside, "client": client}[sys.argv[1]](sys.argv[2])
