"""How gemmactl marks what it made, so that destroy never touches anything else. Knows no kind of thing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

LABEL: Final = "managed-by"
OWNER: Final = "gemmactl"
NAME_LABEL: Final = "gemmactl-name"
"""Label of a service or a job: the name it was deployed under."""
RUN_LABEL: Final = "gemmactl-run"
"""Label of a fine-tune's job: the run that it was last set to."""
NOTE: Final = "managed-by=gemmactl"
"""Service accounts have no labels: their description holds the mark."""

LABEL_MOST: Final = 63
"""Characters of a label's value."""

Pairs = tuple[tuple[str, str], ...]
"""Labels as a value that can be compared and hashed."""

OURS: Final[Pairs] = ((LABEL, OWNER),)


def marked(labels: Mapping[str, str]) -> bool:
    """Whether labels carry our mark."""
    return labels.get(LABEL) == OWNER


def missing(labels: Mapping[str, str], name: str) -> dict[str, str]:
    """What labels lack to be those of a service or a job of ours under this name."""
    return {key: value for key, value in (*OURS, (NAME_LABEL, name)) if labels.get(key) != value}


def noted(description: str) -> bool:
    """Whether a service account's description carries our mark."""
    return NOTE in description


def wished(wish: Pairs | None, live: Mapping[str, str]) -> Pairs:
    """The live labels that the wish speaks of (all, when it has no opinion); labels of others are none of our business."""
    keys = live if wish is None else dict(wish)
    return tuple(sorted((k, v) for k, v in live.items() if k in keys))


def merged(live: Mapping[str, str], wish: Pairs | None) -> dict[str, str]:
    """The live labels with the wish on top."""
    return {**live, **dict(wish or ())}
