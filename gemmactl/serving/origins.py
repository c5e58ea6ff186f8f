"""Where each setting of a live service comes from, as far as that can be known afterwards. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from gemmactl import spec_rules, vllm
from gemmactl.errors import Trouble
from gemmactl.resources import quantity
from gemmactl.result import Table
from gemmactl.serving import admitting, drift
from gemmactl.serving.wishes import PARSERS
from gemmactl.settings import Settings, Value
from gemmactl.spec import DERIVED, Probe, SecretRef, Serve
from inference_image import contract

NOWHERE: Final = "a flag, or changed by other means"
"""The cloud keeps what was set, not who said it."""
_SKIPPED: Final = frozenset({"name"})
_OWN: Final = frozenset(value for name, value in vars(contract).items() if name.startswith("ENV_"))
"""Variables that have a setting of their own."""


@dataclass(frozen=True)
class Setting:
    """One setting as it is live. `wanted`: what its origin says, where that is something else."""

    key: str
    value: str
    origin: str
    wanted: str = ""

    def document(self) -> dict[str, str]:
        return {"setting": self.key, "value": self.value, "origin": self.origin, "wanted": self.wanted}


def origins(live: Serve, settings: Settings, derived: Serve | None) -> tuple[Setting, ...]:
    """Every setting that deploy knows. `derived`: what `unset` makes of the wish, sized for its model; None: not known."""
    if not drift.speaks(settings, live.name):
        settings = replace(settings, project_file={})  # it speaks of another service, or of none
    return tuple(one for key in PARSERS if key not in _SKIPPED and (one := _setting(key, live, settings, derived)))


def table(found: tuple[Setting, ...]) -> Table:
    """For people: what is at its default and not set says nothing, and is left out."""
    shown = (one for one in found if one.origin != "default" or one.value not in ("", "none", "no"))
    rows = tuple((one.key.replace("_", "-"), one.value, one.origin + (f": {one.wanted}" if one.wanted else "")) for one in shown)
    return Table(("SETTING", "LIVE", "FROM"), rows, "settings")


def _setting(key: str, live: Serve, settings: Settings, derived: Serve | None) -> Setting | None:
    name, parse = PARSERS[key]
    if not hasattr(live, _FIELD.get(name, name)):
        return None
    value = _value(live, name)
    if said := admitting.auth(settings, {}) if key == "auth" else settings.value(key):
        return _said(key, value, said, parse)
    if name in DERIVED:
        if derived is None:
            return Setting(key, text(value), "derived from the model, or set")
        if not _same(value, _value(derived, name)):
            return Setting(key, text(value), NOWHERE)
        # one instance is our default; a model only ever has a say in it where the quota holds less
        plain = name == "max_instances" and _same(value, _default(live, name))
        return Setting(key, text(value), "default" if plain else "derived from the model")
    usual = _same(value, _default(live, name)) or (value is not None and value == _CLOUD_RUN.get(name))
    return Setting(key, text(value), "default" if usual else NOWHERE)


def _said(key: str, value: Any, said: Value, parse: Callable[[str], Any]) -> Setting:
    try:
        wanted = parse(said.text)
    except (ValueError, Trouble):
        return Setting(key, text(value), said.origin, "can't be read")
    if _same(value, wanted):
        return Setting(key, text(value), said.origin)
    return Setting(key, text(value), f"not as {said.origin} has it", text(wanted))


_FIELD: Final = {"quantize": "int8"}
_CLOUD_RUN: Final = {"ingress": "all"}
"""What Cloud Run itself puts where nobody says anything."""


def _value(wish: Serve, name: str) -> Any:
    if name == "quantize":
        return contract.INT8 if wish.int8 else contract.UNQUANTIZED
    value = getattr(wish, name)
    if name != "env":
        return value
    by_engine = vllm.environment(wish) if wish.engine == "vllm" else {}
    return tuple(one for one in value if one[0] not in _OWN and by_engine.get(one[0]) != one[1])


def _default(live: Serve, name: str) -> Any:
    """What a wish that says nothing has; the engine is the family's choice."""
    if name == "engine":
        return live.engine
    blank = Serve(live.project, live.region, live.model, live.name)
    return _value(blank, name) if name in {f.name for f in fields(Serve)} | {"quantize", "images"} else None


def _same(live: Any, wanted: Any) -> bool:
    if isinstance(live, str) and isinstance(wanted, str):
        return live == wanted or wanted == "auto" or _quantity(live) == _quantity(wanted)
    if isinstance(live, tuple) and isinstance(wanted, tuple):
        return sorted(map(repr, live)) == sorted(map(repr, wanted))
    return bool(live == wanted)


def _quantity(value: str) -> str:
    return quantity.memory(value) if value[:1].isdigit() else value


def text(value: Any) -> str:
    """A setting for people; variables by their names, because their values may be long."""
    match value:
        case None | () | "":
            return "none"
        case bool():
            return "yes" if value else "no"
        case Probe():
            what = f"TCP {value.port}" if value.tcp else f"HTTP {value.path}"
            return f"{what} every {value.period} s for up to {value.budget} s"
        case SecretRef():
            return f"{value.name}:{value.version}"
        case tuple():
            return ", ".join(one if isinstance(one, str) else str(one[0]) for one in value)
    return str(value)


def unset(wish: Serve, settings: Settings) -> Serve:
    """The same service as if only the settings had spoken: the model's size says the rest."""
    if not drift.speaks(settings, wish.name):
        settings = replace(settings, project_file={})
    said = frozenset(PARSERS[key][0] for key in PARSERS if settings.value(key) is not None) & frozenset(DERIVED)
    blank = Serve(wish.project, wish.region, wish.model, wish.name)
    rest = {name: getattr(blank, name) for name in DERIVED if name not in said}
    if not said & {"cpu", "memory"}:
        rest["cpu"], rest["memory"] = spec_rules.default_pair(spec_rules.gpu(wish.gpu_type), None, None)
    return replace(wish, given=said, **rest)
