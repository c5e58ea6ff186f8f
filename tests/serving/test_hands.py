"""--build-service-account, --service-account and --no-iam: what exists is used, remembered and left alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gemmactl import spec_rules, stack_hands
from gemmactl.errors import Exit, Trouble
from gemmactl.resources.cloud import Account
from gemmactl.serving.deploy import deploy, plan
from gemmactl.serving.destroy import destroy
from gemmactl.serving.for_admin import for_admin
from gemmactl.serving.recall import recalled
from gemmactl.serving.wishes import wishes
from gemmactl.spec import Serve, parse_model
from gemmactl.stack import serving
from tests.fakes.cloud import FakeCloud
from tests.fakes.gcloud import replay
from tests.serving.ear import Ear, place, settings, with_model

WISH = Serve("demo-proj", "us-central1", parse_model("gs://weights/m"), "gemma")
BUILDER = "builder@other-proj.iam.gserviceaccount.com"
RUNNER = "runner@demo-proj.iam.gserviceaccount.com"
SERVICE = "projects/demo-proj/locations/us-central1/services/gemma"


def policies(cloud: FakeCloud) -> set[tuple[str, str, str]]:
    state = cloud.state.policies
    return {
        (str(target), role, member) for target, roles in state.items() for role, members in roles.items() for member in members
    }


def test_a_given_build_account_builds_and_none_is_made() -> None:
    """It gets the build's three rights; the plan after it is empty and the service remembers it."""
    cloud = with_model(FakeCloud())
    cloud.state.accounts[BUILDER] = Account(BUILDER)
    wish = replace(WISH, build_service_account=BUILDER)
    assert deploy(wish, place(cloud), Ear(), yes=True).exit is Exit.OK
    assert "gemmactl-build@demo-proj.iam.gserviceaccount.com" not in cloud.state.accounts
    ((body, _),) = cloud.state.builds.values()
    assert body["serviceAccount"].endswith(BUILDER)
    assert {role for _, role, member in policies(cloud) if member == f"serviceAccount:{BUILDER}"} == {
        "roles/logging.logWriter", "roles/storage.objectViewer", "roles/artifactregistry.writer",
    }  # fmt: skip
    assert plan(wish, place(cloud), again="", detailed=True).exit is Exit.OK
    assert recalled(place(cloud), "gemma", cloud.state.services[SERVICE]).build_service_account == BUILDER


def test_a_given_build_account_is_never_destroyed(tmp_path: Path) -> None:
    """Its bindings on what is ours go with it; the account and its grant on the project, which is nobody's of ours, stay."""
    cloud = with_model(FakeCloud())
    cloud.state.accounts[BUILDER] = Account(BUILDER)
    deploy(replace(WISH, build_service_account=BUILDER), place(cloud), Ear(), yes=True)
    destroy(place(cloud), settings(tmp_path), "gemma", Ear(), yes=True)
    assert set(cloud.state.accounts) == {BUILDER}
    assert policies(cloud) == {("project demo-proj", "roles/logging.logWriter", f"serviceAccount:{BUILDER}")}


@pytest.mark.parametrize(
    ("email", "label"),
    [
        (BUILDER, "builder_other-proj"),
        (f"{'a' * 30}@{'p' * 30}.iam.gserviceaccount.com", f"{'a' * 30}_{'p' * 30}"),
        ("123-compute@developer.gserviceaccount.com", ""),
        ("ci@app.example.com.iam.gserviceaccount.com", ""),
    ],
)
def test_what_a_label_can_hold(email: str, label: str) -> None:
    """An e-mail as ID_PROJECT and back; what would not fit is not remembered rather than remembered wrong."""
    found = dict(stack_hands.labels(replace(WISH, build_service_account=email)))
    assert found.get(stack_hands.BUILDER_LABEL, "") == label
    assert stack_hands.builder_of(found) == (email if label else None)


