"""The counts of a service in Prometheus' two forms, read back with the official parser."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_parser
from prometheus_client.parser import text_string_to_metric_families as parser

from inference_image.engine import Engine
from inference_image.server.metrics import Histogram, exposition
from inference_image.server.record import End, Record
from inference_image.server.service import Service
from inference_image.settings import Settings
from inference_image.timeline import Timeline

ROOT = Path(__file__).parents[2]


def answered(*ends: End, **changes: object) -> Record:
    facts = {"route": "/generate", "status": 200, "prompt_tokens": 7, "first": 0.2, "ends": list(ends)}
    record = Record("POST", 0.0)
    for name, value in {**facts, **changes}.items():
        setattr(record, name, value)
    return record


def values(service: Service, accept: str = "") -> dict[str, float]:
    """`name{label=value}` of every sample."""
    body, kind = exposition(service, accept)
    families = (open_parser if "openmetrics" in kind else parser)(body.decode())
    return {
        sample.name + "".join(f"{{{key}={value}}}" for key, value in sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text; version=1.0.0"], ids=["text", "openmetrics"])
def test_a_service_in_numbers(engine: Engine, accept: str) -> None:
    """Requests by route and code, tokens, times, stop reasons, the engine's state and the start: each under its name."""
    now = [0.0]
    timeline = Timeline(clock=lambda: now[0], began=0.0)
    timeline.note(model="mine", device="cpu", dtype="bfloat16", ready=4.5)
    for name in ("read weights", "import torch", "import torch"):
        with timeline.phase(name):
            now[0] += 2
    timeline.arrived(1000)
    service = Service(Settings(model="m"), timeline, engine)
    service.metrics.count(answered(End("stop", 11, queued=0.03, pace=0.1)), 1.25)
    service.metrics.count(answered(End("length", 1, queued=0.04), End("stop", 2, queued=0.2, pace=0.3)), 0.5)
    service.metrics.count(answered(left=True, status=499), 0.5)
    service.metrics.count(Record("GET", 0.0, route="other", status=404), 0.001)
    found = values(service, accept)
    expected = {
        "gemmactl_requests_total{code=200}{route=/generate}": 2,
        "gemmactl_requests_total{code=404}{route=other}": 1,
        "gemmactl_stop_reasons_total{reason=stop}": 2,
        "gemmactl_stop_reasons_total{reason=length}": 1,
        "gemmactl_cancelled_total": 1,
        "gemmactl_prompt_tokens_total": 21,
        "gemmactl_generation_tokens_total": 14,
        "gemmactl_time_to_first_token_seconds_count": 3,
        "gemmactl_time_to_first_token_seconds_bucket{le=0.1}": 0,
        "gemmactl_time_to_first_token_seconds_bucket{le=0.25}": 3,
        "gemmactl_time_per_output_token_seconds_count": 2,
        "gemmactl_time_per_output_token_seconds_sum": 0.4,
        "gemmactl_e2e_seconds_sum": 2.25,
        "gemmactl_queue_seconds_bucket{le=0.05}": 2,
        "gemmactl_ready": 1,
        "gemmactl_requests_running": 0,
        "gemmactl_requests_waiting": 0,
        "gemmactl_kv_tokens_used": 0,
        "gemmactl_load_bytes": 1000,
        "gemmactl_load_seconds": 2,
        "gemmactl_ready_seconds": 4.5,
        "gemmactl_cold_start_seconds{stage=import torch}": 4,
        "gemmactl_service_info{device=cpu}{dtype=bfloat16}{model=mine}": 1,
    }
    assert {name: found.get(name) for name in expected} == pytest.approx(expected)
    assert found["gemmactl_slots"] >= 1
    assert found["gemmactl_kv_tokens"] == found["gemmactl_slots"] * engine.max_context
    assert "process_resident_memory_bytes" in found


def test_a_service_that_loads_has_metrics() -> None:
    """Before there is an engine nothing is told of it."""
    found = values(Service(Settings(model="m"), Timeline()))
    assert (found["gemmactl_ready"], found["gemmactl_load_bytes"]) == (0, 0)
    assert "gemmactl_slots" not in found


def test_a_histogram_is_cumulative() -> None:
    """A value on a bound lies below it, as Prometheus defines `le`."""
    one = Histogram((1, 2))
    for value in (0.5, 1, 1.5, 9):
        one.observe(value)
    assert one.buckets() == [("1.0", 2), ("2.0", 3), ("+Inf", 4)]
    assert one.sum == 12


def test_the_start_does_not_pay_for_it() -> None:
    """The server is imported, and an app made, without prometheus-client: the first scrape imports it."""
    code = (
        "import sys; from inference_image.server.app import create_app; from inference_image.server.service import Service;"
        " from inference_image.settings import Settings; from inference_image.timeline import Timeline;"
        " create_app(Service(Settings(model='m'), Timeline())); print('prometheus_client' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout == "False\n"


def test_the_page_of_operations_names_every_metric(engine: Engine) -> None:
    """docs/operations.md has each metric that there is, and no other."""
    timeline = Timeline()
    timeline.note(ready=1.0)
    service = Service(Settings(model="m"), timeline, engine)
    service.metrics.count(answered(key="0a1b2c3d"), 0.1)  # keys are counted from the first one on
    body, _ = exposition(service, "")
    there = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in parser(body.decode())
        if family.name.startswith("gemmactl_")
    }
    told = set(re.findall(r"`(gemmactl_[a-z0-9_]+)", (ROOT / "docs/operations.md").read_text()))
    assert told == there
