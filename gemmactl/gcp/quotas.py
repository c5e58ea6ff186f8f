"""Cloud Quotas: the limits of Cloud Run that are in force in a project, in plain units. Knows not what uses them up."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from gemmactl.gcp.wire import TIMEOUT, Wire
from gemmactl.resources.cloud import QuotaLimit

API: Final = "cloudquotas.googleapis.com"
SERVICE: Final = "run.googleapis.com"


class CloudQuotas:
    """Implements `cloud.Quotas`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._client = wire.client(_client)

    def limits(self, ids: Iterable[str]) -> tuple[QuotaLimit, ...]:
        wanted = tuple(dict.fromkeys(ids))
        with ThreadPoolExecutor(max(1, len(wanted))) as pool:
            return tuple(limit for found in pool.map(self._limits, wanted) for limit in found)

    def _limits(self, quota: str) -> tuple[QuotaLimit, ...]:
        name = f"projects/{self._wire.project}/locations/global/services/{SERVICE}/quotaInfos/{quota}"

        def ask() -> Any:
            return self._client().get_quota_info(request={"name": name}, retry=None, timeout=TIMEOUT)

        info = self._wire.find(API, f"quota {quota}", ask)
        return () if info is None else tuple(_by_region(quota, info))


def _by_region(quota: str, info: Any) -> Iterator[QuotaLimit]:
    """One limit for each region; the API orders from specific to general, so the first that names a region holds there."""
    seen: set[str] = set()
    for row in info.dimensions_infos:
        own = row.dimensions.get("region")
        for region in (own,) if own else row.applicable_locations:
            if region not in seen:
                seen.add(region)
                yield QuotaLimit(quota, region, plain(quota, int(row.details.value), str(info.metric_unit)))


def plain(quota: str, value: int, unit: str = "") -> float:
    """A limit in whole GPUs, vCPUs or bytes.

    CPU is told in milli-vCPU and memory in bytes. GPUs are told in whole ones (L4: 3) or in thousandths (RTX: 3000, and L4 in
    some reports), so 1000 and more are thousandths: no project has 1000 GPUs in a region. Source: published readings, 2026.
    -1 is Google's "unlimited" (google.api.QuotaLimit).
    """
    if value < 0:
        return math.inf
    if "GpuAlloc" in quota:
        return value / 1000 if value >= 1000 or unit.startswith("m") else float(value)
    return value / 1000 if quota.startswith("Cpu") else float(value)


def _client() -> Any:
    from google.cloud.cloudquotas_v1 import CloudQuotasClient

    return CloudQuotasClient
