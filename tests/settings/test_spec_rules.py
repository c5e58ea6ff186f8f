"""What Cloud Run would refuse is refused before any call, with the legal choices."""

from dataclasses import replace
from typing import Any

import pytest

from gemmactl import spec_rules
from gemmactl.errors import Exit, Trouble
from gemmactl.spec import Model, Probe, SecretRef, Serve

GOOD = Serve("my-project", "us-central1", Model("gs", "gs://b/m", "b", "m"), "gemma")
SEED = Probe(path=None, tcp=True, initial_delay=240, timeout=240, period=240, failures=5)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"probe": SEED, "concurrency": 1, "auth": "public"},
        {"cpu": 4, "memory": "16Gi"},
        {"cpu": 6, "memory": "24Gi"},
        {"gpu_type": "nvidia-rtx-pro-6000", "cpu": 20, "memory": "80Gi"},
        {"gpu_type": "nvidia-rtx-pro-6000", "cpu": 30, "memory": "120Gi", "region": "europe-west4"},
        {"timeout": 3600, "concurrency": 1000},
        {"service_account": "runner@my-project.iam.gserviceaccount.com"},
        {"name": "a"},
        {"name": "a" * 49},
    ],
)
def test_legal_wishes(change: dict[str, Any]) -> None:
    """The defaults, the seed's own flags, and the edges of each range."""
    spec_rules.check(replace(GOOD, **change))


ILLEGAL: list[tuple[dict[str, Any], str, str]] = [
    ({"region": "mars-north1"}, "region-without-gpu", "europe-west4"),
    ({"region": "europe-north1"}, "region-without-gpu", "europe-west1"),
    ({"gpu_type": "nvidia-rtx-pro-6000", "region": "us-east4"}, "region-without-gpu", "asia-southeast1"),
    ({"gpu_type": "nvidia-a100"}, "gpu-unknown", "nvidia-l4"),
    ({"cpu": 4}, "cpu-memory-pair", "--cpu 4 with 16Gi"),
    ({"cpu": 2, "memory": "8Gi"}, "cpu-illegal", "--cpu 4 with 16Gi"),
    ({"memory": "8Gi"}, "cpu-memory-pair", "16Gi to 32Gi"),
    ({"memory": "64Gi"}, "cpu-memory-pair", "16Gi to 32Gi"),
    ({"memory": "much"}, "memory-illegal", "Gi"),
    ({"gpu_type": "nvidia-rtx-pro-6000", "cpu": 21, "memory": "80Gi"}, "cpu-illegal", "--cpu 22"),
    ({"cpu_throttling": True}, "throttling-with-gpu", "life time"),
    ({"concurrency": 0}, "out-of-range", "1 to 1000"),
    ({"concurrency": 1001}, "out-of-range", "1 to 1000"),
    ({"timeout": 3601}, "out-of-range", "3600"),
    ({"max_instances": 0}, "out-of-range", "1 to"),
    ({"min_instances": 2}, "out-of-range", "0 to 1"),
    ({"name": "Gemma"}, "name-illegal", "lower-case"),
    ({"name": "a" * 50}, "name-illegal", "49"),
    ({"name": "gemma-"}, "name-illegal", "hyphen"),
    ({"env": (("PORT", "1"),)}, "env-reserved", "PORT"),
    ({"env": (("K_SERVICE", "1"),)}, "env-reserved", "K_"),
    ({"secrets": (("CLOUD_RUN_X", SecretRef("s")),)}, "env-reserved", "CLOUD_RUN_"),
    ({"env": (("A", "1"),), "secrets": (("A", SecretRef("s")),)}, "env-twice", "share"),
    ({"env": (("A", "x" * 40000),)}, "env-long", "32 KiB"),
    ({"service_account": "someone@example.com"}, "service-account-illegal", "gserviceaccount.com"),
    ({"probe": replace(SEED, period=241)}, "probe-illegal", "1 to 240"),
    ({"probe": replace(SEED, initial_delay=241)}, "probe-illegal", "0 to 240"),
    ({"probe": replace(SEED, timeout=240, period=10)}, "probe-illegal", "longer than"),
    ({"probe": replace(SEED, failures=8)}, "probe-illegal", "1800"),
    ({"probe": replace(SEED, failures=0)}, "probe-illegal", "at least 1"),
    *(
        ({"probe": Probe(path=p)}, "probe-illegal", "reserved")
        for p in ("/healthz", "/quiz?a", "/eventlog", "/_ah", "/_ah/warmup")
    ),
]


@pytest.mark.parametrize(("change", "code", "choice"), ILLEGAL)
def test_illegal_wishes_name_the_legal_choices(change: dict[str, Any], code: str, choice: str) -> None:
    """Exit 2, a stable code, what, why with the legal choices, and a remedy."""
    with pytest.raises(Trouble) as caught:
        spec_rules.check(replace(GOOD, **change))
    trouble = caught.value
    assert (trouble.exit, trouble.code) == (Exit.USAGE, code)
    assert choice in trouble.why
    assert trouble.remedy


def test_the_remedy_of_a_pair_is_legal() -> None:
    """Following the remedy of an illegal pair leads to a legal one."""
    with pytest.raises(Trouble) as caught:
        spec_rules.check(replace(GOOD, cpu=4, memory="32Gi"))
    assert caught.value.remedy == "choose --cpu 8 for 32Gi"
