"""Why a role and no broader one: said for every finding with a role, curated or by data."""

from __future__ import annotations

import json
from pathlib import Path

from gemmactl.doctor.diagnose import diagnose
from gemmactl.doctor.finding import Finding
from gemmactl.serving.findings import findings_blocks

CORPUS = Path(__file__).parent / "data" / "errors.train.jsonl"


def denied(permission: str) -> Finding:
    return diagnose(f"ERROR: (gcloud) PERMISSION_DENIED: Permission '{permission}' denied on resource projects/my-proj")[0]


def test_every_role_has_its_reason() -> None:
    """In the document and on the screen; a finding without a role has none."""
    texts = [json.loads(line)["raw"] for line in CORPUS.read_text(encoding="utf-8").splitlines()]
    found = [finding for text in texts for finding in diagnose(text)]
    assert sum(bool(f.role) for f in found) > 40
    for finding in found:
        told = finding.document()["why_not_broader"]
        assert bool(told) is bool(finding.role)
        assert not finding.role or finding.role in told
        (item,) = findings_blocks((finding,))
        assert any(line.startswith("why no broader: ") for line in getattr(item, "lines", ())) is bool(told)


def test_a_curated_role_names_what_is_broader_and_where_it_is_bound() -> None:
    """The other holders, and that nothing above the thing is needed."""
    told = denied("run.services.create").why_not_broader
    assert told.startswith("roles/run.developer is the least that fits run.services.create. roles/run.admin would do too")
    assert told.endswith("and on nothing above it.")


def test_a_role_by_data_says_so_with_its_size() -> None:
    """Nobody chose it: how many permissions come with it, and which roles hold still more."""
    told = denied("pubsub.schemas.attach").why_not_broader
    assert "by data, not curated" in told
    assert "of 59 permissions" in told
    assert "The next broader: roles/pubsub.admin" in told
