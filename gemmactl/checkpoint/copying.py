"""What a copy has to do, file by file and in which order. Pure: knows listings and records, reads and writes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from gemmactl.checkpoint.files import Entry
from gemmactl.checkpoint.manifest import PART, Manifest, Record
from gemmactl.checkpoint.names import illegal
from gemmactl.errors import refused
from gemmactl.resources.local_model import WANTED
from inference_image.contract import CONFIG, FOLDER, INDEX, MANIFEST

UNFINISHED: Final = ".part"
"""Ending of a file that is being written to a directory."""
_NAMED: Final = 5
"""Files that one message names; more are counted."""

Verdict = Literal["absent", "same", "differs", "unknown"]
"""`unknown`: the sizes agree, and no checksum that both sides state can tell; the bytes must be read."""


@dataclass(frozen=True)
class Step:
    """One file. `old`: what is there under its name; `record`: what is known of its bytes without reading them."""

    name: str
    size: int
    verdict: Verdict
    old: Entry | None = None
    record: Record | None = None


@dataclass(frozen=True)
class Known:
    """What manifests tell: of the source (only one about its very bytes), and of the destination as far as it was whole."""

    source: Manifest | None = None
    target: Manifest | None = None


def chosen(entries: Mapping[str, Entry], *, everything: bool = False) -> tuple[str, ...]:
    """The files that are copied, by stage and name. The source's manifest is not: a new one says where these came from.

    Raises:
        Trouble: (refused) a name that would leave the folder.
    """
    ours = (name for name in entries if name not in (MANIFEST, PART) and not name.endswith(UNFINISHED))
    names = [name for name in ours if everything or wanted(name)]
    if bad := [name for name in names if illegal(name)]:
        raise refused(
            f"{bad[0][:100]!r} is no name for a file of a model",
            why=f"{illegal(bad[0])}: nothing of a folder with such names is copied",
            remedy="look at who wrote that folder; give one whose files have plain names",
            code="name-illegal",
            facts={"object": bad[0][:200]},
        )
    if both := {name for name in names if any(other.startswith(f"{name}/") for other in names)}:
        raise refused(
            f"{min(both)!r} is a file and a folder",
            why="a directory can't hold both",
            remedy="look at who wrote that folder",
            code="name-illegal",
        )
    return tuple(sorted(names, key=lambda name: (stage(name), name)))


def wanted(name: str) -> bool:
    """Whether a server can need it: the model's own files, and what gemmactl wrote beside them."""
    folder, _, leaf = name.rpartition("/")
    if folder == FOLDER:
        return True
    suffix = leaf[leaf.rfind(".") :] if "." in leaf else ""
    return not folder and suffix in WANTED and not leaf.startswith(".")


def stage(name: str) -> int:
    """Weights first, config and index late, gemmactl's own last: what is unfinished can be seen to be."""
    if name.startswith(f"{FOLDER}/"):
        return 4
    return 3 if name == INDEX else 2 if name == CONFIG else 0 if name.endswith((".safetensors", ".gguf", ".bin", ".pt")) else 1


def steps(names: tuple[str, ...], source: Mapping[str, Entry], target: Mapping[str, Entry], known: Known) -> tuple[Step, ...]:
    """What each file needs, in the order of `names`."""
    return tuple(_step(name, source[name], target.get(name), known) for name in names)


def _step(name: str, new: Entry, old: Entry | None, known: Known) -> Step:
    record = known.source.of(name, new.size, new.crc32c) if known.source else None
    if record:
        record = Record(record.size, record.crc32c, record.ranges, new.version)
    if old is None:
        return Step(name, new.size, "absent", None, record)
    if old.size != new.size:
        return Step(name, new.size, "differs", old, record)
    there = known.target.of(name, old.size, old.crc32c) if known.target and old.crc32c else None
    if new.crc32c and old.crc32c:
        return Step(name, new.size, "same" if new.crc32c == old.crc32c else "differs", old, record or there)
    if new.sha256 and old.sha256:
        return Step(name, new.size, "same" if new.sha256 == old.sha256 else "differs", old, record)
    if there and there.version == new.version and new.sha256:
        return Step(name, new.size, "same", old, there)
    return Step(name, new.size, "unknown", old, record)


def refuse_differing(found: tuple[Step, ...], source: str, target: str) -> None:
    """A file that is there and is another one is never overwritten silently.

    Raises:
        Trouble: (refused) names the files.
    """
    names = [step.name for step in found if step.verdict == "differs"]
    if not names:
        return
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    raise refused(
        f"{target} already holds a different {', '.join(names[:_NAMED])}{more}",
        why=f"size or checksum differs from {source}; nothing was changed",
        remedy="choose another folder, or add --overwrite to replace exactly those",
        code="copy-differs",
        facts={"objects": names},
    )
