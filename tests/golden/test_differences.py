"""The one table of differences from gcloud's bodies, docs/gcloud.md, is complete and holds nothing that is not true."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from google.cloud.artifactregistry_v1 import Repository as RepositoryMessage
from google.cloud.devtools.cloudbuild_v1 import Build
from google.cloud.secretmanager_v1 import Secret

from gemmactl.gcp.cloud import connect
from gemmactl.resources import mark
from gemmactl.resources.cloud import BucketInfo, Cloud, PolicyTarget, RepositoryInfo
from gemmactl.resources.image import Image
from gemmactl.resources.service_body import lean
from gemmactl.spec import Serve, parse_model
from tests.golden.replay import Asked, golden, replaying, sent
from tests.golden.test_bodies import ACCOUNT, PROJECT, normal
from tests.golden.test_services import IMAGE, PROBES, built
from tests.house.tree import ROOT
from tests.knative.sheets import codelab, codelab_job

Both = tuple[Any, Any]
PAGE = (ROOT / "docs/gcloud.md").read_text()


@dataclass(frozen=True)
class Row:
    """One row of the page's table."""

    recordings: tuple[str, ...]
    field: str
    why: str

    def covers(self, number: str, path: str) -> bool:
        """Whether a difference at this path of this recording is the row's."""
        return number in self.recordings and (path == self.field or path.startswith((f"{self.field}.", f"{self.field}[")))


def table() -> tuple[Row, ...]:
    cells = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in PAGE.splitlines() if line.startswith("| ")]
    return tuple(Row(tuple(one[0].split(", ")), one[1].strip("`"), one[4]) for one in cells[2:])


ROWS = table()
VALUE = b"hf_fake_token_for_rig"
SECRET = f"projects/{PROJECT}/secrets/HF_TOKEN"


def exchange(number: str, method: str, ending: str, ask: Callable[[Cloud, Any], Any]) -> tuple[Asked, Asked]:
    """(gcloud's request, ours) of a recording."""
    want = sent(number, method, ending)
    with replaying(number) as replay:
        ask(connect(PROJECT, replay), want.body)
    return want, replay.one(method)


def _repository() -> Both:
    name = f"projects/{PROJECT}/locations/us-central1/repositories/gemma3-repo"
    info = RepositoryInfo(name, "DOCKER", dict(mark.OURS), 10, 90)
    want, got = exchange("01", "POST", "/repositories", lambda cloud, _: cloud.repositories.create(info))
    return normal(RepositoryMessage, want.body), normal(RepositoryMessage, got.body)


def _build() -> Both:
    def ask(cloud: Cloud, body: Any) -> None:
        source, tag = body["source"]["storageSource"], body["images"][0]
        image = Image(PROJECT, "us-central1", tag, "inference_image/Dockerfile", source["bucket"], "b@x.iam.gserviceaccount.com")
        cloud.builds.start("global", image.body(int(source["generation"])))

    want, got = exchange("02", "POST", "/builds", ask)
    return normal(Build, want.body), normal(Build, got.body)


def _apis() -> Both:
    want, got = exchange("20", "POST", ":batchEnable", lambda cloud, body: cloud.apis.enable(body["serviceIds"]))
    return want.body, got.body


def _account() -> Both:
    def ask(cloud: Cloud, body: Any) -> None:
        cloud.accounts.create("finetune-job-sa", body["serviceAccount"]["displayName"], mark.NOTE)

    want, got = exchange("21", "POST", "/serviceAccounts", ask)
    return want.body, got.body


def _secret() -> Both:
    want, got = exchange("22", "POST", "/secrets", lambda cloud, _: cloud.secrets.create(SECRET, "us-central1", dict(mark.OURS)))
    return normal(Secret, want.body), normal(Secret, got.body)


def _version() -> Both:
    want, got = exchange(
        "23", "POST", ":addVersion", lambda cloud, _: cloud.secrets.add_version(SECRET, b"hf_fake_token_for_rig")
    )
    return want.body, got.body


def _on_the_secret() -> Both:
    target, role = PolicyTarget("secret", SECRET), "roles/secretmanager.secretAccessor"
    want, got = exchange("24", "POST", ":setIamPolicy", lambda cloud, _: cloud.policies.add(target, role, ACCOUNT))
    return want.body, got.body


def _bucket() -> Both:
    def ask(cloud: Cloud, body: Any) -> None:
        cloud.storage.create_bucket(BucketInfo(body["name"], "us-central1", labels=dict(mark.OURS), delete_after_days=30))

    want, got = exchange("25", "POST", "/b", ask)
    return want.body, got.body


def _on_the_bucket() -> Both:
    target = PolicyTarget("bucket", "demo-proj-codelab-finetuning-jobs")
    want, got = exchange("26", "PUT", "/iam", lambda cloud, _: cloud.policies.add(target, "roles/storage.objectAdmin", ACCOUNT))
    return want.body, got.body


def _deploy(number: str) -> Both:
    model, name = parse_model("gs://weights/gemma3"), "gemma3-trans-ft-service"
    probe, _ = PROBES[number]
    spec = Serve(PROJECT, "us-central1", model, name, image=IMAGE, concurrency=1, timeout=1800, probe=probe)
    return golden(number), lean(built(spec).body())


BODIES: dict[str, Callable[[], Both]] = {
    "01": _repository,
    "02": _build,
    "20": _apis,
    "21": _account,
    "22": _secret,
    "23": _version,
    "24": _on_the_secret,
    "25": _bucket,
    "26": _on_the_bucket,
    "03": lambda: _deploy("03"),
    "04b": lambda: _deploy("04b"),
    "04c": lambda: _deploy("04c"),
    "29": lambda: (golden("29"), codelab_job().job.body()),
    "31": lambda: (golden("31"), lean(codelab().service.body())),
}


def paths(theirs: Any, ours: Any, path: str = "") -> Iterator[str]:
    """Where two bodies differ."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in sorted({*theirs, *ours}):
            yield from paths(theirs.get(key), ours.get(key), f"{path}.{key}".lstrip("."))
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for at, pair in enumerate(zip(theirs, ours, strict=True)):
            yield from paths(*pair, f"{path}[{at}]")
    elif (theirs or None) != (ours or None):
        yield path


@pytest.mark.parametrize("number", sorted(BODIES))
def test_every_difference_has_a_row_and_every_row_a_difference(number: str) -> None:
    """Nothing that is sent otherwise is missing in the table, and nothing in it is untrue."""
    found = set(paths(*BODIES[number]()))
    assert [path for path in found if not any(row.covers(number, path) for row in ROWS)] == []
    rows = [row for row in ROWS if number in row.recordings]
    assert [row.field for row in rows if not any(row.covers(number, path) for path in found)] == []


def test_every_recording_of_the_seeds_commands_is_compared() -> None:
    """All but 33, which is the other direction."""
    here = {path.name.partition("-")[0] for path in (ROOT / "tests/golden").glob("*.json")}
    assert here - {"33"} == set(BODIES)


def test_every_row_has_its_reason() -> None:
    """Twenty rows or so, each with a why, for recordings that are there."""
    assert len(ROWS) > 20
    assert all(row.why and set(row.recordings) <= set(BODIES) for row in ROWS)
