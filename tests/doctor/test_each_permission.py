"""Each permission that the steps of a first deploy or fine-tune need, taken from the caller alone: it is named, with one role."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gemmactl import stack
from gemmactl.doctor.by_data import holders
from gemmactl.doctor.checks import rights as checks
from gemmactl.doctor.checks.check import Ground
from gemmactl.doctor.finding import Context
from gemmactl.doctor.fix import why_not
from gemmactl.kernel.plan import make_plan
from gemmactl.kernel.resource import Resource
from gemmactl.resources import rights
from gemmactl.resources.iam_member import IamMember
from gemmactl.spec import Serve, Token, parse_model
from gemmactl.stack_tune import tuning
from gemmactl.tune_spec import Tune
from tests.fakes.cloud import FakeCloud
from tests.serving.ear import with_model

TOKEN = Token("hf_canary")
SERVING = stack.serving(Serve("demo-proj", "us-central1", parse_model("gs://weights/m"), "gemma", hf_token=TOKEN))
TUNING = tuning(
    Tune("demo-proj", "us-central1", "sql", "demo-proj-gemmactl-models-us-central1", reads=("weights",), hf_token=TOKEN)
)
SURELY = {
    "artifactregistry.repositories.create",
    "cloudbuild.builds.create",
    "iam.serviceAccounts.actAs",
    "iam.serviceAccounts.create",
    "resourcemanager.projects.setIamPolicy",
    "run.operations.get",
    "secretmanager.secrets.create",
    "serviceusage.services.enable",
    "storage.buckets.create",
}
"""What neither can do without."""
BORN = {"storage.objects.create", "storage.objects.get", "storage.objects.list"}
"""Whoever makes the bucket holds them on it."""


@pytest.mark.parametrize(
    ("wanted", "own"),
    [(SERVING, {"run.services.create", "run.services.get"}), (TUNING, {"run.jobs.create", "run.jobs.get"})],
    ids=["serving", "tuning"],
)
def test_each_permission_is_named_alone(wanted: Sequence[Resource], own: set[str]) -> None:
    """No other one is, and the role holds it by data; --fix makes nobody an administrator of anything."""
    cloud = with_model(FakeCloud())
    steps = make_plan(wanted, cloud).work
    ground = Ground(cloud, tuple(wanted), context=Context("demo-proj", caller=cloud.caller()))
    needed = {need.permission for step in steps for need in rights.needed(step, "demo-proj")}
    assert needed >= SURELY | own
    for permission in sorted(needed):
        cloud.lacking = frozenset({permission})
        found = [f for verdict in checks.check(steps, ground) for f in verdict.findings if f.state == "problem"]
        assert {f.permission for f in found} == {permission} - BORN
        for one in found:
            assert one.role in {holder.role for holder in holders(permission)}, permission
            assert one.principal == cloud.caller()
            applied = [r for r in one.remedies if isinstance(r, IamMember) and not why_not(r, {cloud.caller()})]
            assert not any(word in r.role.lower() for r in applied for word in ("admin", "owner", "roles/editor")), permission
