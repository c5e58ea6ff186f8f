"""Settings and files that are given: gemmactl.yaml, plans, YAML of services and jobs, logs. Knows no cloud"""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.own_codes.meaning import Meaning

ROWS: Final = (
    Meaning("setting-illegal", "A setting can't be read; the message names where it was said", "Correct it there."),
    Meaning("project-file", "gemmactl.yaml can't be read", "Correct the line that is named, or move the file away."),
    Meaning("project-illegal", "That is no id of a project; a display name is none", "Take the id from `gcloud projects list`."),
    Meaning(
        "file-exists",
        "There is a file or folder of that name already, and it is not overwritten",
        "Move it away, or give another name.",
    ),
    Meaning("not-writable", "The file or folder can't be written", "Look at its owner and its rights, or write elsewhere."),
    Meaning("log-empty", "The text to diagnose is empty", "Paste the error or the log into it."),
    Meaning("log-file", "The file with the error can't be read", "Give one that is there, or `-` for standard input."),
    Meaning("report-file", "The report can't be written", "Give a place that you may write to."),
    Meaning("plan-file", "The file is no plan that this version wrote", "Make it again with `gemmactl plan -o`."),
    Meaning("plan-file-name", "The name of a plan file has to end in .json", "Rename it."),
    Meaning("plan-file-unwritable", "The plan can't be written to that place", "Give another one."),
    Meaning(
        "plan-moved",
        "The cloud changed since the plan was made: what was approved is not what would be done",
        "Make a new plan and read it.",
    ),
    Meaning(
        "yaml-elsewhere",
        "The YAML names another project or region than the one that is asked for",
        "Leave the option out, or change the file.",
    ),
    Meaning(
        "yaml-illegal", "The YAML is not that of a service or a job as Cloud Run takes it", "Correct the line that is named."
    ),
    Meaning(
        "yaml-not-a-job",
        "The file is not the YAML of a Cloud Run job",
        "Give the file of a job; a service goes to `gemmactl deploy`.",
    ),
    Meaning(
        "yaml-not-a-service",
        "The file is not the YAML of a Cloud Run service",
        "Give the file of a service; a job goes to `gemmactl finetune`.",
    ),
    Meaning(
        "yaml-not-the-codelabs",
        "The job is not built like those that can be turned into a fine-tune",
        "Say the settings by options of `gemmactl finetune run`.",
    ),
    Meaning("yaml-unreadable", "The YAML can't be read", "Give a file of UTF-8 text that is there."),
    Meaning("yaml-variable-unset", "The YAML names variables that are not set here", "Export them, and run it again."),
    Meaning(
        "export-impossible",
        "The service has something that no YAML can say",
        "Read what the message names; `gemmactl status` shows the service.",
    ),
    Meaning(
        "script-word",
        "A name has characters that may not stand in a script for an administrator",
        "Rename the thing, or run its command by hand.",
    ),
)
