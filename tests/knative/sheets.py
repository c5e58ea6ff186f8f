"""Services as YAML that the tests start from. The codelab's is the published page's, non-breaking spaces included."""

from __future__ import annotations

from typing import Final

from gemmactl.knative.read import Read, read
from tests.golden.replay import HERE

CODELAB: Final = (HERE / "service.yaml.tmpl").read_text()
"""source: "How to fine tune an LLM using Cloud Run Jobs" (Google's codelab), step 6, service.yaml.tmpl."""
ENVIRON: Final = {"REGION": "us-central1", "BUCKET_NAME": "demo-proj-codelab-finetuning-jobs"}

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
