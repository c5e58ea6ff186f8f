"""The administrator's half as a gcloud script that may run twice. Pure; knows no cloud."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from typing import Final

from gemmactl.doctor import place as places
from gemmactl.doctor.granting import place_of
from gemmactl.errors import Trouble
from gemmactl.kernel.plan import Step
from gemmactl.resources import mark
from gemmactl.resources.agent_grant import AgentGrant
from gemmactl.resources.apis import Apis
from gemmactl.resources.bucket import Bucket
from gemmactl.resources.iam_member import IamMember
from gemmactl.resources.repository import Repository
from gemmactl.resources.secret import Secret
from gemmactl.resources.service_account import ServiceAccount
from gemmactl.serving.admin_half import CALLER, Grant, Half
from gemmactl.serving.admin_words import again_words, grant_words, step_words

PLAIN: Final = re.compile(r"[\w@:./=,+~-]+")
"""What may stand in a command: no name of Google Cloud needs more. The caller's variable is the one exception."""
AGAIN: Final = """\
# IAM learns of a new account within seconds to minutes: a refused grant is tried again for about two minutes.
again() {
  for pause in 2 4 8 15 30 60; do
    if "$@"; then return 0; fi
    sleep "$pause"
  done
  "$@"
}

FILE=$(mktemp)
trap 'rm -f "$FILE"' EXIT"""


def script(half: Half, project: str, again: str) -> str:
    """The whole text. `again`: the command that the caller runs afterwards."""
    head = (
        "#!/usr/bin/env bash",
        f"# What an administrator of project {project} does so that the caller can run:",
        *again_words(again),
        "# Written by `gemmactl plan --for-admin`; it holds nothing that the caller may do alone. Run it twice and the second",
        "# time changes nothing. Read it first: every role is the least that does the work, and is bound on one thing where",
        "# that thing takes roles.",
    )
    if not half:
        return "\n".join((*head[:2], *again_words(again), "# Nothing is missing: the caller may do every step.", ""))
    known = half.caller if PLAIN.fullmatch(half.caller) else ""
    caller = (
        f"CALLER={_word(known)}"
        if known
        else ': "${CALLER:?set it to the member who deploys, such as user:NAME@DOMAIN or serviceAccount:EMAIL}"'
    )
    parts = [part for step in half.steps for part in _step(step, project)]
    gifts = [part for grant in half.grants for part in _grant(grant)]
    title = ("", "# --- what the caller needs for the other half ---") if gifts else ()
    return "\n".join(
        (*head, "set -euo pipefail", "export CLOUDSDK_CORE_DISABLE_PROMPTS=1", caller, "", AGAIN, *parts, *title, *gifts, "")
    )


def bind(grant: IamMember) -> str:
    """The line that makes one binding. Its member is quoted: an address may have an apostrophe, a pool's subject anything."""
    line = command(*shlex.split(places.bind_command(place_of(grant.target), grant.role, CALLER)))
    if grant.member != CALLER:
        line = line.replace(command(f"--member={CALLER}"), shlex.quote(f"--member={grant.member}"))
    return f"again {line} >/dev/null"


def command(*words: str) -> str:
    """Words as one line of a shell; each is checked, whoever it came from."""
    return " ".join(f'"{word}"' if word == f"--member={CALLER}" else _word(word) for word in words)


def _word(text: str) -> str:
    if not PLAIN.fullmatch(text):
        raise Trouble(
            f"{text!r} can't stand in a script",
            why="a name of Google Cloud has letters, digits and @ : . / = , + ~ - _ only",
            remedy="report this: it is a fault of gemmactl, nothing was printed",
            code="script-word",
        )
    return shlex.quote(text)


def _grant(grant: Grant) -> Iterator[str]:
    yield f"# {grant_words(grant)}"
    yield bind(grant.binding)


