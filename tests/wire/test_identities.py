"""Acting as a service account, and coming from elsewhere: google-auth's real credentials and real host names, IAM on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from gemmactl.errors import Trouble
from gemmactl.gcp.cloud import connect
from gemmactl.kernel.plan import Plan
from gemmactl.sandbox.apis_api import switch_on
from gemmactl.sandbox.assembly import assemble
from gemmactl.sandbox.endpoint import Endpoint
from gemmactl.sandbox.server import Server
from gemmactl.sandbox.world import World
from gemmactl.serving import plan_file
from gemmactl.serving.plan_file import Keep
from gemmactl.spec import Serve, parse_model
from tests.fakes.cloud import FakeCloud
from tests.fakes.recorder import STS, Recorder
from tests.knative.sheets import SMALL
from tests.serving.ear import place

ROOT = Path(__file__).parents[2]
P = "gemmactl-sandbox"
CI = f"ci-deployer@{P}.iam.gserviceaccount.com"
IMPERSONATED = "CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT"
WORKER = "worker@pool.invalid"
SUBJECT = "a-token-of-the-other-side"
ASK = """
import json, sys
from gemmactl.errors import Trouble
from gemmactl.gcp.cloud import connect
c = connect("gemmactl-sandbox", impersonate=sys.argv[1])
try:
    print(json.dumps([c.caller(), c.login().kind, len(c.run.list("us-central1")), c.id_token("https://service.invalid")]))
except Trouble as t:
    print(json.dumps([t.code, int(t.exit), t.why, t.remedy]))
"""


class Site:
    """A sandbox behind a recorder, an account in it that may list services, and a person who may not."""

    def __init__(self, folder: Path, world: World) -> None:
        self.folder, self.world = folder, world
        self.recorder = Recorder(
            folder, world.base_url.removeprefix("http://"), lambda: world.tokens.access("person@sandbox.invalid"),
            lambda: world.tokens.identity("person@sandbox.invalid", "x"), "person@sandbox.invalid",
        )  # fmt: skip
        self.recorder.federated = lambda body: (
            world.tokens.access(WORKER) if SUBJECT in parse_qs(body.decode())["subject_token"] else ""
        )
        for api in ("run", "iam"):
            switch_on(world, f"{api}.googleapis.com")
        world.store.put("service_accounts", CI, {"email": CI, "uniqueId": "1"})
        world.iam.grant(f"serviceAccount:{CI}", "roles/run.viewer", f"projects/{P}")

    def allow(self, member: str, role: str) -> None:
        """A role on the account."""
        self.world.iam.grant(member, role, f"projects/{P}/serviceAccounts/{CI}")

    def ask(self, impersonate: str = "", file: Path | None = None) -> list[Any]:
        """Caller, kind of login, number of services, ID token; or the Trouble."""
        adc = {"GOOGLE_APPLICATION_CREDENTIALS": str(file)} if file else {}
        done = self.run("-c", ASK, impersonate, **adc)
        assert done.returncode == 0, done.stderr
        found: list[Any] = json.loads(done.stdout)
        return found

    def run(self, *argv: str, **more: str) -> subprocess.CompletedProcess[str]:
        own = {k: v for k, v in os.environ.items() if not k.startswith(("GEMMACTL_", "GOOGLE_", "CLOUDSDK_"))}
        env = {**own, **self.recorder.environment(), "PYTHONPATH": str(ROOT), "HOME": str(self.folder), "CI": "true", **more}
        env.setdefault("CLOUDSDK_CONFIG", str(self.folder / "none"))
        return subprocess.run([sys.executable, *argv], env=env, cwd=self.folder, capture_output=True, text=True, timeout=120)

    def federated(self, source: dict[str, Any], *, account: str = "") -> Path:
        """A credentials' file as `gcloud iam workload-identity-pools create-cred-config` writes it."""
        pool = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/o"
        url = f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{account}:generateAccessToken"
        document = {
            "type": "external_account",
            "audience": pool,
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": f"https://{STS}/v1/token",
            "credential_source": source,
            **({"service_account_impersonation_url": url} if account else {}),
        }
        file = self.folder / "wif.json"
        file.write_text(json.dumps(document))
        return file


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    world = assemble(World(tmp_path / "home"))
    server = Server(world)
    server.start()
    made = Site(tmp_path, world)
    yield made
    made.recorder.close()
    server.shutdown()
    server.server_close()
    world.close()


def holder(site: Site, jwt: str) -> tuple[str, str]:
    found = site.world.tokens.verify_identity(jwt)
    assert found is not None
    return found


def test_acting_as_an_account(site: Site) -> None:
    """Refused with the role that is missing; with it every call and the ID token are the account's, not the person's."""
    code, exit_, why, remedy = site.ask(CI)
    assert (code, exit_, "getAccessToken" in why) == ("impersonation", 4, True)
    assert f"add-iam-policy-binding {CI} " in remedy
    assert "--role=roles/iam.serviceAccountTokenCreator --project=" in remedy
    site.allow("user:person@sandbox.invalid", "roles/iam.serviceAccountTokenCreator")
    caller, kind, count, jwt = site.ask(CI)
    assert (caller, kind, count) == (f"serviceAccount:{CI}", "impersonated", 0)
    assert holder(site, jwt) == (f"serviceAccount:{CI}", "https://service.invalid")
    assert "iamcredentials.googleapis.com" in site.recorder.hosts


