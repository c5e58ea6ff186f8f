"""What inspect says of a model: findings with evidence and remedy, and corrections that small files can carry. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from inference_image.contract import Code

Severity = Literal["error", "warning", "note"]
"""error: the engine refuses it, or answers would be wrong. warning: it serves, with a surprise. note: worth knowing."""


@dataclass(frozen=True)
class Correction:
    """What would cure a finding without touching a weight.

    `files`: new small files, by name, for a finding about a file that is not there. `overrides`: keys of JSON files to replace
    (the form of contract.OVERRIDES), for a file that is there and says something wrong.
    """

    files: Mapping[str, bytes] = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelFinding:
    """One thing about a checkpoint.

    `code` is stable kebab-case; `object` the file or key it is about; `refusal` the code with which the engine refuses the same
    folder (None: the engine loads it); `evidence` what was seen, short, as data.
    """

    code: str
    severity: Severity
    object: str
    what: str
    evidence: str = ""
    remedy: str = ""
    refusal: Code | None = None
    correction: Correction | None = None

    def document(self) -> dict[str, Any]:
        """For machines."""
        return {
            "code": self.code,
            "severity": self.severity,
            "object": self.object,
            "what": self.what,
            "evidence": self.evidence,
            "remedy": self.remedy,
            "refusal": str(self.refusal) if self.refusal else None,
            "fixable": self.correction is not None,
        }
