"""Is the folder still what its manifest says it was? Compares sizes and the place's own checksums; reads no weights."""

from __future__ import annotations

from gemmactl.checkpoint import manifest
from gemmactl.checkpoint.ledger import Ledger
from gemmactl.checkpoint.reading import Contents
from gemmactl.checkpoint.whereabouts import listed
from gemmactl.errors import Trouble
from inference_image.contract import FOLDER, MANIFEST


def promised(contents: Contents, ledger: Ledger) -> None:
    """Files that are gone or others than when the manifest was written. A folder without one promises nothing."""
    data = contents.small.get(MANIFEST)
    if data is None:
        return
    try:
        told = manifest.parse(data, f"{contents.place}/{MANIFEST}")
    except Trouble as trouble:
        ledger.add(
            "manifest-invalid",
            "warning",
            MANIFEST,
            "the manifest can't be read; nothing is compared with it",
            evidence=trouble.why,
            remedy="copy the model again with `gemmactl copy`, which writes a new one",
        )
        return
    files = {name: record for name, record in told.files.items() if not name.startswith(f"{FOLDER}/")}
    gone = sorted(name for name in files if name not in contents.entries)
    other = sorted(
        name
        for name, record in files.items()
        if (entry := contents.entries.get(name)) is not None
        and (entry.size != record.size or (entry.crc32c and entry.crc32c != record.checksum))
    )
    if gone or other:
        ledger.add(
            "manifest-differs",
            "warning",
            (gone or other)[0],
            f"since the manifest was written, {_said(gone, 'gone')}{' and ' * bool(gone and other)}{_said(other, 'changed')}",
            evidence=listed([*gone, *other]),
            remedy="copy the model again if that was not meant; a changed folder should get a new name",
        )


def _said(names: list[str], what: str) -> str:
    return f"{len(names)} file{'s are' if len(names) != 1 else ' is'} {what}" if names else ""
