"""The widest shapes of containers and models: told only when nothing else was found. Knows no single failure."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.origin import IN_BUILD
from gemmactl.doctor.row import LAST, Row

_NO_GRANT: Final = ("any IAM grant",)
_OTHERS: Final = (
    r"botocore|azure|psycopg|sqlalchemy|mysql|redis\.|pymongo|stripe|slack_sdk|github\.Github|smtplib|google\.api_core"
    r"|google\.auth|googleapiclient|grpc\._channel|RefreshError"
    r"|assert |unittest|pytest|[Rr]etr(?:y|ied|ying)|Interrupt|SystemExit: 0|CancelledError"
)
"""Exceptions of others' services, of tests, and of what goes on."""

ROWS: Final = (
    Row(
        code="build-unknown",
        category="image_build",
        subcategory="other",
        title="A build failed in a way that is not known here",
        cause="The log is one of a build, and a line of it says error.",
        remedy="Read the log from its first error; run that one command on the base image.",
        patterns=(
            r"\bERROR: (?:failed to|process|executor|error|unable|cannot|could not|invalid|no )",
            r"#\d{1,3} ERROR",
            r"exit(?:ed with)?(?: status| code| non-zero status)?:? [1-9]\d{0,2}\b",
        ),
        only_with=IN_BUILD,
        unless=r"denied|PERMISSION|[Ff]orbidden|40[13]\b|nauthorized|CANCELLED|Container called exit",
        fix_kind="diagnose",
        rank=LAST,
        not_fix=_NO_GRANT,
        confidence=0.4,
    ),
    Row(
        code="model-load-unknown",
        category="model",
        subcategory="other",
        title="A model could not be loaded, for a reason that is not known here",
        cause="The library that loads it raised an error; its last line is the reason.",
        remedy="Run `gemmactl inspect` on the model's folder: it checks config, tokenizer and weights.",
        patterns=(
            (
                r"(?:[Ff]ailed|[Uu]nable|[Cc]ould not|[Cc]annot|[Ee]rror)(?: to)? load(?:ing)? (?:the )?(?:model"
                r"|weights|tokenizer|checkpoint|adapter)\b"
            ),
            (
                r"(?:transformers|safetensors|tokenizers|peft|huggingface_hub|model_loader"
                r"|modeling_utils)/?[\w/]{0,80}\.py.{0,1500}?\b\w{3,40}Error: "
            ),
        ),
        unless=_OTHERS,
        fix_kind="diagnose",
        rank=LAST,
        not_fix=_NO_GRANT,
        confidence=0.4,
    ),
    Row(
        code="program-failed",
        category="container",
        subcategory="traceback",
        title="The program in the container ended with an error of its own",
        cause="The last line of the traceback is the reason; Cloud Run only sees that nothing listens any more.",
        remedy="Read the traceback's last line, and run the same image locally.",
        patterns=(
            r"Traceback \(most recent call last\):.{0,4000}?\b(?!Permission)\w{3,40}(?:Error|Exception): .{3,200}",
            r"File \"/[^\"]{1,200}\", line \d{1,5}, in <module>.{0,2000}?\b\w{3,40}(?:Error|Exception)\b",
            (
                r"\b(?:Worker|worker|server|process|container) .{0,60}(?:exited|crashed|terminated|died) (?:with"
                r"|unexpectedly|abnormally)"
            ),
            r"Uncaught (?:Exception|Error)|Unhandled(?:Promise)?(?: r|R)ejection|UnhandledPromiseRejection",
            r"Exception in thread \"main\"",
            r"panic: (?!test)",
            r"\bexited with (?:status|code) [1-9]",
        ),
        unless=_OTHERS,
        fix_kind="diagnose",
        rank=LAST,
        not_fix=_NO_GRANT,
        confidence=0.4,
    ),
)
