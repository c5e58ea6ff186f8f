"""This machine: files, copies, the hub, the sandbox, models that run here. Knows no project"""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.own_codes.meaning import Meaning

ROWS: Final = (
    Meaning("internal", "gemmactl itself failed: a fault of the program", "Report it with `gemmactl doctor --report`."),
    Meaning("machine", "This machine refuses to read or write a file", "Look at the disk's room and the file's rights."),
    Meaning("disk-full", "The disk has no room for the model", "Make room, or name another folder."),
    Meaning("copy-same-place", "Source and target of a copy are the same, or lie within each other", "Name another target."),
    Meaning("copy-differs", "The target already holds other files of the same names", "Copy into a new folder."),
    Meaning("copy-raced", "The target changed while the copy ran", "Run the same copy again."),
    Meaning("corrupted", "Bytes arrived otherwise than they were sent", "Run the same command again."),
    Meaning("source-changed", "A file changed while it was read", "Run the same command again."),
    Meaning(
        "model-changed",
        "A file of the model changed while it was uploaded",
        "Run the same command again once nothing writes there.",
    ),
    Meaning(
        "hub-access",
        "The hub does not let this token read or write there",
        "Accept the model's licence, or use a token with that right.",
    ),
    Meaning(
        "hub-missing",
        "The hub has no such model, dataset or file, or does not show it without a token",
        "Check its name; set HF_TOKEN if it is private.",
    ),
    Meaning("port-taken", "Another program listens on that port", "Give another `--port`."),
    Meaning(
        "local-extra-missing",
        "This installation has no engine for models on this machine",
        "Install it with the extra that the message names.",
    ),
    Meaning("demo-stopped", "A step of the demonstration failed", "Read the step's own message."),
    Meaning(
        "sandbox-home",
        "The folder is not used for the sandbox: it holds something else, or others may enter it",
        "Name an empty folder of your own.",
    ),
    Meaning("sandbox-order", "The sandbox refused an order", "Correct what the message names."),
    Meaning("sandbox-start", "The sandbox did not start", "Read its log, which the message names."),
    Meaning("sandbox-stuck", "The sandbox does not end", "End its process, which the message names."),
)
