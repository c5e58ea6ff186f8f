"""A model for this machine: where it is, whether this installation can run it, and its failures as Troubles. Starts nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from gemmactl.checkpoint.inspect import Report, inspect, inspect_adapter, sighted
from gemmactl.checkpoint.inspect import require as sound
from gemmactl.errors import Exit, Trouble, refused
from gemmactl.serving.folder import Folders
from gemmactl.serving.presets import variable
from gemmactl.spec import Model, parse_model
from inference_image import bases, contract
from inference_image.adapter_names import places
from inference_image.contract import LoadFailed

NEEDED = ("torch", "transformers", "tokenizers", "jinja2", "crc32c")
WEB = "https://"
"""A folder of a web server that serves ranges: a model for this machine, not for a service."""
FOR_SERVER = ("fastapi", "uvicorn", "prometheus_client")
FOR_IMAGES = ("PIL",)


def place(text: str) -> str:
    """MODEL as the engine takes it; a directory as an absolute path.

    Raises:
        Trouble: it is no model, or no such directory.
    """
    if text.startswith(WEB):
        return text
    model = parse_model(text)
    if model.kind != "dir":
        return text
    path = Path(text).expanduser()
    if not path.is_dir():
        raise refused(
            f"{text} is no directory",
            why="a model on this machine is a directory with config.json and *.safetensors",
            remedy="give its directory, or gs://BUCKET/FOLDER, hf:owner/name or https://HOST/FOLDER",
            code="model-missing",
        )
    return str(path.resolve())


def asked(
    environ: Mapping[str, str], *, skip_unverified: bool, quantize: str | None, images: bool, presets: str | None = None
) -> Mapping[str, str]:
    """The environment with the wishes of the flags in it, as the engine reads them.

    Raises:
        Trouble: (usage) the file of presets can't be used.
    """
    wishes = {
        contract.ENV_SKIP_UNVERIFIED: "1" if skip_unverified else None,
        contract.ENV_QUANTIZE: quantize,
        contract.ENV_IMAGES: "1" if images else None,
        contract.ENV_PRESETS: variable({"presets": presets}) or None,
    }
    return {**environ, **{name: value for name, value in wishes.items() if value is not None}}


def look(where: str, folders: Folders, environ: Mapping[str, str]) -> Report | None:
    """What the engine would refuse, found before torch is imported; the report, where the model can be looked at.

    A bucket or the Hub that can't be listed from here is left to the engine, which has credentials of its own; a web server has
    no list at all.

    Raises:
        Trouble: (refused) the model has errors.
    """
    if where.startswith(WEB):
        return None
    model = parse_model(where)
    corrections, presets = environ.get(contract.ENV_OVERRIDES, ""), environ.get(contract.ENV_PRESETS, "")
    try:
        report = inspect(folders.open(model), open_base=folders.named, variable=corrections, presets=presets)
    except Trouble:
        if model.kind == "dir":
            raise
        return None
    sound(report)
    if environ.get(contract.ENV_IMAGES, "").strip() == "1":
        sighted(report)
    for name, text in adapters(environ).items():
        if not text.startswith(WEB):
            _look_at_adapter(name, parse_model(text), where, folders, any_base=bases.insisted(environ))
    return report


def adapters(environ: Mapping[str, str]) -> Mapping[str, str]:
    """{name: place} of the variable; nothing where it can't be read: the engine refuses it in its own words."""
    try:
        return places(environ.get(contract.ENV_ADAPTERS, ""))
    except ValueError:
        return {}


def _look_at_adapter(name: str, model: Model, where: str, folders: Folders, *, any_base: bool) -> None:
    try:
        report = inspect_adapter(folders.open(model), where, open_base=folders.named, any_base=any_base)
    except Trouble:
        if model.kind == "dir":
            raise
        return
    try:
        sound(report)
    except Trouble as trouble:
        trouble.what = f"adapter {name}: {trouble.what}"
        raise


def needed(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The packages that an engine with these wishes imports."""
    return (*NEEDED, *FOR_IMAGES) if environ.get(contract.ENV_IMAGES, "").strip() == "1" else NEEDED


def require(packages: tuple[str, ...]) -> None:
    """Whether the packages of the extra `local` are there.

    Raises:
        Trouble: (refused) they are not; names the pip command.
    """
    if missing := [name for name in packages if find_spec(name) is None]:
        raise refused(
            "this installation has no engine",
            why=f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed: the base installation stays small",
            remedy="pip install 'gemmactl[local]'",
            code="local-extra-missing",
        )


def trouble(failed: LoadFailed, model: str) -> Trouble:
    """A model that the engine refuses, as every error is shown."""
    failure = failed.failure
    return Trouble(
        f"{model} can't be loaded: {failure.object}",
        why=f"{failure.code}: {failure.detail}",
        remedy="the cause is named below; nothing was served from a broken model",
        code="load-failed",
        exit=Exit.FAILURE,
        facts={
            "load_failed": {"code": str(failure.code), "object": failure.object, "detail": failure.detail},
            "log": failure.line(),
        },
    )


QUIET: Final = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "TRANSFORMERS_VERBOSITY": "error"}


def quiet(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for an engine: libraries keep their progress bars and advice to themselves."""
    return {**QUIET, **environ}


def hush(environ: Mapping[str, str]) -> None:
    """The same for an engine in this process: libraries read nothing but its own environment, where ours is never written."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, environ.get(name, value))
