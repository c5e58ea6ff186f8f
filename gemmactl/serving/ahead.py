"""Reads that a plan is known to want, asked while the service is still being read. Answers nothing: they are kept by the look."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gemmactl import stack
from gemmactl.errors import Trouble
from gemmactl.kernel.plan import make_plan
from gemmactl.kernel.resource import Resource
from gemmactl.resources import weights_pin
from gemmactl.resources.local_model import LocalModel, read_folder
from gemmactl.resources.model_files import ModelFiles
from gemmactl.serving import find
from gemmactl.serving.folder import Folders
from gemmactl.serving.grounding import ask_checks
from gemmactl.serving.place import Place
from gemmactl.serving.preflight import room
from gemmactl.spec import Approved, Serve
from inference_image.contract import ENV_PIN

if TYPE_CHECKING:
    from gemmactl.resources.cloud import Cloud, Json

LONG: Final = 500_000_000
"""Bytes of a directory from which on its checksums take longer than a round trip, and long enough to be announced."""


def folder(wish: Serve) -> LocalModel | None:
    """A model's directory by its checksums, which name what is read of the bucket; None: large, or told of where it is used."""
    if wish.model.kind != "dir":
        return None
    path = Path(wish.model.text)
    try:
        if sum(one.stat().st_size for one in path.iterdir() if one.is_file()) >= LONG:
            return None
        return read_folder(path)
    except (OSError, Trouble):
        return None


def ask(wish: Serve, place: Place, reads: Cloud, local: Future[LocalModel | None]) -> None:
    """What the stack of the bare wish reads, its checks, the region's quota, and what lies in the model's folder.

    `local`: the directory, while its bytes are still being read. Whatever fails here fails again where it is used, and is told
    there.
    """

    def files() -> None:
        if wish.model.kind == "gs":
            len(Folders(lambda: reads, place.hub).open(wish.model).sizes)

    def uploaded() -> None:
        if (found := local.result()) is not None:
            # the pin of a directory names nothing but its content
            pinned = replace(wish, approved=Approved((), beside=True, before=""))
            make_plan(stack.serving(pinned, local=found), reads)

    wanted: tuple[Callable[[], object], ...] = (
        files,
        uploaded,
        lambda: make_plan(_named(wish), reads),
        lambda: ask_checks(_named(wish), place, reads, wish.model.bucket),
        lambda: room(wish, reads),
    )
    with ThreadPoolExecutor(len(wanted)) as pool:
        for one in wanted:
            pool.submit(_quietly, one)


def _named(wish: Serve) -> tuple[Resource, ...]:
    """All of the stack whose names the wish alone tells: not what a directory's content names."""
    if wish.model.kind != "dir":
        return stack.serving(wish)
    unread = LocalModel(Path(wish.model.text), ())
    made = stack.serving(wish, local=unread)
    return tuple(one for one in made if not (isinstance(one, ModelFiles) and one.model is unread))


def ask_of(live: Json, reads: Cloud, pool: Executor) -> None:
    """What a plan reads only because of the service that is there: the document that pins its weights."""
    if pinned := find.variable(live, ENV_PIN):
        pool.submit(_quietly, lambda: weights_pin.found(pinned, reads))


def _quietly(one: Callable[[], object]) -> None:
    with suppress(Exception):
        one()
