"""What live checks find in a project or a service. Knows no check"""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.own_codes.meaning import Meaning

ROWS: Final = (
    Meaning(
        "unknown",
        "A check could not look: a permission is missing, or an API is off",
        "Ask for the permission that is named, or enable the API; unknown is never counted as fine.",
    ),
    Meaning(
        "account-missing",
        "A service account that was named does not exist",
        "Check its name; without the option a dedicated one is made.",
    ),
    Meaning(
        "account-not-given",
        "A service account that somebody else was to make is not there, or is disabled",
        "Give the administrator's half again: `gemmactl plan --for-admin`.",
    ),
    Meaning(
        "bucket-acls", "Single objects of the bucket have access lists beside its roles", "Switch uniform bucket-level access on."
    ),
    Meaning(
        "bucket-public",
        "Everybody may read the model's bucket",
        "Take the binding away, and prevent public access, if that was not meant.",
    ),
    Meaning(
        "hf-token-refused",
        "The hub does not know the token: it was revoked, has expired, or was not copied whole",
        "Make a new one at https://huggingface.co/settings/tokens.",
    ),
    Meaning("project-inactive", "The project is being deleted", "Take it back within 30 days, or choose another."),
    Meaning(
        "platform-unknown",
        "The registry does not say what machine an image is for",
        "Look at it: `docker buildx imagetools inspect`.",
    ),
    Meaning(
        "quota-untold",
        "The quota API has no row for the region, so what is left is not known",
        "Look at the quotas page of the console.",
    ),
    Meaning("secret-empty", "A version of a secret holds nothing", "Add a version with the value."),
    Meaning(
        "secret-untrimmed",
        "The value of a secret ends with a line break or another white space, so whoever receives it refuses it",
        "Add a version with the value alone: `printf %s VALUE`.",
    ),
    Meaning(
        "subnet-of-another-network",
        "The subnet does not lie in the network that is named",
        "Name the subnet's own network, or leave `--network` out.",
    ),
    Meaning("subnet-small", "The subnet is smaller than the /26 that Cloud Run wants", "Widen it, or use another one."),
    Meaning(
        "subnet-without-google-access",
        "All traffic goes through a subnet that can't reach Google's APIs, so no weight can be read",
        "Switch Private Google Access on, or use `--vpc-egress private-ranges-only`.",
    ),
    Meaning(
        "execution-failed",
        "A run of the job failed, and its log names no cause that is known",
        "Read what it wrote: `gemmactl finetune logs`.",
    ),
    Meaning("service-illegal", "The service breaks a rule that a dry run does not look at", "Correct the setting that is named."),
    Meaning("job-illegal", "The job breaks a rule that a dry run does not look at", "Correct the setting that is named."),
    Meaning(
        "service-refused",
        "Cloud Run refused the service in a dry run; nothing of it was changed",
        "Change what its sentence names, or paste it into `gemmactl doctor --from-log`.",
    ),
    Meaning(
        "job-refused",
        "Cloud Run refused the job in a dry run; nothing of it was changed",
        "Change what its sentence names, or paste it into `gemmactl doctor --from-log`.",
    ),
    Meaning("missing-bucket", "A bucket that is needed is not there", "Run the same deploy again: it makes what is missing."),
    Meaning(
        "differs-bucket",
        "A bucket of the stack is not as it was made",
        "Run the same deploy again; what can't be changed in place is told.",
    ),
    Meaning(
        "missing-repository", "The repository for images is not there", "Run the same deploy again: it makes what is missing."
    ),
    Meaning(
        "differs-repository",
        "The repository for images is not as it was made",
        "Run the same deploy again; what can't be changed in place is told.",
    ),
    Meaning(
        "missing-secret",
        "A secret that is needed is not there",
        "Deploy again with the token in HF_TOKEN; a secret of your own: correct its name, or make it.",
    ),
    Meaning(
        "differs-secret",
        "A secret of the stack has no enabled version, or is encrypted otherwise",
        "Deploy again with the token in HF_TOKEN.",
    ),
    Meaning(
        "missing-service-account",
        "A service account of the stack is not there",
        "Run the same deploy again: it makes what is missing.",
    ),
    Meaning("differs-service-account", "A service account of the stack is disabled", "Enable it, if that was not meant."),
    Meaning("differs-image", "The image is not the one that its tag stands for", "Run the same deploy again."),
    Meaning("missing-job", "The job of the fine-tune is not there", "Start it again: `gemmactl finetune run`."),
    Meaning("differs-job", "The job of the fine-tune is not as it was made", "Start it again: `gemmactl finetune run`."),
    Meaning("missing-execution", "The job was not run", "Start it again: `gemmactl finetune run`."),
    Meaning("differs-execution", "The job was run otherwise than it was wished", "Start it again: `gemmactl finetune run`."),
    Meaning(
        "missing-pin",
        "The list of the weights that were approved is gone from the bucket",
        "Run the same deploy again: it writes it anew.",
    ),
    Meaning(
        "differs-pin", "The list of the weights that were approved was changed", "Run the same deploy again: it writes it anew."
    ),
    Meaning(
        "missing-model-files",
        "Files of the model are not in the bucket",
        "Run the same deploy again: it uploads what is missing.",
    ),
    Meaning(
        "differs-model-files",
        "Files of the model in the bucket are others than those of the folder",
        "Run the same deploy again, if the folder is right.",
    ),
    Meaning("missing-stored-model", "The model is not in the bucket", "Put it there: `gemmactl copy`."),
    Meaning("differs-stored-model", "The model in the bucket is another one", "Look at it: `gemmactl inspect`."),
    Meaning("missing-stored-runs", "The runs of the fine-tune are not in the bucket", "Start it again: `gemmactl finetune run`."),
    Meaning(
        "differs-stored-runs", "The runs of the fine-tune in the bucket are others", "Look at them: `gemmactl finetune status`."
    ),
    Meaning("missing-data-file", "The data of the run is not in the bucket", "Start it again: `gemmactl finetune run`."),
    Meaning("differs-data-file", "The data of the run in the bucket was changed", "Start it again: `gemmactl finetune run`."),
    Meaning("missing-run-document", "The settings of the run are not in the bucket", "Start it again: `gemmactl finetune run`."),
    Meaning(
        "differs-run-document", "The settings of the run in the bucket were changed", "Start it again: `gemmactl finetune run`."
    ),
)
