"""Cloud Run of the sandbox, spoken to by the real google-cloud-run client; containers are real processes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import run_v2, secretmanager_v1

from .conftest import PROJECT, REGION, RUN_SA, STUB, TAG, YOU, Cloud, boot, context, shut, until

NAME = f"{REGION}/services/stub"
HTTP_PROBE = {"http_get": {"path": "/ready", "port": 8080}, "period_seconds": 2, "timeout_seconds": 2, "failure_threshold": 300}
READY = {"env": [], "startup_probe": HTTP_PROBE}


@pytest.fixture
def built(ground: Cloud) -> Cloud:
    """A project with the stub's image pushed."""
    assert ground.build(context()).status.name == "SUCCESS"
    return ground


def body(container: dict[str, Any] | None = None, **template: Any) -> dict[str, Any]:
    return {
        "template": {
            "containers": [{"image": TAG, "startup_probe": HTTP_PROBE, **(container or {})}],
            "service_account": RUN_SA,
            **template,
        }
    }


def services(cloud: Cloud, email: str = YOU) -> Any:
    return cloud.client(run_v2.ServicesClient, email)


def create(cloud: Cloud, service: dict[str, Any] | None = None, service_id: str = "stub", **more: Any) -> Any:
    request = {"parent": REGION, "service_id": service_id, "service": service or body(), **more}
    return services(cloud).create_service(request=request).result(timeout=30)


def env(**pairs: str) -> list[dict[str, str]]:
    return [{"name": k, "value": v} for k, v in pairs.items()]


# --- the good way
def test_a_service_starts_its_entrypoint_under_the_container_contract(built: Cloud):
    """Ready with uri and defaults; the process has PORT, K_*, the spec's and the image's env, and nothing of ours."""
    os.environ["CANARY_OF_THE_TEST"] = "x"
    made = create(built, body({"env": env(MINE="1")}))
    assert made.terminal_condition.state.name == "CONDITION_SUCCEEDED"
    assert made.latest_ready_revision == made.latest_created_revision
    assert (made.observed_generation, made.generation, made.reconciling) == (1, 1, False)
    assert made.template.max_instance_request_concurrency == 80
    assert made.template.timeout.seconds == 300
    seen = built.get(f"{made.uri}/env").json()
    assert (
        seen["env"].items()
        >= {"K_SERVICE": "stub", "MINE": "1", "FROM_IMAGE": "yes", "HOST": "127.0.0.1", "OMP_NUM_THREADS": "1"}.items()
    )
    assert seen["env"]["K_REVISION"] == made.latest_ready_revision.rpartition("/")[2]
    assert "CANARY_OF_THE_TEST" not in seen["env"]
    assert seen["cwd"].endswith("root/app")
    assert seen["cwd"].startswith(str(built.world.home))
    assert built.get(f"{made.uri}/x?y=1").json()["path"] == "/x?y=1"


def test_the_containers_lines_are_its_revisions_log(built: Cloud):
    """A JSON line becomes the JSON payload with its severity; the system logs the probe."""
    made = create(built)
    revision = made.latest_ready_revision.rpartition("/")[2]
    found = built.world.logs.entries(f'resource.type="cloud_run_revision" AND resource.labels.revision_name="{revision}"')
    hello = next(e for e in found if e.get("jsonPayload", {}).get("message") == "hello from the stub")
    assert (hello["severity"], hello["jsonPayload"]["part"]) == ("WARNING", 1)
    assert hello["resource"]["labels"]["service_name"] == "stub"
    assert any("STARTUP HTTP probe succeeded after" in e.get("textPayload", "") for e in found)


def test_the_metadata_server_gives_the_runtime_accounts_tokens(built: Cloud):
    """google-auth inside the container would find project, e-mail, access token and ID token of the service's account."""
    import requests

    made = create(built)
    address = built.get(f"{made.uri}/env").json()["env"]["GCE_METADATA_HOST"]
    base, flavor = f"http://{address}/computeMetadata/v1", {"Metadata-Flavor": "Google"}
    assert requests.get(f"http://{address}/", timeout=5).headers["Metadata-Flavor"] == "Google"
    assert requests.get(f"{base}/project/project-id", timeout=5).status_code == 403
    assert requests.get(f"{base}/project/project-id", headers=flavor, timeout=5).text == "gemmactl-sandbox"
    account = requests.get(f"{base}/instance/service-accounts/default/?recursive=true", headers=flavor, timeout=5).json()
    assert account["email"] == RUN_SA
    token = requests.get(f"{base}/instance/service-accounts/default/token?scopes=x", headers=flavor, timeout=5).json()[
        "access_token"
    ]
    assert built.world.tokens.verify(token) == f"serviceAccount:{RUN_SA}"
    jwt = requests.get(
        f"{base}/instance/service-accounts/default/identity?audience=a&format=full", headers=flavor, timeout=5
    ).text
    assert built.world.tokens.verify_identity(jwt) == (f"serviceAccount:{RUN_SA}", "a")


