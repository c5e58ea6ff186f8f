"""plan --for-admin on the in-memory cloud: what is printed, for whom, and that nothing strange can stand in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gemmactl.errors import Exit, Trouble
from gemmactl.kernel.plan import Op, make_plan
from gemmactl.resources.cloud import BucketInfo
from gemmactl.result import Verbatim
from gemmactl.sandbox import roles
from gemmactl.serving import admin_gcloud, admin_half, admin_terraform
from gemmactl.serving.deploy import deploy, plan
from gemmactl.serving.for_admin import Form, for_admin
from gemmactl.spec import Serve, Token, parse_model
from gemmactl.stack import serving
from tests.fakes.cloud import FakeCloud, refusal
from tests.fakes.gcloud import heard, replay
from tests.resources.test_stack_tune import BUCKET, with_token
from tests.resources.test_stack_tune import fresh as tune_cloud
from tests.resources.test_stack_tune import wanted as tune_stack
from tests.resources.wishes import TOKEN
from tests.serving.ear import Ear, place, with_model

WISH = Serve("demo-proj", "us-central1", parse_model("gs://weights/m"), "gemma", hf_token=Token("hf_canary"))
AGAIN = "gemmactl deploy gs://weights/m"
POOL = "projects/1/locations/global/workloadIdentityPools/p"
DEVELOPER = frozenset(
    p
    for role in ("run.developer", "cloudbuild.builds.editor", "artifactregistry.writer")
    for p in roles.permissions(f"roles/{role}")
)


def test_who_may_do_all_is_told_so() -> None:
    """An owner gets a script without a command and exit code 0; only read calls are made."""
    cloud = with_model(FakeCloud())
    result = for_admin(WISH, place(cloud), Ear(), form="gcloud", again=AGAIN)
    assert (result.exit, result.data["steps"], result.data["grants"], cloud.writes) == (Exit.OK, [], [], [])
    (block,) = result.blocks
    assert isinstance(block, Verbatim)
    assert all(line.startswith("#") for line in block.text.splitlines() if line)
    assert "Nothing is missing" in block.text


def test_only_what_the_caller_may_not_do_is_printed() -> None:
    """One permission more, one step less; building and deploying are never the administrator's."""
    cloud = with_model(FakeCloud())
    cloud.held = DEVELOPER
    less = for_admin(WISH, place(cloud), Ear(), form="gcloud", again=AGAIN).data
    cloud.held = DEVELOPER | {"serviceusage.services.enable"}
    more = for_admin(WISH, place(cloud), Ear(), form="gcloud", again=AGAIN).data
    assert {s["address"] for s in less["steps"]} - {s["address"] for s in more["steps"]} == {"apis"}
    assert {s["kind"] for s in less["steps"]} == {"apis", "service_account", "repository", "bucket", "secret", "iam_member"}
    assert all(s["why"].startswith("missing permission ") for s in less["steps"])


def test_the_caller_is_granted_what_his_half_needs_and_no_more() -> None:
    """To act as the two accounts, the build bucket, the model, the secret; roles that he holds are not in it."""
    cloud = with_model(FakeCloud())
    cloud.held = DEVELOPER
    grants = {(g["on"], g["role"]) for g in for_admin(WISH, place(cloud), Ear(), form="gcloud", again=AGAIN).data["grants"]}
    assert grants == {
        ("service_account gemmactl-build@demo-proj.iam.gserviceaccount.com", "roles/iam.serviceAccountUser"),
        ("service_account gm-gemma-bbad@demo-proj.iam.gserviceaccount.com", "roles/iam.serviceAccountUser"),
        ("bucket demo-proj-gemmactl-build-us-central1", "roles/storage.objectViewer"),
        ("bucket demo-proj-gemmactl-build-us-central1", "roles/storage.objectCreator"),
        ("bucket demo-proj-gemmactl-build-us-central1", "roles/storage.bucketViewer"),
        ("bucket weights", "roles/storage.objectViewer"),
        ("secret gemma-hf-token-us-central1", "roles/secretmanager.viewer"),
        ("secret gemma-hf-token-us-central1", "roles/secretmanager.secretVersionAdder"),
        ("project demo-proj", "roles/serviceusage.serviceUsageConsumer"),
        ("project demo-proj", "roles/logging.viewer"),
    }


