"""What a fine-tune's commands say before, while and after it runs. Knows no training"""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.own_codes.meaning import Meaning

ROWS: Final = (
    Meaning(
        "base-family",
        "The model is of no family that can be fine-tuned here",
        "Take one of the models that docs/finetune.md names.",
    ),
    Meaning("base-form", "The weights are stored in a form that can't be trained", "Give the model in safetensors, in bfloat16."),
    Meaning("base-place", "The place of a base model can't be read from here", "Write gs://, hf: or a folder."),
    Meaning("base-tokenizer", "The base model has no tokenizer", "Put its tokenizer files beside the weights."),
    Meaning("base-unseen", "The base model can't be looked at from here", "Set HF_TOKEN if it is gated; else check its place."),
    Meaning(
        "budget-spent", "The money that the run may cost is spent", "Raise the budget and resume, or take the newest checkpoint."
    ),
    Meaning("data-missing", "No data is named", "Give it with `--data`."),
    Meaning("data-invalid", "The data can't be read as examples", "`gemmactl finetune check` names the lines."),
    Meaning("data-not-found", "There is no data at that place", "Check the path, or the name of the dataset."),
    Meaning("data-place", "That is no place that data is read from", "Give a file, gs://BUCKET/FILE or hf:OWNER/NAME."),
    Meaning("data-split", "The dataset has no such split", "Take one that the message lists."),
    Meaning("data-too-large", "The data is larger than a run takes", "Give a sample, or the part that matters."),
    Meaning("execution-missing", "The execution of the run is no longer there", "Look at the run: `gemmactl finetune status`."),
    Meaning("finetune-ambiguous", "Several fine-tunes could be meant", "Name one."),
    Meaning(
        "finetune-failed", "The run failed; its own code is in the message", "`gemmactl doctor` says what to do about that code."
    ),
    Meaning("finetune-file", "The file with the settings of a fine-tune can't be read", "Correct the line that is named."),
    Meaning("finetune-missing", "There is no fine-tune of that name", "Take one that `gemmactl finetune list` shows."),
    Meaning("finetune-none", "Nothing was fine-tuned in this project and region", "Start one: `gemmactl finetune run`."),
    Meaning("finetune-setting", "A setting of the fine-tune can't be so", "Correct what the message names."),
    Meaning(
        "job-changed",
        "The job is about another run by now: somebody started one meanwhile",
        "Look at the runs: `gemmactl finetune status`.",
    ),
    Meaning("job-missing", "The job of the fine-tune is not there any more", "Start it again: `gemmactl finetune run`."),
    Meaning("job-not-ours", "A job of that name is there, and gemmactl did not make it", "Choose another `--name`."),
    Meaning(
        "model-too-large-to-tune",
        "The model can't be fine-tuned on that GPU",
        "Take a smaller model, shorter sequences, or a larger GPU.",
    ),
    Meaning("run-cancelled", "The run was cancelled", "Resume it: `gemmactl finetune resume`."),
    Meaning(
        "run-done", "The run is done, so there is nothing to resume or cancel", "Start another one: `gemmactl finetune run`."
    ),
    Meaning("run-ended", "The run ended without a result", "`gemmactl finetune status` says how."),
    Meaning("run-missing", "The fine-tune has no such run", "Take one that `gemmactl finetune status` shows."),
    Meaning(
        "run-stopped",
        "The run ended without a result and without a word: its machine was taken, or it was killed",
        "Resume it: `gemmactl finetune resume`.",
    ),
    Meaning(
        "run-under-way", "A run is under way, and two of one fine-tune would disturb each other", "Follow it, or cancel it first."
    ),
    Meaning("runs-spent", "The same settings were run as often as names are left for", "Change a setting, or remove old runs."),
    Meaning(
        "finetune-extra-missing",
        "This installation can't train on this machine",
        "Install it with the extra that the message names.",
    ),
)
