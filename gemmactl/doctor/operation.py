"""Which permission a call needs, by what ran it: a gcloud command, a Terraform resource, a method of an API. Knows no text.

A name is put together by rule, and counts only when the table or the public role data knows it: a guess never becomes an answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Final

from gemmactl.doctor import by_data
from gemmactl.doctor.operation_names import GCLOUD, GCLOUD_WHOLE, SERVICES, TERRAFORM, THINGS, VERBS
from gemmactl.doctor.permissions import least


def permission(groups: Mapping[str, str]) -> str:
    """What the groups `command`, `tf`, `thing` or `policy_of` (with `verb`) or `method` (with `service_name`) point to, or ``."""
    if command := groups.get("command"):
        return of_command(command)
    verb = groups.get("verb", "")
    if method := groups.get("method"):
        return of_method(method, groups.get("service_name", ""))
    if url := groups.get("url"):
        return of_url(url, groups.get("service_name", ""), groups.get("http", ""))
    if owner := groups.get("policy_of"):
        return of_policy(owner, verb)
    if (kind := groups.get("tf")) and (found := of_terraform(kind, verb)):
        return found
    if thing := groups.get("thing"):
        return of_thing(thing, verb)
    return ""


def known(name: str) -> str:
    """The permission in IAM's own spelling when it exists, else ``."""
    if not name:
        return ""
    spelled = by_data.spelled(name)
    return spelled if least(spelled) or by_data.narrowest(spelled) else ""


@cache
def of_command(command: str) -> str:
    """`compute.networks.subnets.create` (as gcloud prints it) -> compute.subnetworks.create."""
    path = re.sub(r"^(?:alpha|beta|preview)\.", "", command.strip(". ").lower())
    for whole, name in GCLOUD_WHOLE.items():
        if path == whole or path.startswith(f"{whole}."):
            return name
    group, _, last = path.rpartition(".")
    if group.rpartition(".")[2] in VERBS:  # connections.create.github
        group, _, last = group.rpartition(".")
    if last.partition("-")[0] in VERBS and last not in VERBS:  # create-oidc
        last = last.partition("-")[0]
    verb = VERBS.get(last, "")
    while group:
        if kind := GCLOUD.get(group):
            if last in ("add-iam-policy-binding", "remove-iam-policy-binding", "set-iam-policy"):
                verb = "setIamPolicy"
            return known(f"{kind}.{verb or _camel(last)}")
        parent, _, tail = group.rpartition(".")
        if tail and parent in SERVICES:
            return known(f"{SERVICES[parent]}.{_camel(tail)}.{verb or _camel(last)}")
        group = parent
    return ""


def of_terraform(kind: str, verb: str) -> str:
    """`google_cloud_run_v2_service`, `creating` -> run.services.create."""
    name = kind.lower().removeprefix("google_").removeprefix("gcp:")
    policy = re.sub(r"_iam_(?:member|binding|policy|audit_config)$", "", name)
    if policy != name:
        verb = "retrieving policy" if re.match(r"(?i)read|retriev|refresh", verb) else "setting policy"
    for prefix, target in TERRAFORM.items():
        if policy == prefix:
            return _done(target, verb)
    service, _, rest = policy.partition("_")
    if rest and service in SERVICES:
        return known(f"{SERVICES[service]}.{_plural(_camel(rest.replace('_', '-')))}.{_verb(verb)}")
    return ""


def of_thing(thing: str, verb: str) -> str:
    """A resource as a sentence names it (`Trigger`, `RegionNetworkEndpointGroup`, `service account key`) and what was done."""
    bare = re.sub(r"[^a-z]", "", thing.lower())
    if bare in ("iampolicy", "iampolicyforproject", "projectiampolicy"):
        return "resourcemanager.projects." + ("getIamPolicy" if re.match(r"(?i)read|retriev|fetch|get", verb) else "setIamPolicy")
    if target := THINGS.get(bare):
        return _done(target, verb)
    plural = _plural(thing[:1].lower() + thing[1:])
    for service in ("compute", "run", "iam", "secretmanager", "artifactregistry", "cloudbuild", "storage"):
        if found := known(f"{service}.{plural}.{_verb(verb)}"):
            return found
    return ""


def of_policy(owner: str, verb: str) -> str:
    """Whose policy was read or set: `cloudrun service`, `project`, `b`, `organization`."""
    words = owner.lower().replace("-", " ").replace("_", " ").split()
    bare = "".join(words)
    last = words[-1] if words else ""
    target = THINGS.get(bare) or THINGS.get(bare.removesuffix("s")) or THINGS.get(last) or THINGS.get(last.removesuffix("s"), "")
    return known(f"{target}.{_verb(verb + ' policy')}") if target else ""