def test_the_script_does_what_the_plan_wants(tmp_path: Path) -> None:
    """Run as printed, it leaves exactly the steps that the caller carries out himself; the token is nowhere in it."""
    cloud = with_model(FakeCloud())
    cloud.held = frozenset()
    script = for_admin(WISH, place(cloud), Ear(), form="gcloud", again=AGAIN).data["script"]
    assert "hf_canary" not in script
    replay(script, tmp_path, cloud)
    left = {s.resource.kind: s.op for s in make_plan(serving(WISH), cloud).work}
    assert left == {"image": Op.CREATE, "service": Op.CREATE, "secret": Op.UPDATE}


def test_the_caller_is_one_word_of_the_script(tmp_path: Path) -> None:
    """His member stands in one place; where it is not known the script asks for it and starts nothing."""
    cloud = with_model(FakeCloud())
    cloud.held = DEVELOPER
    half = admin_half.split(make_plan(serving(WISH), cloud), cloud, WISH)
    members = {
        flags["member"] for _, flags, _ in heard(admin_gcloud.script(half, "demo-proj", AGAIN), tmp_path) if "member" in flags
    }
    assert "user:you@sandbox.invalid" in members
    for caller in ("", "user:a@b.invalid; rm -rf /"):
        script = admin_gcloud.script(replace(half, caller=caller), "demo-proj", AGAIN)
        assert "rm -rf" not in script
        assert "${CALLER:?" in script


@pytest.mark.parametrize("word", ["a;b", "$(id)", "`id`", "a b", "a\nb", "x'y", '"', "a|b", "*", "~", ""])
def test_no_word_of_a_shell_gets_into_the_script(word: str) -> None:
    """What is no name of Google Cloud is refused, not quoted."""
    if word == "~":
        assert admin_gcloud.command("gcloud", word) == "gcloud '~'"
        return
    with pytest.raises(Trouble):
        admin_gcloud.command("gcloud", word)


def test_a_command_of_several_lines_is_a_comment(tmp_path: Path) -> None:
    """A value of the caller's with line breaks starts nothing at the administrator's, in either form, whatever is missing."""
    again = "gemmactl deploy gs://weights/m --set-env-vars 'A=1\ngcloud projects delete demo-proj\n'"
    cloud = with_model(FakeCloud())
    for held in (None, DEVELOPER):
        cloud.held = held
        script = for_admin(WISH, place(cloud), Ear(), form="gcloud", again=again).data["script"]
        (folder := tmp_path / str(held is None)).mkdir()
        assert not any("delete" in words for words, _, _ in heard(script, folder))
        hcl = for_admin(WISH, place(cloud), Ear(), form="terraform", again=again).data["script"]
        assert all(line.startswith("#") for line in hcl.splitlines() if "delete demo-proj" in line)


@pytest.mark.parametrize(
    "member", ["user:o'brien@example.com", "user:{x}$(id)@example.com", f"principal://iam.googleapis.com/{POOL}/subject/auth0|7"]
)
def test_a_member_is_one_word_whatever_is_in_it(member: str, tmp_path: Path) -> None:
    """An address may have an apostrophe, and a pool's subject is what its provider says."""
    cloud = with_model(FakeCloud())
    cloud.held = DEVELOPER
    script = for_admin(replace(WISH, invokers=(member,)), place(cloud), Ear(), form="gcloud", again=AGAIN).data["script"]
    assert member in [flags["member"] for _, flags, _ in heard(script, tmp_path) if "member" in flags]


