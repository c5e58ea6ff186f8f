"""Findings for somebody else: text for an administrator's ticket, and one redacted bundle. Makes no call."""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gemmactl.errors import usage
from gemmactl.scrub import scrub, scrub_document

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gemmactl.doctor.finding import Finding
    from gemmactl.settings import Settings

REPORT_SCHEMA: Final = "gemmactl/report.v1"
PACKAGES: Final = (
    "gemmactl", "typer", "google-cloud-run", "google-cloud-build", "google-cloud-storage", "google-cloud-artifact-registry",
    "google-cloud-secret-manager", "google-auth", "google-api-core", "torch", "transformers",
)  # fmt: skip
QUIET: Final = frozenset({"set_env_vars", "set_secrets", "hf_token"})
"""Settings whose values stay out: they may hold anything. That they are set, and where, is told."""


def ticket(findings: Sequence[Finding], where: str = "") -> str:
    """What an administrator is asked to do, and why no less would do: ready to paste."""
    problems = [f for f in findings if f.state == "problem"]
    if not problems:
        return "Nothing for an administrator: no problem was found.\n"
    lines = [f"Request{f' for {where}' if where else ''}: {len(problems)} thing{'s' * (len(problems) != 1)} to do", ""]
    for number, finding in enumerate(problems, 1):
        lines += [f"{number}. {finding.title}", "", *(f"   {line}" for line in _asked(finding)), ""]
    return "\n".join(lines)


def _asked(finding: Finding) -> list[str]:
    from gemmactl.doctor.principal import EXPLAIN, PLACEHOLDERS

    who = PLACEHOLDERS.get(finding.principal, finding.principal)
    rows = [f"{key}: {value}" for key, value in (("Cause", finding.cause), ("To do", finding.remedy)) if value]
    if finding.role:
        on = f" on {finding.resource}" if finding.resource else f" on the {finding.scope}"
        rows.append(f"Grant: {finding.role} to {who}{on}, and nothing broader")
        if finding.permission:
            rows.append(f"It is needed for: {finding.permission}")
    if finding.principal in EXPLAIN:
        rows.append(f"{who}: {EXPLAIN[finding.principal]}")
    rows += [f"Not this: {wrong}" for wrong in finding.not_fix]
    if finding.commands:
        rows += ["", *(f"    {command}" for command in finding.commands)]
    if finding.role:
        rows += ["", "IAM takes two minutes, sometimes seven or more, until a grant holds."]
    if finding.evidence:
        rows += ["", f"Seen: {finding.evidence.splitlines()[0][:200]}"]
    return rows


def bundle(findings: Mapping[str, object], settings: Settings, values: Mapping[str, str | None]) -> dict[str, object]:
    """Versions, settings with their origins and the findings, without anything that looks like a secret."""
    from gemmactl.settings import KEYS

    told = {}
    for key in KEYS:
        if (found := settings.value(key, values.get(key))) is not None:
            told[key] = {"value": "(left out)" if key in QUIET else found.text, "origin": found.origin}
    document = {
        "schema": REPORT_SCHEMA,
        "versions": {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}", **_versions()},
        "settings": told,
        "doctor": dict(findings),
    }
    cleaned: dict[str, object] = scrub_document(document)
    return cleaned


def write_report(path: Path, document: Mapping[str, object]) -> None:
    """Write it where only its owner reads it; a file that is there is not replaced.

    Raises:
        Trouble: (usage) the file is there already, or can't be written.
    """
    text = scrub(json.dumps(document, ensure_ascii=False, indent=2) + "\n")
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise usage(
            f"{path} can't be written",
            why=error.strerror or str(error),
            remedy="give --report another name",
            code="report-file",
        ) from None


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found | {"executable": Path(sys.executable).name}