def test_no_iam_writes_no_account_and_no_policy(tmp_path: Path) -> None:
    """After the administrator's script it finishes; a later deploy without the flag keeps it, destroy leaves what was given."""
    cloud = with_model(FakeCloud())
    given = for_admin(replace(WISH, iam=True), place(lacking(cloud)), Ear(), form="gcloud", again="x").data["script"]
    replay(given, tmp_path, cloud)
    cloud.held = None
    before, accounts = policies(cloud), dict(cloud.state.accounts)
    cloud.calls.clear()
    assert deploy(replace(WISH, iam=False), place(cloud), Ear(), yes=True).exit is Exit.OK
    assert {c.name for c in cloud.writes} <= {"builds.start", "run.create", "run.update", "storage.write"}
    cloud.calls.clear()
    assert plan(WISH, place(cloud), again="", detailed=True).exit is Exit.OK
    assert cloud.writes == []
    destroy(place(cloud), settings(tmp_path), "gemma", Ear(), yes=True)
    assert SERVICE not in cloud.state.services
    gone = {p for p in before if p[0].startswith(("repository", "bucket demo-proj-gemmactl-build"))}
    assert (policies(cloud), cloud.state.accounts) == (before - gone, accounts)


def lacking(cloud: FakeCloud) -> FakeCloud:
    cloud.held = frozenset()
    return cloud


def test_no_iam_is_taken_back_by_iam() -> None:
    """The service then says that its accounts are managed, and a plan has bindings again."""
    cloud = with_model(FakeCloud())
    cloud.state.accounts |= {e: Account(e) for e in (BUILDER, RUNNER)}
    wish = replace(WISH, iam=False, service_account=RUNNER, build_service_account=BUILDER)
    deploy(wish, place(cloud), Ear(), yes=True)
    back = plan(replace(wish, iam=True), place(cloud), again="")
    assert {s["op"] for s in back.data["steps"] if s["kind"] == "iam_member"} == {"create"}
    deploy(replace(wish, iam=True), place(cloud), Ear(), yes=True)
    assert cloud.state.services[SERVICE]["labels"][stack_hands.IAM_LABEL] == "managed"
    assert plan(wish_without(wish), place(cloud), again="", detailed=True).exit is Exit.OK


def wish_without(wish: Serve) -> Serve:
    return replace(wish, iam=None)


def test_no_iam_needs_the_accounts_to_be_there() -> None:
    """Refused before any change, naming the account and the way to get it."""
    cloud = with_model(FakeCloud())
    with pytest.raises(Trouble) as caught:
        deploy(replace(WISH, iam=False), place(cloud), Ear(), yes=True)
    assert (caught.value.code, caught.value.exit, cloud.writes) == ("account-not-given", Exit.REFUSED, [])
    assert "gemmactl-build@demo-proj" in caught.value.what
    assert "--for-admin" in caught.value.remedy


def test_the_stack_of_no_iam_has_only_the_rest() -> None:
    """Nothing of IAM in it, also backwards: a destroy can't touch what was given."""
    for teardown in (False, True):
        kinds = {r.kind for r in serving(replace(WISH, iam=False), teardown=teardown)}
        assert not kinds & {"service_account", "iam_member"}
        assert {"repository", "bucket", "image", "service"} <= kinds


def test_flags_environment_and_file_say_it(tmp_path: Path) -> None:
    """--no-iam, GEMMACTL_IAM=false and `iam: false` are one wish; both flags contradict."""
    flags = {"model": "gs://weights/m", "project": "demo-proj"}
    assert wishes(settings(tmp_path), {**flags, "no_iam": True}, Ear()).iam is False
    assert wishes(settings(tmp_path, GEMMACTL_IAM="false"), flags, Ear()).iam is False
    (tmp_path / "gemmactl.yaml").write_text(f"iam: false\nbuild-service-account: {BUILDER}\n")
    found = wishes(settings(tmp_path), flags, Ear())
    assert (found.iam, found.build_service_account) == (False, BUILDER)
    with pytest.raises(Trouble):
        wishes(settings(tmp_path), {**flags, "no_iam": True, "iam": True}, Ear())


@pytest.mark.parametrize(
    "wrong", [{"build_service_account": "me@example.com"}, {"iam": False, "invokers": ("user:a@b.invalid",)}], ids=str
)
def test_what_can_not_be_is_refused(wrong: dict[str, object]) -> None:
    """A person is no build account; --invoker writes a binding."""
    with pytest.raises(Trouble) as caught:
        spec_rules.check(replace(WISH, **wrong))
    assert caught.value.exit is Exit.USAGE