def test_terraform_holds_the_same_half() -> None:
    """Each step and grant is one resource; the text is balanced, and a template in a name stays a text."""
    cloud = with_model(FakeCloud())
    cloud.held = DEVELOPER
    result = for_admin(WISH, place(cloud), Ear(), form="terraform", again=AGAIN)
    text = result.data["script"]
    assert text.count("\nresource ") == len(result.data["steps"]) + len(result.data["grants"])
    assert text.count("{") == text.count("}")
    assert text.count("var.caller") == len(result.data["grants"])
    names = [line.split('"')[1::2] for line in text.splitlines() if line.startswith("resource ")]
    assert len({tuple(n) for n in names}) == len(names)
    for reference in {
        r for line in text.splitlines() if "depends_on" in line for r in line.partition("[")[2].rstrip("]").split(", ")
    }:
        kind, _, name = reference.partition(".")
        assert [kind, name] in names
    assert admin_terraform._value('${file("/etc/passwd")}%{ if x }') == '"$${file(\\"/etc/passwd\\")}%%{ if x }"'


def test_what_may_not_be_looked_at_is_in_the_script_and_said() -> None:
    """The model and the policies are another hand's: the plan is made all the same."""
    cloud = with_model(FakeCloud())
    cloud.held = DEVELOPER

    def closed(name: str) -> None:
        if name in ("policies.bindings", "storage.list", "storage.read", "storage.stat"):
            raise refusal(403, "no", permission="storage.objects.list")

    cloud.before_call = closed
    ear = Ear()
    found = for_admin(WISH, place(cloud), ear, form="gcloud", again=AGAIN)
    assert any("the model can't be looked at by you" in line for line in ear.said)
    assert any("may be done already" in line for line in ear.said)
    assert any(s["op"] == "unseen" for s in found.data["steps"])


@pytest.mark.parametrize("verb", ["plan", "deploy"])
def test_a_model_that_may_not_be_looked_at_is_refused_with_the_way_to_all_that_is_missing(verb: str) -> None:
    """Exit 4 with the permission, and the command that lists the rest: not one refusal after the other."""
    cloud = with_model(FakeCloud())

    def closed(name: str) -> None:
        if name == "storage.list":
            raise refusal(403, "no", permission="storage.objects.list")

    cloud.before_call = closed
    with pytest.raises(Trouble) as caught:
        plan(WISH, place(cloud), again="") if verb == "plan" else deploy(WISH, place(cloud), Ear(), yes=True)
    found = caught.value
    assert (found.exit, found.code, cloud.writes) == (Exit.REFUSED, "model-unread", [])
    assert found.what == "gs://weights/m is unknown (missing permission storage.objects.list)"
    assert found.remedy.endswith("gemmactl plan gs://weights/m --project demo-proj --for-admin")


@pytest.mark.parametrize("form", ["gcloud", "terraform"])
def test_a_project_that_can_not_be_asked_is_no_reason_to_leave_its_grants_out(form: Form) -> None:
    """Resource Manager's API off: enabling it, the project's bindings and the caller's roles there, marked as unknown."""
    cloud = with_model(FakeCloud())
    cloud.held = frozenset()
    known = for_admin(WISH, place(cloud), Ear(), form=form, again=AGAIN).data
    cloud.held = DEVELOPER
    cloud.enforce_apis = True
    cloud.state.apis |= {f"{api}.googleapis.com" for api in ("run", "iam", "storage", "cloudquotas", "secretmanager")}
    ear = Ear()
    found = for_admin(WISH, place(cloud), ear, form=form, again=AGAIN).data
    assert {s["address"] for s in found["steps"]} == {s["address"] for s in known["steps"]}
    assert any("logging.logWriter on project" in s["address"] for s in found["steps"])
    of_project = {g["role"] for g in known["grants"] if g["on"] == "project demo-proj"}
    assert {g["role"] for g in found["grants"] if g["on"] == "project demo-proj"} == of_project
    assert {g["unknown"] for g in found["grants"] if g["on"] == "project demo-proj"} == {True}
    assert {g["unknown"] for g in known["grants"]} == {False}
    assert "Unknown whether the caller has it" in found["script"]
    assert any("may be done already" in line for line in ear.said)


