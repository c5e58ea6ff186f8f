"""A container of others that Cloud Storage refuses: its log lines decide between waiting for a fresh grant and failing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gemmactl import stack
from gemmactl.kernel import events
from gemmactl.kernel.apply import Outcome, Patience, apply
from gemmactl.kernel.plan import make_plan
from gemmactl.kernel.resource import Resource
from gemmactl.resources.cloud import LogEntry
from gemmactl.resources.service import Service
from gemmactl.resources.service_account import ServiceAccount
from gemmactl.resources.storage_denial import storage_denied
from gemmactl.spec import Serve, parse_model
from tests.fakes.cloud import FakeCloud
from tests.kernel.toy import ToyClock
from tests.serving.ear import with_model

ME = "gemma-run@demo-proj.iam.gserviceaccount.com"
URL = "https://storage.googleapis.com/storage/v1/b/weights/o/m%2Fconfig.json?alt=media"
READS = "['vllm'], ['serve', 'gs://weights/m']"
WISH = Serve("demo-proj", "us-central1", parse_model("gs://weights/m"), "gemma", engine="vllm", engine_given=True)


@pytest.mark.parametrize(
    "text",
    [
        f"google.api_core.exceptions.Forbidden: 403 GET {URL}: {ME} does not have storage.objects.get access to the object.",
        f"Forbidden: 403 GET https://www.googleapis.com/storage/v1/b/w: {ME} does not have storage.buckets.get access to w.",
        f"google.api_core.exceptions.Forbidden: 403 GET {URL}: ('Request failed with status code', 403, 'Expected one of', 200)",
        f"<Error><Code>AccessDenied</Code>\n<Details>{ME} does not have\nstorage.objects.get access to it.</Details></Error>",
        f"gcsfs.retry.HttpError: {ME} does not have storage.objects.list access to the Google Cloud Storage bucket., 403",
        "Permission 'storage.objects.get' denied on resource (or it may not exist).",
        f"(EngineCore pid=7) httpx.HTTPStatusError: Client error '403 Forbidden' for url '{URL}'\nSee https://x.dev/Status/403",
        f"requests.exceptions.HTTPError: 403 Client Error: Forbidden for url: {URL}",
        f"aiohttp.client_exceptions.ClientResponseError: 403, message='Forbidden', url='{URL}'",
        "(EngineCore pid=7) urllib.error.HTTPError: HTTP Error 403: Forbidden",
        "Permanent error in ListObjects: PERMISSION_DENIED: gs://weights/m",
    ],
)
def test_a_403_of_storage_to_the_account_or_to_nobody_counts(text: str) -> None:
    """The words of Google's clients, gcsfs, httpx, requests, aiohttp and urllib; the XML form broken into lines."""
    assert storage_denied(["INFO starting", *text.splitlines()], ME, READS)


@pytest.mark.parametrize(
    "text",
    [
        f"403 GET {URL}: other@demo-proj.iam.gserviceaccount.com does not have storage.objects.get access to the object.",
        f"401 GET {URL}: Anonymous caller does not have storage.objects.get access to the Google Cloud Storage object.",
        f"403 GET {URL}: The billing account for the owning project is disabled in state absent",
        f"403 GET {URL}: Request is prohibited by organization's policy. vpcServiceControlsUniqueIdentifier: x",
        f"404 GET {URL}: No such object: weights/m/config.json",
        "requests.exceptions.HTTPError: 403 Client Error: Forbidden for url: https://huggingface.co/google/gemma-3-4b-it",
        "GatedRepoError: 403 Client Error. (Request ID: Root=1)\n\nCannot access gated repo for url https://huggingface.co/x",
        "urllib.error.HTTPError: HTTP Error 403: Forbidden\nasked https://huggingface.co/x",
        "PermissionError: [Errno 13] Permission denied: 'cache/x'",
        "torch.OutOfMemoryError: CUDA out of memory while loading gs://weights/m",
    ],
)
def test_any_other_refusal_does_not(text: str) -> None:
    """Another account, what no grant cures, another host, a file's permission, no refusal at all."""
    assert not storage_denied(text.splitlines(), ME, READS)


