"""The options of a deploy whose wishes stand in a service's own YAML. Knows no verb."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

FromYaml = Annotated[
    Path | None,
    typer.Option(
        "--from-yaml",
        metavar="FILE",
        help="Deploy a service's YAML, the file of `gcloud run services replace`, as written; $NAMEs come from the environment. "
        "It says everything about the service: no option of the service goes with it.",
    ),
]
Modernise = Annotated[
    bool,
    typer.Option(
        "--modernise",
        help="With --from-yaml: replace vLLM's old entry point, its flags, the image, the probe and the account, and print each "
        "change with its reason.",
    ),
]
