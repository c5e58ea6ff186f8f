"""Deterministic names of what a stack makes: the cloud is the state, so a name must be found again. Knows no cloud."""

from __future__ import annotations

import hashlib
import re
from typing import Final

REPOSITORY: Final = "gemmactl"
BUILD_ACCOUNT: Final = "gemmactl-build"
SERVE_IMAGE: Final = "serve"
TUNE_IMAGE: Final = "finetune"
BUCKET_LIMIT: Final = 63


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def bucket(project: str, use: str, region: str) -> str:
    """`PROJECT-gemmactl-USE-REGION`, the region as a hash where the whole would be longer than a bucket's name may be."""
    owner = re.sub(r"[.:]", "-", project).replace("google", "elgoog")
    name = f"{owner}-gemmactl-{use}-{region}"
    return name if len(name) <= BUCKET_LIMIT else f"{owner}-gemmactl-{use}-{_hash(region)[:6]}"


def runtime_account(project: str, region: str, service: str) -> str:
    """Id of a service's own account: 6-30 characters, the same for the same service."""
    return f"gm-{service[:20].strip('-')}-{_hash(project, region, service)[:4]}"


def tune_job(name: str) -> str:
    """The job that makes fine-tunes of one name; at most 49 characters of a name with 40."""
    return f"finetune-{name}"


def tune_account(project: str, region: str, name: str) -> str:
    """Id of the account that a fine-tune's job runs as: never that of a service of the same name."""
    return f"gt-{name[:20].strip('-')}-{_hash(project, region, 'job', name)[:4]}"


def token_secret(service: str, region: str) -> str:
    """The secret that holds a service's (or a job's) Hugging Face token when a token (not a reference) is given.

    Secrets of a project share one list, whatever region their payload is in: the name tells two regions' apart.
    """
    return f"{service}-hf-token-{region}"


def keys_secret(service: str, region: str) -> str:
    """The secret that holds the hashes of a service's API keys."""
    return f"{service}-api-keys-{region}"


def regionless(secret: str, region: str) -> str:
    """What it was called at first: one for a name in all regions. A service or a job that has such a one keeps it."""
    return secret.removesuffix(f"-{region}")


def holds_keys(secret: str) -> bool:
    """Whether a secret's short name is that of a service's API keys."""
    return re.search(r"-api-keys(-[a-z]+-[a-z]+\d+)?$", secret) is not None


def image_tag(project: str, region: str, name: str, digest: str) -> str:
    """Content-hash tag in our repository."""
    return f"{region}-docker.pkg.dev/{project.replace(':', '/')}/{REPOSITORY}/{name}:{digest}"


def serves(image: str) -> bool:
    """Whether an image is gemmactl's own server by its name: what a deploy builds, in whatever project of Artifact Registry."""
    return re.fullmatch(rf"[a-z0-9-]+-docker\.pkg\.dev/(?:[^/]+/)+{REPOSITORY}/{SERVE_IMAGE}(?:[:@].+)?", image) is not None


def secret(project: str, name: str) -> tuple[str, str]:
    """(full resource name, what an environment variable refers to it by) of a secret given by either form."""
    full = name if name.startswith("projects/") else f"projects/{project}/secrets/{name}"
    return full, full.removeprefix(f"projects/{project}/secrets/")
