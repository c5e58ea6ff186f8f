"""Which settings follow from a finding: from the service's own numbers, legal, or not at all with why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gemmactl import spec_rules
from gemmactl.doctor.diagnose import diagnose
from gemmactl.doctor.finding import Finding
from gemmactl.doctor.last_start import printed
from gemmactl.doctor.setting import _RULES as RULES
from gemmactl.doctor.setting import WHY_NOT, changed, derived, line
from gemmactl.resources.cloud import LogEntry
from gemmactl.spec import Probe, Serve, parse_model
from gemmactl.spec_parse import probe as read_probe

WISH = Serve("my-proj", "us-central1", parse_model("gs://weights/m"), "gemma")
SMALL = replace(WISH, cpu=4, memory="16Gi")
RTX = replace(WISH, gpu_type="nvidia-rtx-pro-6000", cpu=20, memory="80Gi")


def found(code: str, **more: Any) -> Finding:
    return Finding(code, "container", "t", "c", "r", fix_kind="config_change", **more)


@pytest.mark.parametrize(
    ("code", "wish", "values"),
    [
        ("host-memory", SMALL, {"cpu": 8, "memory": "32Gi"}),
        ("load-host-memory", RTX, {"cpu": 30, "memory": "120Gi"}),
        ("gpu-shape", replace(WISH, cpu=4), {"cpu": 8, "memory": "32Gi"}),
        ("request-timeout", replace(WISH, timeout=300), {"timeout": 3600}),
        ("probe-timeout", replace(WISH, probe=Probe(failures=3, period=10)), {"probe": Probe(failures=60, period=10)}),
        ("probe-fields", replace(WISH, probe=Probe(timeout=9)), {"probe": Probe(timeout=2)}),
        ("service-illegal", replace(WISH, probe=Probe(failures=2000)), {"probe": Probe(failures=900)}),
        ("gpu-quota-small", replace(WISH, max_instances=5, min_instances=4), {"max_instances": 3, "min_instances": 3}),
        ("scale-bounds", replace(WISH, max_instances=1, min_instances=2), {"min_instances": 1}),
    ],
)
def test_values_that_follow(code: str, wish: Serve, values: dict[str, Any]) -> None:
    """Each is what a deploy takes; the gcloud line sets it, and the same line with the old values takes it back."""
    settings = derived(found(code), wish, lambda _wish: 3)
    assert not isinstance(settings, str), settings
    after = {s.field: s.value for s in settings}
    assert after == {k: v for k, v in values.items() if v != getattr(wish, k)}
    spec_rules.check(changed(wish, after))
    there = line(wish, after)
    assert there.startswith("gcloud run services update gemma --")
    assert there.endswith(" --region=us-central1 --project=my-proj")
    for setting in settings:
        if setting.field == "probe":
            assert read_probe(setting.document()["value"]) == setting.value


@pytest.mark.parametrize(
    ("code", "wish", "word"),
    [
        ("host-memory", WISH, "32Gi is the most"),
        ("gpu-shape", WISH, "are a legal pair"),
        ("request-timeout", replace(WISH, timeout=3600), "is the most"),
        ("probe-timeout", WISH, "waits 600 s already"),
        ("service-illegal", WISH, "does not follow"),
        ("gpu-quota-small", WISH, "not told"),
        ("gpu-region", WISH, "stays in the region"),
        ("ingress-closed", WISH, "yours to decide"),
        ("load-gpu-memory", WISH, "yours to choose"),
        ("env-refused", WISH, "does not follow from what was seen"),
    ],
)
def test_values_that_do_not(code: str, wish: Serve, word: str) -> None:
    """A reason, never a guess."""
    assert word in str(derived(found(code), wish))


@pytest.mark.parametrize(("left", "word"), [(0, "no instance at all"), (5, "has room for 5")])
def test_no_room_is_no_value(left: int, word: str) -> None:
    """Zero instances would be a stopped service, and a quota that fits by now needs no change."""
    assert word in str(derived(found("cpu-quota"), WISH, lambda _wish: left))


def test_what_a_container_prints_changes_no_setting() -> None:
    """The same line from Cloud Run's own log does; from the container's, a model could have written it."""
    said = "Memory limit of 16384 MiB exceeded with 17000 MiB used. Consider increasing the memory limit"
    for log, settled in (("run.googleapis.com%2Fstdout", False), ("run.googleapis.com%2Fvarlog%2Fsystem", True)):
        entry = LogEntry("2026-01-01T00:00:00Z", "ERROR", said, raw={"logName": f"projects/p/logs/{log}"})
        (told,) = printed([entry], replace_context())
        assert told.hearsay is not settled
        assert isinstance(derived(told, SMALL), tuple) is settled


def replace_context() -> Any:
    from gemmactl.doctor.finding import Context

    return Context(project="my-proj")


def test_every_rule_is_about_a_known_failure() -> None:
    """A code that was renamed would leave its rule dead."""
    from gemmactl.doctor.rows import all_rows

    codes = {row.code for row in all_rows()} | {"service-illegal"}
    assert set(RULES) <= codes
    assert set(WHY_NOT) <= codes
    assert diagnose("Memory limit of 512 MiB exceeded with 520 MiB used.")[0].code in RULES
