"""Services and a job as YAML that the tests start from. The codelab's are the published page's, non-breaking spaces included."""

from __future__ import annotations

from typing import Final

from gemmactl.knative.read import Read, read
from gemmactl.knative.read_job import ReadJob, read_job
from tests.golden.replay import HERE

CODELAB: Final = (HERE / "service.yaml.tmpl").read_text()
"""source: "How to fine tune an LLM using Cloud Run Jobs" (Google's codelab), step 6, service.yaml.tmpl."""
ENVIRON: Final = {"REGION": "us-central1", "BUCKET_NAME": "demo-proj-codelab-finetuning-jobs"}

JOB: Final = (HERE / "finetune-job.yaml.tmpl").read_text()
"""source: the same page, step 5, finetune-job.yaml.tmpl."""
JOB_ENVIRON: Final = {
    **ENVIRON,
    "PROJECT_ID": "demo-proj",
    "JOB_NAME": "finetuning-to-gcs-job",
    "AR_REPO": "codelab-finetuning-jobs",
    "IMAGE_NAME": "finetune-to-gcs",
    "SERVICE_ACCOUNT_ADDRESS": "finetune-job-sa@demo-proj.iam.gserviceaccount.com",
}
"""source: its step 3, with the recordings' project."""

SMALL: Final = """\
apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  name: small
spec:
  template:
    spec:
      containers:
      - image: example.com/a
"""


def sheet(text: str, **environ: str) -> Read:
    """A file's text as read."""
    return read(text, "service.yaml", environ)


def codelab() -> Read:
    return sheet(CODELAB, **ENVIRON)


def job_sheet(text: str, **environ: str) -> ReadJob:
    """A job's file as read."""
    return read_job(text, "finetune-job.yaml", environ)


def codelab_job() -> ReadJob:
    return job_sheet(JOB, **JOB_ENVIRON)
