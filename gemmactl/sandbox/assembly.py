"""Which rooms make up the sandbox: fills a World with behaviours and raw handlers. Knows no request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gemmactl.sandbox.world import World


def assemble(world: World) -> World:
    """The world with everything that this sandbox can do. Imports the Google clients (about half a second)."""
    from gemmactl.sandbox import (
        accounts_api,
        apis_api,
        artifacts_api,
        credentials_api,
        images_api,
        keys_api,
        logging_api,
        projects_api,
        public_images,
        registry_api,
        secret_versions_api,
        secrets_api,
        surroundings_api,
    )
    from gemmactl.sandbox.data_plane import attach

    for room in (apis_api, artifacts_api, images_api, projects_api, secret_versions_api, secrets_api):
        world.behaviours.update(room.behaviours())
    world.raw += [
        (credentials_api.PATH, credentials_api.handle),
        (keys_api.POLICY, keys_api.policy),
        (keys_api.IDENTITY, keys_api.identity),
        (keys_api.STORAGE_AGENT, keys_api.storage_agent),
        (accounts_api.PATH, accounts_api.handle),
        (logging_api.PATH, logging_api.handle),
        (registry_api.PATH, registry_api.handle),
        (re.compile(projects_api.PATH_V1.pattern + "$"), projects_api.handle_v1),
        *surroundings_api.HANDLERS,
    ]
    apis_api.begin(world)
    public_images.begin(world)
    attach(world)
    return world
