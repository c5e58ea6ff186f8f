"""What moves bytes and starts processes, put into a World: storage, builds, services, jobs. Knows no request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gemmactl.sandbox.world import World


def attach(world: World) -> None:
    """Set `world.storage`, `world.containers` and `world.executions` and register their behaviours.

    Services of an earlier daemon get their ports back at once; instances start when the first request comes. Executions that
    it had not ended are failed.
    """
    from gemmactl.sandbox import quotas_api
    from gemmactl.sandbox.builder import Builder
    from gemmactl.sandbox.containers import Containers
    from gemmactl.sandbox.execution_life import ExecutionLife
    from gemmactl.sandbox.executions import Executions
    from gemmactl.sandbox.jobs import Jobs
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
    world.executions = life = ExecutionLife(world)
    Jobs(world, life, lambda: services.quota).install()
    Executions(world, life).install()
    life.recover()
