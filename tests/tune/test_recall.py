"""What a live job says of the wish that made it: the plan of that wish is empty, and its teardown finds everything."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gemmactl.kernel.plan import make_plan, make_teardown
from gemmactl.resources.cloud import BucketInfo
from gemmactl.spec import SecretRef, Token
from gemmactl.stack_tune import tuning
from gemmactl.tune.recall import recalled, remembering
from gemmactl.tune_spec import Tune
from tests.fakes.cloud import FakeCloud
from tests.resources.test_stack_tune import CONTEXT, JOB, SPEC, fresh, made, wanted, with_token
from tests.resources.wishes import changes, go

RICH = with_token(
    reads=("weights", "other"),
    cpu=8,
    memory="32Gi",
    timeout=7200,
    retries=10,
    network="default",
    subnet="default",
    network_tags=("tune",),
    vpc_egress="all-traffic",
    env=(("GEMMACTL_TORCH_THREADS", "2"),),
    build_service_account="mine@demo-proj.iam.gserviceaccount.com",
)
GIVEN = replace(SPEC, image="docker.io/me/tune:1", service_account="me@demo-proj.iam.gserviceaccount.com", iam=False, reads=())


def back(cloud: FakeCloud) -> Tune:
    return recalled("demo-proj", "us-central1", cloud.state.jobs[JOB])


@pytest.mark.parametrize("spec", [SPEC, RICH, GIVEN], ids=["plain", "rich", "given"])
def test_a_job_says_what_made_it(spec: Tune) -> None:
    """Everything but the token's value comes back, so the plan after it is empty."""
    cloud = fresh()
    cloud.state.buckets["other"] = BucketInfo("other", "us-central1")
    cloud.state.apis.add("iam.googleapis.com")
    cloud.accounts.create("mine", "", "by hand")
    made(cloud, spec)
    again = back(cloud)
    assert replace(again, hf_token=None, reads=()) == replace(spec, hf_token=None, reads=())
    assert set(again.reads) == set(spec.reads)
    assert again.hf_token == (SecretRef("finetune-sql-hf-token-us-central1", "1") if isinstance(spec.hf_token, Token) else None)
    assert changes(make_plan(wanted(again), cloud)) == {}


def test_a_job_keeps_the_secret_that_it_has_by_its_first_name() -> None:
    """It was named without the region: a later run changes nothing of it, and destroy finds it."""
    cloud, first = fresh(), with_token(token_secret="finetune-sql-hf-token")
    made(cloud, first)
    again = remembering(with_token(), cloud.state.jobs[JOB])
    assert again.token_secret == back(cloud).token_secret == first.token_secret
    assert changes(make_plan(wanted(again), cloud)) == {}
    assert go(make_teardown(tuning(back(cloud), context=CONTEXT, teardown=True), cloud), cloud).ok
    assert cloud.state.secrets == {}


def test_a_later_run_forgets_nothing_that_was_granted() -> None:
    """Another base in another bucket: the earlier grant is still of the stack, so destroy takes both back."""
    cloud = fresh()
    cloud.state.buckets["other"] = BucketInfo("other", "us-central1")
    made(cloud)
    made(cloud, remembering(replace(SPEC, reads=("other",)), cloud.state.jobs[JOB]))
    assert go(make_teardown(tuning(back(cloud), context=CONTEXT, teardown=True), cloud), cloud).ok
    assert not [m for roles in cloud.state.policies.values() for members in roles.values() for m in members]
    assert remembering(SPEC, None) == SPEC


def test_what_another_hand_made_stays_its_own() -> None:
    """A job that was made without IAM is changed without it, unless --iam is said."""
    cloud = fresh()
    made(cloud, GIVEN)
    live = cloud.state.jobs[JOB]
    assert remembering(SPEC, live).iam is False
    assert remembering(replace(SPEC, iam=True), live).iam is True