def test_google_auth_in_the_container_reads_the_bucket_as_the_runtime_account(ground: Cloud):
    """Default credentials come from the metadata server; an object is readable once the runtime account may, not before."""
    program = """
import os, google.auth
from google.auth.transport.requests import AuthorizedSession
session = AuthorizedSession(google.auth.default()[0])
answer = session.get(os.environ["STORAGE_EMULATOR_HOST"] + "/storage/v1/b/weights/o/w%2Fshard?alt=media")
print(answer.status_code, answer.text, flush=True)
answer.raise_for_status()
from stub import main
"""
    bucket = ground.storage().create_bucket("weights")
    bucket.blob("w/shard").upload_from_string("tensor bytes")
    text = 'FROM x\nWORKDIR /app\nCOPY stub ./stub\nCOPY first.py .\nCMD ["python", "first.py"]\n'
    ground.build(context(**{"Dockerfile": text, "first.py": program}))
    with pytest.raises(exceptions.FailedPrecondition):
        create(ground)
    (refused,) = ground.lines("run.googleapis.com%2Fstdout")
    assert refused.startswith(f"403 {RUN_SA} does not have storage.objects.get access")
    ground.world.iam.grant(f"serviceAccount:{RUN_SA}", "roles/storage.objectViewer", "projects/_/buckets/weights")
    services(ground).update_service(request={"service": {"name": NAME, **body()}}).result(timeout=30)
    assert "200 tensor bytes" in ground.lines("run.googleapis.com%2Fstdout")


def test_packages_of_this_machine_cannot_stand_in_for_a_forgotten_copy(ground: Cloud):
    """inference_image is importable here, but not in a container whose Dockerfile did not copy it; the log says why."""
    text = 'FROM x\nWORKDIR /app\nCOPY stub ./stub\nENTRYPOINT ["python3", "-m", "stub.main"]\n'
    ground.build(
        context(
            **{"Dockerfile": text, "stub/main.py": f"import sys; sys.path.append({str(Path.cwd())!r}); import inference_image"}
        )
    )
    with pytest.raises(exceptions.FailedPrecondition, match="failed the configured startup probe checks"):
        create(ground)
    assert any(
        "No module named 'inference_image' (it is not in the image" in line
        for line in ground.lines("run.googleapis.com%2Fstderr")
    )


# --- who may call
def test_a_private_service_answers_invokers_only(built: Cloud):
    """No token 403, a bad one or another audience 401, no role 403, run.invoker 200; invoker_iam_disabled opens it."""
    made = create(built)
    assert built.get(f"{made.uri}/", email=None).status_code == 403
    assert built.get(f"{made.uri}/", email=None, headers={"Authorization": "Bearer nonsense"}).status_code == 401
    assert built.get(f"{made.uri}/", audience="http://elsewhere").status_code == 401
    assert built.get(f"{made.uri}/", email="dev@sandbox.invalid").status_code == 403
    client = services(built)
    policy = client.get_iam_policy(request={"resource": NAME})
    policy.bindings.add(role="roles/run.invoker", members=["user:dev@sandbox.invalid"])
    client.set_iam_policy(request={"resource": NAME, "policy": policy})
    assert built.get(f"{made.uri}/", email="dev@sandbox.invalid").status_code == 200
    opened = run_v2.UpdateServiceRequest(
        service={"name": NAME, "invoker_iam_disabled": True}, update_mask={"paths": ["invoker_iam_disabled"]}
    )
    after = client.update_service(request=opened).result(timeout=20)
    assert after.latest_ready_revision == made.latest_ready_revision
    assert built.get(f"{made.uri}/", email=None).status_code == 200
    closed = run_v2.UpdateServiceRequest(
        service={"name": NAME, "ingress": "INGRESS_TRAFFIC_INTERNAL_ONLY"}, update_mask={"paths": ["ingress"]}
    )
    client.update_service(request=closed).result(timeout=20)
    assert built.get(f"{made.uri}/").status_code == 404  # every caller of the sandbox is outside


