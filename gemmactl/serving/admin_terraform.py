"""The administrator's half as Terraform for the google provider (6 or later). Pure; knows no cloud."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Final

from gemmactl.kernel.plan import Step
from gemmactl.resources import mark
from gemmactl.resources.agent_grant import AgentGrant
from gemmactl.resources.apis import Apis
from gemmactl.resources.bucket import Bucket
from gemmactl.resources.cloud import PolicyTarget
from gemmactl.resources.iam_member import IamMember
from gemmactl.resources.repository import Repository
from gemmactl.resources.secret import Secret
from gemmactl.resources.service_account import ServiceAccount, project_of
from gemmactl.serving.admin_half import CALLER, Half
from gemmactl.serving.admin_words import again_words, grant_words, step_words

APIS: Final = "gemmactl"


class Raw(str):
    """An expression, not a text."""

    __slots__ = ()


def module(half: Half, project: str, again: str) -> str:
    """The whole text. `again`: the command that the caller runs afterwards."""
    head = [
        f"# What an administrator of project {project} applies so that the caller can run:",
        *again_words(again),
    ]
    if not half:
        return "\n".join((*head, "# Nothing is missing: the caller may do every step.", ""))
    head += [
        "# Written by `gemmactl plan --for-admin --as terraform`. What exists already is imported first (terraform import), or",
        "# left out here. Every role is the least that does the work.",
        "",
        *_variable(half.caller),
    ]
    addresses = {s.address: _reference(s) for s in half.steps}
    blocks: list[str] = []
    for step in half.steps:
        after = [addresses[a] for a in step.resource.needs if addresses.get(a)]
        blocks += ["", *(f"# {line}" for line in step_words(step)), *_step(step, project, after)]
    made = [reference for reference in addresses.values() if reference]
    for grant in half.grants:
        blocks += ["", f"# {grant_words(grant)}", *_binding(grant.binding, made)]
    return "\n".join((*head, *blocks, ""))


def _variable(caller: str) -> Iterator[str]:
    yield 'variable "caller" {'
    yield '  description = "IAM member who deploys, such as user:NAME@DOMAIN or serviceAccount:EMAIL"'
    yield "  type        = string"
    if caller:
        yield f"  default     = {_value(caller)}"
    yield "}"


def _step(step: Step, project: str, after: list[str]) -> Iterator[str]:
    match step.resource:
        case Apis() as apis:
            yield from _block("google_project_service", APIS, {
                "for_each": Raw(f"toset({_value(list(apis.names))})"), "project": project, "service": Raw("each.value"),
                "disable_on_destroy": False,
            })  # fmt: skip
        case ServiceAccount() as account:
            yield from _block("google_service_account", account.account_id, {
                "project": account.project, "account_id": account.account_id,
                "display_name": account.title or account.account_id, "description": mark.NOTE,
            }, after)  # fmt: skip
        case Repository() as repository:
            yield from _block("google_artifact_registry_repository", repository.name, {
                "project": repository.project, "location": repository.region, "repository_id": repository.name,
                "format": repository.format, "labels": dict(repository.labels), "cleanup_policy_dry_run": False,
                **({"kms_key_name": repository.kms_key} if repository.kms_key else {}),
            }, after, _cleanup(repository))  # fmt: skip
        case Bucket() as bucket:
            yield from _block("google_storage_bucket", bucket.name, {
                "project": project, "name": bucket.name, "location": bucket.location or "US",
                "uniform_bucket_level_access": True, "public_access_prevention": "enforced", "labels": dict(bucket.labels),
            }, after, _lifecycle(bucket))  # fmt: skip
        case Secret() as secret:
            yield from _block("google_secret_manager_secret", secret.name, {
                "project": secret.project, "secret_id": secret.name, "labels": dict(mark.OURS),
            }, after, _replication(secret))  # fmt: skip
        case AgentGrant() as grant:
            yield from _agent(grant, project, after)
        case IamMember() as grant:
            yield from _binding(grant, after)


def _agent(grant: AgentGrant, project: str, after: list[str]) -> Iterator[str]:
    """The binding, and before it the agent: a policy takes no account that is not there."""
    name = _name(grant.api.partition(".")[0])
    if grant.api == "storage.googleapis.com":  # made when it is asked for
        kind = "google_storage_project_service_account"
        yield from _block(kind, name, {"project": project}, after, word="data")
        yield from _binding(grant, [*after, f"data.{kind}.{name}"])
        return
    kind = "google_project_service_identity"
    yield from _block(kind, name, {"provider": Raw("google-beta"), "project": project, "service": grant.api}, after)
    yield from _binding(grant, [*after, f"{kind}.{name}"])


def _cleanup(repository: Repository) -> list[str]:
    lines: list[str] = []
    if repository.keep_newest is not None:
        lines += ["cleanup_policies {", '  id     = "keep-newest"', '  action = "KEEP"', "  most_recent_versions {"]
        lines += [f"    keep_count = {repository.keep_newest}", "  }", "}"]
    if repository.delete_after_days is not None:
        lines += ["cleanup_policies {", '  id     = "delete-old"', '  action = "DELETE"', "  condition {"]
        lines += ['    tag_state  = "ANY"', f'    older_than = "{repository.delete_after_days}d"', "  }", "}"]
    return lines


def _lifecycle(bucket: Bucket) -> list[str]:
    sealed = ["encryption {", f"  default_kms_key_name = {_value(bucket.kms_key)}", "}"] if bucket.kms_key else []
    if bucket.delete_after_days is None:
        return sealed
    lines = [*sealed, "lifecycle_rule {", "  action {", '    type = "Delete"', "  }", "  condition {"]
    return [*lines, f"    age = {bucket.delete_after_days}", "  }", "}"]


def _replication(secret: Secret) -> list[str]:
    if not secret.region:
        return ["replication {", "  auto {}", "}"]
    inner = [f"location = {_value(secret.region)}"]
    if secret.kms_key:
        inner += ["customer_managed_encryption {", f"  kms_key_name = {_value(secret.kms_key)}", "}"]
    replica = [f"      {line}" for line in inner]
    return ["replication {", "  user_managed {", "    replicas {", *replica, "    }", "  }", "}"]


def _binding(grant: IamMember, after: list[str]) -> Iterator[str]:
    kind, where = _place(grant.target)
    member = Raw("var.caller") if grant.member == CALLER else grant.member
    yield from _block(kind, _bound(grant), {**where, "role": grant.role, "member": member}, after)


def _bound(grant: IamMember) -> str:
    """A binding's name, with the whole e-mail: Google's agents differ in nothing but its domain."""
    who = "caller" if grant.member == CALLER else grant.member.partition(":")[2].removesuffix(".iam.gserviceaccount.com")
    return f"{who}-{grant.role.removeprefix('roles/')}-{grant.target.name.rpartition('/')[2].partition('@')[0]}"


def _place(target: PolicyTarget) -> tuple[str, dict[str, object]]:
    """Resource type of a binding on a target, and the arguments that name the target."""
    parts = target.name.split("/")
    match target.kind:
        case "project":
            return "google_project_iam_member", {"project": target.name}
        case "bucket":
            return "google_storage_bucket_iam_member", {"bucket": target.name}
        case "repository":
            at = {"project": parts[1], "location": parts[3], "repository": parts[5]}
            return "google_artifact_registry_repository_iam_member", dict(at)
        case "secret":
            return "google_secret_manager_secret_iam_member", {"project": parts[1], "secret_id": parts[3]}
        case "service_account":
            full = f"projects/{project_of(target.name)}/serviceAccounts/{target.name}"
            return "google_service_account_iam_member", {"service_account_id": full}
        case "key":
            return "google_kms_crypto_key_iam_member", {"crypto_key_id": target.name}
        case "service" | "job":
            kind = f"google_cloud_run_v2_{target.kind}_iam_member"
            return kind, {"project": parts[1], "location": parts[3], "name": parts[5]}


def _block(
    kind: str,
    name: str,
    arguments: Mapping[str, object],
    after: list[str] | None = None,
    nested: list[str] | None = None,
    word: str = "resource",
) -> Iterator[str]:
    yield f'{word} "{kind}" "{_name(name)}" {{'
    width = max(map(len, arguments))
    yield from (f"  {key:<{width}} = {_value(value)}" for key, value in arguments.items())
    yield from (f"  {line}" for line in nested or ())
    if after:
        yield f"  depends_on = [{', '.join(dict.fromkeys(after))}]"
    yield "}"


def _reference(step: Step) -> str:
    match step.resource:
        case Apis():
            return f"google_project_service.{APIS}"
        case ServiceAccount() as account:
            return f"google_service_account.{_name(account.account_id)}"
        case Repository() as repository:
            return f"google_artifact_registry_repository.{_name(repository.name)}"
        case Bucket() as bucket:
            return f"google_storage_bucket.{_name(bucket.name)}"
        case Secret() as secret:
            return f"google_secret_manager_secret.{_name(secret.name)}"
        case AgentGrant() as grant:
            return f"{_place(grant.target)[0]}.{_name(_bound(grant))}"
        case _:
            return ""  # a binding of another kind: nothing of this half waits for one


def _name(text: str) -> str:
    """A name in HCL: letters, digits, `_` and `-`, a letter or `_` first."""
    name = re.sub(r"[^A-Za-z0-9_-]", "-", text)
    return name if name[:1].isalpha() else f"_{name}"


def _value(value: object) -> str:
    """A value in HCL. Its quoted texts are JSON's, but that `${` and `%{` begin a template and are doubled."""
    if isinstance(value, Raw):
        return value
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_value(k)} = {_value(v)}" for k, v in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")
