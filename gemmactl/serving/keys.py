"""keys create, list and revoke: who may call a service that asks for API keys. Knows not how the file of hashes is kept."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any, Final

from gemmactl.errors import Exit, Trouble, usage
from gemmactl.result import Line, Result, Table, Verbatim
from gemmactl.serving import find, key_store
from gemmactl.serving.find import Json
from gemmactl.serving.key_store import Keys
from gemmactl.serving.place import Place
from gemmactl.settings import Settings
from gemmactl.voice import Voice
from inference_image import api_keys
from inference_image.api_keys import ApiKey
from inference_image.contract import KEYS_SECONDS, KEYS_UNKNOWN_SECONDS

_LIFE: Final = re.compile(r"(\d{1,5})([dh])")


def create(
    place: Place,
    settings: Settings,
    name: str | None,
    voice: Voice,
    *,
    label: str = "",
    per_minute: int | None = None,
    expires: str | None = None,
) -> Result:
    """A new key: on stdout, once. `expires`: `90d`, `12h`.

    Raises:
        Trouble: the service asks for no keys, a wish is not legal, or there are too many.
    """
    if len(label) > api_keys.LABEL_MOST or not label.isprintable():
        raise _illegal("--label", f"at most {api_keys.LABEL_MOST} printable characters", "--label ci")
    now = dt.datetime.now(dt.UTC)
    until = None if expires is None else _stamp(now + _life(expires))
    service, secret = _asking(place, settings, name)
    key = api_keys.fresh()
    row = api_keys.of(key, label=label, created=_stamp(now), per_minute=per_minute, expires=until)
    try:
        key_store.change(place.cloud, secret, lambda keys: _with(_living(keys, now), row))
    except KeyboardInterrupt:
        raise _unseen(place, service, row) from None
    limit = f", {per_minute} requests a minute of each instance" if per_minute else ""
    end = f", until {until}" if until else ""
    voice.say(
        Line(f"key {row.id} of {service}{limit}{end}: it is shown this once and kept nowhere but as a hash", "warn"),
        Line(f"instances know it {KEYS_UNKNOWN_SECONDS:.0f} s after Secret Manager shows it to them, as a rule at once", "dim"),
    )
    follow = (f"gemmactl keys list {service} {place.flags}", f"gemmactl keys revoke {service} {row.id} {place.flags}")
    data = {"service": service, "key": key, **_document(row, now)}
    return Result("keys create", data, (Verbatim(key),), follow, place.target, reveals=frozenset({key}))


def _unseen(place: Place, service: str, row: ApiKey) -> Trouble:
    return Trouble(
        "interrupted",
        why=f"Ctrl-C; the hash of key {row.id} may be kept already, and nobody was shown the key",
        remedy=f"gemmactl keys list {service} {place.flags} tells whether; gemmactl keys revoke {service} {row.id} {place.flags}"
        " takes it back, and keys create makes another one",
        code="interrupted",
        exit=Exit.INTERRUPTED,
    )


def listed(place: Place, settings: Settings, name: str | None) -> Result:
    """Which keys there are. Never a key, and no hash."""
    now = dt.datetime.now(dt.UTC)
    service, secret = _asking(place, settings, name)
    keys = key_store.read(place.cloud, secret)
    rows = tuple((k.id, k.label or "-", k.created or "-", _limit(k), _end(k, now)) for k in keys)
    data = {"service": service, "keys": [_document(key, now) for key in keys]}
    if not rows:
        nobody = Line(f"{service} has no keys: nobody can call it", "warn")
        return Result("keys list", data, (nobody,), (f"gemmactl keys create {service} {place.flags}",), place.target)
    return Result("keys list", data, (Table(("ID", "LABEL", "CREATED", "A MINUTE", "UNTIL"), rows),), (), place.target)


def revoke(place: Place, settings: Settings, name: str, key: str, voice: Voice, *, yes: bool = False) -> Result:
    """Take a key back, named by its id; the key itself is taken too, and not repeated.

    Raises:
        Trouble: there is no such key, or nobody confirmed.
    """
    now = dt.datetime.now(dt.UTC)
    wanted = api_keys.of(key).id if key.startswith(api_keys.PREFIX) else key
    service, secret = _asking(place, settings, name)
    gone: list[ApiKey] = []

    def without(keys: Keys) -> Keys:
        gone[:] = [one for one in keys if one.id == wanted]
        if not gone:
            raise Trouble(
                f"{service} has no key {wanted}" if re.fullmatch(r"[0-9a-f]{8}", wanted) else f"{service} has no such key",
                why="an id is the 8 digits that `gemmactl keys list` shows; a key that has expired is gone by itself",
                remedy=f"gemmactl keys list {service} {place.flags}",
                code="key-unknown",
            )
        return tuple(one for one in _living(keys, now) if one.id != wanted)

    without(key_store.read(place.cloud, secret))
    which = f"{wanted}{f' ({gone[0].label})' if gone[0].label else ''}"
    question = f"Revoke key {which} of {service}? Who holds it is refused from then on, and nothing brings it back."
    if not yes and not voice.confirm(question, flag="--yes"):
        raise Trouble(
            "nothing was revoked", why="it was not confirmed", remedy="run it again when you are sure", code="not-confirmed"
        )
    left = key_store.change(place.cloud, secret, without)
    voice.say(
        Line(
            f"instances let it in for up to {KEYS_SECONDS:.0f} s more, and as long as Secret Manager takes to show them the new "
            f"version: seconds as a rule, it promises no time. To end it at once: gemmactl stop {service} {place.flags}",
            "dim",
        )
    )
    said = Line(f"revoked {which}; {len(left)} left", "good")
    return Result("keys revoke", {"service": service, **_document(gone[0], now), "left": len(left)}, (said,), (), place.target)


def _asking(place: Place, settings: Settings, name: str | None) -> tuple[str, str]:
    """(name, full name of its secret) of a service that asks for keys."""
    live: Json = find.service(place, settings, name)
    service = find.short(live)
    if find.auth_of(live) != "api-key":
        raise usage(
            f"{service} asks for no API keys",
            why=f"it was deployed with --auth {find.auth_of(live)}",
            remedy=f"deploy it again with --auth api-key; gemmactl status {service} {place.flags} shows who may call it",
            code="no-keys-here",
        )
    return service, key_store.secret_of(place, live)


def _with(keys: Keys, row: ApiKey) -> Keys:
    if len(keys) >= api_keys.MOST:
        raise Trouble(
            f"{len(keys)} keys are the most",
            why="their hashes are one value of Secret Manager, and each has numbers of its own in the metrics",
            remedy="revoke one that nobody uses, or give several callers one key",
            code="keys-too-many",
        )
    return (*(key for key in keys if key.id != row.id), row)


def _living(keys: Keys, now: dt.datetime) -> Keys:
    return tuple(key for key in keys if not key.over(now))


def _life(text: str) -> dt.timedelta:
    found = _LIFE.fullmatch(text)
    if not found or not int(found[1]):
        raise _illegal("--expires", "a number of days or hours", "--expires 90d")
    return dt.timedelta(days=int(found[1])) if found[2] == "d" else dt.timedelta(hours=int(found[1]))


def _illegal(flag: str, form: str, example: str) -> Trouble:
    return usage(f"{flag} can't be read", why=f"it is {form}", remedy=f"for example {example}", code="key-wish-illegal")


def _stamp(moment: dt.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _limit(key: ApiKey) -> str:
    return "no limit" if key.per_minute is None else str(key.per_minute)


def _end(key: ApiKey, now: dt.datetime) -> str:
    return "it is revoked" if key.expires is None else f"{key.expires}{' (over)' if key.over(now) else ''}"


def _document(key: ApiKey, now: dt.datetime) -> dict[str, Any]:
    return {
        "id": key.id,
        "label": key.label,
        "created": key.created,
        "requests_per_minute": key.per_minute,
        "expires": key.expires,
        "expired": key.over(now),
    }