def test_paths_that_cloud_run_reserves_never_arrive(built: Cloud):
    """Whatever ends in z, /eventlog and /_ah/* are answered by Google's front end with 404; their neighbours arrive."""
    made = create(built)
    for path in ("/healthz", "/v1/quiz?a=b", "/eventlog", "/_ah", "/_ah/warmup"):
        assert built.get(made.uri + path).status_code == 404, path
    for path in ("/health", "/zoo", "/eventlogs", "/_ahead", "/v1/_ah/x"):
        assert built.get(made.uri + path).json()["path"] == path


def test_requests_pass_through_with_their_headers_and_bodies(built: Cloud):
    """Trace headers are added, the token's signature is taken out, fixed and chunked bodies arrive, a stream comes piecewise."""
    made = create(built)
    headers = built.get(f"{made.uri}/headers", headers={"X-Mine": "a"}).json()
    assert headers["x-mine"] == "a"
    assert headers["authorization"].endswith(".SIGNATURE_REMOVED_BY_GOOGLE")
    assert headers["traceparent"].startswith("00-")
    assert headers["x-cloud-trace-context"].startswith(headers["traceparent"].split("-")[1])
    assert built.get(f"{made.uri}/", method="POST", data="한국어".encode()).json() == {"got": "한국어"}
    assert built.get(f"{made.uri}/", method="POST", data=iter([b"one ", b"two"])).json() == {"got": "one two"}
    times = []
    answer = built.get(f"{made.uri}/stream", stream=True)
    for piece in answer.iter_content(None):
        times.append((time.monotonic(), piece))
    assert b"".join(p for _, p in times) == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
    assert times[-1][0] - times[0][0] > 0.2


# --- instances come and go
def test_a_killed_instance_is_started_again_by_the_next_request(built: Cloud):
    """SIGKILL from outside, and a process that ends by itself, cost one cold start and no error."""
    made = create(built)
    first = built.get(f"{made.uri}/env").json()["pid"]
    os.kill(first, signal.SIGKILL)
    until(lambda: built.world.containers.running(made.latest_ready_revision) is None)
    second = built.get(f"{made.uri}/env").json()["pid"]
    assert second != first
    assert built.get(f"{made.uri}/die").status_code == 503
    until(lambda: built.world.containers.running(made.latest_ready_revision) is None)
    assert built.get(f"{made.uri}/env").json()["pid"] not in (first, second)
    assert "Container called exit(9)." in built.lines("run.googleapis.com%2Fvarlog%2Fsystem")


def test_an_idle_instance_stops_and_starts_again(tmp_path):
    """Scale to zero: after the idle time no process is left; the next request starts one."""
    world, server = boot(tmp_path / "home", idle_stop=0.4)
    cloud = Cloud(world)
    try:
        made = create(ground_of(cloud))
        pid = cloud.get(f"{made.uri}/env").json()["pid"]
        until(lambda: not alive(pid))
        assert cloud.get(f"{made.uri}/env").json()["pid"] != pid
    finally:
        shut(world, server)


def test_deleting_a_service_ends_an_instance_that_is_still_starting(built: Cloud):
    """A rollout that waits for its probe ends with the service, and so does its process."""
    operation = services(built).create_service(
        request={"parent": REGION, "service_id": "stub", "service": body({"env": env(LOAD_SECONDS="60", TOLD="1")})}
    )
    pid = until(lambda: [e["jsonPayload"]["pid"] for e in built.world.logs.entries('jsonPayload.message="listening"')])[0]
    services(built).delete_service(name=NAME).result(timeout=20)
    until(lambda: not alive(pid))
    with pytest.raises(exceptions.GoogleAPICallError):
        operation.result(timeout=20)


def test_an_address_that_was_taken_meanwhile_is_replaced(tmp_path):
    """When another program has the service's port at the restart, the service gets a new one and says so."""
    import socket

    world, server = boot(tmp_path / "home")
    made = create(ground_of(Cloud(world)))
    shut(world, server)
    with socket.socket() as thief:
        thief.bind(("127.0.0.1", int(made.uri.rpartition(":")[2])))
        thief.listen()
        world, server = boot(tmp_path / "home")
        try:
            again = services(Cloud(world)).get_service(name=NAME)
            assert again.uri != made.uri
            assert Cloud(world).get(f"{again.uri}/").status_code == 200
        finally:
            shut(world, server)


