"""Owns models that are a directory on this machine. Knows no network."""

from __future__ import annotations

from pathlib import Path

from inference_image import contract
from inference_image.chunks.pulse import Pulse
from inference_image.chunks.source import Object, Patience, Sink
from inference_image.contract import Code, LoadFailed

_STEP = 1 << 20


class FolderSource:
    """A directory; the generation of a file is its time of change in ns."""

    def __init__(self, path: str) -> None:
        self.uri = path
        self.pulse = Pulse(Patience())
        self._folder = Path(path)

    def list(self) -> tuple[Object, ...]:
        try:
            places = (self._folder, self._folder / contract.FOLDER)
            files = sorted(entry for place in places if place.is_dir() for entry in place.iterdir() if entry.is_file())
        except PermissionError as error:
            raise LoadFailed(Code.ACCESS_DENIED, self.uri, str(error.strerror)) from None
        except OSError:
            raise LoadFailed(Code.MODEL_NOT_FOUND, self.uri, "no such directory") from None
        if not self._folder.is_dir():
            raise LoadFailed(Code.MODEL_NOT_FOUND, self.uri, "no such directory")
        if not files:
            raise LoadFailed(Code.MODEL_NOT_FOUND, self.uri, "the directory holds no files")
        named = ((file.relative_to(self._folder).as_posix(), file.stat()) for file in files)
        return tuple(Object(name, stat.st_size, str(stat.st_mtime_ns)) for name, stat in named)

    def read(self, object: Object, begin: int, end: int, sink: Sink) -> None:  # noqa: A002 - the field's own word
        try:
            with (self._folder / object.name).open("rb", buffering=0) as file:
                file.seek(begin)
                at = begin
                while at < end:
                    count = file.readinto(sink.buffer(at, min(end - at, _STEP)))
                    if not count:
                        raise LoadFailed(Code.SHARD_TRUNCATED, object.name, f"ended at byte {at} of {object.size}")
                    sink.wrote(at, count)
                    at += count
        except FileNotFoundError:
            raise LoadFailed(Code.SHARD_MISSING, object.name, "gone since the folder was listed") from None
        except PermissionError as error:
            raise LoadFailed(Code.ACCESS_DENIED, object.name, str(error.strerror)) from None
        except OSError as error:
            raise LoadFailed(Code.NETWORK_FAILED, object.name, f"reading failed: {error.strerror}") from None
