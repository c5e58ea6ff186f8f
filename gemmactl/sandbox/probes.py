"""A startup probe, run for real against a port, and Cloud Run's sentences about it. Knows no service."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

_LEAST: Final = 0.05
"""Seconds between two attempts however fast time is made to run."""


class Started(Protocol):
    """What a probe needs of an instance."""

    port: int
    exit_code: int | None

    @property
    def exited(self) -> Any: ...


@dataclass(frozen=True)
class Verdict:
    """ok, or the sentence for the operation; `log` is the system's log line in both cases."""

    ok: bool
    sentence: str
    log: str


def wait_started(instance: Started, container: Mapping[str, Any], name: str, pace: float, *, default: bool) -> Verdict:
    """Probe until it succeeds, its budget is spent or the process is gone. `pace` scales the spec's times.

    `default`: the probe is the one that Cloud Run adds by itself.
    """
    probe, port = container["startupProbe"], container["ports"][0]["containerPort"]
    http = probe.get("httpGet")
    asked = (http or probe["tcpSocket"])["port"]
    place = f'for container "{name}" on port {asked}' + (f' path "{http["path"]}"' if http else "")
    kind = ("Default " if default else "") + f"STARTUP {'HTTP' if http else 'TCP'} probe"
    delay, timeout, period = (float(probe.get(k, 0)) for k in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds"))
    # a probe of another port than the container's own can't be mapped: nothing listens there
    target = instance.port if asked == port else asked
    instance.exited.wait(delay * pace)
    reason = ""
    for attempt in range(1, int(probe["failureThreshold"]) + 1):
        begun = time.monotonic()
        reason = (
            _http(target, http, timeout * pace)
            if http
            else _tcp(target, max(timeout * pace, min(timeout, 1.0)), instance.exited.is_set)
        )
        if not reason and not instance.exited.is_set():
            return Verdict(True, "", f"{kind} succeeded after {attempt} attempt{'s' if attempt > 1 else ''} {place}.")
        if instance.exited.wait(max(period * pace - (time.monotonic() - begun), _LEAST)):
            break
    return _failure(instance, kind, place, reason, probe, port, default=default)


def _failure(
    instance: Started, kind: str, place: str, reason: str, probe: Mapping[str, Any], port: int, *, default: bool
) -> Verdict:
    times = int(probe["failureThreshold"])
    log = f"{kind} failed {times} time{'s' if times > 1 else ''} consecutively {place}. The instance was not started."
    if instance.exited.is_set():
        log = f"{kind} failed 1 time consecutively {place}. The instance was not started."
    if reason:
        log += f" Connection failed with status {reason}."
    if "httpGet" in probe:
        return Verdict(False, "The user-provided container failed the configured startup probe checks.", log)
    if default or instance.exited.is_set():
        # source: corpus run-004 (Google's own doubled word)
        sentence = (
            f"The user-provided container failed to start and listen on the port defined provided by the PORT={port} environment "
            "variable within the allocated timeout."
        )
        return Verdict(False, sentence, log)
    each, delay = int(probe["timeoutSeconds"]), int(probe.get("initialDelaySeconds", 0))
    # source: the seed README's errors and corpus run-002
    sentence = (
        f"Container failed to become healthy. Startup probes timed out after {span(delay + times * each)} ({times} attempts with "
        f"a timeout of {span(each)} each). There was an initial delay of {span(delay)}. If this happens frequently, consider "
        "adjusting the probe settings."
    )
    return Verdict(False, sentence, log)


def _http(port: int, action: Mapping[str, Any], timeout: float) -> str:
    """Nothing for 2xx and 3xx, else why not. One try: a refused connection ends the attempt at once."""
    # never less than half a second, however fast time is made to run: the process doesn't run faster
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=max(timeout, 0.5))
    try:
        headers = {h["name"]: h.get("value", "") for h in action.get("httpHeaders", [])}
        connection.request("GET", action["path"], headers={"User-Agent": "GoogleHC/1.0", **headers})
        status = connection.getresponse().status
    except TimeoutError:
        return "ERROR_TIMEOUT"  # guess
    except (OSError, http.client.HTTPException):
        return "ERROR_CONNECTION_FAILED"
    finally:
        connection.close()
    return "" if 200 <= status < 400 else f"ERROR_HTTP_{status}"  # guess


def _tcp(port: int, patience: float, gone: Callable[[], bool]) -> str:
    """Keeps trying inside one attempt, as Cloud Run's TCP probe does."""
    end = time.monotonic() + patience
    while not gone():
        try:
            socket.create_connection(("127.0.0.1", port), timeout=max(end - time.monotonic(), _LEAST)).close()
        except OSError:
            if time.monotonic() >= end:
                break
            time.sleep(_LEAST)
        else:
            return ""
    return "DEADLINE_EXCEEDED" if not gone() else ""  # guess


def span(seconds: int) -> str:
    """240 -> 4m, as Cloud Run writes times."""
    minutes, rest = divmod(seconds, 60)
    return (f"{minutes}m" if minutes else "") + (f"{rest}s" if rest or not minutes else "")
