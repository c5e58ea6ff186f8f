"""The options that the verbs of finetune share: data, base model, lengths. Knows no verb."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

_DATA = "Data"

DataArgument = Annotated[
    str | None,
    typer.Argument(metavar="DATA", help="A file (JSON Lines, JSON, CSV, Parquet), gs://BUCKET/FILE, or hf:owner/name[:split]."),
]
Config = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A finetune.yaml: every setting of a fine-tune in one file. Flags win over it."),
]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL", help="Base model: owner/name of Hugging Face, gs://BUCKET/FOLDER or a directory. Default: "
        "google/gemma-3-4b-it."
    ),
]  # fmt: skip
Eval = Annotated[
    str | None,
    typer.Option(
        metavar="SHARE|FILE",
        help="Rows that are held out and measured: a share of DATA (at most 200 rows), or a file of their own. Default: 0.05.",
        rich_help_panel=_DATA,
    ),
]
DataFormat = Annotated[
    Literal["auto", "messages", "sharegpt", "prompt-completion", "alpaca", "text", "template"] | None,
    typer.Option("--data-format", help="Form of the rows. Default: auto, by the columns of the first.", rich_help_panel=_DATA),
]
Prompt = Annotated[
    str | None,
    typer.Option(
        metavar="TEMPLATE",
        help="What is asked, from columns: 'Question: {question}\\nContext: {context}'. Without --completion: the whole text.",
        rich_help_panel=_DATA,
    ),
]
Completion = Annotated[
    str | None,
    typer.Option(
        metavar="TEMPLATE", help="What is answered, from columns: '{answer}'. It alone is learned.", rich_help_panel=_DATA
    ),
]
System = Annotated[
    str | None,
    typer.Option(metavar="TEMPLATE", help="A system text for rows that have none of their own.", rich_help_panel=_DATA),
]
Limit = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="At most N rows, chosen with seed 42. Default: all.", rich_help_panel=_DATA),
]
MaxLength = Annotated[
    int | None, typer.Option(metavar="N", min=16, help="Longest sequence in tokens; what is beyond is cut off. Default: 1024.")
]
