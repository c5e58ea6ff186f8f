"""The clients that the loader's benchmark compares, each run as a process of its own. Knows no table.

    python -m bench.load_clients NAME JSON      JSON: {"address", "bundle", "model", "data", "connections", ...}

Prints one JSON line: seconds, bytes and CPU seconds from the first request to the last byte; imports are not in it.
"""

from __future__ import annotations

import asyncio
import json
import mmap
import os
import resource
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.load_store import AUTHORITY, BUCKET, path_of

CHUNK = 8 << 20


class Meter:
    """Seconds and CPU seconds of this process and its children since start()."""

    def start(self) -> None:
        print(json.dumps({"started": True}), flush=True)  # from here on memory counts
        self._time, self._cpu = time.perf_counter(), self._used()

    @staticmethod
    def _used() -> float:
        kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        return sum(sum(resource.getrusage(kind)[:2]) for kind in kinds)

    def stop(self, count: int, **more: Any) -> None:
        seconds = time.perf_counter() - self._time
        line = {"seconds": seconds, "bytes": count, "cpu": self._used() - self._cpu, **more}
        print(json.dumps(line), flush=True)
        os._exit(0)


class Task:
    """What is loaded from where."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given
        self.address, self.bundle, self.model = given["address"], given["bundle"], given["model"]
        # The authority alone: where nothing is set, gemmactl finds the one it needs by its hash, and reads no bundle either.
        self.authority = str(Path(self.bundle).with_name(AUTHORITY))
        self.connections = int(given.get("connections", 16))
        folder = Path(given["data"]) / BUCKET / self.model
        self.folder = folder
        self.sizes = {path.name: path.stat().st_size for path in sorted(folder.glob("*.safetensors"))}
        self.total = sum(self.sizes.values())

    def chunks(self) -> list[tuple[str, int, int]]:
        return [(name, begin, min(CHUNK, size - begin)) for name, size in self.sizes.items() for begin in range(0, size, CHUNK)]

    @property
    def tls(self) -> bool:
        return self.address.startswith("https")


def raw(task: Task, meter: Meter) -> None:
    """The limit: threads that receive into reused slabs and look at nothing."""
    host, port = urlsplit(task.address).hostname, urlsplit(task.address).port
    context = ssl.create_default_context(cafile=task.bundle) if task.tls else None
    meter.start()
    waiting, lock = iter(task.chunks()), threading.Lock()

    def work() -> None:
        connection: socket.socket = socket.create_connection((host, port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            connection = context.wrap_socket(connection, server_hostname=host)
        head = bytearray(4096)
        slab = memoryview(mmap.mmap(-1, CHUNK))
        while True:
            with lock:
                job = next(waiting, None)
            if job is None:
                return
            name, begin, size = job
            request = (
                f"GET {path_of(task.model, name)} HTTP/1.1\r\nHost: {host}\r\nRange: bytes={begin}-{begin + size - 1}\r\n\r\n"
            )
            connection.sendall(request.encode())
            got = 0
            while (end := head.find(b"\r\n\r\n", 0, got)) < 0:
                got += connection.recv_into(memoryview(head)[got:])
            at = got - end - 4
            slab[:at] = memoryview(head)[end + 4 : got]
            while at < size:
                count = connection.recv_into(slab[at:size])
                if not count:
                    raise EOFError
                at += count

    threads = [threading.Thread(target=work) for _ in range(task.connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    meter.stop(task.total)


def ours(task: Task, meter: Meter) -> None:
    """The loader into a sink that gives each slab back at once: what a GPU would be to it."""
    os.environ.update(STORAGE_EMULATOR_HOST=task.address, REQUESTS_CA_BUNDLE=task.authority)
    from inference_image.engine.load import begin
    from inference_image.settings import Settings
    from inference_image.timeline import Timeline

    given = {key: task.given[key] for key in ("connections_most", "staging", "chunk", "reader") if key in task.given}
    settings = Settings(
        model=f"gs://{BUCKET}/{task.model}", device="cuda", connections=task.connections,
        **{"connections_most": task.connections, **given},
    )  # fmt: skip
    meter.start()
    timeline = Timeline()
    stream = begin(settings, timeline)
    stream.tensors.result()
    for piece in stream.landing.pieces():
        stream.landing.give_back(piece)
    stream.finished.result()
    record = timeline.record()
    proven = all(one["verified"] for one in record["objects"])
    phases = {phase["name"]: phase["seconds"] for phase in record["phases"]}
    blocks = resource.getrusage(resource.RUSAGE_CHILDREN).ru_oublock
    own = int(Path("/proc/self/io").read_text().split("\nwrite_bytes:")[1].split()[0])
    meter.stop(task.total, verified=proven, reads=record["reads"], phases=phases, disk=own + 512 * blocks)


def _obstore(task: Task) -> Any:
    from obstore.store import GCSStore

    key = {"gcs_base_url": task.address, "disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}
    # It takes no CA bundle by option: for speed alone the certificate goes unchecked here.
    options = {"allow_invalid_certificates": True} if task.tls else {"allow_http": True}
    return GCSStore(BUCKET, config={"service_account_key": json.dumps(key)}, client_options=options)


def obstore(task: Task, meter: Meter) -> None:
    """get_range_async, each result dropped at once; no checksum."""
    import obstore as library

    store = _obstore(task)

    async def main() -> None:
        waiting = iter(task.chunks())

        async def work() -> None:
            for name, begin, size in waiting:
                await library.get_range_async(store, f"{task.model}/{name}", start=begin, length=size)

        await asyncio.gather(*(work() for _ in range(task.connections)))

    meter.start()
    asyncio.run(main())
    meter.stop(task.total)


def runai(task: Task, meter: Meter) -> None:
    """runai-model-streamer, tensors dropped as they come; no checksum. Its TLS trusts the system's bundle alone."""
    os.environ.update(
        CLOUD_STORAGE_EMULATOR_ENDPOINT=task.address, RUNAI_STREAMER_GCS_USE_ANONYMOUS_CREDENTIALS="true",
        STORAGE_EMULATOR_HOST=task.address, REQUESTS_CA_BUNDLE=task.bundle,
    )  # fmt: skip
    for key in ("concurrency", "s3_max_connections", "memory_limit", "chunk_bytesize"):
        if key in task.given:
            os.environ[f"RUNAI_STREAMER_{key.upper()}"] = str(task.given[key])
    from runai_model_streamer import SafetensorsStreamer

    meter.start()
    count = 0
    with SafetensorsStreamer() as streamer:
        places = [f"gs://{BUCKET}/{task.model}/{name}" for name in task.sizes]
        streamer.stream_files(places, device="cpu", owned=False)
        for _, tensor in streamer.get_tensors():
            count += tensor.numel() * tensor.element_size()
    meter.stop(count)


