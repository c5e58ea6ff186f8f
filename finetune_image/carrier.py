"""Owns bringing checkpoints away while training goes on: one at a time, in order, in a thread. Knows no trainer."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from finetune_image import checkpoints
from finetune_image.contract import Code, Kind, TuneFailed
from finetune_image.store import Store

Tell = Callable[..., Any]


class Carrier:
    """`store`: the place of checkpoints. `background` False: `send` returns when it is there, for tests."""

    def __init__(self, store: Store, identity: str, keep: int, tell: Tell, *, background: bool = True) -> None:
        self._store, self._identity, self._keep, self._tell = store, identity, keep, tell
        self._background = background
        self._thread: threading.Thread | None = None
        self.error: TuneFailed | None = None
        """Why the last one did not arrive; None: it did."""
        self._late: dict[int, Path] = {}
        """The best one, while it could not be brought: it goes with the next, before it."""

    @property
    def busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def send(self, folder: Path, step: int, best: Iterable[int]) -> None:
        """Bring a trainer's folder away and delete it here. `best`: steps that must stay there. Waits for the one before."""
        self.settle()
        if not self._background:
            self._bring(folder, step, tuple(best))
            return
        self._thread = threading.Thread(target=self._bring, args=(folder, step, tuple(best)), name="checkpoint", daemon=True)
        self._thread.start()

    def settle(self) -> TuneFailed | None:
        """Wait until nothing is under way. What went wrong with the last one."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        return self.error

    def forget(self) -> None:
        """Its folders here are another trainer's from now on."""
        self.settle()
        self._late = {}

    def _bring(self, folder: Path, step: int, best: tuple[int, ...]) -> None:
        began = time.monotonic()
        # what is there always has its best one there: an attempt that goes on from it ends with those weights
        todo = {**{at: late for at, late in self._late.items() if at in best}, step: folder}
        gone = {*self._late.values(), folder}
        try:
            for at in tuple(todo):
                checkpoints.put(self._store, todo[at], at, self._identity)
                del todo[at]
            self.error = None
            self._tell(Kind.CHECKPOINT, step=step, seconds=round(time.monotonic() - began, 2))
            with suppress(TuneFailed):  # older ones cost storage, nothing else
                checkpoints.prune(self._store, self._keep, best)
        except Exception as error:  # noqa: BLE001 - in a thread of its own nobody else would hear of it
            # training goes on: the one before is still there, and the next one may arrive
            told = TuneFailed(Code.INTERNAL, f"checkpoint of step {step}", f"{type(error).__name__}: {error}"[:300])
            self.error = error if isinstance(error, TuneFailed) else told
            self._tell(Kind.NOTE, text=f"the checkpoint of step {step} could not be saved: {self.error.failure.detail}")
        finally:
            self._late = {at: late for at, late in todo.items() if at in best}
            for one in gone - set(self._late.values()):
                shutil.rmtree(one, ignore_errors=True)