def test_two_updates_at_once_end_with_the_last_one(built: Cloud):
    """Rollouts of one service run one after another; the service is what the last update wished."""
    create(built)
    client = services(built)
    first = client.update_service(request={"service": {"name": NAME, **body({"env": env(V="1", LOAD_SECONDS="0.5")})}})
    second = client.update_service(request={"service": {"name": NAME, **body({"env": env(V="2")})}})
    first.result(timeout=30)
    last = second.result(timeout=30)
    assert (last.generation, last.observed_generation) == (3, 3)
    assert built.get(f"{last.uri}/env").json()["env"]["V"] == "2"


def test_state_and_address_survive_a_restart_of_the_daemon(tmp_path):
    """The service has the same uri, its process ended with the daemon, and the first request starts it again."""
    world, server = boot(tmp_path / "home")
    made = create(ground_of(Cloud(world)))
    pid = Cloud(world).get(f"{made.uri}/env").json()["pid"]
    shut(world, server)
    assert not alive(pid)
    world, server = boot(tmp_path / "home")
    try:
        again = services(Cloud(world)).get_service(name=NAME)
        assert (again.uri, again.etag) == (made.uri, made.etag)
        assert Cloud(world).get(f"{made.uri}/env").json()["pid"] != pid
    finally:
        shut(world, server)


def test_a_full_instance_says_429(built: Cloud):
    """Above the concurrency a request waits for a place, then is turned away."""
    from concurrent.futures import ThreadPoolExecutor

    made = create(built, body({"env": env(SLOW="1.5")}, max_instance_request_concurrency=1))
    with ThreadPoolExecutor(2) as pool:
        codes = sorted(pool.map(lambda _n: built.get(f"{made.uri}/slow").status_code, range(2)))
    assert codes == [200, 429]


def test_a_request_that_takes_too_long_is_a_504(built: Cloud):
    """The template's timeout ends the request at the front."""
    made = create(built, body({"env": env(SLOW="3")}, timeout={"seconds": 1}))
    assert built.get(f"{made.uri}/slow").status_code == 504


# --- failures in Cloud Run's words
def test_a_crash_is_seen_at_once_and_its_last_line_is_in_the_log(built: Cloud):
    """exit(3) during start fails the operation long before the probe's budget; the load_failed line is a JSON payload."""
    begun = time.monotonic()
    with pytest.raises(
        exceptions.FailedPrecondition, match="The user-provided container failed the configured startup probe checks"
    ):
        create(built, body({"env": env(CRASH="1")}))
    assert time.monotonic() - begun < 10
    service = services(built).get_service(name=NAME)
    assert service.terminal_condition.state.name == "CONDITION_FAILED"
    assert service.terminal_condition.revision_reason.name == "HEALTH_CHECK_CONTAINER_ERROR"
    assert service.latest_created_revision
    assert not service.latest_ready_revision
    entries = built.world.logs.entries('resource.type="cloud_run_revision" AND severity>=ERROR')
    assert any(e.get("jsonPayload", {}).get("load_failed") == {"code": "shard_missing"} for e in entries)
    assert "Container called exit(3)." in built.lines("run.googleapis.com%2Fvarlog%2Fsystem")
    assert built.get(f"{service.uri}/").status_code == 404


def test_a_traceback_is_one_error_entry(built: Cloud):
    """An uncaught exception is a single entry with severity ERROR, its last line included."""
    with pytest.raises(exceptions.FailedPrecondition):
        create(built, body({"env": env(RAISE="1")}))
    (entry,) = built.world.logs.entries(f'logName="{PROJECT}/logs/run.googleapis.com%2Fstderr" AND severity>=ERROR')
    assert entry["textPayload"].startswith("Traceback (most recent call last):")
    assert entry["textPayload"].endswith("RuntimeError: no such model")


@pytest.mark.parametrize(
    ("probe", "words"),
    [
        (
            {
                "tcp_socket": {"port": 8080},
                "period_seconds": 10,
                "timeout_seconds": 5,
                "failure_threshold": 2,
                "initial_delay_seconds": 5,
            },
            "Startup probes timed out after 15s (2 attempts with a timeout of 5s each). There was an initial delay of 5s.",
        ),
        (
            {"http_get": {"path": "/ready"}, "period_seconds": 1, "failure_threshold": 3},
            "The user-provided container failed the configured startup probe checks.",
        ),
        (None, "failed to start and listen on the port defined provided by the PORT=8080 environment variable"),
    ],
)
def test_a_container_that_never_listens_fails_with_its_probes_sentence(built: Cloud, probe, words):
    """TCP, HTTP and the default probe each have Cloud Run's own text."""
    container = {"env": env(DEAF="1"), "startup_probe": probe}
    with pytest.raises(exceptions.FailedPrecondition) as raised:
        create(built, body(container))
    assert words in str(raised.value)
    assert "is not ready and cannot serve traffic." in str(raised.value)
    assert any(
        "STARTUP" in line and "The instance was not started." in line
        for line in built.lines("run.googleapis.com%2Fvarlog%2Fsystem")
    )


