"""--adapter values, their setting and their variable -> adapters by name, and back. Knows no cloud and reads no adapter."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gemmactl.errors import usage
from gemmactl.settings import Settings, Value
from gemmactl.spec import Model, parse_model
from inference_image.adapter_names import checked, places
from inference_image.contract import ENV_ADAPTERS

Adapters = tuple[tuple[str, Model], ...]
FLAG: Final = "--adapter"


def wanted(settings: Settings, flags: Mapping[str, Any], env: Mapping[str, str]) -> Adapters:
    """Those of the flags, else of the settings, else of the container's variable as --set-env-vars has it.

    Raises:
        Trouble: (usage) one can't be read, or flag and variable both name some.
    """
    given = tuple(flags.get("adapter") or ())
    if given and ENV_ADAPTERS in env:
        raise usage(
            f"{FLAG} and {ENV_ADAPTERS} are both given",
            why="the flag sets that variable",
            remedy=f"leave {ENV_ADAPTERS} out of --set-env-vars",
            code="env-twice",
        )
    if given:
        return tuple((name, parse_model(place)) for name, place in typed(given).items())
    said = Value(env[ENV_ADAPTERS], f"{ENV_ADAPTERS} in --set-env-vars") if ENV_ADAPTERS in env else settings.value("adapters")
    return of(said.text, said.origin) if said else ()


def typed(given: Sequence[str]) -> dict[str, str]:
    """NAME=PLACE of each flag. A place may have any sign in it.

    Raises:
        Trouble: (usage) one can't be read.
    """
    try:
        pairs = [(name.strip(), place) for name, equals, place in (one.partition("=") for one in given) if equals]
        if len(pairs) < len(given):
            raise ValueError("NAME=PLACE, as in korean=gs://BUCKET/FOLDER")
        return checked(pairs)
    except ValueError as error:
        raise _unreadable(FLAG, ", ".join(map(repr, given)), error) from None


def of(text: str, origin: str) -> Adapters:
    """The variable's text.

    Raises:
        Trouble: (usage) it can't be read.
    """
    try:
        found = places(text)
    except ValueError as error:
        raise _unreadable(origin, repr(text[:200]), error) from None
    return tuple((name, parse_model(place)) for name, place in found.items())


def remembered(text: str) -> Adapters:
    """The variable of a live service; nothing where it is not one of ours."""
    try:
        return tuple((name, parse_model(place)) for name, place in places(text).items() if place.startswith(("gs://", "hf:")))
    except ValueError:
        return ()


def variable(found: Mapping[str, str]) -> str:
    """The text of ENV_ADAPTERS."""
    return json.dumps(dict(found), ensure_ascii=False, separators=(",", ":"))


def _unreadable(what: str, given: str, error: ValueError) -> Exception:
    return usage(
        f"{what} can't be read",
        why=f"{given} is given; it must be {error}",
        remedy="for example --adapter korean=gs://BUCKET/korean-lora; again for more",
        code="adapter-illegal",
    )
