"""The same error in every form people paste it in: the answer stays."""

from __future__ import annotations

import json
import textwrap
from typing import Any

import pytest

from gemmactl.doctor.diagnose import diagnose, diagnose_trouble
from gemmactl.doctor.finding import Context
from gemmactl.doctor.paste import LIMIT, flatten, shorten
from gemmactl.doctor.reason import reasons
from gemmactl.errors import Trouble
from tests.doctor.test_corpus import FIXES

DENIED = (
    "google.api_core.exceptions.Forbidden: 403 GET https://storage.googleapis.com/storage/v1/b/my-models/o:"
    " gemma-runtime@my-proj.iam.gserviceaccount.com does not have storage.objects.list access to the Google Cloud Storage bucket."
    " Permission 'storage.objects.list' denied on resource (or it may not exist)."
)
PUSH = (
    'denied: Permission "artifactregistry.repositories.uploadArtifacts" denied on resource'
    ' "projects/my-proj/locations/us-central1/repositories/gemma3-repo" (or it may not exist)'
)
SECRET = (
    "Permission denied on secret: projects/my-proj/secrets/hf-token/versions/latest for Revision service account"
    " 123456789012-compute@developer.gserviceaccount.com. The service account used must be granted the role"
)
FORMS = {
    "wrapped at 80": lambda t: textwrap.fill(t, 80),
    "wrapped at 48": lambda t: textwrap.fill(t, 48),
    "indented": lambda t: textwrap.indent(textwrap.fill(t, 100), "        "),
    "terraform frame": lambda t: "╷\n" + textwrap.indent(textwrap.fill("Error: " + t, 90), "│ ") + "\n╵",
    "build step": lambda t: textwrap.indent(t, 'Step #1 - "deploy": '),
    "timestamps": lambda t: f"2026-11-20T10:00:00.123456Z {t}",
    "colours": lambda t: "\x1b[31;1m" + t.replace(" ", "\x1b[0m \x1b[31m") + "\x1b[0m",
    "json string": lambda t: json.dumps({"severity": "ERROR", "textPayload": t}, indent=1),
    "json in json": lambda t: json.dumps({"m": json.dumps({"m": t})}),
    "yaml": lambda t: "error:\n  message: >\n" + textwrap.indent(textwrap.fill(t, 70), "    "),
    "korean around": lambda t: f"배포하다가 이런 오류가 났어요:\n\n{t}\n\n어떻게 고치나요?",
    "japanese around": lambda t: f"デプロイ中のエラーです。\n{t}\n助けてください。",
    "curly quotes": lambda t: t.replace("'", "\u2019"),
    "windows lines": lambda t: "log start\r\n" + t.replace(" ", "\r\n", 3) + "\r\nend",
    "quoted mail": lambda t: textwrap.indent(textwrap.fill(t, 70), "> "),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("text", [DENIED, PUSH, SECRET], ids=["storage", "push", "secret"])
def test_the_answer_does_not_depend_on_the_form(text: str, form: str) -> None:
    """Code, principal, permission, role, resource and commands are those of the plain text."""
    plain, formed = diagnose(text)[0], diagnose(FORMS[form](text))[0]
    for name in ("code", "principal", "permission", "role", "scope", "resource", "commands"):
        assert getattr(formed, name) == getattr(plain, name), name


def test_two_errors_in_one_text_are_two_findings() -> None:
    """Both are told, in the order of the text."""
    found = diagnose(f"{SECRET}\nsome other line\n{DENIED}")
    assert [f.code for f in found] == ["secret-denied", "storage-denied"]


def test_unknown_text_gives_nothing() -> None:
    """Honest silence instead of a guess."""
    assert diagnose("the flux capacitor is out of plutonium") == ()
    assert diagnose("") == ()


REASONS = {
    "yaml": """- '@type': type.googleapis.com/google.rpc.ErrorInfo
  domain: artifactregistry.googleapis.com
  metadata:
    permission: artifactregistry.repositories.create
    resource: projects/my-proj/locations/us-central1
  reason: IAM_PERMISSION_DENIED
""",
    "json": """{"error": {"code": 403, "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo",
  "reason": "IAM_PERMISSION_DENIED", "domain": "iam.googleapis.com", "metadata": {
    "resource": "projects/my-proj/locations/us-central1", "permission": "artifactregistry.repositories.create"}}]}}""",
    "python": "403 POST https://x: denied [{'@type': 'type.googleapis.com/google.rpc.ErrorInfo', 'reason':"
    " 'IAM_PERMISSION_DENIED', 'domain': 'iam.googleapis.com', 'metadata': {'permission':"
    " 'artifactregistry.repositories.create', 'resource': 'projects/my-proj/locations/us-central1'}}]",
    "grpc": """403 denied [reason: "IAM_PERMISSION_DENIED"
domain: "iam.googleapis.com"
metadata {
  key: "resource"
  value: "projects/my-proj/locations/us-central1"
}
metadata {
  key: "permission"
  value: "artifactregistry.repositories.create"
}
]""",
}


@pytest.mark.parametrize("shape", REASONS)
def test_error_info_is_read_in_all_its_shapes(shape: str) -> None:
    """Reason, permission and resource come out of YAML, JSON, Python's dicts and gRPC's own form alike."""
    (only,) = reasons(flatten(REASONS[shape]))
    assert only.reason == "IAM_PERMISSION_DENIED"
    assert only.metadata["permission"] == "artifactregistry.repositories.create"
    (found,) = diagnose(REASONS[shape])
    assert (found.role, found.scope) == ("roles/artifactregistry.editor", "project")
    assert found.commands[0].startswith("gcloud projects add-iam-policy-binding my-proj --member=CALLER")


def test_a_reason_decides_before_a_status() -> None:
    """PERMISSION_DENIED with SERVICE_DISABLED is an API to enable, in the project that is worked on, and no grant."""
    text = """ERROR: (gcloud.builds.submit) PERMISSION_DENIED: The caller does not have permission
- '@type': type.googleapis.com/google.rpc.ErrorInfo
  metadata:
    consumer: projects/123456789012
    service: cloudbuild.googleapis.com
  reason: SERVICE_DISABLED"""
    (only,) = diagnose(text, {}, Context(project="my-proj", number="123456789012"))
    assert (only.code, only.fix_kind) == ("api-disabled", "enable_api")
    assert [r.kind for r in only.remedies] == ["apis"]


def test_the_facts_of_a_trouble_speak_before_its_sentence() -> None:
    """Structured evidence decides: permission, resource and principal are taken from the facts."""
    trouble = Trouble(
        "can't create the repository",
        why="the call was refused",
        remedy="-",
        facts={
            "status": 403,
            "permission": "artifactregistry.repositories.create",
            "resource": "projects/my-proj/locations/us-central1",
            "principal": "user:dev@example.com",
        },
    )
    (only,) = diagnose_trouble(trouble, Context(project="my-proj"))
    assert (only.principal, only.role) == ("user:dev@example.com", "roles/artifactregistry.editor")
    assert len(only.remedies) == 1


def test_the_first_mail_is_not_always_the_principal() -> None:
    """The account that ran the command is named first; the service agent is the one that lacks the role."""
    text = (
        "ERROR: (gcloud.run.deploy) dev@example.com does not have permission to access namespaces instance my-proj (or it may not"
        " exist): Google Cloud Run Service Agent does not have permission to get access tokens for the service account"
        " gemma-runtime@other-proj.iam.gserviceaccount.com. Please give"
        " service-123456789012@serverless-robot-prod.iam.gserviceaccount.com permission iam.serviceAccounts.getAccessToken on the"
        " service account."
    )
    first = diagnose(text)[0]
    assert first.principal == "serviceAccount:service-123456789012@serverless-robot-prod.iam.gserviceaccount.com"
    assert first.resource == "gemma-runtime@other-proj.iam.gserviceaccount.com"


def test_a_long_log_keeps_its_telling_lines() -> None:
    """Of a text beyond the limit the lines that tell something are searched, wherever they stand."""
    filler = "nothing to see here, all is well\n" * 20_000
    text = filler + DENIED + "\n" + filler
    assert len(shorten(text)) <= LIMIT + 4000
    assert diagnose(text)[0].code == "storage-denied"


def _each(text: str, width: int) -> str:
    return "\n".join(textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False) for line in text.splitlines())


