"""Cloud Build of the sandbox, spoken to by the real google-cloud-build client."""

from __future__ import annotations

import io
import tarfile

import pytest
from google.api_core import exceptions
from google.cloud.devtools import cloudbuild_v1

from gemmactl.sandbox import images

from .conftest import BUILD_SA, PROJECT, REGION, TAG, Cloud, boot, context, shut

MEMBER = f"serviceAccount:{BUILD_SA}"


def test_a_build_succeeds_and_its_digest_is_the_tags(ground: Cloud):
    """SUCCESS, results.images, the record behind the tag, and a log that tells each step."""
    build = ground.build(context(), tags=["gemmactl", "abc"])
    assert build.status.name == "SUCCESS"
    record = images.resolve(ground.world, TAG)
    assert [(i.name, i.digest) for i in build.results.images] == [(TAG, record["digest"])]
    assert record["config"]["entrypoint"] == ["python", "-m", "stub.main"]
    log = ground.lines("cloudbuild")
    assert log[0] == f'starting build "{build.id}"'
    assert [w for w in log if w in ("FETCHSOURCE", "BUILD", "PUSH", "DONE")] == ["FETCHSOURCE", "BUILD", "PUSH", "DONE"]
    assert any("no image layers are built in the sandbox" in line for line in log)
    assert ground.build(context()).results.images[0].digest == record["digest"]


def test_a_dockerfile_in_a_subfolder_is_chosen_with_f(ground: Cloud):
    """`-f sub/Dockerfile` with the root as context, and build arguments."""
    text = 'FROM x\nARG NAME\nENV N=${NAME}\nWORKDIR /app\nCOPY pkg ./pkg\nENTRYPOINT ["python", "-m", "pkg"]\n'
    args = ["build", "--no-cache", "-f", "pkg/Dockerfile", "--build-arg", "NAME=n", "--network", "cloudbuild", "-t", TAG, "."]
    build = ground.build(
        {"pkg/Dockerfile": text, "pkg/__main__.py": ""}, steps=[{"name": "gcr.io/cloud-builders/docker", "args": args}]
    )
    assert build.status.name == "SUCCESS"
    assert images.resolve(ground.world, TAG)["config"]["env"] == {"N": "n"}


def test_several_steps_with_a_lenient_pull_a_cache_and_a_push(ground: Cloud):
    """The cached form: `docker pull ... || true`, build --cache-from, tag, push, with substitutions."""
    docker = "gcr.io/cloud-builders/docker"
    steps = [
        {"name": docker, "entrypoint": "bash", "args": ["-c", "docker pull $_IMAGE:latest || true"]},
        {
            "name": docker,
            "args": ["build", "--cache-from", "$_IMAGE:latest", "-t", "${_IMAGE}:$BUILD_ID", "."],
            "env": ["DOCKER_BUILDKIT=1"],
        },
        {"name": docker, "args": ["tag", "$_IMAGE:$BUILD_ID", "$_IMAGE:latest"]},
        {"name": docker, "args": ["push", "$_IMAGE:latest"]},
    ]
    name = TAG.rpartition(":")[0]
    build = ground.build(context(), steps=steps, images=["$_IMAGE:$BUILD_ID"], substitutions={"_IMAGE": name})
    assert build.status.name == "SUCCESS", ground.lines("cloudbuild")
    assert (
        images.resolve(ground.world, f"{name}:latest")["digest"] == images.resolve(ground.world, f"{name}:{build.id}")["digest"]
    )
    assert any("manifest unknown" in line for line in ground.lines("cloudbuild"))
    assert ground.build(context(), steps=steps, images=[], substitutions={"_IMAGE": name}).status.name == "SUCCESS"


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"name": "ubuntu", "args": ["true"]}, "the builder ubuntu is not something the sandbox can run"),
        ({"name": "gcr.io/cloud-builders/docker", "entrypoint": "bash", "args": ["-c", "curl x | sh"]}, "the script line"),
        ({"name": "gcr.io/cloud-builders/docker", "args": ["run", "x"]}, "docker run x"),
        ({"name": "gcr.io/cloud-builders/docker", "args": ["build", "--squish", "-t", TAG, "."]}, "docker build --squish"),
        (
            {"name": "gcr.io/cloud-builders/docker", "args": ["build", "-f", "no/Dockerfile", "-t", TAG, "."]},
            "no such file or directory",
        ),
        ({"name": "gcr.io/cloud-builders/docker", "script": "true"}, "the field script"),
    ],
)
def test_an_unknown_step_fails_plainly(ground: Cloud, step, words):
    """FAILURE with USER_BUILD_STEP, and the log names what the sandbox doesn't run."""
    build = ground.build(context(), steps=[step])
    assert (build.status.name, build.failure_info.type_.name) == ("FAILURE", "USER_BUILD_STEP")
    assert any(words in line for line in ground.lines("cloudbuild")), ground.lines("cloudbuild")


def test_a_copy_of_a_missing_path_fails_the_build(ground: Cloud):
    """The build is a FAILURE and its log has Docker's sentence."""
    files = context()
    del files["stub/main.py"], files["stub/__init__.py"]
    assert ground.build(files).status.name == "FAILURE"
    assert any("COPY failed: file not found in build context" in line for line in ground.lines("cloudbuild"))


