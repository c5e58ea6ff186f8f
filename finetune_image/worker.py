"""Owns the order of an attempt: what is read, trained, kept and published, and how it ends. Knows no library and no Google.

Every step may be the last: what is in the run's place is whole or not there, and the next attempt goes on from it.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from finetune_image import contract, results
from finetune_image.contract import Code, Failure, Kind, TuneFailed
from finetune_image.halt import Halt, Terminated, Why, deadline_of
from finetune_image.hands import Hands
from finetune_image.ledger import Ledger, check_progress
from finetune_image.run import Run
from finetune_image.store import ABSENT, Clash, Store, open_store
from finetune_image.telling import Pulse, Teller, say
from finetune_image.training import Stopped, Training

_EXITS: Final = {
    Why.TERMINATED: contract.EXIT_TERMINATED,
    Why.DEADLINE: contract.EXIT_DEADLINE,
    Why.CANCELLED: contract.EXIT_DONE,
}

_UNSAVED: Final = contract.PHASES[: contract.PHASES.index("training")]


def gate(store: Store, out: Callable[[str], None] = say) -> int | None:
    """The exit code of an attempt that has nothing to do; None: go on. Three looks, before anything heavy is loaded."""
    if store.stat(contract.DONE):
        out(json.dumps({"severity": "INFO", "message": f"fine-tune done already: {store.uri}/{contract.DONE}"}))
        return contract.EXIT_DONE
    if (data := store.read(contract.FAILED)) is not None:
        out(_failure(data).line())
        out(json.dumps({"severity": "ERROR", "message": f"no attempt goes on while {store.uri}/{contract.FAILED} is there"}))
        return contract.EXIT_FAILED
    if store.stat(contract.CANCELLED):
        out(json.dumps({"severity": "INFO", "message": f"fine-tune cancelled: {store.uri}/{contract.CANCELLED}"}))
        return contract.EXIT_DONE
    return None


def _failure(data: bytes) -> Failure:
    try:
        made = json.loads(data)
        return Failure(Code(made["code"]), made["where"], made["detail"], tuple(made.get("advice", ())))
    except (ValueError, KeyError, TypeError):
        return Failure(Code.INTERNAL, contract.FAILED, "it can't be read")


@dataclass(frozen=True)
class Setting:
    """What an attempt runs under. `task_seconds`, `price`: None where they are not known; `price` in dollars an hour."""

    execution: str = ""
    task_seconds: float | None = None
    price: float | None = None
    beats: float = 15.0
    """Seconds between two signs of life; 0: none but at the ends, for tests."""
    background: bool = True
    """Checkpoints travel while training goes on."""

    @staticmethod
    def of(environ: Mapping[str, str]) -> Setting:
        seconds, price = environ.get(contract.ENV_TASK_SECONDS), environ.get(contract.ENV_USD_PER_HOUR)
        return Setting(environ.get(contract.ENV_EXECUTION, ""), _positive(seconds), _positive(price))


def _positive(text: str | None) -> float | None:
    """A number above 0; anything else says nothing."""
    with suppress(ValueError):
        value = float(text or 0)
        return value if math.isfinite(value) and value > 0 else None
    return None


def attempt(
    run_uri: str, environ: Mapping[str, str], *, hands: Hands | None = None, halt: Halt | None = None, store: Store | None = None,
    scratch: Path | None = None, setting: Setting | None = None, out: Callable[[str], None] = say,
    clock: Callable[[], float] = time.time,
) -> int:  # fmt: skip
    """One attempt at a run, to its exit code (contract.EXIT_*). `scratch`: where files of this attempt may lie.

    The rest replaces what the environment says, for tests and for a run on this machine.
    """
    try:
        store = store or open_store(run_uri, environ)
        if (code := gate(store, out)) is not None:
            return code
        attempt_ = _Attempt(store, setting or Setting.of(environ), halt or Halt(), out, clock)
    except TuneFailed as failed:
        out(failed.failure.line())
        return contract.EXIT_FAILED
    except Terminated:
        return contract.EXIT_TERMINATED
    with tempfile.TemporaryDirectory(prefix="finetune-", dir=scratch, ignore_cleanup_errors=True) as folder:
        return attempt_.go(lambda: hands or _real(environ), Path(folder))


def _real(environ: Mapping[str, str]) -> Hands:
    from finetune_image.real_hands import RealHands

    return RealHands(environ)


class _Attempt:
    """One attempt that has something to do."""

    def __init__(
        self, store: Store, setting: Setting, halt: Halt, out: Callable[[str], None], clock: Callable[[], float]
    ) -> None:
        self._store, self._setting, self._halt, self._out = store, setting, halt, out
        self._ledger = Ledger(store, setting.execution, setting.price, clock)
        self._teller = Teller(store, self._ledger.now.number, out, clock)
        self._pulse = Pulse(self._teller, self._ledger, store, halt, setting.beats)
        if setting.task_seconds:
            halt.after(deadline_of(setting.task_seconds), Why.DEADLINE)

    def go(self, hands: Callable[[], Hands], scratch: Path) -> int:
        """To the end, whichever it is."""
        try:
            self._ledger.beat()
            check_progress(self._ledger.before)
            if self._setting.beats:
                self._pulse.start()
            run = self._read()
            self._finish(run, self._work(run, hands(), scratch))
        except Stopped as stopped:
            return self._end(_EXITS[stopped.why], stopped.why)
        except Terminated:
            # where nothing is saved on the way, an attempt that was ended with its time is told apart: the next one may end alike
            late = self._halt.left(Why.DEADLINE) <= 0 and self._ledger.now.phase in _UNSAVED
            why = Why.DEADLINE if late else Why.TERMINATED
            return self._end(_EXITS[why], why)
        except TuneFailed as failed:
            return self._failed(failed)
        except MemoryError as error:
            detail = f"the container's memory was not enough: {error}"
            return self._failed(TuneFailed(Code.OUT_OF_MEMORY, self._phase, detail, "more memory: --memory 32Gi --cpu 8"))
        except Exception as error:  # noqa: BLE001 - whatever it is, the run's place and the log must say it
            self._out(json.dumps({"severity": "ERROR", "message": traceback.format_exc()[-8000:]}))
            return self._failed(TuneFailed(Code.INTERNAL, self._phase, f"{type(error).__name__}: {error}"[:400]))
        return contract.EXIT_DONE

    @property
    def _phase(self) -> str:
        return self._ledger.now.phase or "start"

    def _read(self) -> Run:
        data = self._store.read(contract.RUN_FILE)
        if data is None:
            raise TuneFailed(
                Code.RUN_INVALID, f"{self._store.uri}/{contract.RUN_FILE}", "it is not there", "gemmactl finetune run writes it"
            )
        return Run.parse(data)

    def _work(self, run: Run, hands: Hands, scratch: Path) -> dict[str, Any]:
        """Train if there is no result yet, publish it. What was published, as JSON."""
        if run.wish.stop.max_usd is not None and self._setting.price is None:
            self._teller.tell(Kind.NOTE, text="max_usd is not kept: what an hour of this machine costs is not known")
        found = results.find(self._store, run, scratch / "result")
        if found is not None:
            self._ledger.note(first=found[1].step, step=found[1].step)
        else:
            training = Training(
                run, self._store, hands, self._halt, self._ledger, self._teller, scratch, self._setting.background
            )
            found = training.result()
        adapter, figures = found
        phase = "merging" if run.wish.output.merged else "publishing"
        self._ledger.note(phase=phase)
        if self._halt.why is Why.CANCELLED:
            raise Stopped(Why.CANCELLED)
        published = hands.publish(run, adapter, figures, self._teller.tell)
        return {**published, "figures": figures.document()}

    def _finish(self, run: Run, published: dict[str, Any]) -> None:
        """DONE, after everything that tells of the run: nothing is written behind it."""
        self._pulse.stop()
        with suppress(TuneFailed):  # they cost storage, nothing else
            for held in self._store.list(f"{contract.CHECKPOINTS}/"):
                self._store.delete(held.name)
        self._teller.tell(Kind.PHASE, phase="done")
        self._tell_end("done")
        seconds, usd = self._ledger.spent
        told = {"run_id": run.run_id, "identity": run.identity, **published, "seconds": round(seconds, 1), "usd": usd}
        with suppress(Clash):  # another attempt was there first, with the same weights
            self._store.write(contract.DONE, (json.dumps(told) + "\n").encode(), only_if=ABSENT)

    def _failed(self, failed: TuneFailed) -> int:
        failure = failed.failure
        with suppress(TuneFailed):
            if failure.code in contract.HOPELESS:
                self._store.write(contract.FAILED, failure.text().encode())
        code = self._end(contract.EXIT_FAILED, "failed", failed)
        self._out(failure.line())
        return code

    def _end(self, code: int, why: str, failed: TuneFailed | None = None) -> int:
        self._pulse.stop()
        with suppress(TuneFailed):  # the place is out of reach: the exit code says the rest
            self._tell_end(why, failed)
        return code

    def _tell_end(self, why: str, failed: TuneFailed | None = None) -> None:
        self._teller.tell(Kind.END, why=why, code=failed.failure.code if failed else None)
        self._teller.flush()
        self._ledger.close(why, f"{failed.failure.code}: {failed.failure.detail}" if failed else "")
