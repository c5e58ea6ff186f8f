"""The rules of a startup probe. Knows no cloud: limits has the numbers."""

from __future__ import annotations

import re
from typing import Final

from gemmactl import limits
from gemmactl.errors import Trouble, usage
from gemmactl.spec import Serve

RESERVED: Final = re.compile(r".*z/?|/eventlog/?|/_ah(/.*)?")
"""Google's front end answers these itself with 404: the probe, which comes from inside, would prove what no caller ever gets.
source: Cloud Run's page of known issues."""


def check(serve: Serve) -> None:
    """The server checks neither timeout nor budget before it starts an instance.

    Raises:
        Trouble: (usage) a probe that Cloud Run would reject, or that could never succeed.
    """
    probe, most = serve.probe, limits.PROBE_FIELD_MOST
    for field, value, low in (
        ("initialDelaySeconds", probe.initial_delay, 0),
        ("periodSeconds", probe.period, 1),
        ("timeoutSeconds", probe.timeout, 1),
    ):
        if not low <= value <= most:
            raise _bad_probe(
                f"{field}={value} is outside {low} to {most}", f"set {field} to at most {most} and raise failureThreshold instead"
            )
    if probe.failures < 1:
        raise _bad_probe(f"failureThreshold={probe.failures} must be at least 1", "set failureThreshold to 1 or more")
    if probe.timeout > probe.period:
        raise _bad_probe(
            f"timeoutSeconds={probe.timeout} is longer than periodSeconds={probe.period}",
            f"set timeoutSeconds to at most {probe.period}",
        )
    if probe.period * probe.failures > limits.PROBE_BUDGET_MOST:
        raise _bad_probe(
            f"period x threshold is {probe.period * probe.failures} s, at most {limits.PROBE_BUDGET_MOST} with a GPU",
            f"set failureThreshold to at most {limits.PROBE_BUDGET_MOST // probe.period}",
        )
    if not 1 <= probe.port <= 65535:
        raise _bad_probe(f"port {probe.port} is not a port", "use 8080, where the server listens")
    if probe.path is not None and RESERVED.fullmatch(probe.path.partition("?")[0]):
        raise _bad_probe(
            f"{probe.path} is reserved on run.app, as every path that ends in z, /eventlog and /_ah/ are",
            "use httpGet.path=/ready",
        )


def _bad_probe(why: str, remedy: str) -> Trouble:
    return usage("--startup-probe is not legal", why=why, remedy=remedy, code="probe-illegal")
