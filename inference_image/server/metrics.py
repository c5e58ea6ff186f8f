"""Owns the counts of a service and their names, vLLM's with our prefix. Knows no route.

Counted in plain numbers on the event loop. prometheus-client is imported by the first scrape: the way to the first token is free
of it, and what it does well, the format, it does.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from inference_image import api_keys, contract
from inference_image.server.record import Record

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from inference_image.server.service import Service

PREFIX: Final = "gemmactl_"
KEYS_MOST: Final = 2 * api_keys.MOST
_WAIT: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_TOKEN: Final = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1)
_WHOLE: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300)


@dataclass(eq=False, repr=False)
class Histogram:
    """How many values lie in (previous bound, bound]; the last count is for those beyond all bounds."""

    bounds: Sequence[float]
    sum: float = 0.0
    counts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative, as Prometheus wants them."""
        total, rows = 0, []
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            total += count
            rows.append(("+Inf" if bound == float("inf") else str(float(bound)), float(total)))
        return rows


@dataclass(eq=False, repr=False)
class Metrics:
    """One service's counts. The event loop's thread alone writes and reads them."""

    requests: Counter[tuple[str, str]] = field(default_factory=Counter)
    stops: Counter[str] = field(default_factory=Counter)
    keys: Counter[str] = field(default_factory=Counter)
    """Requests by the id of their API key; `other` beyond KEYS_MOST ids, which revoked keys may come to."""
    key_tokens: Counter[tuple[str, str]] = field(default_factory=Counter)
    prompt_tokens: int = 0
    generation_tokens: int = 0
    ttft: Histogram = field(default_factory=lambda: Histogram(_WAIT))
    per_token: Histogram = field(default_factory=lambda: Histogram(_TOKEN))
    whole: Histogram = field(default_factory=lambda: Histogram(_WHOLE))
    queue: Histogram = field(default_factory=lambda: Histogram(_WAIT))

    def count(self, record: Record, seconds: float) -> None:
        """One request that has ended."""
        self.requests[record.route, str(record.status or 500)] += 1
        key = record.key if record.key in self.keys or len(self.keys) < KEYS_MOST else "other"
        if record.key:
            self.keys[key] += 1
            self.key_tokens[key, "prompt"] += record.prompt_tokens or 0
            self.key_tokens[key, "generation"] += record.completion_tokens or 0
        if record.stop_reason is not None:
            self.stops.update([end.reason for end in record.ends] or [record.stop_reason])
        if record.ttft is None:
            return
        self.prompt_tokens += record.prompt_tokens or 0
        self.generation_tokens += record.completion_tokens or 0
        self.ttft.observe(record.ttft)
        self.whole.observe(seconds)
        for end in record.ends:
            if end.pace is not None:
                self.per_token.observe(end.pace)
            if end.queued is not None:
                self.queue.observe(end.queued)


def exposition(service: Service, accept: str) -> tuple[bytes, str]:
    """The page for a scraper and its content type."""
    from prometheus_client import CollectorRegistry, ProcessCollector
    from prometheus_client.exposition import choose_encoder

    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Families(service))
    encoder, kind = choose_encoder(accept)
    return encoder(registry), kind


@dataclass(frozen=True, eq=False)
class _Families:
    """What prometheus-client calls a collector."""

    service: Service

    def collect(self) -> Iterator[Metric]:
        yield from _counters(self.service.metrics)
        yield from _histograms(self.service.metrics)
        yield from _gauges(self.service)

    def describe(self) -> list[Metric]:
        """Nothing to check against: the registry has no other metrics of ours."""
        return []


def _counters(metrics: Metrics) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily

    requests = CounterMetricFamily(PREFIX + "requests", "HTTP requests that ended", labels=["route", "code"])
    for (route, code), number in metrics.requests.items():
        requests.add_metric([route, code], number)
    yield requests
    stops = CounterMetricFamily(PREFIX + "stop_reasons", "Answers by why they ended", labels=["reason"])
    for reason in contract.STOP_REASONS:
        stops.add_metric([reason], metrics.stops[reason])
    yield stops
    if metrics.keys:
        keys = CounterMetricFamily(PREFIX + "key_requests", "Requests by the id of their API key", labels=["key"])
        for key, number in metrics.keys.items():
            keys.add_metric([key], number)
        yield keys
        tokens = CounterMetricFamily(
            PREFIX + "key_tokens", "Tokens by API key, of prompts and of answers", labels=["key", "kind"]
        )
        for (key, kind), number in metrics.key_tokens.items():
            tokens.add_metric([key, kind], number)
        yield tokens
    for name, text, number in (
        ("cancelled", "Answers that ended before their end: the client left or the service stopped", metrics.stops["cancelled"]),
        ("prompt_tokens", "Tokens of prompts that were answered", metrics.prompt_tokens),
        ("generation_tokens", "Tokens of answers", metrics.generation_tokens),
    ):
        yield CounterMetricFamily(PREFIX + name, text, value=number)


def _histograms(metrics: Metrics) -> Iterator[Metric]:
    from prometheus_client.core import HistogramMetricFamily

    for name, text, histogram in (
        ("time_to_first_token_seconds", "From a request's arrival to its first text", metrics.ttft),
        ("time_per_output_token_seconds", "Mean time of a token after the first, one value for each answer", metrics.per_token),
        ("e2e_seconds", "From a request's arrival to the end of its answer", metrics.whole),
        ("queue_seconds", "From the engine's queue to its slot", metrics.queue),
    ):
        yield HistogramMetricFamily(PREFIX + name, text, buckets=histogram.buckets(), sum_value=histogram.sum)


def _gauges(service: Service) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily

    stats, record = service.stats(), service.timeline.record()
    reading = sum(phase["seconds"] for phase in record["phases"] if phase["name"] == "read weights")
    rows: list[tuple[str, str, float]] = [
        ("ready", "1 when requests are taken in", int(service.ready)),
        ("load_bytes", "Bytes of weights that were read at the start", record["bytes"]),
        ("load_seconds", "Seconds of the reading", reading),
    ]
    if stats is not None:
        rows += [
            ("requests_running", "Requests that have a slot", stats.running),
            ("requests_waiting", "Requests that wait for one", stats.waiting),
            ("slots", "Requests that the engine computes at once", stats.rows),
            ("kv_tokens_used", "Tokens that running requests hold in the cache", stats.kv_tokens_used),
            ("kv_tokens", "Tokens that the cache has room for", stats.kv_tokens),
        ]
    for name, text, value in rows:
        yield GaugeMetricFamily(PREFIX + name, text, value=value)
    stages = GaugeMetricFamily(PREFIX + "cold_start_seconds", "Seconds of each phase of a start; they overlap", labels=["stage"])
    spent: Counter[str] = Counter()
    for phase in record["phases"]:
        spent[phase["name"]] += phase["seconds"]
    for name, seconds in spent.items():
        stages.add_metric([name], seconds)
    yield stages
    if "ready" in record:
        yield GaugeMetricFamily(PREFIX + "ready_seconds", "From the process's begin to its first token", value=record["ready"])
    yield InfoMetricFamily(PREFIX + "service", "What is served, on what", value=_facts(record))


def _facts(record: dict[str, Any]) -> dict[str, str]:
    return {name: str(record[name]) for name in ("model", "device", "dtype", "engine") if name in record}
