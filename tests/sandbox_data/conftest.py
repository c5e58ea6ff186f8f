"""A sandbox in this process, the official clients pointed at it, and stub containers to build and run."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from google.auth.credentials import Credentials
from google.cloud import storage

from gemmactl.sandbox.admin import Admin
from gemmactl.sandbox.apis_api import switch_on
from gemmactl.sandbox.assembly import assemble
from gemmactl.sandbox.server import Server
from gemmactl.sandbox.world import Settings, World

PROJECT = "projects/gemmactl-sandbox"
REGION = f"{PROJECT}/locations/us-central1"
YOU = "you@sandbox.invalid"
BUILD_SA = "builder@gemmactl-sandbox.iam.gserviceaccount.com"
RUN_SA = "runner@gemmactl-sandbox.iam.gserviceaccount.com"
TAG = "us-central1-docker.pkg.dev/gemmactl-sandbox/repo/stub:v1"

STUB = """
import json, os, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

started = time.monotonic()
class H(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *a): pass
    def answer(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def do_GET(self):
        if self.path == "/ready":
            ok = time.monotonic() - started >= float(os.environ.get("LOAD_SECONDS", "0"))
            return self.answer(200 if ok else 503, {"ready": ok})
        if self.path == "/env":
            return self.answer(200, {"env": dict(os.environ), "cwd": os.getcwd(), "pid": os.getpid(), "argv": sys.argv})
        if self.path == "/headers":
            return self.answer(200, {k.lower(): v for k, v in self.headers.items()})
        if self.path == "/die":
            os._exit(9)
        if self.path == "/slow":
            time.sleep(float(os.environ.get("SLOW", "0.5")))
            return self.answer(200, {})
        if self.path == "/stream":
            self.send_response(200); self.send_header("Transfer-Encoding", "chunked"); self.end_headers()
            for i in range(3):
                piece = b"data: %d\\n\\n" % i
                self.wfile.write(b"%x\\r\\n%s\\r\\n" % (len(piece), piece)); self.wfile.flush(); time.sleep(0.15)
            return self.wfile.write(b"0\\r\\n\\r\\n")
        self.answer(200, {"path": self.path, "revision": os.environ["K_REVISION"]})
    def do_POST(self):
        if "chunked" in self.headers.get("transfer-encoding", ""):
            data = b""
            while n := int(self.rfile.readline(), 16):
                data += self.rfile.read(n); self.rfile.readline()
            self.rfile.readline()
        else:
            data = self.rfile.read(int(self.headers["content-length"]))
        self.answer(200, {"got": data.decode()})
print(json.dumps({"severity": "WARNING", "message": "hello from the stub", "part": 1}), flush=True)
if os.environ.get("CRASH"):
    print(json.dumps({"severity": "ERROR", "message": "model load failed", "load_failed": {"code": "shard_missing"}}), flush=True)
    sys.exit(3)
if os.environ.get("RAISE"):
    raise RuntimeError("no such model")
if os.environ.get("DEAF"):
    time.sleep(60)
if os.environ.get("TOLD"):
    print(json.dumps({"message": "listening", "pid": os.getpid()}), flush=True)
ThreadingHTTPServer((os.environ.get("HOST", "0.0.0.0"), int(os.environ["PORT"])), H).serve_forever()
"""
DOCKERFILE = """\
ARG BASE=python:3.11-slim
FROM ${BASE}
WORKDIR /app
RUN pip install nothing
COPY stub ./stub
ENV FROM_IMAGE=yes
EXPOSE 8080
ENTRYPOINT ["python", "-m", "stub.main"]
"""


class Token(Credentials):
    """A token that is simply there."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self.token = token

    def refresh(self, request: Any) -> None:
        """It never expires."""

    @property
    def expired(self) -> bool:
        return False


def archive(files: dict[str, str]) -> bytes:
    """A tar.gz of text files, as `builds submit` uploads it."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return raw.getvalue()


class Cloud:
    """One running sandbox and what tests do with it again and again."""

    def __init__(self, world: World) -> None:
        self.world = world

    def client(self, kind: Any, email: str = YOU) -> Any:
        options = {"api_endpoint": self.world.base_url}
        return kind(transport="rest", credentials=Token(self.world.tokens.access(email)), client_options=options)

    def storage(self, email: str = YOU) -> storage.Client:
        return storage.Client(
            "gemmactl-sandbox", Token(self.world.tokens.access(email)), client_options={"api_endpoint": self.world.base_url}
        )

    def lines(self, log: str) -> list[str]:
        """Text payloads of one log, in order."""
        found = self.world.logs.entries(f'logName="{PROJECT}/logs/{log}"')
        return [e.get("textPayload", str(e.get("jsonPayload"))) for e in found]

    def get(self, url: str, email: str | None = YOU, audience: str = "", **more: Any) -> requests.Response:
        """One request to a service as somebody."""
        headers = dict(more.pop("headers", {}))
        if email:
            base = "/".join(url.split("/")[:3])
            headers["Authorization"] = f"Bearer {self.world.tokens.identity(email, audience or base)}"
        return requests.request(more.pop("method", "GET"), url, headers=headers, timeout=20, **more)

    def source(self, files: dict[str, str]) -> dict[str, str]:
        """Upload a build context; the storageSource."""
        blob = self.storage().bucket("staging").blob(f"source/{time.monotonic_ns()}.tgz")
        blob.upload_from_string(archive(files), content_type="application/gzip")
        return {"bucket": "staging", "object_": blob.name, "generation": str(blob.generation)}

    def build_body(self, files: dict[str, str], **more: Any) -> dict[str, Any]:
        return {
            "source": {"storage_source": self.source(files)},
            "steps": [{"name": "gcr.io/cloud-builders/docker", "args": ["build", "-t", TAG, "."]}],
            "images": [TAG],
            "service_account": f"{PROJECT}/serviceAccounts/{BUILD_SA}",
            "options": {"logging": "CLOUD_LOGGING_ONLY"},
            **more,
        }

    def build(self, files: dict[str, str], email: str = YOU, **more: Any) -> Any:
        """Create a build with the real client and wait until it is over. Returns the Build, however it ended."""
        from google.cloud.devtools import cloudbuild_v1

        builds = self.client(cloudbuild_v1.CloudBuildClient, email)
        operation = builds.create_build(request={"parent": REGION, "build": self.build_body(files, **more)})
        name = f"{REGION}/builds/{operation.metadata.build.id}"
        return until(lambda: (b := builds.get_build(request={"name": name})).status.name not in ("QUEUED", "WORKING") and b)


def until(check: Callable[[], Any], seconds: float = 20) -> Any:
    """Poll until `check` gives something true."""
    end = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
    return found


def context(**files: str) -> dict[str, str]:
    """A build context whose image is the stub."""
    return {"Dockerfile": DOCKERFILE, "stub/__init__.py": "", "stub/main.py": STUB, **files}


def boot(home: Path, **settings: Any) -> tuple[World, Server]:
    """Start a sandbox on a home folder."""
    world = assemble(World(home, settings=Settings(**{"pace": 0.02, **settings})))
    server = Server(world, admin=Admin("of a test", lambda: None))
    server.start()
    return world, server


def shut(world: World, server: Server) -> None:
    server.shutdown()
    server.server_close()
    world.close()


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    world, server = boot(tmp_path / "home")
    for api in ("run", "cloudbuild", "artifactregistry", "secretmanager", "iam"):
        switch_on(world, f"{api}.googleapis.com")
    yield Cloud(world)
    shut(world, server)


@pytest.fixture
def ground(cloud: Cloud) -> Cloud:
    """A project that is ready to build: accounts with their roles, staging bucket, repository."""
    world = cloud.world
    for email in (BUILD_SA, RUN_SA):
        world.store.put("service_accounts", email, {"email": email})
    cloud.storage().create_bucket("staging", location="us-central1")
    world.store.put("repositories", f"{REGION}/repositories/repo", {"name": f"{REGION}/repositories/repo", "format": "DOCKER"})
    member = f"serviceAccount:{BUILD_SA}"
    world.iam.grant(member, "roles/storage.objectViewer", "projects/_/buckets/staging")
    world.iam.grant(member, "roles/logging.logWriter", PROJECT)
    world.iam.grant(member, "roles/artifactregistry.writer", f"{REGION}/repositories/repo")
    return cloud
