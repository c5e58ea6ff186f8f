"""The options of a plan that is kept in a file. Knows no verb."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ModelOrPlan = Annotated[
    str | None,
    typer.Argument(
        metavar="MODEL",
        help="gs://BUCKET/FOLDER, a directory, hf:owner/name, or a plan.json that `gemmactl plan -o` wrote. Default: model in "
        "gemmactl.yaml.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "-o", "--out", metavar="FILE", help="Keep the plan in this file (.json) for `gemmactl deploy FILE`; no secret is in it."
    ),
]
