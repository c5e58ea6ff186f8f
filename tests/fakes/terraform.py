"""A terraform that applies the module of `plan --for-admin` to a Cloud: an HCL parser reads it, this does what each block says.

Blocks that wait for nothing else are done last first: what a `depends_on` forgets is an error, not luck.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from typing import Any

import hcl2

from gemmactl.kernel.resource import Work
from gemmactl.resources.bucket import Bucket
from gemmactl.resources.cloud import Cloud, PolicyTarget
from gemmactl.resources.iam_member import IamMember
from gemmactl.resources.repository import Repository

Arguments = dict[str, Any]
TEMPLATE = re.compile(r"(?<!\$)\$\{|(?<!%)%\{")
BINDINGS = {
    "google_project_iam_member": ("project", "{project}"),
    "google_storage_bucket_iam_member": ("bucket", "{bucket}"),
    "google_artifact_registry_repository_iam_member": (
        "repository",
        "projects/{project}/locations/{location}/repositories/{repository}",
    ),
    "google_secret_manager_secret_iam_member": ("secret", "projects/{project}/secrets/{secret_id}"),
    "google_service_account_iam_member": ("service_account", "{service_account_id}"),
    "google_kms_crypto_key_iam_member": ("key", "{crypto_key_id}"),
}


def blocks(text: str) -> dict[str, Arguments]:
    """Each resource and data source by its address. Two of one address, or a text that is no HCL, is an error."""
    document = _plain(hcl2.loads(text))
    caller = [v["caller"]["default"] for v in document.get("variable", ()) if "default" in v["caller"]]
    found: dict[str, Arguments] = {}
    for word in ("resource", "data"):
        for kind, name, arguments in _named(document.get(word, ())):
            address = f"{'data.' if word == 'data' else ''}{kind}.{name}"
            assert address not in found, f"two blocks are called {address}"
            found[address] = {k: caller[0] if v == "${var.caller}" else v for k, v in arguments.items()}
    return found


def apply(text: str, cloud: Cloud) -> list[str]:
    """Do on a cloud what the module says, as whoever the cloud belongs to: the addresses, in the order they were done."""
    found = blocks(text)
    after = {a: [d.removeprefix("${").removesuffix("}") for d in b.get("depends_on", ())] for a, b in found.items()}
    unknown = {d for waits in after.values() for d in waits} - set(found)
    assert not unknown, f"waits for what is not there: {unknown}"
    done: list[str] = []
    order = TopologicalSorter(after)
    order.prepare()
    while order.is_active():
        for address in sorted(order.get_ready(), key=list(found).index, reverse=True):
            kind = address.removeprefix("data.").partition(".")[0]
            arguments = {k: v for k, v in found[address].items() if k != "depends_on"}
            _do(kind, arguments, cloud)
            assert not arguments, f"this terraform knows no {kind} with {sorted(arguments)}"
            done.append(address)
            order.done(address)
    return done


def _named(entries: list[dict[str, dict[str, Arguments]]]) -> Iterator[tuple[str, str, Arguments]]:
    for entry in entries:
        for kind, named in entry.items():
            for name, arguments in named.items():
                yield kind, name, arguments


def _plain(value: Any) -> Any:
    """What the parser found, its quoted texts as texts. An expression stays as `${...}`."""
    match value:
        case dict():
            return {_plain(k): _plain(v) for k, v in value.items() if k not in ("__is_block__", "__comments__")}
        case list():
            return [_plain(v) for v in value]
        case str() if value.startswith('"'):
            assert not TEMPLATE.search(value), f"terraform would work this out: {value}"
            return json.loads(value).replace("$${", "${").replace("%%{", "%{")
    return value


def _do(kind: str, a: Arguments, cloud: Cloud) -> None:
    match kind:
        case "google_project_service":
            assert (a.pop("service"), a.pop("disable_on_destroy")) == ("${each.value}", False)
            cloud.apis.enable(json.loads(a.pop("for_each").removeprefix("${toset(").removesuffix(")}")))
            a.pop("project")
        case "google_service_account":
            cloud.accounts.create(a.pop("account_id"), a.pop("display_name"), a.pop("description"))
            a.pop("project")
        case "google_artifact_registry_repository":
            _repository(a, cloud)
        case "google_storage_bucket":
            _bucket(a, cloud)
        case "google_secret_manager_secret":
            _secret(a, cloud)
        case "google_project_service_identity":
            assert a.pop("provider") == "google-beta"
            cloud.apis.agent(a.pop("service"))
            a.pop("project")
        case "google_storage_project_service_account":
            cloud.apis.agent("storage.googleapis.com")
            a.pop("project")
        case _ if kind in BINDINGS:
            _bind(kind, a, cloud)


def _repository(a: Arguments, cloud: Cloud) -> None:
    assert a.pop("cleanup_policy_dry_run") is False
    by_name = {p["id"]: p for p in a.pop("cleanup_policies", ())}
    keep, drop = by_name.pop("keep-newest"), by_name.pop("delete-old")
    assert (keep["action"], drop["action"], by_name) == ("KEEP", "DELETE", {})
    (newest,), (old,) = keep["most_recent_versions"], drop["condition"]
    assert old["tag_state"] == "ANY"
    at = (a.pop("project"), a.pop("location"), a.pop("repository_id"), a.pop("format"))
    days = int(old["older_than"].removesuffix("d"))
    Repository(*at, newest["keep_count"], days, a.pop("kms_key_name", ""), _labels(a)).create(cloud, Work())


def _bucket(a: Arguments, cloud: Cloud) -> None:
    assert (a.pop("uniform_bucket_level_access"), a.pop("public_access_prevention")) == (True, "enforced")
    days = None
    for rule in a.pop("lifecycle_rule", ()):
        (action,), (condition,) = rule["action"], rule["condition"]
        assert action == {"type": "Delete"}
        days = condition["age"]
    (sealed,) = a.pop("encryption", [{"default_kms_key_name": None}])
    name, location = a.pop("name"), a.pop("location")
    Bucket(
        name, location, delete_after_days=days, kms_key=sealed["default_kms_key_name"], labels=_labels(a)
    ).create(cloud, Work())  # fmt: skip
    a.pop("project")


def _secret(a: Arguments, cloud: Cloud) -> None:
    (how,) = a.pop("replication")
    region, key = "", ""
    if "user_managed" in how:
        (managed,) = how["user_managed"]
        (replica,) = managed["replicas"]
        region = replica["location"]
        for sealed in replica.get("customer_managed_encryption", ()):
            key = sealed["kms_key_name"]
    else:
        assert how == {"auto": [{}]}
    cloud.secrets.create(f"projects/{a.pop('project')}/secrets/{a.pop('secret_id')}", region, dict(_labels(a)), key)


def _bind(kind: str, a: Arguments, cloud: Cloud) -> None:
    role, member = a.pop("role"), a.pop("member")
    of, name = BINDINGS[kind]
    target = PolicyTarget(of, name.format_map(a).rpartition("/serviceAccounts/")[2])  # type: ignore[arg-type]
    a.clear()
    IamMember(target, role, member).create(cloud, Work())


def _labels(a: Arguments) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(a.pop("labels").items()))