def test_the_old_revision_goes_on_serving_when_the_new_one_fails(built: Cloud):
    """A failed update leaves Ready = False, traffic on the old revision; a later good one repairs it."""
    made = create(built)
    client = services(built)
    broken = {"name": NAME, **body({"env": env(CRASH="1")})}
    with pytest.raises(exceptions.FailedPrecondition):
        client.update_service(request={"service": broken}).result(timeout=30)
    service = client.get_service(name=NAME)
    assert service.terminal_condition.state.name == "CONDITION_FAILED"
    assert service.latest_ready_revision == made.latest_ready_revision != service.latest_created_revision
    assert built.get(f"{made.uri}/").json()["revision"] == made.latest_ready_revision.rpartition("/")[2]
    good = client.update_service(request={"service": {"name": NAME, **body({"env": env(V="3")})}}).result(timeout=30)
    assert good.terminal_condition.state.name == "CONDITION_SUCCEEDED"
    assert built.get(f"{made.uri}/").json()["revision"] == good.latest_ready_revision.rpartition("/")[2]


def test_a_missing_image_and_a_missing_secret_role_fail_the_rollout(built: Cloud):
    """Image: NOT_FOUND. Secret without secretAccessor: the sentence with secret, account and role; the grant cures it."""
    with pytest.raises(exceptions.NotFound, match=r"Image '.*:none' not found"):
        create(built, body({"image": TAG.replace(":v1", ":none")}), "lost")
    secrets = built.client(secretmanager_v1.SecretManagerServiceClient)
    secret = secrets.create_secret(parent=PROJECT, secret_id="hf-token", secret={"replication": {"automatic": {}}})
    secrets.add_secret_version(parent=secret.name, payload={"data": b"s3cret"})
    wish = body({"env": [{"name": "HF_TOKEN", "value_source": {"secret_key_ref": {"secret": "hf-token", "version": "1"}}}]})
    with pytest.raises(exceptions.InternalServerError) as raised:
        create(built, wish)
    words = (
        "spec.template.spec.containers[0].env[0].value_from.secret_key_ref.name: Permission denied on secret: "
        f"projects/100000000001/secrets/hf-token/versions/1 for Revision service account {RUN_SA}. The service account used must "
        "be granted the 'Secret Manager Secret Accessor' role (roles/secretmanager.secretAccessor)"
    )
    assert words in str(raised.value)
    built.world.iam.grant(f"serviceAccount:{RUN_SA}", "roles/secretmanager.secretAccessor", f"{PROJECT}/secrets/hf-token")
    made = services(built).update_service(request={"service": {"name": NAME, **wish}}).result(timeout=30)
    assert built.get(f"{made.uri}/env").json()["env"]["HF_TOKEN"] == "s3cret"
    assert "s3cret" not in (built.world.home / "logs.jsonl").read_text()


def test_what_the_deployer_himself_must_be_allowed(built: Cloud):
    """run.developer alone: actAs, then reading the image, then setIamPolicy for a public service are asked in turn."""
    world, email = built.world, "dev@sandbox.invalid"
    member = f"user:{email}"
    client = services(built, email)
    request = {"parent": REGION, "service_id": "stub", "service": body()}
    with pytest.raises(exceptions.Forbidden, match=r"Permission 'run.services.create' denied"):
        client.create_service(request=request)
    world.iam.grant(member, "roles/run.developer", PROJECT)
    with pytest.raises(exceptions.Forbidden, match=f"Permission 'iam.serviceaccounts.actAs' denied on service account {RUN_SA}"):
        client.create_service(request=request)
    world.iam.grant(member, "roles/iam.serviceAccountUser", f"{PROJECT}/serviceAccounts/{RUN_SA}")
    with pytest.raises(exceptions.Forbidden, match="User must have permission to read the image"):
        client.create_service(request=request)
    world.iam.grant(member, "roles/artifactregistry.reader", f"{REGION}/repositories/repo")
    public = {**request, "service": {**body(), "invoker_iam_disabled": True}}
    with pytest.raises(exceptions.Forbidden, match="setIamPolicy"):
        client.create_service(request=public)
    assert client.create_service(request=request).result(timeout=30).uri


