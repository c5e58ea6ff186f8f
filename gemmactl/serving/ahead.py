"""Reads that a plan is known to want, asked while the service is still being read. Answers nothing: they are kept by the look."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from gemmactl import stack
from gemmactl.kernel.plan import make_plan
from gemmactl.resources import weights_pin
from gemmactl.serving import find
from gemmactl.serving.folder import Folders
from gemmactl.serving.grounding import ask_checks
from gemmactl.serving.place import Place
from gemmactl.serving.preflight import room
from gemmactl.spec import Serve
from inference_image.contract import ENV_PIN

if TYPE_CHECKING:
    from gemmactl.resources.cloud import Cloud, Json


def ask(wish: Serve, place: Place, reads: Cloud) -> None:
    """What the stack of the bare wish reads, its checks, the region's quota, and what lies in the model's folder.

    Whatever fails here fails again where it is used, and is told there.
    """

    def files() -> None:
        if wish.model.kind == "gs":
            len(Folders(lambda: reads, place.hub).open(wish.model).sizes)

    wanted: tuple[Callable[[], object], ...] = (lambda: room(wish, reads),)
    if wish.model.kind != "dir":  # a plan of a directory reads every byte of it, and the look may refuse it before
        wanted = (
            files,
            lambda: make_plan(stack.serving(wish), reads),
            lambda: ask_checks(stack.serving(wish), place, reads, wish.model.bucket),
            *wanted,
        )
    with ThreadPoolExecutor(len(wanted)) as pool:
        for one in wanted:
            pool.submit(_quietly, one)


def ask_of(live: Json, reads: Cloud, pool: Executor) -> None:
    """What a plan reads only because of the service that is there: the document that pins its weights."""
    if pinned := find.variable(live, ENV_PIN):
        pool.submit(_quietly, lambda: weights_pin.found(pinned, reads))


def _quietly(one: Callable[[], object]) -> None:
    with suppress(Exception):
        one()
