"""A headless Chromium, driven over its own pipe (--remote-debugging-pipe): no driver, no package. Knows no page of ours.

The protocol: JSON messages that end in a zero byte, in on descriptor 3, out on 4. https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SECONDS = 20.0
_FLAGS = (
    "--headless=new", "--remote-debugging-pipe", "--no-first-run", "--no-default-browser-check", "--disable-gpu",
    "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-default-apps", "--disable-extensions", "--mute-audio", "--hide-scrollbars", "--no-proxy-server",
)  # fmt: skip
_START = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
"""A process of ours can't hand down chosen descriptors: a short Python in between puts them in their places."""
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, "Space": 32, "ArrowRight": 39, "ArrowLeft": 37}


class Tab:
    """One page, and what it complained about or asked of the network."""

    def __init__(self, to: int, out: int) -> None:
        self._to, self._out = to, out
        self._bytes = b""
        self._number = 0
        self._session = ""
        self.complaints: list[str] = []
        self.requested: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command and its result; events that come meanwhile are kept."""
        self._number += 1
        session = {"sessionId": self._session} if self._session else {}
        message = {"id": self._number, "method": method, "params": params, **session}
        os.write(self._to, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + _SECONDS
        while True:
            answer = self._next(until, method)
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self._event(answer)

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def value(self, expression: str) -> Any:
        """What a JavaScript expression is; a promise is waited for."""
        result = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, f"{expression}: {result['exceptionDetails']}"
        return result["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait for an expression to become true."""
        deadline = time.monotonic() + _SECONDS
        while not self.value(f"Boolean({expression})"):
            assert time.monotonic() < deadline, f"never true: {expression}; complaints: {self.complaints}"
            time.sleep(0.02)

    def text(self, selector: str) -> str:
        """The visible text of an element."""
        return self.value(f"document.querySelector({json.dumps(selector)}).innerText")

    def write(self, text: str) -> None:
        """Text into what has the focus, as an input method does it."""
        self.call("Input.insertText", text=text)

    def press(self, key: str, *, control: bool = False, shift: bool = False) -> None:
        facts = {
            "key": " " if key == "Space" else key, "code": key, "windowsVirtualKeyCode": KEYS[key],
            "modifiers": 2 * control + 8 * shift,
        }  # fmt: skip
        text = {"Enter": "\r", "Space": " "}.get(key)
        self.call("Input.dispatchKeyEvent", type="keyDown", **facts, **({"text": text} if text and not control else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **facts)

    def _next(self, until: float, waited_for: str) -> dict[str, Any]:
        while b"\0" not in self._bytes:
            ready, _, _ = select.select([self._out], [], [], max(0, until - time.monotonic()))
            assert ready, f"the browser did not answer to {waited_for}"
            came = os.read(self._out, 1 << 16)
            assert came, "the browser ended"
            self._bytes += came
        message, _, self._bytes = self._bytes.partition(b"\0")
        return json.loads(message)

    def _event(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        match event.get("method"):
            case "Runtime.exceptionThrown":
                self.complaints.append(str(params["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning", "assert"):
                self.complaints.append(str(params["args"]))
            case "Log.entryAdded" if params["entry"]["level"] in ("error", "warning"):
                self.complaints.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
            case "Network.requestWillBeSent":
                self.requested.append(params["request"]["url"])


@contextmanager
def browsing(chromium: Path, folder: Path) -> Iterator[Tab]:
    """A browser with a fresh profile in the folder, and one tab of it."""
    theirs_in, to = os.pipe()
    out, theirs_out = os.pipe()
    root = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium's own sandbox refuses root
    process = subprocess.Popen(
        [
            sys.executable, "-c", _START, str(theirs_in), str(theirs_out), str(chromium),
            *_FLAGS, *root, f"--user-data-dir={folder}", "about:blank",
        ],
        pass_fds=(theirs_in, theirs_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(folder), "LANG": "C.UTF-8"},
    )  # fmt: skip
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Tab(to, out)
    finally:
        os.close(to)  # the browser ends when its pipe does
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(out)
