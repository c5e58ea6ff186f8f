"""One name in two regions: secrets of its own in each; what was once named without the region stays as it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gemmactl.errors import Exit
from gemmactl.resources import names
from gemmactl.resources.cloud import PolicyTarget
from gemmactl.serving import key_store, keys
from gemmactl.serving.deploy import deploy, plan
from gemmactl.serving.destroy import destroy
from gemmactl.serving.place import Place
from gemmactl.settings import Value
from gemmactl.spec import SecretRef, Serve, Token, parse_model
from tests.fakes.cloud import FakeCloud
from tests.serving.ear import Ear, place, settings, with_model
from tests.serving.test_keys import Container

HERE, THERE = "us-central1", "europe-west4"
WISH = Serve("demo-proj", HERE, parse_model("gs://weights/m"), "gemma", auth="api-key", hf_token=Token("hf_" + "a" * 30))
PLAIN = {"token_secret": "gemma-hf-token", "keys_secret": "gemma-api-keys"}
"""What the first deploys called them, whatever the region."""


def full(short: str) -> str:
    return f"projects/demo-proj/secrets/{short}"


def at(cloud: FakeCloud, region: str, keys_secret: str = "") -> Place:
    wire = Container(cloud, secret=full(keys_secret or names.keys_secret("gemma", region)))
    return replace(place(cloud), region=Value(region, "--region"), wire=wire, api_key="")


def up(cloud: FakeCloud, region: str, **more: Any) -> Place:
    """The service deployed in one region."""
    here = at(cloud, region, more.get("keys_secret", ""))
    done = deploy(replace(WISH, region=region, **more), here, Ear(), yes=True)
    assert done.exit is Exit.OK, done.problems
    return here


def left(cloud: FakeCloud) -> set[str]:
    """Short names of all secrets."""
    return {name.rpartition("/")[2] for name in cloud.state.secrets}


def used(cloud: FakeCloud, region: str) -> set[str]:
    """Secrets that the service of a region refers to."""
    template = cloud.state.services[f"projects/demo-proj/locations/{region}/services/gemma"]["template"]
    token = [e["valueSource"]["secretKeyRef"]["secret"] for e in template["containers"][0]["env"] if "valueSource" in e]
    return {*token, *(volume["secret"]["secret"] for volume in template["volumes"])}


@pytest.fixture
def both() -> FakeCloud:
    cloud = with_model(FakeCloud())
    for region in (HERE, THERE):
        up(cloud, region)
    return cloud


def test_each_region_has_secrets_of_its_own_and_in_it(both: FakeCloud) -> None:
    """The payload lies in the region of the service, each account reads its own, and both plans are empty afterwards."""
    for region in (HERE, THERE):
        mine = {f"gemma-hf-token-{region}", f"gemma-api-keys-{region}"}
        assert used(both, region) == mine
        assert {both.state.secret_regions[full(name)] for name in mine} == {region}
        (account,) = both.state.policies[PolicyTarget("secret", full(f"gemma-api-keys-{region}"))].values()
        assert account == {
            f"serviceAccount:{names.runtime_account('demo-proj', region, 'gemma')}@demo-proj.iam.gserviceaccount.com"
        }
        assert plan(replace(WISH, region=region), at(both, region), again="").data["changes"] == 0
    assert len(left(both)) == 4


def test_a_key_of_one_region_opens_nothing_in_the_other(both: FakeCloud, tmp_path: Path) -> None:
    """Keys are made, listed and revoked where the service reads them."""
    made = keys.create(at(both, THERE), settings(tmp_path), "gemma", Ear(), label="ci").data
    assert [one["id"] for one in keys.listed(at(both, THERE), settings(tmp_path), "gemma").data["keys"]] == [made["id"]]
    assert keys.listed(at(both, HERE), settings(tmp_path), "gemma").data["keys"] == []
    assert keys.revoke(at(both, THERE), settings(tmp_path), "gemma", made["id"], Ear(), yes=True).data["left"] == 0


def test_destroy_in_one_region_leaves_the_secrets_of_the_other(both: FakeCloud, tmp_path: Path) -> None:
    """Two secrets go with each; the second one leaves none."""
    assert destroy(at(both, THERE), settings(tmp_path), "gemma", Ear(), yes=True).exit is Exit.OK
    assert left(both) == used(both, HERE)
    assert destroy(at(both, HERE), settings(tmp_path), "gemma", Ear(), yes=True).exit is Exit.OK
    assert left(both) == set()


def test_a_service_keeps_the_secrets_that_it_has_by_their_first_names(tmp_path: Path) -> None:
    """Its deploy changes nothing, also where the token is not given again; keys go where they are read; destroy removes both."""
    cloud = with_model(FakeCloud())
    here = up(cloud, HERE, **PLAIN)
    assert used(cloud, HERE) == set(PLAIN.values())
    for wish in (WISH, replace(WISH, hf_token=None), replace(WISH, hf_token=SecretRef("gemma-hf-token", "1"))):
        assert plan(wish, here, again="").data["changes"] == 0
    made = keys.create(here, settings(tmp_path), "gemma", Ear()).data
    assert [key.id for key in key_store.read(cloud, full("gemma-api-keys"))] == [made["id"]]
    assert destroy(here, settings(tmp_path), "gemma", Ear(), yes=True).exit is Exit.OK
    assert left(cloud) == set()


def test_a_new_region_takes_nothing_from_secrets_without_one(tmp_path: Path) -> None:
    """Beside a service with the first names it gets its own; destroying it leaves those, with who may read them."""
    cloud = with_model(FakeCloud())
    up(cloud, HERE, **PLAIN)
    before = {name: list(cloud.state.versions[full(name)]) for name in PLAIN.values()}
    there = up(cloud, THERE)
    assert used(cloud, THERE) == {f"gemma-hf-token-{THERE}", f"gemma-api-keys-{THERE}"}
    assert destroy(there, settings(tmp_path), "gemma", Ear(), yes=True).exit is Exit.OK
    assert left(cloud) == set(PLAIN.values())
    assert {name: list(cloud.state.versions[full(name)]) for name in PLAIN.values()} == before
    assert all(cloud.state.policies[PolicyTarget("secret", full(name))] for name in PLAIN.values())


def test_a_secret_that_another_service_was_given_by_name_stays(both: FakeCloud, tmp_path: Path) -> None:
    """--hf-token NAME of this one's secret: whoever made it, something starts with it."""
    other = replace(WISH, name="other", auth="iam", hf_token=SecretRef(f"gemma-hf-token-{HERE}", "1"))
    assert deploy(other, replace(place(both), api_key=""), Ear(), yes=True).exit is Exit.OK
    done = destroy(at(both, HERE), settings(tmp_path), "gemma", Ear(), yes=True)
    assert f"gemma-hf-token-{HERE}" in left(both)
    assert f"gemma-api-keys-{HERE}" not in left(both)
    assert any("service other uses it" in one["why"] for one in done.data["stays"])


