"""A service's difference as a reader sees it: part by part, only what is not as wished."""

from __future__ import annotations

from gemmactl.kernel.plan import decide
from gemmactl.resources.service import Service
from gemmactl.resources.service_types import Container, EnvVar, Probe, Resources, SecretEnv


def service(container: Container, **more: object) -> Service:
    return Service("p", "r", "s", containers=(container,), **more)  # type: ignore[arg-type]  # a table of fields


def test_a_container_differs_part_by_part() -> None:
    """Variables one by one, sizes by their names, and nothing that is as wished or without a wish."""
    live = service(
        Container(
            "i@sha256:1",
            env=(EnvVar("A", "b"), EnvVar("SAME", "x"), EnvVar("OLD", "o")),
            resources=Resources("4", "16Gi", "1", cpu_idle=False),
            startup_probe=Probe("tcp", port=8080, period=240),
        ),
        concurrency=1,
    )
    wanted = service(
        Container(
            "i@sha256:1",
            env=(EnvVar("A", "c"), EnvVar("SAME", "x"), SecretEnv("NEW", "token", "3")),
            resources=Resources("8000m", "16Gi", "1"),
            startup_probe=Probe("tcp", port=8080, period=240),
        ),
        concurrency=4,
    )
    assert [(c.field, c.live, c.wanted) for c in decide(wanted, live).changes] == [
        ("A", "b", "c"),
        ("OLD", "o", "none"),
        ("NEW", "none", "secret token:3"),
        ("cpu", "4", "8"),
        ("concurrency", "1", "4"),
    ]


def test_another_image_is_named_by_both_sides() -> None:
    """A changed image shows the digest that runs and the one that will."""
    (change,) = decide(service(Container("i@sha256:2")), service(Container("i@sha256:1"))).changes
    assert (change.field, change.live, change.wanted) == ("image", "i@sha256:1", "i@sha256:2")
