"""Signs of where a text was printed. Knows no failure."""

from __future__ import annotations

from typing import Final

IN_BUILD: Final = (
    r"failed to solve|Step \d{1,3}/\d{1,3} ?:|[Ss]tep #\d|\bbuild step \d|returned a non-zero code"
    r"|#\d{1,3} (?:\d{1,5}\.\d|ERROR|\[)"
    r"|did not complete successfully|docker(?: buildx)? build\b|\bkaniko\b|gcloud\.builds|gcloud builds submit|building image"
    r"|pip['/]?_?install|Collecting \w|setup\.py (?:bdist|egg|install)|\[builder\]|--no-build-isolation|\[end of output\]"
)
"""The log of a build, not of a running container."""
OTHER_REGISTRY: Final = r"ghcr\.io|quay\.io|\.azurecr\.io|\.amazonaws\.com|registry\.gitlab"
"""Somebody else's registry: what it refuses is not ours to explain."""
