"""A live service's settings as gemmactl.yaml says them, as far as the file alone would make them otherwise. Only reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from gemmactl import access_rules, spec_parse, vllm
from gemmactl.errors import Trouble
from gemmactl.serving import callers, origins
from gemmactl.serving.find import Json
from gemmactl.serving.place import Place
from gemmactl.serving.preflight import look
from gemmactl.serving.recall import recalled
from gemmactl.serving.wishes import PARSERS
from gemmactl.settings import Settings, pairs
from gemmactl.spec import DERIVED, Probe, Serve
from inference_image import contract

_SWITCHES: Final = {contract.ENV_IMAGES: "images", contract.ENV_SKIP_UNVERIFIED: "skip_unverified"}
"""Variables of the container that a setting stands for."""
_ELSEWHERE: Final = frozenset({"name", "engine", "set_env_vars", "quantize", "images", "skip_unverified"})
"""Settings that are told in another way than by their field."""


def carried(place: Place, live: Json, name: str) -> dict[str, str]:
    """Key -> its text in the file. A deploy of a file that holds them, and the service's place, model and name, changes nothing.

    What a deploy keeps of a service by itself, as its token, is not among them.
    """
    wish = recalled(place, name, live)
    blank = Settings({}, {}, {})
    plain = replace(origins.unset(wish, blank), engine="gemmactl", engine_given=False, env=_kept_env(wish))
    sized = _sized(plain, place, live)
    found: dict[str, str] = {}
    if wish.image is None and (sized is None or sized.engine != wish.engine):
        # the family would choose another one, or nothing is known of it; sizes are then those of the engine that is there
        found["engine"] = wish.engine
        sized = _sized(replace(plain, engine=wish.engine, engine_given=True), place, live)
    elif wish.image is not None and wish.engine_given:
        found["engine"] = wish.engine
    for one in origins.origins(wish, blank, sized):
        field = PARSERS[one.key][0]
        unknown = sized is None and field in DERIVED
        if one.key not in _ELSEWHERE and (one.origin == origins.NOWHERE or unknown):
            text = _text(getattr(wish, field))
            found |= {one.key: text} if text else {}
    found |= dict(_of_variables(wish))
    if wish.adapters:
        found["adapters"] = ",".join(f"{one}={model.uri}" for one, model in wish.adapters)
    if members := ",".join(filter(_member, callers.invokers(place, live) or ())):
        found["invoker"] = members
    return found


def _sized(wish: Serve, place: Place, live: Json) -> Serve | None:
    """What a deploy makes of it; None: the model can't be looked at, or not be served so."""
    try:
        return look(wish, place.cloud, from_hub=place.hub, existing=True, live=live, gather=True).wish
    except Trouble:
        return None


def _of_variables(wish: Serve) -> Iterator[tuple[str, str]]:
    env = dict(wish.env)
    yield from ((key, "true") for name, key in _SWITCHES.items() if env.get(name))
    if wish.int8:
        yield "quantize", contract.INT8
    if rest := _kept_env(wish):
        shown = {name: value for name, value in rest if not spec_parse.TOKEN_LIKE.search(value)}
        if shown:
            yield "set_env_vars", pairs(shown)


def _kept_env(wish: Serve) -> tuple[tuple[str, str], ...]:
    """The variables that somebody set, and no setting and no engine."""
    by_us: Mapping[str, str] = vllm.environment(wish) if wish.engine == "vllm" else {}
    by_us = {**by_us, contract.ENV_MODEL_NAME: wish.model.leaf}
    told = {*_SWITCHES, contract.ENV_QUANTIZE}
    return tuple((name, value) for name, value in wish.env if name not in told and by_us.get(name) != value)


def _text(value: Any) -> str:
    """As its flag takes it; `` for nothing."""
    match value:
        case None | ():
            return ""
        case bool():
            return "true" if value else "false"
        case Probe():
            return spec_parse.probe_text(value)
        case tuple():
            return ",".join(value) if all(isinstance(one, str) for one in value) else _secrets(value)
    return str(value)


def _secrets(value: tuple[tuple[str, Any], ...]) -> str:
    return pairs({variable: f"{secret.name}:{secret.version}" for variable, secret in value})


def _member(text: str) -> bool:
    """Not one that was deleted meanwhile, which no policy takes anew."""
    reads: Callable[[str], str] = access_rules.member
    try:
        return bool(reads(text))
    except (ValueError, Trouble):
        return False
