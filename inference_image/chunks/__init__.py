"""Owns objects -> bytes: sources of a model, ranged parallel reads, retries, integrity. Knows no tensors and no device.

Later transports are new Sources; what reads through `Source` and `Sink` stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from inference_image import contract
from inference_image.chunks.source import Buffer, Object, Patience, Sink, Source
from inference_image.contract import Code, LoadFailed

if TYPE_CHECKING:
    from inference_image.chunks.wire import Credentials

__all__ = ["Buffer", "Object", "Patience", "Sink", "Source", "open_source"]


def open_source(
    uri: str,
    environ: Mapping[str, str],
    *,
    patience: Patience | None = None,
    credentials: Credentials | None = None,
    names: Sequence[str] = (),
    pin: str = "",
) -> Source:
    """The source of a model's place: `gs://bucket/prefix`, `hf:owner/name[@revision]`, `https://host/folder`, a directory.

    `credentials` replace the ones that the environment has, for tests. `names`: the files that a web server, which has no list,
    is asked for in place of a model's. `pin`: ENV_PIN, which gs:// is held to; a commit or a directory is its own. Raises
    LoadFailed(model_not_found, setting_invalid).
    """
    patience = patience or Patience()
    if uri.startswith("gs://"):
        if pin:
            from inference_image.chunks.pinned import PinnedSource

            return PinnedSource(uri, environ, pin=pin, patience=patience, credentials=credentials)
        from inference_image.chunks.gcs import GcsSource

        return GcsSource(uri, environ, patience=patience, credentials=credentials)
    if uri.startswith("hf:"):
        from inference_image.chunks.hub import HubSource

        return HubSource(uri, environ, patience=patience)
    if uri.startswith(("https://", "http://")):
        from inference_image.chunks.web import WebSource

        return WebSource(uri, environ, patience=patience, names=names)
    if "://" in uri:
        raise LoadFailed(Code.SETTING_INVALID, contract.ENV_MODEL, f"{uri[:80]}: gs://, hf:, https:// or a directory is served")
    from inference_image.chunks.folder import FolderSource

    return FolderSource(uri)
