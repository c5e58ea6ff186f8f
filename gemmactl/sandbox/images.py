"""Docker images in Artifact Registry: what a tag or a digest stands for. Knows no build and no container.

Collections: `images`, keyed `HOST/PROJECT/REPO/NAME@sha256:...`, and `tags`, keyed `HOST/PROJECT/REPO/NAME:TAG`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gemmactl.sandbox.wire import failed

if TYPE_CHECKING:
    from gemmactl.sandbox.world import World

IMAGES: Final = "images"
TAGS: Final = "tags"

_REFERENCE: Final = re.compile(
    r"(?P<host>(?P<location>[a-z0-9-]+)-docker\.pkg\.dev)/(?P<project>[^/]+)/(?P<repository>[^/]+)/(?P<name>[^@:]+)"
    r"(?::(?P<tag>[\w][\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


@dataclass(frozen=True)
class Reference:
    """`LOCATION-docker.pkg.dev/PROJECT/REPO/NAME[:TAG][@DIGEST]`, in parts."""

    location: str
    project: str
    repository: str
    name: str
    tag: str = ""
    digest: str = ""

    @property
    def stem(self) -> str:
        """Without tag and digest."""
        return f"{self.location}-docker.pkg.dev/{self.project}/{self.repository}/{self.name}"

    @property
    def parent(self) -> str:
        """The repository's resource name: what permissions are asked on."""
        return f"projects/{self.project}/locations/{self.location}/repositories/{self.repository}"


def parse(image: str) -> Reference | None:
    """The parts of a reference to Artifact Registry; None for an image that lives elsewhere."""
    found = _REFERENCE.fullmatch(image)
    if not found:
        return None
    parts = found.groupdict()
    return Reference(
        parts["location"], parts["project"], parts["repository"], parts["name"], parts["tag"] or "", parts["digest"] or ""
    )


def push(world: World, image: str, digest: str, root: str, config: dict[str, Any], size: int = 0) -> None:
    """Put an image under its tag (`latest` when it has none). Permission is the caller's to check.

    Raises:
        ApiError: 404 when the repository is not there.
    """
    at = parse(image)
    if at is None or world.store.get("repositories", at.parent) is None:
        # source: shared corpus, docker's text for a missing repository
        raise failed("NOT_FOUND", f'name unknown: Repository "{at.repository if at else image}" not found')
    with world.store.lock:
        stamp = world.clock.now().isoformat().replace("+00:00", "Z")
        key = f"{at.stem}@{digest}"
        if world.store.get(IMAGES, key) is None:
            record = {"digest": digest, "root": root, "config": config, "size": size, "uploaded": stamp, "parent": at.parent}
            world.store.put(IMAGES, key, record)
        world.store.put(TAGS, f"{at.stem}:{at.tag or 'latest'}", {"digest": digest, "parent": at.parent})


def resolve(world: World, image: str) -> dict[str, Any] | None:
    """The record {digest, root, config, size, uploaded, parent} of a tag or digest; None when there is none."""
    at = parse(image)
    stem, tag, digest = (at.stem, at.tag, at.digest) if at else _elsewhere(image)
    if not digest:
        digest = (world.store.get(TAGS, f"{stem}:{tag or 'latest'}") or {}).get("digest", "")
    return world.store.get(IMAGES, f"{stem}@{digest}")


def _elsewhere(image: str) -> tuple[str, str, str]:
    """(name, tag, digest) in another registry, Docker Hub's short names included."""
    named, _, digest = image.partition("@")
    above, slash, last = named.rpartition("/")
    name, _, tag = last.partition(":")
    return f"{above}{slash}{name}", tag, digest


def tags_of(world: World, stem: str, digest: str = "") -> list[str]:
    """The tags of one image name, or only those that point to a digest."""
    found = world.store.items(TAGS)
    return [k.rpartition(":")[2] for k, d in found if k.rpartition(":")[0] == stem and digest in ("", d["digest"])]


def forget_image(world: World, stem: str, digest: str) -> None:
    """Delete a version with its tags. Its files belong to whoever pushed it."""
    for tag in tags_of(world, stem, digest):
        world.store.delete(TAGS, f"{stem}:{tag}")
    world.store.delete(IMAGES, f"{stem}@{digest}")


def forget_repository(world: World, parent: str) -> None:
    """Delete all that a repository holds."""
    for collection in (TAGS, IMAGES):
        for key, document in world.store.items(collection):
            if document["parent"] == parent:
                world.store.delete(collection, key)


def of_repository(world: World, parent: str) -> list[tuple[str, dict[str, Any]]]:
    """(stem, record) of all images in a repository."""
    return [(key.partition("@")[0], d) for key, d in world.store.items(IMAGES) if d["parent"] == parent]