def test_a_plan_with_what_others_made_goes_on_and_says_unknown() -> None:
    """Grants that may not be read are never called as wished, and hold nobody up; a bucket that may not be seen does."""
    cloud = with_model(FakeCloud())
    deploy(WISH, place(cloud), Ear(), yes=True)

    def closed(*names: str) -> None:
        def before(name: str) -> None:
            if name in names:
                raise refusal(403, "no", permission="x.y.get")

        cloud.before_call = before

    closed("policies.bindings")
    seen = plan(WISH, place(cloud), again="", detailed=True)
    unknown = [s for s in seen.data["steps"] if s["op"] == "unseen"]
    assert (seen.exit, {s["note"] for s in unknown}) == (Exit.OK, {"unknown (missing permission x.y.get)"})
    assert deploy(WISH, place(cloud), Ear(yes=None), yes=False).exit is Exit.OK
    closed("storage.bucket")
    assert plan(WISH, place(cloud), again="").exit is Exit.REFUSED
    with pytest.raises(Trouble) as caught:
        deploy(WISH, place(cloud), Ear(yes=None), yes=False)
    assert (caught.value.code, caught.value.exit, "--for-admin" in caught.value.remedy) == ("unseen", Exit.REFUSED, True)


@pytest.mark.parametrize("permission", admin_half.ROLES)
def test_each_role_holds_what_it_is_asked_for(permission: str) -> None:
    """By Google's own role data."""
    assert roles.holds(admin_half.ROLES[permission], permission)


@pytest.mark.parametrize("role", admin_half.COVERS)
def test_a_role_covers_only_what_it_holds(role: str) -> None:
    """By the same data; a role that another one makes needless is not asked for."""
    assert all(roles.holds(role, permission) for permission in admin_half.COVERS[role])
    assert set(admin_half._roles(["resourcemanager.projects.get", "run.services.create"])) == {"roles/run.developer"}


def test_a_fine_tunes_other_half() -> None:
    """The same script for a job: who may deploy to Cloud Run lacks accounts and buckets, and starts it himself afterwards."""
    cloud = tune_cloud()
    cloud.state.apis |= {"cloudresourcemanager.googleapis.com", "storage.googleapis.com"}  # what is off can not be asked
    cloud.held = DEVELOPER
    half = admin_half.split(make_plan(tune_stack(with_token()), cloud), cloud, with_token())
    assert {s.resource.kind for s in half.steps} == {"apis", "service_account", "repository", "bucket", "secret", "iam_member"}
    own = {(str(g.binding.target), g.binding.role) for g in half.grants if g.binding.target.name == BUCKET}
    assert own == {(f"bucket {BUCKET}", f"roles/storage.{role}") for role in ("objectViewer", "objectCreator", "bucketViewer")}
    assert ("bucket weights", "roles/storage.objectViewer") in {(str(g.binding.target), g.binding.role) for g in half.grants}
    assert "roles/run.developer" not in {g.binding.role for g in half.grants}
    cloud.held = frozenset()
    nobody = admin_half.split(make_plan(tune_stack(with_token()), cloud), cloud, with_token())
    assert "roles/run.developer" in {g.binding.role for g in nobody.grants}
    script = admin_gcloud.script(nobody, "demo-proj", "gemmactl finetune run")
    assert "--member=serviceAccount:gt-sql-" in script
    assert TOKEN not in script


def test_preflight_and_the_administrators_half_name_one_role() -> None:
    """For the caller's lack on the build bucket: who may see it and add to it is asked for the same, narrower roles in both."""
    cloud = with_model(FakeCloud())
    cloud.state.buckets["demo-proj-gemmactl-build-us-central1"] = BucketInfo(
        "demo-proj-gemmactl-build-us-central1", "us-central1", labels={"managed-by": "gemmactl"}, delete_after_days=30
    )
    cloud.lacking = frozenset({"storage.objects.create"})
    half = for_admin(WISH, place(cloud), Ear(), form="gcloud", again=AGAIN).data
    granted = {g["role"] for g in half["grants"] if g["on"].startswith("bucket ")}
    checks = plan(WISH, place(cloud), again="").data["checks"]
    asked = {f["role"] for c in checks if c["check"] == "your permissions" for f in c["findings"]}
    assert granted == asked == {"roles/storage.objectCreator"}
