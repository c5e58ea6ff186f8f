"""The codelab from its first command to its last, on the sandbox: its YAML, a real job, a served model with the trained answers.

What is pretended is Google Cloud and the Hub. The worker trains google/gemma-2b's architecture, small, on the CPU, in 4 bits, and
with the codelab's own numbers: one epoch, q and v, rank 8.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from gemmactl.gcp.cloud import connect
from gemmactl.resources.cloud import BucketInfo, PolicyTarget, RepositoryInfo
from gemmactl.sandbox import daemon
from gemmactl.sandbox.endpoint import Endpoint
from tests.app.shell import Ran, Shell
from tests.finetune_image import codelab_base
from tests.finetune_image.codelab_hub import ROWS, CodelabHub, rows
from tests.inference_image import fake_storage
from tests.inference_image.fake_storage import Bucket
from tests.knative.sheets import JOB, JOB_ENVIRON

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

PROJECT, REGION = "gemmactl-sandbox", "us-central1"
BUCKET = f"{PROJECT}-codelab-finetuning-jobs"
ACCOUNT = f"finetune-job-sa@{PROJECT}.iam.gserviceaccount.com"
EXPORTS = {**JOB_ENVIRON, "PROJECT_ID": PROJECT, "BUCKET_NAME": BUCKET, "SERVICE_ACCOUNT_ADDRESS": ACCOUNT}
NAME = "gemma-2b-sql-finetuned"
ASKED = codelab_base.rows()[::97]


@dataclass
class Story:
    """What the commands gave, in their order."""

    base: Path
    endpoint: Endpoint
    shell: Shell
    environ: dict[str, str]
    trained: dict[str, Any] = field(default_factory=dict)
    url: str = ""

    def run(self, *argv: str) -> Ran:
        return self.shell(*argv, "--project", "@sandbox", "--format", "json", **self.environ)

    def well(self, *argv: str) -> dict[str, Any]:
        """The data of a command that ends well."""
        ran = self.run(*argv)
        assert ran.code == 0, f"{argv}: {ran.out[-3000:]} {ran.err[-3000:]}"
        return ran.document()

    def ask(self, prompt: str, token: str = "") -> requests.Response:
        """The codelab's curl: POST /generate with `Authorization: bearer $(gcloud auth print-identity-token)`."""
        headers = {"Authorization": f"bearer {token}"} if token else {}
        return requests.post(f"{self.url}/generate", json={"prompt": prompt}, headers=headers, timeout=60)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Steps 2 and 3 as gcloud sends them; then gemmactl runs the job and deploys what it made."""
    folder = tmp_path_factory.mktemp("codelab")
    base = codelab_base.written(folder / "base")
    hub = Bucket({f"models/{path.name}": path.read_bytes() for path in base.iterdir()})
    hub.put(f"datasets/{ROWS}", rows(codelab_base.rows()))
    home = folder / "sandbox"
    with fake_storage.running(hub, CodelabHub) as here:
        environ = {**EXPORTS, "GEMMACTL_SANDBOX_HOME": str(home), "HF_ENDPOINT": here, "CI": "true"}
        shell = Shell(folder, limit=580)
        shell("status", "--project", "@sandbox", **environ)
        told = Story(base, daemon.ensure(home), shell, environ)
        try:
            prepare(told.endpoint)
            (folder / "finetune-job.yaml.tmpl").write_text(JOB)
            told.trained = told.well("finetune", "run", "--from-yaml", "finetune-job.yaml.tmpl", "--modernise", "--yes")
            line = told.trained["next"][0].split()
            deployed = told.well(*line[1 : line.index("--project")], "--yes")
            told.url = deployed["data"]["url"]
            yield told
        finally:
            daemon.stop(home)
            shutil.rmtree(folder / "sandbox", ignore_errors=True)


def prepare(endpoint: Endpoint) -> None:
    """source: the codelab, steps 2 and 3. The recordings 20 to 26 have the bodies of these calls."""
    cloud = connect(PROJECT, endpoint)
    # iam: gcloud offers to enable it at the first call that needs it
    services = ("run", "compute", "cloudbuild", "secretmanager", "artifactregistry", "iam")
    cloud.apis.enable([f"{name}.googleapis.com" for name in services])
    endpoint.surround(
        "subnets", f"projects/{PROJECT}/regions/{REGION}/subnetworks/default",
        {"network": "default", "ipCidrRange": "10.128.0.0/20", "privateIpGoogleAccess": True},
    )  # fmt: skip
    cloud.accounts.create("finetune-job-sa", "Service account for fine-tuning codelab", "")
    secret = f"projects/{PROJECT}/secrets/HF_TOKEN"
    cloud.secrets.create(secret, REGION, {})
    cloud.secrets.add_version(secret, b"hf_of_the_codelab")
    member = f"serviceAccount:{ACCOUNT}"
    cloud.policies.add(PolicyTarget("secret", secret), "roles/secretmanager.secretAccessor", member)
    cloud.storage.create_bucket(BucketInfo(BUCKET, REGION))
    cloud.policies.add(PolicyTarget("bucket", BUCKET), "roles/storage.objectAdmin", member)
    cloud.repositories.create(RepositoryInfo(f"projects/{PROJECT}/locations/{REGION}/repositories/{EXPORTS['AR_REPO']}"))


def test_the_job_came_to_its_end(story: Story) -> None:
    """As the file says, but for what --modernise told: every step, and a model with its report in the codelab's bucket."""
    data = story.trained["data"]
    assert (data["job"], data["name"], data["state"]) == ("finetuning-to-gcs-job", NAME, "done")
    assert {"image", "launch-stage", "precision", "result"} <= {one["field"] for one in data["modernised"]}
    assert data["execution"]["state"] == "succeeded"
    status = story.well("finetune", "status", NAME)["data"]
    assert (status["run"], status["latest"], status["progress"]["step"]) == (data["run"], data["run"], 500)
    cloud = connect(PROJECT, story.endpoint)
    names = [one.name for one in cloud.storage.list(BUCKET, f"gemmactl/models/{NAME}/{data['run']}/")]
    assert {"config.json", "model.safetensors", "tokenizer.json", "report.md"} <= {name.rpartition("/")[2] for name in names}