def test_urllibs_403_counts_only_where_a_bucket_is_read() -> None:
    """It has no address; what the container was told to run says whose it is."""
    assert not storage_denied(["urllib.error.HTTPError: HTTP Error 403: Forbidden"], ME, "['serve', 'google/gemma-3-4b-it']")


def rolled(cloud: FakeCloud, text: str, times: int) -> tuple[Outcome, list[float], list[str]]:
    """An apply from nothing whose first `times` revisions die with this line: the outcome, the naps, what was said."""
    tries = [0]

    def before(name: str) -> None:
        if name in ("run.create", "run.update"):  # each is asked twice: once as a dry run
            tries[0] += 1
            cloud.rollout = "The user-provided container failed to start." if (tries[0] + 1) // 2 <= times else ""

    cloud.before_call = before
    wanted = tuple(_at_once(resource) for resource in stack.serving(WISH))
    (account,) = (resource.email for resource in wanted if isinstance(resource, ServiceAccount))
    cloud.state.logs = [('revision_name="gemma-0', LogEntry("1", "DEFAULT", text.replace(ME, account)))]
    said: list[str] = []
    time = ToyClock()

    def heard(event: events.Event) -> None:
        if isinstance(event, events.Progress):
            said.append(event.text)

    plan = make_plan(wanted, cloud)
    return apply(plan, cloud, events=heard, clock=time.clock, patience=Patience(total=60)), time.naps, said


def _at_once(resource: Resource) -> Resource:
    return replace(resource, rollout=None) if isinstance(resource, Service) else resource


def test_vllm_is_started_again_until_the_grant_of_the_same_apply_takes_effect() -> None:
    """Its container died of a 403 twice; the third revision may read, and the wait was told."""
    text = f"403 GET {URL}: {ME} does not have storage.objects.get access to the Google Cloud Storage object."
    outcome, naps, said = rolled(with_model(FakeCloud()), text, 2)
    assert outcome.ok, outcome.failed
    assert len(naps) == 2
    assert sum("takes effect slowly" in one for one in said) == 2


@pytest.mark.parametrize(
    ("text", "waits"),
    [
        (f"403 GET {URL}: {ME} does not have storage.objects.get access to the Google Cloud Storage object.", True),
        ("403 GET it: other@x.iam.gserviceaccount.com does not have storage.objects.get access to the object.", False),
    ],
)
def test_a_denial_that_stays_ends_within_the_patience(text: str, *, waits: bool) -> None:
    """Bounded as for gemmactl's own server; a line about somebody else makes nobody wait."""
    outcome, naps, _ = rolled(with_model(FakeCloud()), text, 99)
    (trouble,) = outcome.failed.values()
    assert (trouble.code, trouble.facts["denied"], bool(naps)) == ("rollout-failed", waits, waits)
    assert sum(naps) <= 60


@pytest.mark.parametrize(
    ("text", "waits"),
    [
        (f"403 GET {URL}: {ME} does not have storage.objects.get access to the Google Cloud Storage object.", True),
        (f"403 GET {URL}: Forbidden", False),
    ],
)
def test_a_denial_is_told_at_once_unless_it_names_who_was_granted_before(text: str, *, waits: bool) -> None:
    """Nothing was granted by this apply, but one that was killed may have done so just before: the account's name tells."""
    cloud = with_model(FakeCloud())
    assert rolled(cloud, text, 0)[0].ok
    service = next(iter(cloud.state.services.values()))
    service["terminalCondition"] = {"type": "Ready", "state": "CONDITION_FAILED", "message": "no"}
    outcome, naps, said = rolled(cloud, text, 99)
    assert (len(outcome.failed), bool(naps)) == (1, waits)
    assert any("although what permits it stands" in one for one in said) is waits
