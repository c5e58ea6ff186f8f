"""Pushed images: which tag means which run folder. Knows neither how one is built nor how one is started.

Two collections of the store, for whoever answers for Artifact Registry:
`images`          `HOST/PROJECT/REPO/NAME:TAG`    -> {tag, digest, root, config, uploadTime, imageSizeBytes}
`image_versions`  `HOST/PROJECT/REPO/NAME@DIGEST` -> the same without tag; stays when the tag moves on
`root` is the run folder (the image's file system), `config` {entrypoint, cmd, env, workdir, user, exposed}.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gemmactl.sandbox.store import Store

_REFERENCE: Final = re.compile(
    r"(?P<location>[a-z0-9-]+)-docker\.pkg\.dev/(?P<project>[a-z0-9:.-]+)/(?P<repository>[a-z0-9-]+)/"
    r"(?P<image>[a-z0-9._/-]+?)(?::(?P<tag>[\w][\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


@dataclass(frozen=True)
class Reference:
    """An image's name in Artifact Registry, taken apart."""

    location: str
    project: str
    repository: str
    image: str
    tag: str
    digest: str

    @property
    def name(self) -> str:
        """Without tag and digest."""
        return f"{self.location}-docker.pkg.dev/{self.project}/{self.repository}/{self.image}"

    @property
    def repository_name(self) -> str:
        """The repository as a resource."""
        return f"projects/{self.project}/locations/{self.location}/repositories/{self.repository}"

    @property
    def key(self) -> str:
        """How the collection `images` names it; no tag means latest."""
        return f"{self.name}:{self.tag or 'latest'}"


def reference(text: str) -> Reference | None:
    """Read an image's name; None when it is not one of Artifact Registry."""
    found = _REFERENCE.fullmatch(text)
    if not found:
        return None
    parts = found.groupdict()
    return Reference(*(parts[k] or "" for k in ("location", "project", "repository", "image", "tag", "digest")))


@dataclass(frozen=True)
class Image:
    """What a build leaves: a folder and how to start in it."""

    root: Path
    config: Mapping[str, Any]

    def digest(self) -> str:
        """sha256 over every file's path, mode and bytes and over the configuration."""
        total = hashlib.sha256(json.dumps(self.config, sort_keys=True).encode())
        for file in sorted(p for p in self.root.rglob("*") if p.is_file() or p.is_symlink()):
            inner = hashlib.sha256(str(file.readlink()).encode() if file.is_symlink() else file.read_bytes()).hexdigest()
            executable = not file.is_symlink() and bool(file.stat().st_mode & 0o100)
            total.update(f"{file.relative_to(self.root)}\0{executable}\0{inner}\n".encode())
        return f"sha256:{total.hexdigest()}"


class Images:
    """The registry's shelves: `home/images/<digest>` and the two collections."""

    def __init__(self, store: Store, folder: Path) -> None:
        self._store = store
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def push(self, where: Reference, image: Image, now: str) -> str:
        """Keep a copy of the image under its tag. Returns the digest."""
        digest = image.digest()
        shelf = self._folder / digest.removeprefix("sha256:")
        if not shelf.exists():
            scratch = shelf.with_suffix(".part")
            shutil.rmtree(scratch, ignore_errors=True)
            shutil.copytree(image.root, scratch, symlinks=True)
            scratch.replace(shelf)
        size = sum(p.stat().st_size for p in shelf.rglob("*") if p.is_file())
        document = {
            "digest": digest,
            "root": str(shelf),
            "config": dict(image.config),
            "uploadTime": now,
            "imageSizeBytes": str(size),
        }
        with self._store.lock:
            self._store.put("image_versions", f"{where.name}@{digest}", document)
            self._store.put("images", where.key, {**document, "tag": where.key})
        return digest

    def find(self, where: Reference) -> dict[str, Any] | None:
        """The document of a tag or digest; None when it is not there."""
        if where.digest:
            return self._store.get("image_versions", f"{where.name}@{where.digest}")
        return self._store.get("images", where.key)

    def delete_version(self, name: str, digest: str) -> bool:
        """Forget a version and the tags that point to it; its folder stays while a revision may start from it."""
        with self._store.lock:
            for key, document in self._store.items("images"):
                if key.rpartition(":")[0] == name and document["digest"] == digest:
                    self._store.delete("images", key)
            return self._store.delete("image_versions", f"{name}@{digest}")
