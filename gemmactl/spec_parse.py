"""Texts as typed after gcloud's flags -> typed wishes. Knows the grammar of each flag, not which values are legal together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from gemmactl.errors import Trouble, usage
from gemmactl.spec import Probe, SecretRef, Token

TOKEN_LIKE: Final = re.compile(r"hf_[A-Za-z0-9]{8,}")
"""A Hugging Face token inside any text."""

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_REFERENCE: Final = re.compile(
    r"(?P<name>projects/[a-z0-9.:-]+/secrets/[A-Za-z0-9_-]{1,255}|[A-Za-z0-9_-]{1,255})(?:(?::|/versions/)(?P<version>latest|[1-9][0-9]*))?"
)


def duration(text: str) -> int:
    """Seconds of `30m`, `1800`, `1800s`, `1h`, `1h30m`."""
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", text.strip())
    if not found or not text.strip():
        raise usage(
            f"--timeout {text!r} is not a duration",
            why="a duration is seconds, or a number with s, m or h",
            remedy="for example --timeout 30m",
            code="duration-illegal",
        )
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds


def pairs(flag: str, text: str) -> tuple[tuple[str, str], ...]:
    """`A=1,B=2`; gcloud's `^;^A=1;B=x,y` chooses another separator. A refusal never repeats a value."""
    separator = ","
    if found := re.match(r"\^([^^]{1,5})\^", text):
        separator, text = found[1], text[found.end() :]
    out = []
    for part in filter(None, text.split(separator)):
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise usage(
                f"{flag} has a part without KEY=VALUE",
                why="parts are separated by commas, each KEY=VALUE",
                remedy=f"for example {flag} A=1,B=2; values with commas: {flag} '^;^A=1,2;B=3'",
                code="pairs-illegal",
            )
        out.append((key.strip(), value))
    return tuple(out)


def environment(text: str) -> tuple[tuple[str, str], ...]:
    """--set-env-vars."""
    found = pairs("--set-env-vars", text)
    for name, value in found:
        _variable("--set-env-vars", name)
        if TOKEN_LIKE.search(value):
            raise usage(
                f"the value of {name} looks like a Hugging Face token",
                why="a variable is readable by everyone who may see the service, and a command line by everyone on this machine",
                remedy="put the token in the environment variable HF_TOKEN: it becomes a secret of the project",
                code="token-in-argv",
            )
    return found


def secrets(text: str) -> tuple[tuple[str, SecretRef], ...]:
    """--set-secrets VARIABLE=NAME:VERSION,..."""
    out = []
    for name, value in pairs("--set-secrets", text):
        if name.startswith("/"):
            raise usage(
                "--set-secrets can't mount a secret as a file here",
                why="the server reads its secrets from variables",
                remedy="use VARIABLE=NAME:VERSION",
                code="secret-path",
            )
        _variable("--set-secrets", name)
        out.append((name, reference(value, f"--set-secrets {name}")))
    return tuple(out)


def _variable(flag: str, name: str) -> None:
    if not _VARIABLE.fullmatch(name):
        raise usage(
            f"{flag}: {name!r} can't be the name of a variable",
            why="letters, digits and underscores, no digit first",
            remedy="choose another name",
            code="env-name",
        )


def reference(text: str, where: str) -> SecretRef:
    """`name[:version]` or `projects/P/secrets/S[/versions/V]`. The refused text is not shown: it may be the secret."""
    found = _REFERENCE.fullmatch(text)
    if not found or TOKEN_LIKE.match(text):
        raise usage(
            f"{where} is not a reference to a secret",
            why="a reference is NAME:VERSION or projects/PROJECT/secrets/NAME (what was typed is not shown: it may be secret)",
            remedy="for example my-token:latest",
            code="secret-reference",
        )
    return SecretRef(found["name"], found["version"] or "latest")


def token(text: str, where: str) -> SecretRef | Token:
    """HF_TOKEN of the environment, or what was typed at the hidden prompt: a token `hf_...` or a reference `name:version`."""
    text = text.strip()
    if re.fullmatch(r"hf_[A-Za-z0-9]+", text):
        return Token(text)
    if ":" in text or text.startswith("projects/"):
        return reference(text, where)
    raise usage(
        f"{where} holds neither a token nor a reference to a secret",
        why="a token starts with hf_; a reference is NAME:VERSION or projects/PROJECT/secrets/NAME (the value is not shown)",
        remedy=f"correct {where}, or unset it: a model in a bucket or a folder needs none",
        code="hf-token-illegal",
    )


def token_reference(text: str) -> SecretRef:
    """--hf-token: references only."""
    if text.startswith("hf_"):
        raise usage(
            "--hf-token takes no token",
            why="a command line is kept in the shell's history and visible to every process of this machine",
            remedy="revoke that token, put a new one in the variable HF_TOKEN, or name a secret: --hf-token NAME:VERSION",
            code="token-in-argv",
        )
    return reference(text, "--hf-token")


_PROBE_FIELDS: Final[Mapping[str, str]] = {
    "initialDelaySeconds": "initial_delay",
    "timeoutSeconds": "timeout",
    "periodSeconds": "period",
    "failureThreshold": "failures",
}
_PROBE_KEYS: Final = (*_PROBE_FIELDS, "httpGet.path", "httpGet.port", "tcpSocket.port")


def probe(text: str) -> Probe:
    """--startup-probe in gcloud's keys; fields left out have Cloud Run's defaults: delay 0, timeout 1, period 10, threshold 3."""
    given: dict[str, str] = {}
    for key, value in pairs("--startup-probe", text):
        if key not in _PROBE_KEYS:
            raise _bad_probe(f"{key!r} is not a field; fields: {', '.join(_PROBE_KEYS)}")
        given[key] = value
    numbers = {"initial_delay": 0, "timeout": 1, "period": 10, "failures": 3}
    numbers |= {_PROBE_FIELDS[key]: _number(key, value) for key, value in given.items() if key in _PROBE_FIELDS}
    tcp, http = "tcpSocket.port" in given, "httpGet.path" in given or "httpGet.port" in given
    if tcp == http:
        raise _bad_probe("it needs exactly one of httpGet.path and tcpSocket.port")
    if tcp:
        return _probe(None, _number("tcpSocket.port", given["tcpSocket.port"]), numbers)
    path = given.get("httpGet.path", "/")
    if not path.startswith("/"):
        raise _bad_probe(f"httpGet.path={path} must start with /")
    return _probe(path, _number("httpGet.port", given.get("httpGet.port", "8080")), numbers)


def probe_text(value: Probe) -> str:
    """The same, to be read back."""
    kind = {"tcpSocket.port": value.port} if value.tcp else {"httpGet.path": value.path, "httpGet.port": value.port}
    numbers = {key: getattr(value, field) for key, field in _PROBE_FIELDS.items()}
    return ",".join(f"{key}={one}" for key, one in {**kind, **numbers}.items())


def _probe(path: str | None, port: int, numbers: Mapping[str, int]) -> Probe:
    return Probe(path, port, path is None, numbers["initial_delay"], numbers["timeout"], numbers["period"], numbers["failures"])


def _number(key: str, text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text):
        raise _bad_probe(f"{key}={text!r} is not a whole number")
    return int(text)


def _bad_probe(why: str) -> Trouble:
    return usage(
        "--startup-probe can't be read",
        why=why,
        remedy="for example --startup-probe httpGet.path=/ready,periodSeconds=2,timeoutSeconds=2,failureThreshold=300",
        code="probe-syntax",
    )