# --- control plane
def test_validate_only_changes_nothing(built: Cloud):
    """The answer carries the defaults, and no service is there afterwards."""
    dry = services(built).create_service(
        request={"parent": REGION, "service_id": "stub", "service": body(), "validate_only": True}
    )
    assert dry.result(timeout=5).template.max_instance_request_concurrency == 80
    with pytest.raises(exceptions.NotFound):
        services(built).get_service(name=NAME)


def test_a_masked_update_touches_only_its_paths_and_an_old_etag_is_refused(built: Cloud):
    """Labels change without a new revision; the etag of before is a conflict; the same template again makes no revision."""
    made = create(built)
    client = services(built)
    wish = {"name": NAME, "labels": {"a": "b"}, "etag": made.etag}
    labelled = client.update_service(request={"service": wish, "update_mask": {"paths": ["labels"]}}).result(timeout=20)
    assert (dict(labelled.labels), labelled.latest_ready_revision) == ({"a": "b"}, made.latest_ready_revision)
    assert labelled.template == made.template
    with pytest.raises(exceptions.Conflict):
        client.update_service(request={"service": wish, "update_mask": {"paths": ["labels"]}})
    again = client.update_service(request={"service": {"name": NAME, **body()}}).result(timeout=20)
    assert again.latest_created_revision == made.latest_created_revision
    assert dict(again.labels) == {}
    with pytest.raises(exceptions.NotFound):
        client.update_service(request={"service": {"name": f"{NAME}2", **body()}})
    assert (
        client.update_service(request={"service": {"name": f"{NAME}2", **body()}, "allow_missing": True}).result(timeout=30).uri
    )


def test_traffic_and_tags_reach_their_revisions(built: Cloud):
    """A tag has an address of its own; 100 percent on a named revision holds against a newer one."""
    made = create(built)
    old = made.latest_ready_revision.rpartition("/")[2]
    traffic = [
        {"type_": "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION", "revision": old, "percent": 100},
        {"type_": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "tag": "next"},
    ]
    wish = {"name": NAME, **body({"env": env(V="2")}), "traffic": traffic}
    split = services(built).update_service(request={"service": wish}).result(timeout=30)
    new = split.latest_ready_revision.rpartition("/")[2]
    tagged = next(s for s in split.traffic_statuses if s.tag == "next")
    assert old != new
    assert built.get(f"{split.uri}/").json()["revision"] == old
    assert built.get(f"{tagged.uri}/", audience=split.uri).json()["revision"] == new
    revisions = built.client(run_v2.RevisionsClient)
    assert {r.name.rpartition("/")[2] for r in revisions.list_revisions(parent=NAME)} == {old, new}
    assert revisions.get_revision(name=f"{NAME}/revisions/{old}").conditions[0].state.name == "CONDITION_SUCCEEDED"


def test_delete_ends_process_port_and_record(built: Cloud):
    """After delete nothing listens, nothing runs, nothing is listed; the same name can be created anew."""
    import requests

    made = create(built)
    pid = built.get(f"{made.uri}/env").json()["pid"]
    assert [s.name for s in services(built).list_services(parent=REGION)] == [NAME]
    with pytest.raises(exceptions.Conflict, match="already exists"):
        create(built)
    services(built).delete_service(name=NAME).result(timeout=20)
    assert not alive(pid)
    with pytest.raises(requests.ConnectionError):
        built.get(f"{made.uri}/")
    assert list(services(built).list_services(parent=REGION)) == []
    assert create(built).generation == 1


def ground_of(cloud: Cloud) -> Cloud:
    """A project with the stub's image, put there without a build."""
    from gemmactl.sandbox.apis_api import switch_on

    switch_on(cloud.world, "run.googleapis.com")
    cloud.world.store.put("service_accounts", RUN_SA, {"email": RUN_SA})
    root = cloud.world.home / "images" / "stub"
    (root / "app" / "stub").mkdir(parents=True)
    (root / "app" / "stub" / "main.py").write_text(STUB)
    config = {"entrypoint": ["python", "-m", "stub.main"], "cmd": [], "env": {}, "workdir": "/app", "user": "", "exposed": []}
    cloud.world.store.put(
        "repositories", f"{REGION}/repositories/repo", {"name": f"{REGION}/repositories/repo", "format": "DOCKER"}
    )
    from gemmactl.sandbox import images

    images.push(cloud.world, TAG, "sha256:" + "0" * 64, str(root), config)
    return cloud


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
