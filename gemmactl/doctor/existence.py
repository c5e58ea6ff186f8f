"""Whether the thing exists at all: the gcloud line that looks before a role is granted on it. Knows no cloud and no row."""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote

from gemmactl.doctor import by_data
from gemmactl.doctor.finding import Context
from gemmactl.doctor.place import PROJECT, REGION, SCOPE_OF, Place, settle, valid
from gemmactl.doctor.search import pattern, search

MAYBE: Final = r"\b(?:it|resource) may not exist\b"
"""Google's words for a refusal that says the same of a thing that is missing."""
OR_MISSING: Final = " That, or it does not exist: the same text is printed for both."
LOOK_FIRST: Final = " Look first whether it exists and is spelled right: the first command does."
_OBJECT: Final = r"/b/(?P<bucket>[a-z0-9][\w.-]{1,220})/o/(?P<object>[\w.%/=+-]{1,500})"
_VERSION: Final = r"/secrets/[\w-]{1,255}/versions/(?P<version>\d{1,9}|latest)\b"
_TAG: Final = (
    rf"/locations/(?P<region>{REGION})/repositories/(?P<repository>[a-z0-9][a-z0-9.-]{{0,62}})/(?:packages|dockerImages)"
    r"/(?P<image>[a-z0-9][a-z0-9._%-]{0,150}?)(?:(?P<digest>@sha256:[0-9a-f]{64})|(?:/tags/|:)(?P<tag>\w[\w.-]{0,127}))"
)
_INSTANCE: Final = (
    rf"\(gcloud\.(?P<command>[a-z0-9][\w.-]{{2,80}})\).{{0,300}}? to access (?P<kind>\w{{1,40}}) instance \[?(?P<name>{PROJECT}|"
    r"[\w.@/-]{1,300}?)(?::\w{1,40})?(?:\]| \()"
)
_KINDS: Final = {
    "services": "service",
    "jobs": "job",
    "secrets": "secret",
    "repositories": "repository",
    "serviceaccounts": "account",
    "service_accounts": "account",
    "buckets": "bucket",
    "b": "bucket",
}
"""gcloud's word for the collection -> the slot that its name must fit."""
_OF_RUN: Final = r"(?:(?:alpha|beta)\.)?run\."


def thing(flat: str) -> str:
    """`slot/name` of the one thing that gcloud says its account may not access; `` when there is none, or it is a project."""
    if (found := search(_INSTANCE, flat)) is None:
        return ""
    slot = _KINDS.get(found["kind"].lower(), "")
    if slot in ("service", "job") and not pattern(_OF_RUN).match(found["command"]):  # serviceusage has services too
        return ""
    name = valid(slot, found["name"].rpartition("/")[2]) if slot else ""
    return f"{slot}/{name}" if name else ""


def look(permission: str, named: Place | None, at: Place | None, resource: str, words: str, context: Context) -> str:
    """The gcloud line that shows whether what was asked for exists; what is not known stands there in capitals.

    `resource` is its name as the text has it, `words` those that matched.
    """
    place = named or at
    slot = context.thing.partition("/")[0]
    told = SCOPE_OF.get(slot, slot)
    kind = told or (by_data.place_of(permission) if permission else "")
    if kind and (place is None or (place.scope == "project" and not named)):
        place = settle(place, kind, context)
    else:
        place = settle(place, place.scope if place else "project", context)
    if permission.startswith("storage.objects.get") and (found := search(_OBJECT, words)):
        name = unquote(found["object"])
        if pattern(r"[\w./=+-]{1,500}").fullmatch(name) and valid("bucket", found["bucket"]):
            return f"gcloud storage objects describe gs://{found['bucket']}/{name}"
    if permission.startswith("artifactregistry.") and (image := search(_TAG, resource) or search(_TAG, words)):
        path = unquote(image["image"])
        if valid("image", path):
            of = image["digest"] or f":{image['tag']}"
            repository = f"{image['region']}-docker.pkg.dev/{place.project or 'PROJECT'}/{image['repository']}"
            return f"gcloud artifacts docker images describe {repository}/{path}{of}"
    if place.scope == "secret" and (version := search(_VERSION, resource)):
        return (
            f"gcloud secrets versions describe {version['version']} --secret={place.name or 'SECRET'}"
            f" --project={place.project or 'PROJECT'}"
        )
    return describe(place)


def describe(place: Place) -> str:
    """`gcloud ... describe` of a place."""
    project, where = f" --project={place.project or 'PROJECT'}", place.location or "REGION"
    name = place.name
    lines = {
        "project": f"projects describe {place.project or 'PROJECT'}",
        "bucket": f"storage buckets describe gs://{name or 'BUCKET'}",
        "repo": f"artifacts repositories describe {name or 'REPOSITORY'}{project} --location={where}",
        "secret": f"secrets describe {name or 'SECRET'}{project}",
        "service account": f"iam service-accounts describe {name or 'SERVICE_ACCOUNT'}{project}",
        "service": f"run services describe {name or 'SERVICE'}{project} --region={where}",
        "job": f"run jobs describe {name or 'JOB'}{project} --region={where}",
        "key": f"kms keys describe {name or 'KEY'}{project} --location={where} --keyring={place.keyring or 'KEYRING'}",
        "subnet": f"compute networks subnets describe {name or 'SUBNET'}{project} --region={where}",
        "folder": f"resource-manager folders describe {name or 'FOLDER'}",
        "organization": f"organizations describe {name or 'ORGANIZATION'}",
        "billing account": f"billing accounts describe {name or 'BILLING_ACCOUNT'}",
    }
    return f"gcloud {lines[place.scope]}"
