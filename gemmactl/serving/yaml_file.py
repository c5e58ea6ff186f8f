"""The YAML of a service or a job from a disk, and where it says it belongs. Knows no cloud."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from gemmactl.errors import Trouble, usage
from gemmactl.knative.read import Read, read
from gemmactl.knative.tree import MOST, complaints_of_size
from gemmactl.settings import Settings, Value


class Found(Protocol):
    """What a file says of where it belongs."""

    @property
    def file(self) -> str: ...
    @property
    def region(self) -> str: ...
    @property
    def namespace(self) -> str: ...


def open_file(path: Path, environ: Mapping[str, str]) -> Read:
    """Read a service's file.

    Raises:
        Trouble: (usage) it is not there, no text, or not the YAML of one service; every fault with its line.
    """
    return read(text_of(path, "service"), str(path), environ)


def text_of(path: Path, form: str) -> str:
    """The text of a file. `form`: what it is of, service or job.

    Raises:
        Trouble: (usage) it is not there, no text, or too large.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MOST + 1)
        if len(raw) > MOST:
            raise complaints_of_size(str(path), form)
        return raw.decode("utf-8-sig")
    except OSError as error:
        raise usage(
            f"{path} can't be read",
            why=error.strerror or str(error),
            remedy=f"give the YAML of a Cloud Run {form}: --from-yaml {form}.yaml",
            code="yaml-unreadable",
        ) from None
    except UnicodeDecodeError as error:
        raise usage(
            f"{path} is not text in UTF-8",
            why=f"byte {error.start} can't be read",
            remedy="save it as UTF-8",
            code="yaml-unreadable",
        ) from None


def whereabouts(found: Found, settings: Settings, project: str | None, region: str | None) -> tuple[Value, Value]:
    """Project and region: a flag and the file must agree; the file goes before the environment and every other setting.

    Raises:
        Trouble: (usage) they contradict each other, or nobody names a project.
    """
    said = found.region
    if said and region and said != region:
        raise _contradiction(found.file, "region", said, region)
    place = Value(said, found.file) if said else settings.region(region)
    if project is None and found.namespace and not found.namespace.isdigit():
        return replace(settings.project(found.namespace), origin=found.file), place
    return settings.project(project), place


def agree(found: Found, project: str, number: str) -> None:
    """The namespace of the file is the project's id or its number, as `gcloud run services replace` wants it.

    Raises:
        Trouble: (usage) it is another one's.
    """
    if found.namespace and found.namespace not in (project, number):
        raise _contradiction(found.file, "project", found.namespace, project)


def _contradiction(file: str, what: str, said: str, given: str) -> Trouble:
    where = "metadata.namespace" if what == "project" else "the label cloud.googleapis.com/location"
    return usage(
        f"{file} is for {what} {said}, and {given} is asked for",
        why=f"{where} says so",
        remedy=f"leave --{what} out, or correct the file",
        code="yaml-elsewhere",
    )
