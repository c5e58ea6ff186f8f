"""--auth, gcloud's two spellings of it and --invoker -> who may call, by precedence of their sources. Knows no cloud."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gemmactl import access_rules
from gemmactl.errors import usage
from gemmactl.settings import PROJECT_FILE, Settings, Value
from gemmactl.spec import Auth

_SPELLINGS: Final[Mapping[str, Auth]] = {"true": "public", "1": "public", "false": "iam", "0": "iam"}


def auth(settings: Settings, flags: Mapping[str, Any]) -> Value | None:
    """Who may call, in the words of --auth, or None when nobody says it. The nearest source is heard: flag, environment, file.

    Raises:
        Trouble: (usage) one can't be read, or two that are equally near contradict each other.
    """
    yes, no = bool(flags.get("allow_unauthenticated")), bool(flags.get("no_allow_unauthenticated"))
    if yes and no:
        raise _contradiction("--allow-unauthenticated and --no-allow-unauthenticated")
    word = settings.value("auth", flags.get("auth"))
    spelt = settings.value("allow_unauthenticated", yes if yes or no else None)
    found = [(said, _read(said, old=old)) for said, old in ((word, False), (spelt, True)) if said is not None]
    nearest = min((_distance(said) for said, _ in found), default=0)
    near = [(said, who) for said, who in found if _distance(said) == nearest]
    if len({who for _, who in near}) > 1:
        raise _contradiction(" and ".join(said.origin for said, _ in near))
    return Value(near[0][1], near[0][0].origin) if near else None


def members(settings: Settings, flags: Mapping[str, Any]) -> tuple[str, ...]:
    """Members of --invoker, each once."""
    given = flags.get("invoker")
    said = settings.value("invoker", ",".join(given) if given else None)
    return tuple(dict.fromkeys(map(access_rules.member, access_rules.words(said.text)))) if said else ()


def _read(said: Value, *, old: bool) -> Auth:
    try:
        if not old:
            return access_rules.auth(said.text)
        if said.text.lower() not in _SPELLINGS:
            raise ValueError("true or false")
        return _SPELLINGS[said.text.lower()]
    except ValueError as error:
        raise usage(
            f"{said.origin} can't be read",
            why=f"{said.text!r} is given for {'allow-unauthenticated' if old else 'auth'}, it must be {error}",
            remedy=f"correct {said.origin}",
            code="setting-illegal",
        ) from None


def _distance(said: Value) -> int:
    return 0 if said.origin.startswith("--") else 2 if said.origin == PROJECT_FILE else 1


def _contradiction(names: str) -> Exception:
    return usage(
        f"{names} contradict each other",
        why="--allow-unauthenticated is gcloud's word for --auth public, --no-allow-unauthenticated for --auth iam",
        remedy="keep one of them",
        code="flags-contradict",
    )
