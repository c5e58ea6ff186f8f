"""Options that can't be right, whatever the cloud says. Knows no file and no call"""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.own_codes.meaning import Meaning

ROWS: Final = (
    Meaning(
        "command-line",
        "The command line can't be read: an unknown verb or option, or a value is missing",
        "Look at the verb's `--help`.",
    ),
    Meaning("usage", "What was typed can't be right", "Do what the message says; `--help` shows the options."),
    Meaning("flags-contradict", "Two options ask for things that exclude each other", "Leave one of them out."),
    Meaning(
        "flags-beside-plan",
        "A plan file holds every wish already, so an option beside it would change what was approved",
        "Leave the option out, or make a new plan with it.",
    ),
    Meaning(
        "answer-needed",
        "A question has to be answered, and there is no terminal",
        "Give the answer by the option that the message names.",
    ),
    Meaning("choice-illegal", "The answer is none of those that were offered", "Choose one of the list."),
    Meaning("confirmation-needed", "A change needs a yes, and there is nobody to ask", "Add `--yes` once the plan was read."),
    Meaning("not-confirmed", "The question was answered with no, so nothing was changed", "Run it again when it is right."),
    Meaning(
        "secret-needed",
        "A secret value is needed, and there is no terminal to type it on",
        "Set the variable that the message names.",
    ),
    Meaning(
        "adapter-name",
        "An adapter can't have that name: requests would take it for the model, or it is spelled otherwise than names are",
        "Name it with small letters, digits and hyphens, and not as the model.",
    ),
    Meaning(
        "adapter-illegal", "An adapter's place or its list can't be read", "Write NAME=PLACE; a place is gs://, hf: or a folder."
    ),
    Meaning(
        "adapter-with-vllm",
        "Adapters are gemmactl's own engine's: with vLLM the option would do nothing",
        "Leave `--adapter` out, or deploy with `--engine gemmactl`.",
    ),
    Meaning(
        "api-key-illegal",
        "The API key has a character that no header can carry",
        "Copy the key again, without blanks or line breaks.",
    ),
    Meaning(
        "api-key-with-vllm",
        "API keys are checked by gemmactl's own server, and vLLM's has none of them",
        "Use `--auth iam`, or `--engine gemmactl`.",
    ),
    Meaning("bucket-illegal", "A bucket can't have that name", "Use 3 to 63 small letters, digits, hyphens and dots."),
    Meaning("cpu-illegal", "That number of CPUs can't go with the GPU", "Use one of the sizes that the message lists."),
    Meaning("memory-illegal", "That is no size of memory", "Write it like 16Gi."),
    Meaning("duration-illegal", "That is no length of time", "Write it like 300, 5m or 1h."),
    Meaning("since-illegal", "`--since` is no time and no age", "Write it like 2h, or 2026-01-31T12:00:00Z."),
    Meaning("until-illegal", "`--until` is no time and no age", "Write it like 2h, or 2026-01-31T12:00:00Z."),
    Meaning("until-before-since", "The time asked for ends before it begins", "Give `--until` a later moment than `--since`."),
    Meaning("follow-json", "Following a log has no end, and a JSON document has one", "Leave one of the two options out."),
    Meaning("follow-until", "Following a log has no end, and `--until` is one", "Leave one of the two options out."),
    Meaning("search-illegal", "There is nothing in `--search` that could be looked for", "Give a word or a sentence of the log."),
    Meaning("severity-illegal", "That is no severity of a log entry", "Use debug, info, notice, warning, error or critical."),
    Meaning(
        "env-long", "The value of a variable is longer than Cloud Run takes", "Keep it in a file or a secret, and name that."
    ),
    Meaning("env-name", "That can't be the name of a variable", "Use letters, digits and underscores, and no digit first."),
    Meaning("env-reserved", "The variable is set by Cloud Run or by gemmactl itself", "Use the option for it, or another name."),
    Meaning("env-twice", "The same variable is given twice, or an option sets it already", "Give it once."),
    Meaning("pairs-illegal", "A part of a list is no KEY=VALUE", "Write KEY=VALUE, with commas between."),
    Meaning("gpu-unknown", "Cloud Run has no GPU of that name", "Take one of those that `gemmactl regions` lists."),
    Meaning("region-unknown", "Google Cloud has no region of that name", "Write it like us-central1."),
    Meaning("region-without-gpu", "Cloud Run does not offer that GPU in that region", "Choose a region of `gemmactl regions`."),
    Meaning(
        "out-of-range",
        "A number is smaller or larger than Cloud Run or the engine takes",
        "Give one within the limits that the message tells.",
    ),
    Meaning(
        "throttling-with-gpu",
        "With a GPU the CPU is always allocated: Cloud Run takes nothing else",
        "Leave `--cpu-throttling` out.",
    ),
    Meaning(
        "hf-token-illegal",
        "What was given is neither a Hugging Face token nor a reference to a secret",
        "Set HF_TOKEN, or name a secret.",
    ),
    Meaning(
        "token-in-argv",
        "A token on a command line is seen by every process, and kept in the shell's history",
        "Set HF_TOKEN, or name a secret; then make a new token, because this one was shown.",
    ),
    Meaning("secret-path", "A secret can't be mounted as a file by that option", "Give it a variable's name."),
    Meaning("secret-reference", "That is no reference to a secret", "Write VARIABLE=SECRET:VERSION."),
    Meaning(
        "invoker-everybody",
        "`--invoker` names people and accounts, and not everybody",
        "To open it to all, use `--auth public` or `--auth api-key`.",
    ),
    Meaning("invoker-illegal", "That is no member that IAM knows", "Write user:, serviceAccount:, group: or domain: before it."),
    Meaning(
        "invoker-with-open",
        "A service that asks nobody for a role has no invokers",
        "Leave `--invoker` out, or use `--auth iam`.",
    ),
    Meaning(
        "kms-key-illegal",
        "The key can't encrypt what lies in the region, or its name is not whole",
        "Name a key of the same region in full.",
    ),
    Meaning("service-account-illegal", "That is no e-mail of a service account", "Write NAME@PROJECT.iam.gserviceaccount.com."),
    Meaning(
        "network-illegal",
        "The options for the network don't go together, or a name is none",
        "Give `--network` and `--subnet` of the region, or neither.",
    ),
    Meaning(
        "loader-engine", "`--loader fuse` is a way of vLLM to read its weights", "Leave it out, or deploy with `--engine vllm`."
    ),
    Meaning("loader-place", "A model of the hub can't be mounted as a folder", "Copy it into a bucket with `gemmactl copy`."),
    Meaning(
        "quantize-with-vllm",
        "8-bit weights are gemmactl's own engine's: vLLM has its own forms",
        "Leave `--quantize` out, or deploy with `--engine gemmactl`.",
    ),
    Meaning("override-illegal", "`--override` can't be read", "Write FILE:KEY=JSON."),
    Meaning(
        "presets-illegal",
        "The presets can't be served: one of them contradicts the model or the form of a preset",
        "Correct what the message names.",
    ),
    Meaning("presets-unreadable", "The file of presets can't be read", "Give a JSON or YAML file that is there."),
    Meaning(
        "presets-without-local",
        "`--presets` tries presets on this machine",
        "Add `--local`; a service gets its presets by a deploy.",
    ),
    Meaning("image-not-local", "`--image` shows a picture to a model on this machine", "Add `--local`."),
    Meaning("type-unknown", "The model has no type of that name", "Take one that the message lists."),
    Meaning("prompt-empty", "There is nothing in the prompt", "Type one, or give it by standard input."),
    Meaning(
        "probe-illegal",
        "Cloud Run would refuse the startup probe",
        "Keep each of its times within the limits that the message tells.",
    ),
    Meaning("probe-syntax", "`--startup-probe` can't be read", "Write it as gcloud does: KEY=VALUE with commas between."),
    Meaning(
        "probe-needs-key",
        "With API keys the probe's path would be refused, and no instance would become ready",
        "Probe `/ready`, which asks for no key.",
    ),
    Meaning(
        "name-differs",
        "`--confirm` names another service than the one that would be removed",
        "Type the name of that service, if it is the right one.",
    ),
    Meaning("name-missing", "The option needs the name of a service", "Put the NAME behind the verb."),
    Meaning("name-needed", "Removing everything needs the service's name typed", "Add `--confirm` with the name."),
    Meaning("doctor-code", "No failure and no message of gemmactl has that code", "Look for it in `gemmactl doctor --list`."),
    Meaning(
        "nothing-to-retry",
        "There is no service that would tell what to deploy again",
        "Repair first, then deploy with the model's name.",
    ),
    Meaning(
        "tag-without-room",
        "Name and tag of a revision are one address, and it would be too long",
        "Choose a shorter tag or name.",
    ),
)