def _cut(text: str, width: int) -> str:
    return "\n".join(line[at : at + width] for line in text.splitlines() for at in range(0, max(len(line), 1), width))


ANY = {
    "wrapped between words": lambda t: _each(t, 80),
    "cut at a terminal's width": lambda t: _cut(t, 80),
    "timestamps": lambda t: "\n".join(f"2026-11-20T10:00:00.1Z {line}" for line in t.splitlines()),
    "colours": lambda t: "\n".join(f"\x1b[31m{line}\x1b[0m" for line in t.splitlines()),
    "another project": lambda t: t.replace("my-proj", "acme-prod-7"),
    "korean around": FORMS["korean around"],
    "japanese around": FORMS["japanese around"],
}
THIRD = {
    e["id"]: e for number, e in enumerate(FIXES) if number % 3 == 0 or e["id"] in ("iam-033", "iam-036", "iam-057", "quota-004")
}


@pytest.mark.parametrize("form", ANY)
def test_every_form_keeps_the_category_and_the_role(form: str) -> None:
    """A third of the shared corpus, and the texts that once lost their answer to a form."""
    wrong = []
    for name, entry in THIRD.items():
        found = diagnose(ANY[form](entry["raw"]))
        told = (found[0].category, found[0].role) if found else ("", "")
        roles = entry["accept_roles"] or [""]
        if told[0] != entry["category"] or told[1] not in roles:
            wrong.append((name, *told))
    assert wrong == []