def _step(step: Step, project: str) -> Iterator[str]:
    yield ""
    yield from (f"# {line}" for line in step_words(step))
    match step.resource:
        case Apis() as apis:
            yield command("gcloud", "services", "enable", *apis.names, f"--project={project}")
        case ServiceAccount() as account:
            at = ("gcloud", "iam", "service-accounts")
            yield _unless(
                (*at, "describe", account.email, f"--project={account.project}"),
                (*at, "create", account.account_id, f"--project={account.project}", f"--description={mark.NOTE}"),
                f" --display-name={shlex.quote(account.title or account.account_id)}",
            )
        case Repository() as repository:
            yield from _repository(repository)
        case Bucket() as bucket:
            yield from _bucket(bucket, project)
        case Secret() as secret:
            yield from _secret(secret)
        case AgentGrant() as grant:
            own = grant.api == "storage.googleapis.com"
            made = "storage service-agent" if own else f"beta services identity create --service={grant.api}"
            yield f"{command('gcloud', *made.split(), f'--project={project}')} >/dev/null"
            yield bind(grant)
        case IamMember() as grant:
            yield bind(grant)


def _unless(look: tuple[str, ...], make: tuple[str, ...], more: str = "") -> str:
    return f"{command(*look)} >/dev/null 2>&1 ||\n  {command(*make)}{more}"


def _repository(repository: Repository) -> Iterator[str]:
    at = ("gcloud", "artifacts", "repositories")
    where = (f"--project={repository.project}", f"--location={repository.region}")
    labels = f"--labels={_labels(repository.labels)}"
    key = (f"--kms-key={repository.kms_key}",) if repository.kms_key else ()
    made = (*at, "create", repository.name, *where, "--repository-format=docker", labels, *key)
    yield _unless((*at, "describe", repository.name, *where), made)
    yield command(*at, "update", repository.name, *where, f"--update-labels={_labels(repository.labels)}") + " >/dev/null"
    policies: list[object] = []
    if repository.keep_newest is not None:
        policies.append(
            {"name": "keep-newest", "action": {"type": "KEEP"}, "mostRecentVersions": {"keepCount": repository.keep_newest}}
        )
    if repository.delete_after_days is not None:
        old = {"tagState": "ANY", "olderThan": f"{repository.delete_after_days}d"}
        policies.append({"name": "delete-old", "action": {"type": "DELETE"}, "condition": old})
    if policies:
        set_them = command(*at, "set-cleanup-policies", repository.name, *where, "--no-dry-run")
        yield _file(policies)
        yield f'{set_them} --policy="$FILE" >/dev/null'


def _bucket(bucket: Bucket, project: str) -> Iterator[str]:
    at, uri = ("gcloud", "storage", "buckets"), f"gs://{bucket.name}"
    key = (f"--default-encryption-key={bucket.kms_key}",) if bucket.kms_key else ()
    private = ("--uniform-bucket-level-access", "--public-access-prevention", *key)
    yield _unless(
        (*at, "describe", uri), (*at, "create", uri, f"--project={project}", f"--location={bucket.location or 'us'}", *private)
    )
    change = command(*at, "update", uri, *private, f"--update-labels={_labels(bucket.labels)}")
    if bucket.delete_after_days is None:
        yield change
        return
    rule = {"rule": [{"action": {"type": "Delete"}, "condition": {"age": bucket.delete_after_days}}]}
    yield _file(rule)
    yield f'{change} --lifecycle-file="$FILE"'


def _secret(secret: Secret) -> Iterator[str]:
    where = (f"--project={secret.project}",)
    kept = (
        ("--replication-policy=user-managed", f"--locations={secret.region}")
        if secret.region
        else ("--replication-policy=automatic",)
    )
    look = ("gcloud", "secrets", "describe", secret.name, *where)
    make = ("gcloud", "secrets", "create", secret.name, *where, f"--labels={_labels(mark.OURS)}")
    if not secret.kms_key:
        yield _unless(look, (*make, *kept))
        return
    replica = {"location": secret.region, "customerManagedEncryption": {"kmsKeyName": secret.kms_key}}
    yield _file({"userManaged": {"replicas": [replica]}})
    yield _unless(look, make, ' --replication-policy-file="$FILE"')


def _file(content: object) -> str:
    """What a flag wants as a file: gcloud reads no pipe there."""
    return f"printf '%s\\n' {shlex.quote(json.dumps(content))} >\"$FILE\""


def _labels(pairs: mark.Pairs) -> str:
    return ",".join(f"{key}={value}" for key, value in pairs)
