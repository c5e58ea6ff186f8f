"""Trace ids of a request, and the line that carries them. Header values are data."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inference_image.server import log
from inference_image.server.record import End, Record, line_of, silent
from inference_image.server.trace import Trace, trace_of

ID, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
W3C = f"00-{ID}-{SPAN}-01".encode()


@pytest.mark.parametrize(
    ("headers", "trace"),
    [
        ({"traceparent": W3C}, Trace(ID, SPAN, sampled=True)),
        ({"traceparent": W3C[:-2] + b"00"}, Trace(ID, SPAN, sampled=False)),
        ({"traceparent": b"cc" + W3C[2:] + b"-later"}, Trace(ID, SPAN, sampled=True)),
        ({"x-cloud-trace-context": f"{ID.upper()}/74;o=1".encode()}, Trace(ID, "000000000000004a", sampled=True)),
        ({"x-cloud-trace-context": ID.encode()}, Trace(ID, "", sampled=False)),
        ({"traceparent": b"nonsense", "x-cloud-trace-context": f"{ID}/0".encode()}, Trace(ID, "", sampled=False)),
        ({"traceparent": W3C, "x-cloud-trace-context": b"1" * 32}, Trace(ID, SPAN, sampled=True)),
    ],
)
def test_both_forms_are_read(headers: dict[str, bytes], trace: Trace) -> None:
    """W3C's header wins; Google's older one has a decimal span, and may have none."""
    assert trace_of([(name.encode(), value) for name, value in headers.items()]) == trace


@pytest.mark.parametrize(
    "value",
    [
        b"", W3C.upper(), W3C + b"-more", b"ff" + W3C[2:], f"00-{'0' * 32}-{SPAN}-01".encode(), f"00-{ID}-{'0' * 16}-01".encode(),
        W3C + b"\n", b'00-"},{"severity":"EMERGENCY"', b"cc" + W3C[2:] + b"-" + b"x" * 300,
    ],
)  # fmt: skip
def test_what_is_not_exact_is_no_trace(value: bytes) -> None:
    """A wrong header leaves no mark in a line."""
    assert trace_of([(b"traceparent", value)]) is None
    assert trace_of([(b"x-cloud-trace-context", value)]) is None
    assert trace_of([(b"traceparent", W3C), (b"traceparent", W3C)]) is None


@pytest.mark.parametrize("value", [f"{ID}/x", f"{ID}/{1 << 64};o=1", f"{ID};o=2", f"{ID}/1;o=1;x", "0" * 32, f" {ID}"])
def test_googles_header_is_read_as_strictly(value: str) -> None:
    """A span beyond 64 bits is left out; any other fault makes it no trace."""
    found = trace_of([(b"x-cloud-trace-context", value.encode())])
    assert found is None or (found.id, found.span) == (ID, "")


def test_a_line_is_filed_under_its_trace() -> None:
    """With a project the fields are Cloud Logging's own; without one, or with a name that can't be one, the bare id."""
    trace = Trace(ID, SPAN, sampled=True)
    assert trace.fields("my-project-1") == {
        "logging.googleapis.com/trace": f"projects/my-project-1/traces/{ID}",
        "logging.googleapis.com/spanId": SPAN,
        "logging.googleapis.com/trace_sampled": True,
    }
    assert "logging.googleapis.com/spanId" not in Trace(ID, "", sampled=False).fields("example.com:my-project")
    for project in ("", "a/b", "My Project", "../x"):
        assert trace.fields(project) == {"trace_id": ID}


def line(**facts: Any) -> tuple[str, str, dict[str, Any]]:
    record = Record("POST", 10.0, route="/generate")
    for name, value in facts.items():
        setattr(record, name, value)
    return line_of(record, 2.5, "")


def test_a_line_has_what_was_asked_of_it_in_numbers() -> None:
    """Tokens, times and rate; httpRequest has the form of Cloud Logging's LogEntry."""
    severity, message, fields = line(
        status=200, type="text", prompt_tokens=7, first=10.5, sent=40, agent="curl/8",
        ends=[End("length", 4, queued=0.1, pace=0.1), End("stop", 7, queued=0.25, pace=0.3)],
    )  # fmt: skip
    assert (severity, message) == ("INFO", "POST /generate 200 in 2.500 s, 7 + 11 tokens, 5.0 tok/s, stop")
    assert fields["request"] == {
        "route": "/generate", "status": 200, "seconds": 2.5, "type": "text", "prompt_tokens": 7, "completion_tokens": 11,
        "stop_reason": "stop", "ttft": 0.5, "queued": 0.25, "tok_per_s": 5.0,
    }  # fmt: skip
    assert fields["httpRequest"] == {
        "requestMethod": "POST", "requestUrl": "/generate", "status": 200, "responseSize": "40", "userAgent": "curl/8",
        "latency": "2.500000s",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("status", "severity"), [(200, "INFO"), (499, "INFO"), (422, "WARNING"), (503, "WARNING"), (500, "ERROR")]
)
def test_severity_follows_the_status(status: int, severity: str) -> None:
    """What a client did wrong is a warning, a failure of ours an error; a client that left is neither."""
    assert line(status=status)[0] == severity


def test_probes_are_silent_while_they_get_what_they_expect() -> None:
    """A probe every two seconds would bury the lines that matter; one that fails for another reason is told."""
    assert silent(Record("GET", 0, route="/ready", status=503))
    assert not silent(Record("GET", 0, route="/ready", status=500))
    assert not silent(Record("POST", 0, route="/generate", status=503))


def test_a_line_is_one_line_of_utf8(capsys: pytest.CaptureFixture[str]) -> None:
    """Line ends, quotes and lone surrogates of a text can't make a second line or a broken one."""
    log.write("INFO", 'a\n{"severity":"EMERGENCY"}\u2028\ud800', **{"logging.googleapis.com/trace": "x"})
    (one,) = capsys.readouterr().out.split("\n")[:-1]
    found = json.loads(one)
    assert (found["severity"], found["logging.googleapis.com/trace"]) == ("INFO", "x")
    assert found["message"].startswith('a\n{"severity"')
    assert found["time"].endswith("Z")