def test_another_projects_secret_of_that_name_is_not_its_own() -> None:
    """A token given now goes into a secret of this project's, by the name with the region."""
    cloud = with_model(FakeCloud())
    there = "projects/other-proj/secrets/gemma-hf-token"
    cloud.secrets.create(there, HERE, {})
    cloud.secrets.add_version(there, b"x")
    up(cloud, HERE, hf_token=SecretRef(there, "1"))
    up(cloud, HERE)
    assert f"gemma-hf-token-{HERE}" in used(cloud, HERE)
    assert there in cloud.state.secrets


def test_an_unfinished_deploy_is_removed_by_either_name(tmp_path: Path) -> None:
    """No service says what its secrets are called; those that a service of another region reads stay."""
    cloud = with_model(FakeCloud())
    up(cloud, HERE, **PLAIN)
    cloud.secrets.create(full(f"gemma-hf-token-{THERE}"), THERE, {"managed-by": "gemmactl"})
    destroy(at(cloud, THERE), settings(tmp_path), "gemma", Ear(), model="gs://weights/m", yes=True)
    assert left(cloud) == set(PLAIN.values())
    del cloud.state.services[f"projects/demo-proj/locations/{HERE}/services/gemma"]
    destroy(at(cloud, HERE), settings(tmp_path), "gemma", Ear(), model="gs://weights/m", yes=True)
    assert left(cloud) == set()


@pytest.mark.parametrize("short", ["gemma-api-keys", "gemma-api-keys-us-central1", "x-api-keys-northamerica-northeast1"])
def test_a_name_says_that_it_holds_keys(short: str) -> None:
    """By either name; a token's does not, whatever the service is called."""
    assert names.holds_keys(short)
    assert not names.holds_keys(names.token_secret(short, HERE))