def _copy_then_load(task: Task, meter: Meter, copy: Any) -> None:
    from safetensors.torch import load_file

    target = Path("/dev/shm/gemmactl-bench")
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    meter.start()
    copy(target)
    for name in task.sizes:
        for tensor in load_file(target / name).values():
            tensor.view(-1)[::2048].sum()  # one touch of each page: a mapped file is not read before
    count = sum(path.stat().st_size for path in target.iterdir())
    shutil.rmtree(target)
    meter.stop(task.total, written=count)


def transfer_manager(task: Task, meter: Meter) -> None:
    """google-cloud-storage: download_chunks_concurrently to memory's file system, then load_file."""
    os.environ.update(STORAGE_EMULATOR_HOST=task.address, REQUESTS_CA_BUNDLE=task.bundle)
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage
    from google.cloud.storage import transfer_manager as manager

    client = storage.Client(project="p", credentials=AnonymousCredentials(), client_options={"api_endpoint": task.address})

    def copy(target: Path) -> None:
        bucket = client.bucket(BUCKET)
        for name in task.sizes:
            blob = bucket.blob(f"{task.model}/{name}")
            manager.download_chunks_concurrently(
                blob, str(target / name), chunk_size=32 << 20, max_workers=task.connections, worker_type=manager.THREAD
            )

    _copy_then_load(task, meter, copy)


def gcloud(task: Task, meter: Meter) -> None:
    """`gcloud storage cp` to memory's file system, then load_file."""
    environ = {
        **os.environ, "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": f"{task.address}/storage/v1/",
        "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "1", "CLOUDSDK_CORE_PROJECT": "p", "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true", "CLOUDSDK_CONFIG": "/dev/shm/gemmactl-bench-gcloud",
        "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE": task.bundle, "REQUESTS_CA_BUNDLE": task.bundle, "SSL_CERT_FILE": task.bundle,
        "CLOUDSDK_STORAGE_PROCESS_COUNT": "2",
        "CLOUDSDK_STORAGE_THREAD_COUNT": str(task.connections // 2),
    }  # fmt: skip

    def copy(target: Path) -> None:
        place = f"gs://{BUCKET}/{task.model}/*.safetensors"
        subprocess.run(["gcloud", "storage", "cp", place, f"{target}/", "--quiet"], env=environ, check=True, capture_output=True)

    _copy_then_load(task, meter, copy)


def local_copy(task: Task, meter: Meter) -> None:
    """load_file of files that are here already, each page touched."""
    from safetensors.torch import load_file

    meter.start()
    for name in task.sizes:
        for tensor in load_file(task.folder / name).values():
            tensor.view(-1)[::2048].sum()
    meter.stop(task.total)


CLIENTS = {one.__name__: one for one in (raw, ours, obstore, runai, transfer_manager, gcloud, local_copy)}

if __name__ == "__main__":
    from bench.load_starts import STARTS

    {**CLIENTS, **STARTS}[sys.argv[1]](Task(json.loads(sys.argv[2])), Meter())
