"""Where: resource names as error texts print them, and the gcloud line that binds a role there. Knows no cloud."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from typing import Final
from urllib.parse import unquote

from gemmactl.doctor.finding import Context
from gemmactl.doctor.principal import EMAIL

PROJECT: Final = r"(?:[a-z0-9.-]{1,60}:)?[a-z][a-z0-9-]{2,61}[a-z0-9]|\d{6,20}"
REGION: Final = r"[a-z]+(?:-[a-z]+\d{1,2})?|global"
_NAME: Final = r"[A-Za-z0-9][\w.-]{0,254}"
BUCKET: Final = r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]"

SLOTS: Final[dict[str, str]] = {
    "project": PROJECT,
    "number": r"\d{6,20}",
    "region": REGION,
    "bucket": BUCKET,
    "repository": r"[a-z0-9][a-z0-9.-]{0,62}",
    "image": r"[a-z0-9][a-z0-9._/-]{0,150}",
    "secret": r"[A-Za-z0-9_][A-Za-z0-9_-]{0,254}",
    "version": r"\d{1,9}|latest",
    "service": r"[a-z][a-z0-9-]{0,62}",
    "job": r"[a-z][a-z0-9-]{0,62}",
    "revision": r"[a-z][a-z0-9-]{0,90}",
    "api": r"[a-z][a-z0-9-]{1,40}\.googleapis\.com",
    "account": EMAIL,
    "host": r"[a-z0-9-]{1,40}(?:-docker\.pkg\.dev|gcr\.io)|(?:[a-z]{2,4}\.)?gcr\.io",
    "quota": r"[A-Z][A-Za-z0-9]{5,90}",
    "port": r"\d{2,5}",
    "build": r"[0-9a-f]{8}-[0-9a-f-]{27}",
    "organization": r"\d{6,20}",
    "folder": r"\d{6,20}",
    "billing_account": r"[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}",
    "keyring": _NAME,
    "key": _NAME,
}
"""What may stand in a command, by the name of its slot. Nothing that fails its pattern ever does."""


SCOPE_OF: Final = {"repository": "repo", "account": "service account"}
"""Slots whose scope has another name."""


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def valid(slot: str, text: str) -> str:
    """The text when it is a legal value of the slot, else ``."""
    pattern = SLOTS.get(slot)
    return text if pattern and _compiled(pattern).fullmatch(text) else ""


@dataclass(frozen=True)
class Place:
    """A resource that a role can be bound on; fields that are not known are empty."""

    scope: str
    name: str = ""
    project: str = ""
    location: str = ""
    keyring: str = ""

    def __str__(self) -> str:
        """The resource's own full name, as far as it is known."""
        p, where = self.project or "PROJECT", self.location or "REGION"
        forms = {
            "project": f"projects/{p}",
            "bucket": f"gs://{self.name}" if self.name else "",
            "repo": f"projects/{p}/locations/{where}/repositories/{self.name}",
            "secret": f"projects/{p}/secrets/{self.name}",
            "service account": self.name,
            "service": f"projects/{p}/locations/{where}/services/{self.name}",
            "job": f"projects/{p}/locations/{where}/jobs/{self.name}",
            "key": f"projects/{p}/locations/{where}/keyRings/{self.keyring}/cryptoKeys/{self.name}",
            "subnet": f"projects/{p}/regions/{where}/subnetworks/{self.name}",
            "folder": f"folders/{self.name}",
            "organization": f"organizations/{self.name}",
            "billing account": f"billingAccounts/{self.name}",
        }
        return forms[self.scope] if self.name or self.scope == "project" else ""


