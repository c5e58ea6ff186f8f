"""plan and deploy from end to end as somebody else than the login: federation to an account, and impersonation. IAM is on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gemmactl.sandbox.apis_api import switch_on
from tests.fakes.recorder import STS
from tests.sandbox_data.conftest import boot, shut
from tests.wire.conftest import APIS, SAMPLE, reads
from tests.wire.test_identities import CI, SUBJECT, WORKER, P, Site

ALL = ("roles/owner", "roles/storage.admin", "roles/storage.objectAdmin")
PERSON = "person@sandbox.invalid"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A project whose CI account may do everything, while person and worker may do nothing there but act as it."""
    world, server = boot(tmp_path / "home", pace=0.3)
    for api in APIS:
        switch_on(world, f"{api}.googleapis.com")
    made = Site(tmp_path, world)
    for role in ALL:
        world.iam.grant(f"serviceAccount:{CI}", role, f"projects/{P}")
    (tmp_path / "subject").write_text(SUBJECT)
    made.allow(f"user:{WORKER}", "roles/iam.workloadIdentityUser")
    made.allow(f"user:{PERSON}", "roles/iam.serviceAccountTokenCreator")
    yield made
    made.recorder.close()
    shut(world, server)


@pytest.mark.long
@pytest.mark.timeout(240)
def test_a_pipeline_deploys_and_a_person_goes_on(site: Site) -> None:
    """Federated: changes pending (3), whole, nothing left (0). Impersonating: pending, then a revision of his own."""
    file = site.federated({"file": str(site.folder / "subject")}, account=CI)
    login = {"GOOGLE_APPLICATION_CREDENTIALS": str(file)}

    def gemmactl(verb: str, *more: str, **environ: str) -> tuple[int, dict]:
        line = ("-m", "gemmactl", verb, str(SAMPLE), "--name", "gemma", "--project", P, "--format", "json", *more)
        done = site.run(*line, **environ)
        return done.returncode, json.loads(done.stdout)

    assert gemmactl("plan", "--detailed-exitcode", **login)[0] == 3
    assert [e for e in site.recorder.exchanges if not reads(e) and "iamcredentials" not in e.host and e.host != STS] == []
    code, deployed = gemmactl("deploy", "--yes", **login)
    assert code == 0, deployed
    assert deployed["data"]["smoke"]["text"]
    assert gemmactl("plan", "--detailed-exitcode", **login)[0] == 0
    assert {"sts.googleapis.com", "iamcredentials.googleapis.com"} <= site.recorder.hosts

    changed = ("--impersonate-service-account", CI, "--set-env-vars", "TURN=2")
    assert gemmactl("plan", "--detailed-exitcode", *changed)[0] == 3
    code, second = gemmactl("deploy", "--yes", *changed)
    assert code == 0, second
    assert second["data"]["smoke"]["text"]
    assert len(site.world.store.items("revisions")) == 2
    granted = {b["role"] for _, d in site.world.store.items("policies") for b in d["policy"]["bindings"] if PERSON in str(b)}
    assert granted == {"roles/iam.serviceAccountTokenCreator"}
