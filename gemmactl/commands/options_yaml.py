"""The options of a verb whose wishes stand in the YAML of a service or a job. Knows no verb."""

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
JobFromYaml = Annotated[
    Path | None,
    typer.Option(
        "--from-yaml",
        metavar="FILE",
        help="Apply a job's YAML, the file of `gcloud run jobs replace`, as written, and start it; $NAMEs come from the "
        "environment. It says everything about the job: of the other options only --follow and --dry-run go with it.",
    ),
]
ModerniseJob = Annotated[
    bool,
    typer.Option(
        "--modernise",
        help="With --from-yaml: move the codelab's job to gemmactl's worker, its variables kept, and print each change with its "
        "reason.",
    ),
]
