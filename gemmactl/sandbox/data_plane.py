"""What moves bytes and starts processes, put into a World: storage, builds, services. Knows no request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gemmactl.sandbox.world import World


def attach(world: World) -> None:
    """Set `world.storage` and `world.containers` and register their behaviours.

    Services of an earlier daemon get their ports back at once; instances start when the first request comes.
    """
    from gemmactl.sandbox import quotas_api
    from gemmactl.sandbox.builder import Builder
    from gemmactl.sandbox.containers import Containers
    from gemmactl.sandbox.services import Services
    from gemmactl.sandbox.storage import Storage

    world.storage = storage = Storage(world)
    world.raw.append(
        (re.compile(r"(/upload|/resumable/upload|/download)?/storage/v1/"), lambda _world, request: storage.handle(request))
    )
    Builder(world).install()
    world.containers = Containers(world)
    services = Services(world, world.containers)
    services.install()
    world.behaviours.update(quotas_api.behaviours(lambda: services.quota))
    services.recover()
