"""How calls go out: retries of reads only, IAM's read-modify-write, fresh APIs, refusals as facts."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from gemmactl.errors import Trouble
from gemmactl.gcp.cloud import connect
from gemmactl.gcp.once import Once
from gemmactl.kernel.plan import make_plan
from gemmactl.kernel.resource import Clock
from gemmactl.resources.cloud import PolicyTarget
from gemmactl.resources.iam_member import IamMember
from tests.gcp.scripted import refusal, scripted

SECRET = "projects/p/secrets/s"
TARGET = PolicyTarget("secret", SECRET)
ROLE = "roles/secretmanager.secretAccessor"
MEMBER = "serviceAccount:a@p.iam.gserviceaccount.com"
BUSY = refusal(503, "UNAVAILABLE", "try later")


class Ticking:
    """A clock that moves when somebody sleeps, and remembers it."""

    def __init__(self) -> None:
        self.naps: list[float] = []

    @property
    def clock(self) -> Clock:
        return Clock(lambda: sum(self.naps), self.naps.append)


def in_turn(*answers: tuple[int, Any]) -> Any:
    """An answer for each request; the last one stays."""
    left = list(answers)
    return lambda _method, _path, _body: left.pop(0) if len(left) > 1 else left[0]


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_a_read_is_tried_again(code: int) -> None:
    """Overload and server faults pass: the read waits a little and succeeds, without a real second."""
    ticking = Ticking()
    with scripted(in_turn(refusal(code, "X", "x"), refusal(code, "X", "x"), (200, {"name": SECRET}))) as script:
        assert connect("p", script, clock=ticking.clock).secrets.get(SECRET) == {}
    assert len(script.asked) == 3
    assert len(ticking.naps) == 2


def test_a_read_gives_up() -> None:
    """After five tries the refusal is told."""
    with scripted(in_turn(BUSY)) as script, pytest.raises(Trouble) as busy:
        connect("p", script, clock=Ticking().clock).secrets.get(SECRET)
    assert len(script.asked) == 5
    assert busy.value.facts["status"] == 503


def test_a_policy_that_may_not_be_read_is_told_with_the_permission() -> None:
    """Resource Manager's refusal names none: a plan says which one is missing all the same."""
    with scripted(in_turn(refusal(403, "PERMISSION_DENIED", "The caller does not have permission"))) as script:
        cloud = connect("p", script, clock=Ticking().clock)
        step = make_plan([IamMember(PolicyTarget("project", "p"), "roles/logging.logWriter", MEMBER)], cloud).steps[0]
    assert step.note == "unknown (missing permission resourcemanager.projects.getIamPolicy)"


def test_a_write_is_tried_once() -> None:
    """A lost answer may stand for a write that was carried out: it is for the next plan to see."""
    with scripted(in_turn(BUSY)) as script, pytest.raises(Trouble):
        connect("p", script, clock=Ticking().clock).secrets.add_version(SECRET, b"x")
    assert len(script.asked) == 1


def test_a_refused_read_is_told_at_once() -> None:
    """403 does not pass by waiting a second."""
    with scripted(in_turn(refusal(403, "PERMISSION_DENIED", "no"))) as script, pytest.raises(Trouble):
        connect("p", script, clock=Ticking().clock).secrets.get(SECRET)
    assert len(script.asked) == 1


def test_every_request_carries_a_fresh_token() -> None:
    """The endpoint decides when a token is old, so it is asked each time."""
    with scripted(in_turn((200, {"name": SECRET}))) as script:
        cloud = connect("p", script)
        cloud.secrets.get(SECRET)
        cloud.secrets.get(SECRET)
    assert [h["authorization"] for h in script.headers] == ["Bearer token-1", "Bearer token-2"]


def test_nothing_is_called_before_it_is_needed() -> None:
    """Opening a project asks nobody anything."""
    with scripted(in_turn(BUSY)) as script:
        assert connect("p", script).caller() == "user:you@sandbox.invalid"
        assert connect("p", script).id_token("aud") == "id-aud"
    assert script.asked == []


def policies(writes: list[tuple[int, Any]], policy: Any, sent: list[Any]) -> Any:
    """A policy that is read as it stands, and answers for the writes in turn."""

    def answer(method: str, _path: str, body: Any) -> tuple[int, Any]:
        if method == "GET":
            return 200, policy
        sent.append(body["policy"])
        return writes.pop(0)

    return answer


@pytest.mark.parametrize(
    "refused",
    [
        refusal(409, "ABORTED", "There were concurrent policy changes."),
        refusal(412, "FAILED_PRECONDITION", "etag"),
        refusal(400, "INVALID_ARGUMENT", "Service account a@p.iam.gserviceaccount.com does not exist."),
    ],
)
def test_a_binding_is_tried_again(refused: tuple[int, Any]) -> None:
    """A concurrent change and an account that is not known yet: read, edit and write once more."""
    sent: list[Any] = []
    with scripted(policies([refused, refused, (200, {})], {"etag": "AA=="}, sent)) as script:
        connect("p", script, clock=Ticking().clock).policies.add(TARGET, ROLE, MEMBER)
    assert sent == [{"etag": "AA==", "version": 3, "bindings": [{"role": ROLE, "members": [MEMBER]}]}] * 3
    assert [m for m, _ in script.asked] == ["GET", "POST"] * 3


def test_an_account_that_never_appears_is_told() -> None:
    """The wait for a new account has an end."""
    refused = refusal(400, "INVALID_ARGUMENT", "Service account a@p.iam.gserviceaccount.com does not exist.")
    ticking = Ticking()
    with scripted(policies([refused] * 100, {}, [])) as script, pytest.raises(Trouble):
        connect("p", script, clock=ticking.clock).policies.add(TARGET, ROLE, MEMBER)
    assert 100 < sum(ticking.naps) < 200


