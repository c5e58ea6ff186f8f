"""Every name of a host in the code is one that docs/hosts.md tells of, or a name that nobody connects to, with what it is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from tests.house import tree

HOST: Final = re.compile(
    r"(?<![\w.@%-])\.?((?:[a-z0-9-]+\.)+(?:ai|app|co|com|dev|goog|google|internal|io|net|org|sh))(?![\w-]|\.[a-z])", re.IGNORECASE
)
PLACES: Final = ("gemmactl", "inference_image", "finetune_image")
NO_HOSTS: Final = {
    # pages that a person is pointed to
    "accounts.google.com": "the issuer that a pretended ID token names",
    "ai.google.dev": "the terms of Gemma, in a fine-tune's report",
    "cloud.google.com": "pages that numbers come from",
    "console.cloud.google.com": "the page on which a quota is asked for",
    "console.developers.google.com": "the page that a pretended refusal names",
    "developers.google.com": "a page that a pretended error names",
    "g.co": "the page on which a GPU quota is asked for",
    "json-schema.org": "the form of --format json's description",
    # names of fields, kinds, members and images
    "stats.vllm.ai": "a note that --modernise turns vLLM's own telemetry off",
    "-docker.pkg.dev": "the end of REGION-docker.pkg.dev",
    "us-docker.pkg.dev": "an image that the sandbox knows by name, and never pulls",
    "appspot.gserviceaccount.com": "members",
    "apps.googleusercontent.com": "audiences",
    "autoscaling.knative.dev": "annotations",
    "client.knative.dev": "annotations",
    "cloud.googleapis.com": "a label",
    "developer.gserviceaccount.com": "members",
    "gcr.io": "images that a refusal names",
    "gcsfuse.run.googleapis.com": "a volume's driver",
    "googleapis.com": "the end of others",
    "gserviceaccount.com": "members",
    "iam.gserviceaccount.com": "members",
    "iap.googleapis.com": "a text that doctor knows",
    "nvidia.com": "a resource",
    "run.app": "the end of a service's address",
    "serving.knative.dev": "annotations",
    "type.googleapis.com": "kinds of messages",
    "www.googleapis.com": "OAuth scopes",
    "yaml.org": "tags",
    # APIs that the sandbox has a project enabled with, and a file
    "admin.sh": "a script's name in an example",
    "cloudapis.googleapis.com": "pretended alone",
    "monitoring.googleapis.com": "pretended alone",
    "policytroubleshooter.googleapis.com": "pretended alone",
    "servicemanagement.googleapis.com": "pretended alone",
    "storage-api.googleapis.com": "pretended alone",
    "storage-component.googleapis.com": "pretended alone",
}


def documented() -> set[str]:
    """Hosts of the table in docs/hosts.md, in lower case."""
    page = (tree.ROOT / "docs/hosts.md").read_text(encoding="utf-8")
    return {host.lower() for host in re.findall(r"^\| `([^`]+)`", page, re.MULTILINE)}


def texts(file: Path) -> Iterator[str]:
    """All that a program's text says but comments and docstrings; of a Dockerfile what is no comment."""
    source = file.read_text(encoding="utf-8")
    if file.suffix != ".py":
        yield from (line for line in source.splitlines() if not line.startswith("#"))
        return
    if not HOST.search(source):
        return
    module = ast.parse(source)
    said = {id(n.value) for n in ast.walk(module) if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)}
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            yield node.value


@cache
def named() -> dict[str, set[str]]:
    """Host -> files that name it."""
    found: dict[str, set[str]] = {}
    for place in PLACES:
        for file in (*(tree.ROOT / place).rglob("*.py"), *(tree.ROOT / place).glob("Dockerfile")):
            for host in (h for text in texts(file) for h in HOST.findall(text)):
                found.setdefault(host.lower(), set()).add(tree.relative(file))
    return found


def test_every_host_in_the_code_is_documented() -> None:
    """In the tool and in both images; a new one can't come unseen, and none of the page's is left over."""
    assert {"run.googleapis.com", "mirror.gcr.io", "huggingface.co", "download.pytorch.org"} <= named().keys()
    strangers = {host: files for host, files in named().items() if host not in documented() | NO_HOSTS.keys()}
    assert strangers == {}
    assert NO_HOSTS.keys() - named().keys() == set(), "named nowhere any more"
    by_libraries = {"metadata.google.internal", "sts.googleapis.com", "*.run.app"}
    assert documented() - named().keys() <= by_libraries, "contacted by nobody"


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ('"https://telemetry.example.com/v1"', ["telemetry.example.com"]),
        ('"region-x.pkg.dev/p"', ["region-x.pkg.dev"]),
        ('"you@example.com model.config.json google.cloud.run_v2"', []),
        ('f"https://{host}.evil.io:8080"', ["evil.io"]),
    ],
)
def test_what_counts_as_a_host(text: str, hosts: list[str], tmp_path: Path) -> None:
    """A name with a public ending, whole or as the end of one; no address of a mail, file or module."""
    (tmp_path / "a.py").write_text(f'"""elsewhere.com"""\nx = {text}  # other.com\n')
    assert [h for text in texts(tmp_path / "a.py") for h in HOST.findall(text)] == hosts
