"""Owns a run's checkpoints: the trainer's folder to the run's place and back. Without COMPLETE none is there. Knows no torch."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import crc32c

from finetune_image.contract import COMPLETE, Code, TuneFailed
from finetune_image.store import Store

PROGRESS: Final = "progress.json"
"""What training knows beside the trainer: callbacks.Progress."""
ADAPTER: Final = ("adapter_model.safetensors", "adapter_config.json")
FILES: Final = (*ADAPTER, "optimizer.pt", "scheduler.pt", "scaler.pt", "rng_state.pth", "trainer_state.json", PROGRESS)
"""What is kept of a trainer's folder, where it is there. The tokenizer (33 MB of Gemma's) and the arguments come with the run."""
_PIECE: Final = 8 << 20


@dataclass(frozen=True)
class Saved:
    """A checkpoint that is whole. `files`: name -> (bytes, crc32c)."""

    step: int
    identity: str
    files: Mapping[str, tuple[int, int]]

    @property
    def name(self) -> str:
        return name_of(self.step)

    def text(self) -> str:
        files = {name: {"size": size, "crc32c": crc} for name, (size, crc) in self.files.items()}
        return json.dumps({"step": self.step, "identity": self.identity, "files": files}) + "\n"

    @staticmethod
    def parse(data: bytes) -> Saved | None:
        """None for what is none: then it is not there."""
        try:
            made = json.loads(data)
            files = {str(name): (int(one["size"]), int(one["crc32c"])) for name, one in made["files"].items()}
            return Saved(int(made["step"]), str(made["identity"]), files)
        except (ValueError, KeyError, TypeError, AttributeError):
            return None


def name_of(step: int) -> str:
    return f"step-{step:06d}"


def put(store: Store, local: Path, step: int, identity: str, names: Iterable[str] = FILES) -> Saved:
    """Bring a folder of the trainer there: files first, COMPLETE last. `store`: the place of checkpoints.

    A folder of this step that is there already loses its COMPLETE first: it is never one half this and one half that.
    Raises FileNotFoundError: the folder goes away meanwhile.
    """
    place = store.at(name_of(step))
    if place.stat(COMPLETE):
        place.delete(COMPLETE)
    files = {}
    # looked at once: what is gone by the time it is its turn must not be left out of a whole one
    for name in [name for name in names if (local / name).is_file()]:
        held = place.write(name, local / name)
        files[name] = (held.size, held.crc32c)
    saved = Saved(step, identity, files)
    place.write(COMPLETE, saved.text().encode())
    return saved


def whole(store: Store) -> tuple[Saved, ...]:
    """The checkpoints that are there, the newest first."""
    found = []
    for held in store.list():
        folder, _, name = held.name.rpartition("/")
        if name != COMPLETE or "/" in folder:
            continue
        saved = Saved.parse(store.read(held.name) or b"")
        if saved and saved.name == folder:
            found.append(saved)
    return tuple(sorted(found, key=lambda one: -one.step))


def newest(store: Store, identity: str, into: Path, say: Callable[[str], Any]) -> tuple[Saved, Path] | None:
    """Fetch the newest checkpoint, checked by its checksums; one that fails them is passed over, and `say` is told so.

    Raises:
        TuneFailed: (identity_mismatch) it is of other data or settings.
    """
    for saved in whole(store):
        if saved.identity != identity:
            raise TuneFailed(
                Code.IDENTITY_MISMATCH, f"{store.uri}/{saved.name}",
                f"it is of identity {saved.identity[:12]}, this run's is {identity[:12]}: other data, settings or libraries",
                "start it as a new run: gemmactl finetune run --again", "or take back what was changed",
            )  # fmt: skip
        folder = into / saved.name
        if (fault := fetch(store.at(saved.name), saved, folder)) is None:
            return saved, folder
        say(f"checkpoint {saved.name} is not used: {fault}")
    return None


def fetch(place: Store, saved: Saved, folder: Path, names: Iterable[str] | None = None) -> str | None:
    """The files of a checkpoint into a folder. What is wrong with them, in words; None: each is as it was saved."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names if names is not None else saved.files:
        if name not in saved.files or "/" in name:
            return f"{name} is none of its files"
        size, crc = saved.files[name]
        seen = 0
        with (folder / name).open("wb") as file:
            for start in range(0, size, _PIECE):
                piece = place.read(name, start, min(size, start + _PIECE))
                if not piece:
                    return f"{name} ends at byte {start} of {size}"
                file.write(piece)
                seen = crc32c.crc32c(piece, seen)
            if file.tell() != size or seen != crc:
                return f"{name} is not what was saved: its checksum differs"
    return None


def prune(store: Store, keep: int, also: Iterable[int] = ()) -> None:
    """Only the newest `keep` stay, and the steps of `also`. COMPLETE goes first: what is half deleted is not there.

    What a killed attempt left unfinished goes with them.
    """
    there = whole(store)
    stay = {one.name for one in there[:keep]} | {name_of(step) for step in also}
    names = [held.name for held in store.list() if held.name.split("/")[0] not in stay]
    for name in sorted(names, key=lambda name: (not name.endswith(f"/{COMPLETE}"), name)):
        store.delete(name)