def of_method(method: str, service: str = "") -> str:
    """`google.cloud.run.v2.Jobs.RunJob` (or with a slash), `v1.compute.networks.insert`, `create_service` of run."""
    words = method.strip(". ").replace("/", ".").split(".")
    last = words[-1]
    own = service.removesuffix(".googleapis.com").rpartition("/")[2]
    if known(method):
        return known(method)
    if len(words) >= 3 and known(".".join(words[-3:])):
        return known(".".join(words[-3:]))
    if "_" in last:
        last = "".join(part.capitalize() for part in last.split("_"))
    parts = re.findall(r"[A-Z][a-z0-9]*|^[a-z]+", last)
    if not parts:
        return ""
    own = own or next((SERVICES[w] for w in reversed(words[:-1]) if w in SERVICES), "")
    own = SERVICES.get(own, own)
    verb = VERBS.get(parts[0].lower(), parts[0].lower())
    noun = "".join(parts[1:])
    if noun.lower() == "iampolicy" and len(words) > 1:
        verb, noun = f"{verb}IamPolicy".replace("updateIam", "setIam"), POLICIES.get(own, words[-2])
    elif not noun and len(words) > 1:
        noun = words[-2]
    special = SPECIAL.get(f"{own}.{last}")
    noun = noun[:1].lower() + noun[1:]
    return special or known(f"{own}.{_plural(noun)}.{verb}") or known(f"{own}.{noun}.{verb}")


def of_url(path: str, service: str, http: str = "") -> str:
    """`v2/projects/p/locations/l/jobs/j:run` of run -> run.jobs.run; a path without a verb needs the HTTP method."""
    own = SERVICES.get(service, service)
    bare, _, custom = path.rstrip(".:/").rpartition(":")
    parts = (bare if custom.isalpha() and bare else path).rstrip("/").split("/")
    if custom.isalpha() and bare and len(parts) >= 2:
        names = {"generateAccessToken": "getAccessToken", "generateIdToken": "getOpenIdToken"}
        own = "iam" if own == "iamcredentials" else own
        return known(f"{own}.{parts[-2]}.{names.get(custom, custom)}") or known(f"{own}.{parts[-1]}.{names.get(custom, custom)}")
    if not http or len(parts) < 2:
        return ""
    collection = len(parts) % 2 == 0 if parts[0].startswith("v") else parts[-1].isalpha() and parts[-1].endswith("s")
    verb = {"GET": "list" if collection else "get", "POST": "create", "DELETE": "delete"}.get(http, "update")
    return known(f"{own}.{parts[-1] if collection else parts[-2]}.{verb}")


POLICIES: Final = {"secretmanager": "secrets", "artifactregistry": "repositories", "storage": "buckets"}
"""APIs with one service for all, whose policies are those of one kind of thing."""
SPECIAL: Final = {
    "secretmanager.AccessSecretVersion": "secretmanager.versions.access",
    "secretmanager.AddSecretVersion": "secretmanager.versions.add",
    "secretmanager.GetSecretVersion": "secretmanager.versions.get",
    "run.RunJob": "run.jobs.run",
    "run.ReplaceService": "run.services.update",
    "logging.WriteLogEntries": "logging.logEntries.create",
    "logging.ListLogEntries": "logging.logEntries.list",
    "monitoring.CreateTimeSeries": "monitoring.timeSeries.create",
    "iamcredentials.GenerateAccessToken": "iam.serviceAccounts.getAccessToken",
    "iamcredentials.GenerateIdToken": "iam.serviceAccounts.getOpenIdToken",
    "iamcredentials.SignBlob": "iam.serviceAccounts.signBlob",
    "iamcredentials.SignJwt": "iam.serviceAccounts.signJwt",
    "cloudbuild.RunBuildTrigger": "cloudbuild.builds.create",
    "cloudbuild.CreateBuildTrigger": "cloudbuild.builds.create",
    "cloudbuild.RetryBuild": "cloudbuild.builds.create",
    "iam.CreateServiceAccountKey": "iam.serviceAccountKeys.create",
    "pubsub.Publish": "pubsub.topics.publish",
    "cloudkms.Encrypt": "cloudkms.cryptoKeyVersions.useToEncrypt",
    "cloudkms.Decrypt": "cloudkms.cryptoKeyVersions.useToDecrypt",
    "aiplatform.Predict": "aiplatform.endpoints.predict",
    "resourcemanager.SetIamPolicy": "resourcemanager.projects.setIamPolicy",
    "resourcemanager.GetIamPolicy": "resourcemanager.projects.getIamPolicy",
}


def _done(target: str, verb: str) -> str:
    """A version of a secret is added, not created."""
    name = _verb(verb)
    return known(f"{target}.{name}") or (known(f"{target}.add") if name == "create" else "")


def _verb(text: str) -> str:
    lower = text.lower().strip()
    if "policy" in lower:
        return "getIamPolicy" if re.match("retriev|read|fetch|get", lower) else "setIamPolicy"
    for stem, verb in _STEMS:
        if lower.startswith(stem):
            return verb
    return "get"


_STEMS: Final = (
    ("creat", "create"),
    ("add", "create"),
    ("insert", "create"),
    ("updat", "update"),
    ("patch", "update"),
    ("set", "update"),
    ("modif", "update"),
    ("edit", "update"),
    ("delet", "delete"),
    ("remov", "delete"),
    ("destroy", "delete"),
    ("list", "list"),
    ("enabl", "enable"),
    ("disabl", "disable"),
)


def _camel(text: str) -> str:
    first, *rest = text.split("-")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


def _plural(noun: str) -> str:
    if noun.endswith("s") and not noun.endswith(("ss", "Address", "Access")):
        return noun
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "ch")) else "s")
