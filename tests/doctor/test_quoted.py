"""What quotes a failure is none, and the failure beside it is found all the same."""

from __future__ import annotations

import json

import pytest

from gemmactl.doctor.diagnose import diagnose

DENIED = (
    "ERROR: (gcloud.run.deploy) PERMISSION_DENIED: Permission 'run.services.create' denied on resource"
    " 'namespaces/p-1/services/x'"
)
MEMORY = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB"
QUOTES = {
    "a diff": f"diff --git a/t b/t\n--- a/t\n+++ b/t\n@@ -1 +1 @@\n-ok\n+{MEMORY}\n",
    "a test": f'import pytest\n\ndef test_x():\n    err = Denied("{MEMORY}")\n    assert explain(err)\n',
    "a text in code": f'import re\n\nRAW = """\n{MEMORY}\n{DENIED}\n"""\nprint(RAW)\n',
    "a table of a document": f"| Error | Fix |\n|---|---|\n| `{MEMORY}` | a smaller batch |\n",
    "a handbook": f"The following error occurs when the role is missing:\n\n```\n{DENIED}\n```\n\nTo resolve this issue, ask.\n",
    "a paragraph": f"If you see `{MEMORY}`, lower the batch.\n",
    "a heading": f"## Troubleshooting\n\n### `{MEMORY}`\nYou see this message if the batch is large.\n",
    "a handbook in Korean": '# 메모\n- 16Gi 이상 ("CUDA out of memory" 라는 오류가 나면 --memory 를 올릴 것)\n',
    "a conversation": json.dumps([{"role": "user", "content": DENIED}, {"role": "assistant", "content": MEMORY}]),
    "an answer": json.dumps({"choices": [{"message": {"role": "assistant", "content": f'"{DENIED}" means that'}}]}),
    "a data set": f'text,label\n"{MEMORY}",gpu\n"{DENIED}",iam\n',
    "tests that passed": "t.py::test_cuda_out_of_memory PASSED\nt.py::test_quota_exceeded PASSED\n",
    "the log of commits": f"3b18e51 Explain {MEMORY}\na81c0ff Retry {DENIED}\n",
    "a history": "  501  gcloud auth login\n  502  grep -i 'CUDA out of memory' x.log\n  503  history\n",
    "a search": f"$ grep -rn 'CUDA out of memory' docs\ndocs/a.md:12: {MEMORY}\n",
    "metrics": '# TYPE denied counter\ndenied{code="PERMISSION_DENIED: The caller does not have permission"} 0\n',
    "a try before a better one": f"deploy attempt 1/3: {DENIED} retry in 15s\ndeploy attempt 2/3: ok\nService deployed\n",
    "a download that went on": "HTTPSConnectionPool(host='x'): Read timed out.\nTrying to resume download...\n100%|###| 4G\n",
    "a slower download": "Xet Storage is enabled for this repo, but the 'hf_xet' package is not installed. Falling back to HTTP",
    "a list of cures": f"**Common permission errors:**\n- `{DENIED}` \u2192 run.admin\n- `{MEMORY}` -> fewer rows\n",
    "a table of cures": f"| 401 | `invalid_grant` | run `gcloud auth login` |\n| 403 | `{DENIED}` | grant roles/run.admin |\n",
    "a FAQ": f'Q: What does "{DENIED}" mean?\nA: The caller needs a role.',
    "a question": "Do I need the run.services.setIamPolicy permission, or is run.developer enough?",
    "a registry of others": "denied: permission_denied: write_package\nError: failed to push ghcr.io/a/x:1",
    "somebody else's cloud": "openai.RateLimitError: You exceeded your current quota (insufficient_quota).",
}


@pytest.mark.parametrize("form", QUOTES)
def test_a_quoted_failure_is_none(form: str) -> None:
    """Code, documents, conversations, histories and overcome tries give no finding."""
    assert diagnose(QUOTES[form]) == ()


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("form", QUOTES)
def test_a_failure_beside_a_quoted_one_is_found(form: str, order: str) -> None:
    """What stands around it hides no failure that happened, and is not told in its place."""
    real = "Error: Memory limit of 512 MiB exceeded with 530 MiB used."
    text = f"{real}\n\n{QUOTES[form]}" if order == "before" else f"{QUOTES[form]}\n\n{real}"
    assert [f.code for f in diagnose(text)] == ["host-memory"]


@pytest.mark.parametrize("given_up", ["Giving up after 3 attempts", "max retries exceeded"])
def test_a_try_that_was_given_up_stays(given_up: str) -> None:
    """Tries count as overcome only when one of them went well."""
    assert (
        diagnose(f"attempt 1/3: {MEMORY} retrying\nattempt 2/3: {MEMORY}\n{given_up}\nUploaded logs. Done.")[0].category == "gpu"
    )


PACKED = {
    "cut at 80": "\n".join(DENIED[i : i + 80] for i in range(0, len(DENIED), 80)),
    "cut at 44": "\n".join(DENIED[i : i + 44] for i in range(0, len(DENIED), 44)),
    "compose": f"api-1  | {DENIED}",
    "kubectl": f"[pod/gemma-1/vllm] {DENIED}",
    "Kubernetes": f"2026-03-01T10:00:00.123456789Z stderr F {DENIED}",
    "journal": f"Mar 01 10:00:00 host app[123]: {DENIED}",
    "a pipeline's log": f"deploy\tRun gcloud\t2026-03-01T10:00:00.1234567Z {DENIED}",
    "colours without their escape": f"[31;1m{DENIED.replace(' ', '[0m ')}[0m",
    "YAML": "textPayload: '" + DENIED.replace("'", "''") + "'",
    "HTML": "<pre>" + DENIED.replace("'", "&#39;") + "</pre>",
    "escaped signs": DENIED.replace("_", "\\_"),
    "escaped quotes": DENIED.replace("'", "\\\\u0027"),
    "other quotes": DENIED.replace("'", "\u2019"),
    "mail": DENIED.replace("=", "=3D")[:70] + "=\n" + DENIED[70:] + "=20",
}


@pytest.mark.parametrize("form", PACKED)
def test_what_tools_put_around_a_text_changes_nothing(form: str) -> None:
    """Permission, role and resource are those of the plain text."""
    plain, packed = diagnose(DENIED)[0], diagnose(PACKED[form])[0]
    for name in ("code", "permission", "role", "scope", "resource"):
        assert getattr(packed, name) == getattr(plain, name), name
