"""What plan, deploy, promote, rollback, stop and destroy say of themselves. Knows no step"""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.own_codes.meaning import Meaning

ROWS: Final = (
    Meaning(
        "blocked",
        "A thing differs in a way that can't be changed in place, so the plan does not start",
        "Do what the message says of that thing.",
    ),
    Meaning(
        "unseen",
        "The plan holds a thing that you may not look at, so what would happen to it is not known",
        "Ask for the permission; `gemmactl plan --for-admin` prints what an administrator runs.",
    ),
    Meaning("cycle", "The steps of the plan wait for each other in a circle: a fault of gemmactl", "Report it with the plan."),
    Meaning(
        "duplicate-address",
        "Two things of one plan have the same name: a fault of gemmactl, or of the names that were given",
        "Give them different names, or report it.",
    ),
    Meaning(
        "reference-missing",
        "What a step needs of another one is not there: somebody removed it since",
        "Run the same command again.",
    ),
    Meaning(
        "step-timeout",
        "A step took longer than its limit; the cloud may still be at it",
        "Run the same command again: it goes on where it stands.",
    ),
    Meaning(
        "detached", "You left while work went on in the cloud; nothing was stopped", "Run the same command again to watch it."
    ),
    Meaning("interrupted", "You stopped the command", "Run it again: it goes on where it stands."),
    Meaning(
        "no-safe-remedy",
        "Doctor found something, and nothing of it can be repaired by a plan",
        "Follow the remedies that are printed.",
    ),
    Meaning(
        "not-yours-to-fix",
        "Every remedy that doctor found needs a right that you lack",
        "Give the printed text to an administrator.",
    ),
    Meaning("nothing-to-fix", "No finding has a remedy that doctor may apply by itself", "Follow the remedies that are printed."),
    Meaning("context-missing", "The installation lacks a package that the image is built from", "Install gemmactl again."),
    Meaning(
        "engine-not-in-sandbox",
        "The sandbox pulls no image: it runs gemmactl's own, and what stands in for vLLM's",
        "Deploy to a real project, or without that engine or image.",
    ),
    Meaning("image-name", "That is no image in Artifact Registry", "Write REGION-docker.pkg.dev/PROJECT/REPOSITORY/NAME:TAG."),
    Meaning(
        "image-by-tag",
        "The image is deployed by its tag, so another one may run after the next start",
        "Name it by digest, IMAGE@sha256:...",
    ),
    Meaning(
        "image-engine-unknown",
        "Nobody said what answers in the image, so no size is derived and no fault of the model is known",
        "If it is gemmactl's own server, say `--engine gemmactl`.",
    ),
    Meaning("hub-not-pinned", "Each start reads what the branch of the hub holds then", "Name the commit: MODEL@COMMIT."),
    Meaning(
        "pin-not-enforced",
        "vLLM reads the folder without comparing it with what was approved",
        "Keep the folder as it is, or deploy with `--engine gemmactl`.",
    ),
    Meaning(
        "model-unseen",
        "The model can't be looked at from here; the container may have a token that can",
        "Set HF_TOKEN here to have it checked before.",
    ),
    Meaning(
        "adapter-unseen",
        "The adapter can't be looked at from here; the container may have a token that can",
        "Set HF_TOKEN here to have it checked before.",
    ),
    Meaning(
        "model-unknown",
        "The model can't be looked at before Cloud Storage's API is on",
        "Deploy: the model is looked at right after that API is enabled.",
    ),
    Meaning(
        "model-unread",
        "You may not look at the model, and nothing is planned for a model that nobody looked at",
        "`gemmactl plan --for-admin` prints all that you lack.",
    ),
    Meaning(
        "quota-unknown",
        "The quota of the region could not be read",
        "Enable the Cloud Quotas API, or ask for roles/cloudquotas.viewer on the project.",
    ),
    Meaning(
        "quotas-unknown",
        "No limit could be read, so no region can be offered",
        "Add `--enable-api`, or ask for roles/cloudquotas.viewer on the project.",
    ),
    Meaning(
        "quota-too-small",
        "The region's quota is smaller than what all instances of this size may take",
        "Lower `--max-instances`, take another region of `gemmactl regions`, or ask for more.",
    ),
    Meaning(
        "quota-overlap",
        "While a new revision replaces the old one, more instances may live than the quota allows",
        "Lower `--max-instances`, or ask for more.",
    ),
    Meaning("no-room", "No region has room for an instance now", "Ask for more quota, or lower what others hold."),
    Meaning("room-unknown", "Part of what decides about the room could not be read", "Ask for the permission that is named."),
    Meaning(
        "hf-token-missing", "The model is gated, and no token is at hand", "Set HF_TOKEN, or name a secret with `--hf-token`."
    ),
    Meaning(
        "secret-value-missing",
        "A secret of the stack has no version, and no value was given",
        "Deploy again with the token in HF_TOKEN.",
    ),
    Meaning("service-ambiguous", "Several services could be meant", "Name one."),
    Meaning("service-none", "Nothing is deployed in this project and region", "Deploy it, or name another region."),
    Meaning("not-ours", "The service was not made by gemmactl, so it is not removed", "Remove it with gcloud, if you mean it."),
    Meaning("service-not-ours", "A service of that name is there, and it is not gemmactl's", "Choose another `--name`."),
    Meaning(
        "rollout-failed", "The new revision did not become ready; the one before goes on serving", "Read why: `gemmactl doctor`."
    ),
    Meaning(
        "load-failed",
        "The container started and could not load the model",
        "`gemmactl doctor` says what to do about the code that it names.",
    ),
    Meaning("overtaken", "Another deploy of the same service came in between", "Look at the service, then deploy again."),
    Meaning("revision-unknown", "The service has no such revision", "Take one that `gemmactl status` lists."),
    Meaning("revision-not-ready", "That revision never became ready", "Choose one that served."),
    Meaning(
        "revision-unguarded",
        "That revision asks for no API keys, and would be open to everybody",
        "Deploy again with `--auth api-key`, or open it knowingly.",
    ),
    Meaning("rollback-none", "There is no earlier revision that served", "Deploy what should serve."),
    Meaning(
        "pin-gone",
        "Nothing says any more which weights a revision was deployed with",
        "Deploy again; the folder is then pinned anew.",
    ),
    Meaning(
        "commit-gone",
        "The commit of the hub that was deployed is no longer there",
        "Deploy another commit, or a copy in a bucket.",
    ),
    Meaning(
        "weights-differ", "A folder that is to stand for the old one holds other weights", "Give a copy of what was deployed."
    ),
    Meaning(
        "weights-gone",
        "Weights that a revision reads were removed or replaced",
        "Bring them back, or roll back with a copy: `--weights`.",
    ),
    Meaning("weights-place", "`--weights` is no folder of a bucket", "Write gs://BUCKET/FOLDER."),
    Meaning(
        "weights-stay", "The revision can't be made to read its weights from elsewhere", "Deploy with the new folder instead."
    ),
    Meaning(
        "weights-unknown",
        "It is not known which weights the revision had, so nothing can stand for them",
        "Deploy with the folder instead.",
    ),
    Meaning("job-not-ready", "The job was written and did not become ready", "Read Cloud Run's message, then run it again."),
    Meaning(
        "unexpected-answer", "An API answered with something else than its reference says", "Run it again; report it if it stays."
    ),
)