_FORMS: Final[tuple[tuple[str, str], ...]] = (
    ("repo", rf"projects/(?P<project>{PROJECT})/locations/(?P<location>{REGION})/repositories/(?P<name>{_NAME})"),
    (
        "key",
        rf"projects/(?P<project>{PROJECT})/locations/(?P<location>{REGION})/keyRings/(?P<keyring>{_NAME})/cryptoKeys/(?P<name>{_NAME})",
    ),
    ("service", rf"projects/(?P<project>{PROJECT})/locations/(?P<location>{REGION})/services/(?P<name>[a-z][a-z0-9-]*)"),
    ("service", rf"namespaces/(?P<project>{PROJECT})/services/(?P<name>[a-z][a-z0-9-]*)"),
    ("job", rf"projects/(?P<project>{PROJECT})/locations/(?P<location>{REGION})/jobs/(?P<name>[a-z][a-z0-9-]*)"),
    ("job", rf"namespaces/(?P<project>{PROJECT})/jobs/(?P<name>[a-z][a-z0-9-]*)"),
    (
        "repo",
        rf"(?P<location>{REGION})-(?:docker|python|npm|maven|go|apt|yum)\.pkg\.dev/(?P<project>{PROJECT})/(?P<name>{_NAME})",
    ),
    ("repo", rf"(?:(?P<location>us|eu|asia)\.)?(?P<name>gcr\.io)/(?P<project>{PROJECT})"),
    ("secret", rf"projects/(?P<project>{PROJECT})/secrets/(?P<name>[A-Za-z0-9_-]+)"),
    ("subnet", rf"projects/(?P<project>{PROJECT})/regions/(?P<location>{REGION})/subnetworks/(?P<name>{_NAME})"),
    ("service account", rf"projects/(?:(?P<project>{PROJECT})|-)/serviceAccounts/(?P<name>{EMAIL}|\d{{15,25}})"),
    ("bucket", rf"gs://(?P<name>{BUCKET})"),
    ("bucket", rf"projects/_/buckets/(?P<name>{BUCKET})"),
    ("bucket", rf"/storage/v1/b/(?P<name>{BUCKET})"),
    ("billing account", r"billingAccounts/(?P<name>[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6})"),
    ("organization", r"organizations/(?P<name>\d{6,20})"),
    ("folder", r"folders/(?P<name>\d{6,20})"),
    ("service account", rf"(?P<name>{EMAIL})"),
    ("project", rf"(?:projects|namespaces)/(?P<project>{PROJECT})(?P<location>)"),
)


def parse(text: str) -> Place | None:
    """The most specific resource named in a short text, or None."""
    text = unquote(text)
    for scope, pattern in _FORMS:
        if found := _compiled(pattern).search(text):
            place = Place(scope, **{k: v for k, v in found.groupdict().items() if v})
            # gcr.io is served by Artifact Registry: a repository of that name in the multi-region us
            return replace(place, location="us") if place.name == "gcr.io" and not place.location else place
    return None


def account_project(email: str) -> str:
    """The project that a user-made service account lives in, or ``."""
    name, _, domain = email.partition("@")
    project = domain.removesuffix(".iam.gserviceaccount.com")
    return project if name and project != domain and valid("project", project) and not project.startswith("gcp-sa-") else ""


def settle(place: Place | None, scope: str, context: Context) -> Place:
    """The place a role is to be bound on, widened or filled with what the context knows."""
    place = place or Place(scope)
    if place.scope != scope:
        place = Place(scope, "", place.project, place.location)
    project = place.project or context.project
    if scope == "service account" and place.name:
        project = place.project or account_project(place.name) or context.project
    if project == context.number and context.project:
        project = context.project
    name = place.name
    if not name:
        slot, _, told = context.thing.partition("/")
        own = told if slot and SCOPE_OF.get(slot, slot) == scope else ""
        name = own or {"bucket": context.bucket, "service": context.service}.get(scope, "")
    return replace(place, name=name, project=project, location=place.location or context.region)


def bind_command(place: Place, role: str, shown_member: str) -> str:
    """The gcloud line; what is not known stands there in capitals."""
    grant = f"add-iam-policy-binding {{}} --member={shown_member} --role={role}"
    project, region = f"--project={place.project or 'PROJECT'}", f"--region={place.location or 'REGION'}"
    location = f"--location={place.location or 'REGION'}"
    lines = {
        "project": f"gcloud projects {grant} --condition=None",
        "bucket": f"gcloud storage buckets {grant}",
        "repo": f"gcloud artifacts repositories {grant} {project} {location}",
        "secret": f"gcloud secrets {grant} {project}",
        "service account": f"gcloud iam service-accounts {grant} {project}",
        "service": f"gcloud run services {grant} {project} {region}",
        "job": f"gcloud run jobs {grant} {project} {region}",
        "key": f"gcloud kms keys {grant} {project} {location} --keyring={place.keyring or 'KEYRING'}",
        "subnet": f"gcloud compute networks subnets {grant} {project} {region}",
        "folder": f"gcloud resource-manager folders {grant}",
        "organization": f"gcloud organizations {grant} --condition=None",
        "billing account": f"gcloud billing accounts {grant}",
    }
    return lines[place.scope].format(_subject(place))


def _subject(place: Place) -> str:
    if place.scope == "project":
        return place.project or "PROJECT"
    if place.scope == "bucket":
        return f"gs://{place.name or 'BUCKET'}"
    missing = {
        "repo": "REPOSITORY",
        "secret": "SECRET",
        "service account": "SERVICE_ACCOUNT",
        "billing account": "BILLING_ACCOUNT",
    }
    return place.name or missing.get(place.scope, place.scope.upper())
