"""What each line of the administrator's half is for, in words, the same for every form. Pure."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.permissions import TABLE
from gemmactl.kernel.plan import Step
from gemmactl.resources import names
from gemmactl.resources.agent_grant import AgentGrant
from gemmactl.resources.apis import Apis
from gemmactl.resources.bucket import Bucket
from gemmactl.resources.iam_member import IamMember
from gemmactl.resources.repository import Repository
from gemmactl.resources.secret import Secret
from gemmactl.resources.service_account import ServiceAccount
from gemmactl.serving.admin_half import Grant

PURPOSE: Final = {
    "roles/logging.logWriter": "may write the build's log; a project is the smallest thing that takes this role",
    "roles/storage.objectViewer": "may read the objects of this one bucket, and write none",
    "roles/storage.legacyBucketReader": "may look at this one bucket, which no object role allows",
    "roles/artifactregistry.writer": "may push images to this one repository, and not change the repository",
    "roles/secretmanager.secretAccessor": "may read this one secret",
    "roles/cloudkms.cryptoKeyEncrypterDecrypter": "may encrypt and decrypt with this one key",
}
CALLERS: Final = {
    "roles/run.developer": "deploy and call services of this project, without deciding who else may call them",
    "roles/run.admin": "decide who may call the service; leave it out for private services",
    "roles/cloudbuild.builds.editor": "start the build of the image and follow it",
    "roles/iam.serviceAccountUser": "let a build or the service run as this one account",
    "roles/artifactregistry.reader": "find the image by its tag and deploy it",
    "roles/storage.objectUser": "upload to this one bucket and replace what is there",
    "roles/storage.objectCreator": "add objects to this one bucket, and neither replace nor delete any",
    "roles/storage.objectViewer": "look at what is in this one bucket",
    "roles/storage.bucketViewer": "see that this bucket is the project's own before anything is put there",
    "roles/secretmanager.viewer": "see which version of this one secret is the newest, not its value",
    "roles/secretmanager.secretVersionAdder": "store the token in this one secret",
    "roles/serviceusage.serviceUsageConsumer": "have calls counted on this project, and see which APIs are enabled",
    "roles/browser": "see the project's number",
    "roles/logging.viewer": "read build and container logs; without it a failure has no explanation",
}


def step_words(step: Step) -> tuple[str, ...]:
    """One or two lines above a step."""
    match step.resource:
        case Apis():
            return ("The APIs that a deploy and its checks call. Enabled ones stay as they are.",)
        case ServiceAccount() as account:
            what = account.title.removeprefix("gemmactl: ") or "of gemmactl"
            return (f"Account {account.account_id} ({what}): it can do what is granted below and nothing else.",)
        case Repository() as repository:
            return ("Images of gemmactl.", *((f"Its clean-up policy: {repository.remark}.",) if repository.remark else ()))
        case Bucket() as bucket if bucket.delete_after_days is not None:
            return (
                f"Build contexts; each is deleted after {bucket.delete_after_days} days. Private: no ACLs, no public access.",
            )
        case Bucket():
            return ("Models. Private: no ACLs, no public access.",)
        case Secret() as secret if names.holds_keys(secret.name):
            return ("The hashes of the service's API keys; still empty, the caller's deploy and `gemmactl keys` fill it.",)
        case Secret():
            return ("The Hugging Face token's secret, still empty: the caller adds the value, which never passes through here.",)
        case IamMember() as grant:
            return binding_words(grant)
        case _:
            return ()


def binding_words(grant: IamMember) -> tuple[str, ...]:
    """What a binding allows, and the wider role that is not needed."""
    if isinstance(grant, AgentGrant):
        return (f"The service agent of {grant.api}, which Google runs, encrypts and decrypts with this one key.",)
    who = grant.member.partition(":")[2].partition("@")[0]
    said = f"{who} {PURPOSE.get(grant.role, f'gets {grant.role}')}."
    trap = next((c.trap for c in TABLE.values() if c.role == grant.role and c.trap), "")
    return (said, f"Least: {trap}.") if trap else (said,)


def grant_words(grant: Grant) -> str:
    """What the caller can do with it, and the permissions that he lacks."""
    unsure = " Unknown whether the caller has it: his permissions there can't be asked." if grant.unknown else ""
    return f"To {CALLERS.get(grant.binding.role, grant.binding.role)} ({', '.join(grant.permissions)}).{unsure}"


def again_words(again: str) -> tuple[str, ...]:
    """The caller's own command, as comments: a value in it may have several lines, and none of them shall be run."""
    return tuple(f"#   {line}" for line in again.splitlines())