def test_conditional_bindings_are_left_alone() -> None:
    """A condition grants something narrower: it counts for nothing, stays as it is, and gets no member of ours."""
    narrow = {"role": ROLE, "members": [MEMBER], "condition": {"expression": "x", "title": "t"}}
    sent: list[Any] = []
    with scripted(policies([(200, {})], {"bindings": [narrow], "version": 3}, sent)) as script:
        cloud = connect("p", script, clock=Ticking().clock)
        assert cloud.policies.members(TARGET, ROLE) == frozenset()
        cloud.policies.add(TARGET, ROLE, MEMBER)
    assert sent[0]["bindings"] == [narrow, {"role": ROLE, "members": [MEMBER]}]


def test_a_freshly_enabled_api_may_still_refuse() -> None:
    """For some minutes after enabling, "disabled" means "not everywhere yet": the call waits and goes on, a write too."""
    disabled = refusal(403, "PERMISSION_DENIED", "disabled", reason="SERVICE_DISABLED", service="secretmanager.googleapis.com")
    left = [disabled, disabled, (200, {"name": f"{SECRET}/versions/1"})]

    def answer(_method: str, path: str, _body: Any) -> tuple[int, Any]:
        if path.endswith(":batchEnable"):
            kind = "type.googleapis.com/google.api.serviceusage.v1.BatchEnableServicesResponse"
            return 200, {"name": "operations/1", "done": True, "response": {"@type": kind}}
        return left.pop(0)

    ticking = Ticking()
    with scripted(answer) as script:
        cloud = connect("p", script, clock=ticking.clock)
        cloud.apis.enable(["secretmanager.googleapis.com"])
        assert cloud.secrets.add_version(SECRET, b"x") == "1"
    assert len(ticking.naps) == 2


def test_a_disabled_api_is_told_with_its_facts() -> None:
    """Without an enabling of ours the refusal is told at once, as the kernel and doctor read it."""
    url = "https://console.developers.google.com/apis/api/secretmanager.googleapis.com/overview?project=1"
    disabled = refusal(
        403, "PERMISSION_DENIED", "has not been used", reason="SERVICE_DISABLED", service="secretmanager.googleapis.com",
        consumer="projects/1", activationUrl=url,
    )  # fmt: skip
    with scripted(in_turn(disabled)) as script, pytest.raises(Trouble) as told:
        connect("p", script, clock=Ticking().clock).secrets.get(SECRET)
    facts = told.value.facts
    assert (told.value.code, facts["reason"], facts["activation_url"]) == ("api-disabled", "SERVICE_DISABLED", url)
    assert (facts["service"], facts["consumer"], facts["status"]) == ("secretmanager.googleapis.com", "projects/1", 403)


def test_a_bucket_of_another_project_is_refused() -> None:
    """Names of buckets are global: one that somebody else took is not used, however it is labelled. Where it is, is told."""

    def answer(_method: str, path: str, _body: Any) -> tuple[int, Any]:
        if path.startswith("/v3/projects"):
            return 200, {"name": "projects/1"}
        return 200, {"name": "b", "location": "US", "projectNumber": "666", "labels": {"managed-by": "gemmactl"}}

    with scripted(answer) as script, pytest.raises(Trouble) as squatted:
        connect("p", script).storage.bucket("b")
    assert (squatted.value.code, squatted.value.facts["location"]) == ("bucket-of-another-project", "us")


def test_a_failed_rollout_carries_the_operations_own_error() -> None:
    """The error inside an operation becomes a Trouble with its message and status."""
    failed = {"name": "o", "done": True, "error": {"code": 9, "message": "Revision 's-1' is not ready."}}
    with scripted(in_turn((200, failed))) as script, pytest.raises(Trouble) as told:
        connect("p", script).run.finished("projects/p/locations/r/operations/o")
    assert told.value.facts["message"] == "Revision 's-1' is not ready."
    assert told.value.facts["status"] == 400


@pytest.mark.parametrize(("code", "again"), [(13, False), (14, True)])
def test_a_rollout_that_ended_in_an_error_is_not_begun_again(code: int, again: bool) -> None:
    """INTERNAL is also said of a secret that may not be read: one failed revision is enough. UNAVAILABLE says nothing."""
    failed = {"name": "o", "done": True, "error": {"code": code, "message": "Permission denied on secret"}}
    with scripted(in_turn((200, failed))) as script, pytest.raises(Trouble) as told:
        connect("p", script).run.finished("projects/p/locations/r/operations/o")
    assert bool(told.value.facts.get("passing")) is again


def test_log_entries_come_oldest_first_over_pages() -> None:
    """Pages are joined up to the limit; the newest ones are turned round."""
    pages = iter([["1", "2"], ["3"]])

    def answer(_method: str, _path: str, body: Any) -> tuple[int, Any]:
        entries = [{"timestamp": t, "textPayload": t, "insertId": t} for t in next(pages)]
        return 200, {"entries": entries, **({} if "pageToken" in body else {"nextPageToken": "x"})}

    with scripted(answer) as script:
        found = connect("p", script).logs.entries("f", newest=True, limit=3)
    assert [e.payload for e in found] == ["3", "2", "1"]


def test_a_value_is_made_once_by_many_threads() -> None:
    """Sixteen threads that need a client at once get the same one."""
    made: list[int] = []
    once = Once(lambda: made.append(1) or len(made))
    got: list[int] = []
    threads = [threading.Thread(target=lambda: got.append(once())) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [1] * 16
    assert made == [1]
