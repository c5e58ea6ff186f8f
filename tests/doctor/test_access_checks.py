"""Live checks of who may come in and where: callers of a service, the hub's token, the GPU's regions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gemmactl.doctor.checks.check import Verdict
from gemmactl.doctor.checks.rows import CHECKS
from gemmactl.doctor.checks.run import run
from gemmactl.errors import Trouble
from gemmactl.local.hub_account import HubAccount
from gemmactl.resources.cloud import PolicyTarget
from gemmactl.spec import SecretRef, Serve, Token
from tests.doctor.test_checks import WISH, cloud_with, ends, ground


def test_a_service_meant_for_some_that_anybody_may_call() -> None:
    """The binding for everybody is told with the command that takes it away; not of one that is wished open, or is new."""
    name = "projects/demo-proj/locations/us-central1/services/gemma"
    cloud, target = cloud_with(services={name: {"name": name}}), PolicyTarget("service", name)
    cloud.policies.add(target, "roles/run.invoker", "user:a@example.com")
    assert "invoker" not in ends(cloud, live=True)
    cloud.policies.add(target, "roles/run.invoker", "allUsers")
    (found,) = ends(cloud, live=True)["invoker"].findings
    assert (found.code, found.principal, found.state, found.remedies) == ("open-to-all", "allUsers", "advice", ())
    assert found.commands[0].startswith("gcloud run services remove-iam-policy-binding gemma --region=us-central1")
    assert "invoker" not in ends(cloud, live=True, invoker_iam_disabled=True)
    assert "invoker" not in ends(cloud)


def test_a_token_is_asked_for_its_account_before_it_is_stored() -> None:
    """The hub knows it: ok, by its account. It does not: nothing is made. The hub is silent: unknown. No token: not asked."""

    def verdict(whoami: object, wish: Serve, here: str = "", *, live: bool = False) -> Verdict | None:
        made = replace(ground(cloud_with(), wish, live=live), hf_token=here, whoami=whoami)
        return next((v for v in run(CHECKS, made) if v.check == "Hugging Face token"), None)

    def silent(_token: str) -> None:
        raise Trouble("the hub does not say", why="no network", remedy="", code="network")

    asked: list[str] = []

    def knows(token: str) -> HubAccount:
        asked.append(token)
        return HubAccount("ada", "read")

    gated = replace(WISH, hf_token=Token("hf_given"))
    good = verdict(knows, gated, "hf_here")
    assert good is not None
    assert (good.end, good.seen, asked) == ("ok", "the token in HF_TOKEN is of ada (read)", ["hf_given"])
    bad = verdict(lambda _token: None, gated)
    assert bad is not None
    assert bad.refuses
    assert "hf_given" not in str(bad.document())
    stored = verdict(lambda _token: None, replace(WISH, hf_token=SecretRef("own", "1")), "hf_here", live=True)
    assert stored is not None
    assert [f.state for f in stored.findings] == ["advice"]
    unknown = verdict(silent, gated)
    assert unknown is not None
    assert unknown.end == "unknown"
    assert verdict(knows, replace(WISH, hf_token=SecretRef("own", "1"))) is None
    assert verdict(knows, WISH, "hf_here") is None


@pytest.mark.parametrize(
    ("region", "live", "state"),
    [("us-west2", False, "problem"), ("us-west2", True, "advice"), ("asia-south1", False, "advice"), ("us-east4", False, None)],
)
def test_the_gpu_in_its_region_by_the_dated_table(region: str, live: bool, state: str | None) -> None:
    """Not offered, on invitation, offered; what serves already proves the table wrong and is no problem."""
    verdict = ends(cloud_with(), live=live, region=region, gpu_type="nvidia-l4").get("GPU region")
    assert ([f.state for f in verdict.findings] if verdict else [None]) == [state]