def test_flag_variable_and_gclouds_property(site: Site) -> None:
    """--impersonate-service-account before CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT before gcloud's property; it is said."""
    site.allow("user:person@sandbox.invalid", "roles/iam.serviceAccountTokenCreator")
    status = ("-m", "gemmactl", "status", "--project", P, "--format", "json")
    config = site.folder / "gcloud" / "configurations" / "config_default"
    config.parent.mkdir(parents=True)
    config.write_text(f"[auth]\nimpersonate_service_account = {CI}\n")
    for argv, more in (
        (("--impersonate-service-account", CI), {IMPERSONATED: "other@x.iam.gserviceaccount.com"}),
        ((), {IMPERSONATED: CI}),
        ((), {"CLOUDSDK_CONFIG": str(site.folder / "gcloud")}),
    ):
        done = site.run(*status, *argv, **more)
        assert done.returncode == 0, done.stdout + done.stderr
        assert json.loads(done.stdout)["data"]["identity"] == f"serviceAccount:{CI}"
    wrong = site.run(*status, "--impersonate-service-account", f"{CI},{CI}")
    assert (wrong.returncode, json.loads(wrong.stdout)["problems"][0]["code"]) == (2, "service-account-illegal")


def test_a_file_that_says_everything_does_not_say_who_applies_it(site: Site) -> None:
    """--from-yaml, a kept plan and keys act as the account that flag or variable names, like every other verb."""
    (site.folder / "service.yaml").write_text(SMALL)
    wish = Serve(P, "us-central1", parse_model("gs://weights/m"), "gemma")
    plan_file.save(Keep(site.folder / "plan.json", "gemmactl plan"), wish, place(FakeCloud()), Plan(()))
    for argv in (
        ("plan", "--from-yaml", "service.yaml", "--project", P),
        ("deploy", "plan.json"),
        ("keys", "list", "gemma", "--project", P),
    ):
        for flag, variable in ((("--impersonate-service-account", CI), {}), ((), {IMPERSONATED: CI})):
            done = site.run("-m", "gemmactl", *argv, *flag, "--format", "json", **variable)
            assert json.loads(done.stdout)["problems"][0]["code"] == "impersonation", done.stdout


def test_federation_from_a_file_to_an_account(site: Site) -> None:
    """The other side's token becomes the account's access token and ID token; workloadIdentityUser is enough."""
    (site.folder / "subject").write_text(SUBJECT)
    file = site.federated({"file": str(site.folder / "subject")}, account=CI)
    site.allow(f"user:{WORKER}", "roles/iam.workloadIdentityUser")
    caller, kind, count, jwt = site.ask(file=file)
    assert (caller, kind, count) == (f"serviceAccount:{CI}", "federated", 0)
    assert holder(site, jwt)[0] == f"serviceAccount:{CI}"
    (site.folder / "subject").write_text("stolen")
    assert site.ask(file=file)[:2] == ["federation", 4]
    (site.folder / "subject").unlink()
    assert site.ask(file=file)[:2] == ["federation", 4]


def test_federation_from_a_url(site: Site) -> None:
    """As a CI system hands its token out; without an account there is no ID token, and acting as one gives it."""

    class Runner(BaseHTTPRequestHandler):
        def log_message(self, *_args: object) -> None: ...

        def do_GET(self) -> None:
            body = json.dumps({"value": SUBJECT}).encode()
            self.send_response(200 if self.headers["Authorization"] == "bearer job" else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Runner)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    form = {"type": "json", "subject_token_field_name": "value"}
    url = f"http://127.0.0.1:{server.server_port}/token"
    file = site.federated({"url": url, "headers": {"Authorization": "bearer job"}, "format": form})
    site.world.iam.grant(f"user:{WORKER}", "roles/run.viewer", f"projects/{P}")
    assert site.ask(file=file)[0] == "no-id-token"
    site.allow(f"user:{WORKER}", "roles/iam.serviceAccountTokenCreator")
    assert site.ask(CI, file)[:2] == [f"serviceAccount:{CI}", "impersonated"]
    server.shutdown()
    server.server_close()


def test_the_sandbox_has_it_too(site: Site) -> None:
    """In @sandbox the same flag asks the sandbox's own IAM Credentials API."""
    here = Endpoint(site.world.base_url, P, site.world.number, "person@sandbox.invalid", site.world.secret)
    with pytest.raises(Trouble) as denied:
        connect(P, here, impersonate=CI).run.list("us-central1")
    assert denied.value.code == "impersonation"
    assert denied.value.what == f"person@sandbox.invalid may not act as {CI}"
    assert f"{CI} --member=user:person@sandbox.invalid --role" in denied.value.remedy
    typo = f"ci-x@{P}.iam.gserviceaccount.com"
    site.world.iam.grant("user:person@sandbox.invalid", "roles/iam.serviceAccountTokenCreator", f"projects/{P}")
    with pytest.raises(Trouble) as absent:
        connect(P, here, impersonate=typo).run.list("us-central1")
    assert absent.value.what == f"there is no service account {typo}"
    site.world.iam.revoke("user:person@sandbox.invalid", "roles/iam.serviceAccountTokenCreator", f"projects/{P}")
    site.allow("user:person@sandbox.invalid", "roles/iam.serviceAccountTokenCreator")
    cloud = connect(P, here, impersonate=CI)
    assert (cloud.caller(), cloud.run.list("us-central1")) == (f"serviceAccount:{CI}", ())
    assert holder(site, cloud.id_token("https://service.invalid"))[0] == f"serviceAccount:{CI}"
