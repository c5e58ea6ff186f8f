"""What stands in for vLLM in the sandbox: its routes over an empty engine. Standard library only; knows no model.

The sandbox has no GPU and pulls no image. This program takes vLLM's command line, looks for the model where it says, listens when
vLLM would, and answers in vLLM's form that it is no model. What it proves is the way there: image, arguments, rights, probe,
traffic. Source of the forms: vLLM 0.26.0, entrypoints/openai/protocol.py; of /generate the codelab's page.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

TEXT: Final = "This is the sandbox's stand-in for vLLM: it has no model."
CONFIG: Final = "config.json"
LOST: Final = "Unrecognized model in {place}. Should have a `model_type` key in its config.json"
"""source: transformers 4.57.1, the same where config.json is absent"""


class ModelUnreadable(Exception):  # noqa: N818 - vLLM's process ends with it
    """The folder that the command line names shows no model."""


def options(argv: list[str]) -> dict[str, str]:
    """`--name=value` and `--name value` of a command line; what follows `serve` is the model."""
    found: dict[str, str] = {}
    words = argv[1:] if argv[:1] == ["serve"] else argv
    for at, word in enumerate(words):
        if not word.startswith("--"):
            if at == 0 and words is not argv:
                found["model"] = word
            continue
        name, equals, value = word.removeprefix("--").partition("=")
        following = words[at + 1] if at + 1 < len(words) and not words[at + 1].startswith("--") else ""
        found[name] = value if equals else following
    return found


def require_model(place: str) -> None:
    """Nothing, where the folder has a config.json that names its kind. A repository of the Hub is not asked.

    Raises:
        ModelUnreadable: in the words that end vLLM's start.
    """
    if place.startswith("gs://"):
        text = _from_bucket(place)
    elif place.startswith("/"):
        file = Path(place) / CONFIG
        text = file.read_bytes() if file.is_file() else b"{}"
    else:
        return
    try:
        kind = json.loads(text).get("model_type")
    except (ValueError, AttributeError):
        kind = None
    if not kind:
        raise ModelUnreadable(LOST.format(place=place))


def _from_bucket(place: str) -> bytes:
    """With the account that the instance has, as the streamer reads."""
    bucket, _, folder = place.removeprefix("gs://").strip("/").partition("/")
    host, storage = os.environ["GCE_METADATA_HOST"], os.environ["STORAGE_EMULATOR_HOST"]
    asked = urllib.request.Request(
        f"http://{host}/computeMetadata/v1/instance/service-accounts/default/token", headers={"Metadata-Flavor": "Google"}
    )
    with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310 - the instance's own metadata server
        token = json.load(answer)["access_token"]
    name = "/".join(filter(None, (folder, CONFIG))).replace("/", "%2F")
    url = f"{storage}/download/storage/v1/b/{bucket}/o/{name}?alt=media"
    asked = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})  # noqa: S310 - the sandbox's own storage
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310 - the sandbox's own storage
            content: bytes = answer.read()
            return content
    except urllib.error.HTTPError as error:
        raise ModelUnreadable(f"{place}/{CONFIG}: {error.code} {error.read().decode(errors='replace').strip()}") from None


def answer(path: str, asked: dict[str, Any], name: str) -> tuple[int, Any]:
    """(status, document) of one POST. `name`: what the model answers as."""
    about = {"id": "standin", "created": int(time.time()), "model": name}
    usage = {"prompt_tokens": 0, "completion_tokens": len(TEXT.split()), "total_tokens": len(TEXT.split())}
    if path == "/generate" and isinstance(asked.get("prompt"), str):
        # as the codelab shows the answer of Vertex AI's image
        return 200, {"predictions": [f"Prompt:\n{asked['prompt']}\nOutput:\n {TEXT}"]}
    if path in ("/v1/chat/completions", "/v1/completions") and asked.get("model", name) != name:
        said = {"message": f"The model `{asked['model']}` does not exist.", "type": "NotFoundError", "param": None, "code": 404}
        return 404, {"error": said}
    if path == "/v1/chat/completions":
        choice = {"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}
        return 200, {**about, "object": "chat.completion", "choices": [choice], "usage": usage}
    if path == "/v1/completions":
        choice = {"index": 0, "text": TEXT, "finish_reason": "stop"}
        return 200, {**about, "object": "text_completion", "choices": [choice], "usage": usage}
    return 404, {"detail": "Not Found"}


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    name = ""

    def log_message(self, *_: object) -> None:
        """Nothing: Cloud Run writes a line for each request."""

    def do_GET(self) -> None:
        if self.path == "/health":
            self._send(200, b"")
        elif self.path == "/v1/models":
            self._json(200, {"object": "list", "data": [{"id": self.name, "object": "model", "owned_by": "vllm"}]})
        else:
            self._json(404, {"detail": "Not Found"})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            asked = json.loads(raw)
        except ValueError:
            asked = None
        if not isinstance(asked, dict):
            return self._json(422, {"detail": "a JSON object is expected"})
        status, document = answer(self.path, asked, self.name)
        if status == 200 and asked.get("stream") and "choices" in document:
            return self._stream(document)
        return self._json(status, document)

    def _stream(self, document: dict[str, Any]) -> None:
        choice = document["choices"][0]
        piece = {"delta": choice["message"]} if "message" in choice else {"text": choice["text"]}
        chunk = {**document, "choices": [{"index": 0, **piece, "finish_reason": "stop"}]}
        self._send(200, f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode(), "text/event-stream")

    def _json(self, status: int, document: Any) -> None:
        self._send(status, json.dumps(document).encode())

    def _send(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main(argv: list[str]) -> None:
    """Listen until somebody ends it."""
    told = options(argv)
    place = told.get("model", "")
    sys.stderr.write("SANDBOX: this stands in for vLLM, which needs a GPU; it reads no weights and runs no model.\n")
    sys.stderr.flush()
    require_model(place)
    Handler.name = told.get("served-model-name") or place
    # the sandbox gives each container a port of its own: it says which in PORT, whatever the arguments say
    port = int(os.environ.get("PORT") or told.get("port") or 8000)
    ThreadingHTTPServer((os.environ.get("HOST") or told.get("host") or "127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
