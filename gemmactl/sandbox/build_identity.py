"""What a build does as its service account: writing its log, pushing and pulling images. Knows no step."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gemmactl.sandbox import images
from gemmactl.sandbox.assembling import Image
from gemmactl.sandbox.build_steps import Say, StepFailed
from gemmactl.sandbox.store import private_folder
from gemmactl.sandbox.wire import ApiError

if TYPE_CHECKING:
    from gemmactl.sandbox.world import World

Json = dict[str, Any]


class BuildLog:
    """The build's lines in Cloud Logging, written as the build's service account, or nowhere."""

    def __init__(self, world: World, build: Json, email: str) -> None:
        self._world = world
        self._labels = {"build_id": build["id"], "build_trigger_id": ""}
        self.warnings: list[Json] = []
        resource = f"projects/{world.project}"
        self._on = build.get("options", {}).get("logging") != "NONE"
        if self._on and not world.iam.holds(f"serviceAccount:{email}", "logging.logEntries.create", resource):
            self._on = False
            # source: the seed README's errors
            text = (
                f"The service account running this build {resource}/serviceAccounts/{email} does not have permission to write "
                "logs to Cloud Logging. To fix this, grant the Logs Writer (roles/logging.logWriter) role to the service account."
            )
            self.warnings.append({"text": text, "priority": "INFO"})

    def of(self, step: str) -> Say:
        """The same log with the step's name before each line."""
        return lambda text: self(f"{step}: {text}")

    def __call__(self, text: str) -> None:
        if self._on:
            self._world.logs.write("cloudbuild", "build", self._labels, text, "INFO")


class Registry:
    """Artifact Registry as the build's service account meets it."""

    def __init__(self, world: World, account: str) -> None:
        self._world = world
        self._account = account

    def push(self, tag: str, image: Image, say: Say) -> str:
        where = images.parse(tag)
        if where is None:
            say(f"denied: the sandbox pushes to Artifact Registry only, not to {tag}")
            raise StepFailed
        say(f"The push refers to repository [{where.stem}]")
        permission = "artifactregistry.repositories.uploadArtifacts"
        if not self._world.iam.holds(self._account, permission, where.parent):
            # source: the seed README's errors
            say(f'denied: Permission "{permission}" denied on resource "{where.parent}" (or it may not exist)')
            raise StepFailed
        digest = image.digest()
        shelf = self._keep(image, digest)
        size = sum(p.stat().st_size for p in shelf.rglob("*") if p.is_file())
        try:
            images.push(self._world, tag, digest, str(shelf), dict(image.config), size)
        except ApiError as error:
            say(error.message)
            raise StepFailed from error
        say(f"{where.tag or 'latest'}: digest: {digest}")
        return digest

    def _keep(self, image: Image, digest: str) -> Path:
        """The pushed image's own folder, which no later build touches."""
        shelf = private_folder(self._world.home / "images") / digest.removeprefix("sha256:")
        if not shelf.exists():
            scratch = shelf.with_suffix(f".{uuid.uuid4().hex}")
            shutil.copytree(image.root, scratch, symlinks=True)
            scratch.replace(shelf)
        return shelf

    def pull(self, tag: str, say: Say) -> Image | None:
        where = images.parse(tag)
        if where is None:
            say(f"SANDBOX: {tag} is not pulled")
            return None
        permission = "artifactregistry.repositories.downloadArtifacts"
        if not self._world.iam.holds(self._account, permission, where.parent):
            say(f'Error response from daemon: denied: Permission "{permission}" denied on resource "{where.parent}" '
                "(or it may not exist)")  # fmt: skip
            raise StepFailed
        found = images.resolve(self._world, tag)
        if found is None:
            wanted = where.tag or "latest"
            say(f'Error response from daemon: manifest for {tag} not found: manifest unknown: Failed to fetch "{wanted}"')
            raise StepFailed
        return Image(Path(found["root"]), found["config"])
