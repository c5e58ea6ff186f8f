"""Who may be named as a caller, and which ways out of a service are legal."""

from dataclasses import replace

import pytest

from gemmactl import access_rules
from gemmactl.errors import Exit, Trouble
from gemmactl.spec import Model, Probe, Serve
from gemmactl.spec_rules import check

GOOD = Serve("my-project", "us-central1", Model("gs", "gs://b/m", "b", "m"), "gemma")
POOL = "iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p"


@pytest.mark.parametrize(
    "member",
    [
        "user:ann@example.com",
        "group:team@example.com",
        "serviceAccount:runner@my-project.iam.gserviceaccount.com",
        "domain:example.com",
        f"principal://{POOL}/subject/s",
        f"principalSet://{POOL}/attribute.repository/owner/name",
    ],
)
def test_members_that_are_taken(member: str) -> None:
    """Every kind of principal that a service's policy takes, but for everybody."""
    check(replace(GOOD, invokers=(member,)))


@pytest.mark.parametrize(
    ("change", "code", "hint"),
    [
        ({"invokers": ("ann@example.com",)}, "invoker-illegal", "--invoker user:ann@example.com"),
        ({"invokers": ("x@p.iam.gserviceaccount.com",)}, "invoker-illegal", "--invoker serviceAccount:x@"),
        ({"invokers": ("deleted:user:ann@example.com",)}, "invoker-illegal", "group:"),
        ({"invokers": ("user:ann",)}, "invoker-illegal", "group:"),
        ({"invokers": ("allUsers",)}, "invoker-everybody", "--auth public"),
        ({"invokers": ("allAuthenticatedUsers",)}, "invoker-everybody", "--auth public"),
        ({"invokers": ("user:ann@example.com",), "auth": "public"}, "invoker-with-open", "--auth iam"),
        ({"auth": "api-key", "engine": "vllm"}, "api-key-with-vllm", "--engine gemmactl"),
        ({"auth": "api-key", "probe": Probe("/v1/models")}, "probe-needs-key", "/ready"),
        ({"vpc_egress": "all-traffic"}, "network-illegal", "--network"),
        ({"network_tags": ("gpu",)}, "network-illegal", "--network"),
        ({"network": "Default"}, "network-illegal", "--network"),
        ({"subnet": "projects/p/subnetworks/s"}, "network-illegal", "--subnet"),
        ({"network": "default", "network_tags": ("UP",)}, "network-illegal", "--network"),
        ({"env": (("GEMMACTL_KEYS", "/x"),)}, "env-twice", "--auth"),
    ],
)
def test_what_is_refused(change: dict[str, object], code: str, hint: str) -> None:
    """Before any call, naming what is legal in the form that can be typed."""
    with pytest.raises(Trouble) as caught:
        check(replace(GOOD, **change))  # type: ignore[arg-type]  # fields by name
    assert (caught.value.exit, caught.value.code) == (Exit.USAGE, code)
    assert hint in caught.value.remedy


@pytest.mark.parametrize(
    "change",
    [
        {"network": "default"},
        {"subnet": "projects/host-project/regions/us-central1/subnetworks/gpus"},
        {"network": "projects/host-project/global/networks/shared", "subnet": "s", "vpc_egress": "all-traffic"},
        {"subnet": "s", "network_tags": ("a", "b-1")},
    ],
)
def test_ways_out_that_are_taken(change: dict[str, object]) -> None:
    """A network, a subnet or both, also of another project."""
    check(replace(GOOD, **change))  # type: ignore[arg-type]  # fields by name


def test_gcloud_s_words() -> None:
    """`all` is gcloud's older word for all-traffic; anything else is told what there is."""
    assert access_rules.egress("all") == access_rules.egress("all-traffic") == "all-traffic"
    with pytest.raises(ValueError, match="internal-and-cloud-load-balancing"):
        access_rules.ingress("none")
    assert access_rules.words(" a, b,,a ") == ("a", "b")