def test_a_refused_image_is_known_without_its_first_line() -> None:
    """The rest of the sentence tells image and caller."""
    text = next(e["raw"] for e in FIXES if e["id"] == "iam-036")
    assert diagnose(text.split("\n", 1)[1])[0].code == "caller-image"


def _without_first_line(text: str) -> str:
    return text.partition("\n")[2].strip()


LONGER = [entry for entry in FIXES if _without_first_line(entry["raw"])]
NOTHING_LEFT = {
    "iam-003": "the line about the logs is the first one; what is left tells a failed build, and doctor says so",
    "iam-011": "only the exit code of the step is left",
    "iam-017": "only the number of the build step is left",
    "iam-020": "one sign is left",
    "iam-086": "only the name of a job is left",
    "auth-012": "the accounts can't be compared any more; the denial that is left is told",
    "img-002": "only that a job was not deployed is left",
}


@pytest.mark.parametrize("entry", LONGER, ids=[entry["id"] for entry in LONGER])
def test_the_first_line_may_be_missing(entry: dict[str, Any]) -> None:
    """The category stays wherever the rest of the text still tells what it was about."""
    found = diagnose(_without_first_line(entry["raw"]))
    same = bool(found) and found[0].category == entry["category"]
    assert same is (entry["id"] not in NOTHING_LEFT)


@pytest.mark.parametrize(
    "text",
    [
        "Please run:\n\n  $ gcloud auth login\n\nto obtain new credentials.",
        'with module.a.google_cloud_run_v2_service_iam_member.public,\n  on main.tf line 3, in resource "x" "y":',
        "at .error_remapped_callable ( h.py:67 )\nat .access_secret_version ( google/cloud/secretmanager_v1/client.py:9 )",
    ],
)
def test_what_is_only_likely_says_so_and_changes_nothing(text: str) -> None:
    """Without the message doctor is unsure, and `--fix` has nothing to apply; beside a message it is silent."""
    (only,) = diagnose(text)
    assert only.confidence < 0.5
    assert only.remedies == ()
    beside = diagnose(f"{DENIED}\n{text}")
    assert [f.code for f in beside] == ["storage-denied"]