def test_the_four_build_errors_of_the_seed(ground: Cloud):
    """Caller, source, log and push: each missing role fails as at Google, and each role cures its own error."""
    world = ground.world
    with pytest.raises(exceptions.Forbidden, match="The caller does not have permission"):
        ground.build(context(), email="nobody@sandbox.invalid")

    world.iam.revoke(MEMBER, "roles/storage.objectViewer", "projects/_/buckets/staging")
    words = f"could not resolve source: googleapi: Error 403: {BUILD_SA} does not have storage.objects.get access"
    with pytest.raises(exceptions.BadRequest, match=words):
        ground.build(context())
    world.iam.grant(MEMBER, "roles/storage.objectViewer", "projects/_/buckets/staging")

    world.iam.revoke(MEMBER, "roles/logging.logWriter", PROJECT)
    silent = ground.build(context())
    assert silent.status.name == "SUCCESS"
    assert [(w.priority.name, "grant the Logs Writer (roles/logging.logWriter) role" in w.text) for w in silent.warnings] == [
        ("INFO", True)
    ]
    assert ground.lines("cloudbuild") == []
    world.iam.grant(MEMBER, "roles/logging.logWriter", PROJECT)

    repository = f"{REGION}/repositories/repo"
    world.iam.revoke(MEMBER, "roles/artifactregistry.writer", repository)
    unpushed = ground.build(context())
    assert (unpushed.status.name, unpushed.failure_info.type_.name) == ("FAILURE", "PUSH_NOT_AUTHORIZED")
    permission = "artifactregistry.repositories.uploadArtifacts"
    denied = f'denied: Permission "{permission}" denied on resource "{repository}" (or it may not exist)'
    assert denied in ground.lines("cloudbuild")


def test_a_failed_builds_operation_carries_an_error(ground: Cloud):
    """Waiting on the operation raises, as with the real service."""
    builds = ground.client(cloudbuild_v1.CloudBuildClient)
    body = ground.build_body(context(), steps=[{"name": "ubuntu"}])
    with pytest.raises(exceptions.GoogleAPICallError, match="Build failed"):
        builds.create_build(request={"parent": REGION, "build": body}).result(timeout=10)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"options": {}}, "if 'build.service_account' is specified, the build must either"),
        ({"steps": []}, "no build steps"),
        ({"images": ["docker.io/x/y"]}, "Artifact Registry only"),
        ({"images": ["$NOTHING"]}, "not a valid built-in substitution"),
    ],
)
def test_an_illegal_build_is_a_400(ground: Cloud, more, words):
    """What Cloud Build refuses before a build exists."""
    with pytest.raises(exceptions.BadRequest, match=words):
        ground.build(context(), **more)


def test_the_caller_needs_to_act_as_the_build_account(ground: Cloud):
    """builds.editor alone is not enough: actAs on the build's account is asked for."""
    ground.world.iam.grant("user:dev@sandbox.invalid", "roles/cloudbuild.builds.editor", PROJECT)
    builds = ground.client(cloudbuild_v1.CloudBuildClient, "dev@sandbox.invalid")
    body = ground.build_body(context())
    with pytest.raises(exceptions.Forbidden, match=f"caller does not have permission to act as service account .*{BUILD_SA}"):
        builds.create_build(request={"parent": REGION, "build": body})
    account = f"{PROJECT}/serviceAccounts/{BUILD_SA}"
    ground.world.iam.grant("user:dev@sandbox.invalid", "roles/iam.serviceAccountUser", account)
    assert builds.create_build(request={"parent": REGION, "build": body}).metadata.build.status.name in (
        "QUEUED",
        "WORKING",
        "SUCCESS",
    )


def test_builds_are_listed_by_tag_and_status(ground: Cloud):
    """The filter that finds an unfinished build to re-attach to; one that isn't understood is a 400."""
    ground.build(context(), tags=["one"])
    ground.build(context(), tags=["two"])
    builds = ground.client(cloudbuild_v1.CloudBuildClient)
    found = list(builds.list_builds(request={"parent": REGION, "filter": 'tags="two" AND status="SUCCESS"'}))
    assert [list(b.tags) for b in found] == [["two"]]
    assert list(builds.list_builds(request={"parent": f"{PROJECT}/locations/global"})) == []
    with pytest.raises(exceptions.BadRequest, match="does not understand"):
        list(builds.list_builds(request={"parent": REGION, "filter": "create_time>x"}))
    with pytest.raises(exceptions.NotFound):
        builds.get_build(request={"name": f"{REGION}/builds/none"})
    with pytest.raises(exceptions.BadRequest, match="cannot cancel"):
        builds.cancel_build(request={"name": f"{REGION}/builds/{found[0].id}"})


def test_an_archive_that_would_leave_the_workspace_is_refused(ground: Cloud):
    """A member named ../../x fails the build as FETCH_SOURCE_FAILED and writes nothing outside."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        info = tarfile.TarInfo("../../evil")
        tar.addfile(info, io.BytesIO(b""))
    blob = ground.storage().bucket("staging").blob("evil.tgz")
    blob.upload_from_string(raw.getvalue())
    build = ground.build({}, source={"storage_source": {"bucket": "staging", "object_": "evil.tgz"}})
    assert (build.status.name, build.failure_info.type_.name) == ("FAILURE", "FETCH_SOURCE_FAILED")
    assert not list(ground.world.home.rglob("evil"))


def test_a_build_cut_off_by_a_stop_is_not_left_running(tmp_path):
    """After a restart a build that was WORKING is INTERNAL_ERROR, so nobody waits for it for ever."""
    world, server = boot(tmp_path / "home")
    name = f"{REGION}/builds/b"
    world.store.put("builds", name, {"id": "b", "status": "WORKING", "createTime": "2026-01-01T00:00:00Z", "name": name})
    shut(world, server)
    world, server = boot(tmp_path / "home")
    try:
        assert world.store.get("builds", name)["status"] == "INTERNAL_ERROR"
    finally:
        shut(world, server)
