"""Each binding and each API of a fine-tune that was made, taken away alone: doctor names exactly it, --fix brings it back."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from gemmactl.commands.doctor import examined
from gemmactl.errors import Exit
from gemmactl.kernel.plan import make_plan
from gemmactl.resources.apis import Apis
from gemmactl.resources.iam_member import IamMember
from gemmactl.result import Result
from gemmactl.spec import SecretRef
from gemmactl.stack_tune import tuning
from gemmactl.tune_spec import Tune
from tests.fakes.cloud import DIGEST, FakeCloud
from tests.resources.wishes import go
from tests.serving.ear import Ear, place, settings, with_model
from tests.tune import desk

IMAGE, SECRET = "us-central1-docker.pkg.dev/demo-proj/team/worker:1", "projects/demo-proj/secrets/hub"
WISH = Tune(
    desk.PROJECT,
    desk.REGION,
    desk.NAME,
    desk.BUCKET,
    f"gs://{desk.BUCKET}/{desk.folder()}",
    reads=("weights",),
    hf_token=SecretRef("hub", "1"),
    image=IMAGE,
)
STACK = tuning(WISH)
GRANTS = [one for one in STACK if isinstance(one, IamMember)]
APIS = next(one for one in STACK if isinstance(one, Apis)).names
BESIDE = frozenset(
    f"{api}.googleapis.com" for api in ("artifactregistry", "cloudbuild", "cloudbilling", "cloudquotas", "orgpolicy")
)
"""What only checks ask, and what builds the image where none is given."""


@pytest.fixture
def cloud() -> FakeCloud:
    """Where the fine-tune was made, with a run that has not begun."""
    made = with_model(FakeCloud())
    made.state.images[IMAGE] = DIGEST
    made.secrets.create(SECRET, desk.REGION, {})
    made.secrets.add_version(SECRET, b"hf_canary")
    outcome = go(make_plan(STACK, made), made)
    assert outcome.ok, outcome.failed
    desk.with_run(made)
    made.enforce_apis = True
    made.state.apis |= BESIDE
    return made


def doctor(cloud: FakeCloud, folder: Path, *, fix: bool = False) -> Result:
    return examined(place(cloud), settings(folder), "sql", Ear(), fix=fix, yes=fix, retry=False, for_admin=False)


def named(result: Result) -> list[dict[str, Any]]:
    return [one for one in result.data["findings"] if one["state"] != "advice"]


def test_what_was_made_has_no_finding(cloud: FakeCloud, tmp_path: Path) -> None:
    """Otherwise what is taken away below would not be the only fault."""
    assert [one["title"] for one in named(doctor(cloud, tmp_path))] == []
    assert [(one.target.kind, one.role) for one in GRANTS] == [
        ("bucket", "roles/storage.objectUser"),
        ("bucket", "roles/storage.objectViewer"),
        ("secret", "roles/secretmanager.secretAccessor"),
    ]


@pytest.mark.parametrize("grant", GRANTS, ids=lambda grant: grant.address)
def test_a_binding(cloud: FakeCloud, tmp_path: Path, grant: IamMember) -> None:
    """One finding with this member, role and thing; one write, after which all is as it was before."""
    whole = copy.deepcopy(cloud.state)
    cloud.state.policies[grant.target][grant.role].discard(grant.member)
    (only,) = named(doctor(cloud, tmp_path))
    assert (only["code"], only["principal"], only["role"]) == ("missing-grant", grant.member, grant.role)
    before = len(cloud.writes)
    assert doctor(cloud, tmp_path, fix=True).exit is Exit.OK
    assert (cloud.state == whole, len(cloud.writes) - before) == (True, 1)
    assert named(doctor(cloud, tmp_path)) == []


@pytest.mark.parametrize("api", APIS)
def test_an_api(cloud: FakeCloud, tmp_path: Path, api: str) -> None:
    """Also one without which no job can be asked for: it alone is named, and enabled."""
    whole = copy.deepcopy(cloud.state)
    cloud.state.apis.discard(api)
    assert [(one["code"], api in one["title"]) for one in named(doctor(cloud, tmp_path))] == [("api-disabled", True)]
    assert doctor(cloud, tmp_path, fix=True).exit is Exit.OK
    assert cloud.state == whole
