"""Corrections that vLLM does not read, as a finding: those of gemmactl/overrides.json and of --override. Reads no file.

None of them becomes a flag of vLLM. Its --override-generation-config takes six settings of sampling and drops eos_token_id, which
is what --fix notes (vllm-project/vllm issue 45591 and pull 45978, neither closed when last seen, 2026-06); --hf-overrides with a
whole text_config was never tried here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gemmactl.checkpoint.finding import ModelFinding
from gemmactl.checkpoint.inspect import Report
from inference_image import contract
from inference_image.contract import LoadFailed
from inference_image.overrides import Overrides

CODE: Final = "overrides-not-applied"


def unread(report: Report | None, variable: str) -> Iterator[ModelFinding]:
    """At most one finding, of a model that vLLM serves. `report`: None for one that could not be looked at.

    `variable`: corrections of the deployment (contract.ENV_OVERRIDES).
    """
    found = report.overrides if report else _given(variable)
    if not (named := found.named()):
        return
    beside = report is not None and contract.OVERRIDES in report.entries
    places = " and ".join([contract.OVERRIDES] * beside + ["--override"] * bool(variable))
    endless = "; answers may run on until the limit" if f"{contract.GENERATION_CONFIG}:eos_token_id" in named else ""
    written = f"write the values into {', '.join(sorted(found.document()))}, which vLLM reads itself"
    yield ModelFinding(
        CODE,
        "warning",
        places,
        f"vLLM does not read the corrections of {places}: {', '.join(named)}{endless}",
        remedy=f"deploy with --engine gemmactl, which reads them; or {written}" if readable(report) else written,
    )


def readable(report: Report | None) -> bool:
    """Whether gemmactl's own server, which reads corrections, serves the model; also where nothing is known of it."""
    return report is None or (report.family is not None and report.family.served and report.form.key == "full")


def _given(variable: str) -> Overrides:
    try:
        return Overrides.parse(variable.encode(), contract.ENV_OVERRIDES) if variable else Overrides()
    except LoadFailed:
        return Overrides()
