"""What an instance is started from, put together from a template of Cloud Run and its image. Knows no process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gemmactl.sandbox import bucket_volumes
from gemmactl.sandbox.resource_rules import has_gpu
from gemmactl.sandbox.run_secrets import of_volume, resolved
from gemmactl.sandbox.secret_volumes import mounted

if TYPE_CHECKING:
    from gemmactl.sandbox.world import World

Json = dict[str, Any]


@dataclass(frozen=True)
class Recipe:
    """Everything that an instance of one revision, or an attempt of one task, is started from."""

    told: Mapping[str, str]
    """What Cloud Run itself says to the container: K_SERVICE and so on, or CLOUD_RUN_JOB and so on."""
    image_root: Path
    config: Mapping[str, Any]
    """entrypoint, cmd, env, workdir of the image."""
    command: tuple[str, ...]
    args: tuple[str, ...]
    env: Mapping[str, str]
    """The spec's own, secrets resolved."""
    gpu: bool
    storage_url: str
    files: Mapping[str, Callable[[], bytes]] = field(default_factory=dict)
    """Paths that are answered by a call each time they are read: secret volumes."""
    folders: tuple[Callable[[Path], None], ...] = ()
    """Each writes a mounted folder of a bucket into the root of an instance."""
    serves: bool = True
    """Whether it is asked over a port; a job's task is not."""

    def argv(self) -> list[str]:
        """As Cloud Run combines image and spec: `command` replaces ENTRYPOINT and drops CMD, `args` replaces CMD."""
        entry = list(self.command) or list(self.config.get("entrypoint", ()))
        rest = list(self.args) or ([] if self.command else list(self.config.get("cmd", ())))
        return entry + rest


def recipe(
    world: World, template: Json, image: Json, told: Mapping[str, str], *, serves: bool, prefix: str, volume_prefix: str
) -> Recipe:
    """The recipe of a template's first container. `image`: root and config; the prefixes stand before an error's text.

    Raises:
        ApiError: a secret isn't there or may not be read by the template's account, in Cloud Run's words.
    """
    container, email = template["containers"][0], template["serviceAccount"]
    return Recipe(
        told=told,
        image_root=Path(image["root"]),
        config=image["config"],
        command=tuple(container.get("command", ())),
        args=tuple(container.get("args", ())),
        env=resolved(world, container, email, prefix),
        gpu=has_gpu(template),
        storage_url=world.base_url,
        files=_files(world, template, container, email, volume_prefix),
        folders=_folders(world, template, container, email, volume_prefix),
        serves=serves,
    )


def _folders(world: World, template: Json, container: Json, email: str, prefix: str) -> tuple[Callable[[Path], None], ...]:
    found = bucket_volumes.mounted(template, container)
    for folder in found:
        bucket_volumes.require(world, folder, email, prefix)
    return tuple(partial(bucket_volumes.fill, world, folder) for folder in found)


def _files(world: World, template: Json, container: Json, email: str, prefix: str) -> dict[str, Callable[[], bytes]]:
    """Each is read once now: Cloud Run checks at a deployment that the account may."""
    found = {file.path: file.selector for file in mounted(template, container)}
    for selector in found.values():
        of_volume(world, selector, email, prefix)
    return {path: partial(of_volume, world, selector, email) for path, selector in found.items()}