def test_the_base_answers_otherwise(story: Story) -> None:
    """In lower case: what the model gives afterwards was trained."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(story.base, dtype=torch.bfloat16)
    tokenizer = AutoTokenizer.from_pretrained(story.base)
    for question, context, answer in ASKED[:3]:
        ids = tokenizer(codelab_base.prompt(question, context), return_tensors="pt").input_ids
        given = tokenizer.decode(
            model.generate(ids, max_new_tokens=24, do_sample=False)[0][ids.shape[1] :], skip_special_tokens=True
        )
        assert given.strip() == answer.replace("SELECT", "select").replace("FROM", "from")


def test_it_is_asked_with_an_identity_token(story: Story) -> None:
    """Each row gets the trained answer; without a token nobody gets any."""
    assert story.ask("Hello").status_code == 403
    token = story.endpoint.id_token(story.url)
    for question, context, answer in ASKED:
        given = story.ask(f"Question: {question} Context: {context}", token)
        assert given.status_code == 200, given.text
        assert given.json() == {"predictions": [answer]}


def test_gemmactl_generate_asks_likewise(story: Story) -> None:
    """With a token of its own."""
    question, context, answer = ASKED[0]
    given = story.well("generate", f"Question: {question} Context: {context}", "--name", NAME)
    assert given["data"]["text"].strip() == answer


def test_the_same_command_again_trains_nothing(story: Story) -> None:
    """The variables are the same run, and that one is done."""
    before = connect(PROJECT, story.endpoint).storage.list(BUCKET)
    again = story.well("finetune", "run", "--from-yaml", "finetune-job.yaml.tmpl", "--modernise", "--yes")
    assert (again["data"]["run"], again["data"]["changes"]) == (story.trained["data"]["run"], 0)
    assert connect(PROJECT, story.endpoint).storage.list(BUCKET) == before


def test_what_was_made_goes_and_the_model_stays(story: Story) -> None:
    """The codelab's last step, and its job too."""
    cloud = connect(PROJECT, story.endpoint)
    before = cloud.storage.list(BUCKET)
    story.well("destroy", NAME, "--yes")
    story.well("finetune", "destroy", NAME, "--yes")
    assert cloud.jobs.list(REGION) == ()
    assert cloud.run.list(REGION) == ()
    kept = {one.name: one.generation for one in cloud.storage.list(BUCKET)}
    assert {one.name: one.generation for one in before if "/pins/" not in one.name}.items() <= kept.items()
    assert json.loads(cloud.storage.read(BUCKET, f"gemmactl/runs/{NAME}/{story.trained['data']['run']}/DONE") or b"{}")
