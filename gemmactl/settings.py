"""Where each value comes from: flag, environment, gemmactl.yaml, gcloud, default. Knows no option parser and no cloud."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gemmactl.errors import usage

SANDBOX: Final = "@sandbox"
PROJECT_FILE: Final = "gemmactl.yaml"
DEFAULT_REGION: Final = "us-central1"

KEYS: Final = (
    "project", "region", "name", "model", "engine", "loader", "image", "gpu_type", "cpu", "memory", "concurrency",
    "cpu_throttling",
    "auth", "allow_unauthenticated", "invoker", "ingress", "network", "subnet", "network_tags", "vpc_egress", "startup_probe",
    "timeout", "max_context", "quantize", "images", "max_instances", "min_instances", "service_account", "build_service_account",
    "kms_key", "iam", "set_env_vars", "set_secrets", "adapters", "presets", "skip_unverified", "hf_token",
)  # fmt: skip
"""Every setting that GEMMACTL_<KEY> and gemmactl.yaml may hold; the same words as the flags."""

_PAIRS: Final = frozenset({"set_env_vars", "set_secrets", "startup_probe"})
"""Settings of names and values; their flags separate the parts by commas, or by the sign in `^SIGN^` before them, as gcloud's."""

# GEMMACTL_MODEL, _PRESETS and _SKIP_UNVERIFIED are the container's own variables, and mean other things there: a file may say
# these, the environment not.
_NOT_IN_ENVIRONMENT: Final = frozenset({"model", "presets", "skip_unverified", "hf_token"})

# What other tools read, after everything of ours. source: google-auth's and gcloud's documented variables.
_FOREIGN: Final[Mapping[str, tuple[str, ...]]] = {
    "project": ("GOOGLE_CLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT"),
    "region": ("GOOGLE_CLOUD_REGION", "CLOUDSDK_RUN_REGION"),
    "impersonate_service_account": ("CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT",),
}
_GCLOUD: Final[Mapping[str, tuple[str, str]]] = {
    "project": ("core", "project"),
    "region": ("run", "region"),
    "impersonate_service_account": ("auth", "impersonate_service_account"),
    "account": ("core", "account"),
}

# source: cloud.google.com/resource-manager/docs/creating-managing-projects, with the older `domain.tld:` form
_PROJECT: Final = re.compile(r"([a-z][a-z0-9.-]*\.[a-z]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")


@dataclass(frozen=True)
class Value:
    """A setting as text, and who said it."""

    text: str
    origin: str

    def __str__(self) -> str:
        return f"{self.text} ({self.origin})"


@dataclass(frozen=True)
class Settings:
    """The sources below the flags, read once; `value` walks them in order."""

    environ: Mapping[str, str] = field(repr=False)
    project_file: Mapping[str, str]
    gcloud: Mapping[str, str]
    """project, region and account of the active gcloud configuration."""
    gcloud_name: str = "default"

    def value(self, key: str, flag: object = None) -> Value | None:
        """The value of a key by precedence, or None when nobody says it."""
        if flag is not None:
            return Value(_text(flag), f"--{key.replace('_', '-')}")
        own = f"GEMMACTL_{key.upper()}"
        if key not in _NOT_IN_ENVIRONMENT and self.environ.get(own):
            return Value(self.environ[own], own)
        if key in self.project_file:
            return Value(self.project_file[key], PROJECT_FILE)
        for variable in _FOREIGN.get(key, ()):
            if self.environ.get(variable):
                return Value(self.environ[variable], variable)
        if key in self.gcloud:
            return Value(self.gcloud[key], f"gcloud configuration {self.gcloud_name}")
        return None

    def project(self, flag: str | None = None) -> Value:
        """The project.

        Raises:
            Trouble: (usage) nobody names one, or it can't be a project id.
        """
        found = self.value("project", flag)
        if found is None:
            raise usage(
                "no Google Cloud project is chosen",
                why="--project, GEMMACTL_PROJECT, gemmactl.yaml, GOOGLE_CLOUD_PROJECT and gcloud's configuration name none",
                remedy="add --project PROJECT_ID, or try everything on this machine first: --project @sandbox",
                code="project-missing",
            )
        return legal_project(found)

    def impersonated(self, flag: str | None = None) -> Value | None:
        """The service account to act as: flag, environment, gcloud's property. A chain of accounts as gcloud takes it is none.

        Raises:
            Trouble: (usage) it is no service account.
        """
        found = self.value("impersonate_service_account", flag)
        if found is not None and not re.fullmatch(r"[a-z0-9][a-z0-9-]*@([a-z0-9.-]+\.)?gserviceaccount\.com", found.text):
            raise usage(
                f"{found.text!r} is not a service account ({found.origin})",
                why="--impersonate-service-account takes one e-mail that ends in gserviceaccount.com",
                remedy="`gcloud iam service-accounts list` shows them; `gcloud config unset auth/impersonate_service_account` "
                "takes gcloud's property away",
                code="service-account-illegal",
            )
        return found

    def region(self, flag: str | None = None) -> Value:
        """The region; the default is stated as such."""
        return self.value("region", flag) or Value(DEFAULT_REGION, "default")


def legal_project(found: Value) -> Value:
    """The value itself.

    Raises:
        Trouble: (usage) it can't be a project id.
    """
    if found.text != SANDBOX and not _PROJECT.fullmatch(found.text):
        raise usage(
            f"{found.text!r} is not a project id ({found.origin})",
            why="an id has 6 to 30 lower-case letters, digits and hyphens, a letter first; a display name is no id",
            remedy="`gcloud projects list` shows the ids; @sandbox is the pretended project on this machine",
            code="project-illegal",
        )
    return found


def load(environ: Mapping[str, str], folder: Path | None, home: Path) -> Settings:
    """Read gemmactl.yaml of a folder (None: of none) and the active gcloud configuration.

    Raises:
        Trouble: (usage) gemmactl.yaml is not a flat mapping of known keys.
    """
    name, values = _gcloud(environ, home)
    return Settings(environ, project_file(folder / PROJECT_FILE) if folder else {}, values, name)


def gcloud_account(environ: Mapping[str, str], home: Path) -> str:
    """Whom gcloud runs as: its variable, else the active configuration; `` when it names nobody."""
    return environ.get("CLOUDSDK_CORE_ACCOUNT") or _gcloud(environ, home)[1].get("account", "")


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return ",".join(f"{k}={_text(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ",".join(map(_text, value))
    return str(value)


def project_file(path: Path) -> dict[str, str]:
    """A gemmactl.yaml as texts by key; empty where there is none.

    Raises:
        Trouble: (usage) it is not a flat mapping of known keys, each once.
    """
    if not path.is_file():
        return {}
    import yaml  # 15 ms: only paid where the file exists

    try:
        text = path.read_text(encoding="utf-8")
        content: Any = yaml.safe_load(text)
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: no UTF-8, a date that is none
        raise _bad_file(not_yaml(error)) from None
    if content is None:
        return {}
    if not isinstance(content, dict) or not isinstance(tree, yaml.MappingNode):
        raise _bad_file("it must be a mapping, one `setting: value` on each line")
    lines = _lines(tree, lambda key: key.replace("-", "_"))
    for _, inner in tree.value:
        if isinstance(inner, yaml.MappingNode):
            _lines(inner, str)
    found = {str(key).replace("-", "_"): value for key, value in content.items()}
    for key, value in found.items():
        if key not in KEYS:
            raise _unknown(key, lines.get(key, 0))
        if not _plain(value):
            raise _bad_file(f"{key.replace('_', '-')} in line {lines.get(key, 0)} must be a value, or names with a value each")
    if str(found.get("hf_token", "")).startswith("hf_"):
        raise _bad_file("hf-token holds a token; a file is copied and committed, so only a reference to a secret may stand there")
    return {key: pairs(value) if key in _PAIRS else _text(value) for key, value in found.items() if value is not None}


def _lines(node: Any, name: Callable[[str], str]) -> dict[str, int]:
    """Line of each key of a YAML mapping; none may be there twice."""
    found: dict[str, int] = {}
    for key, _ in node.value:
        word, line = name(str(key.value)), key.start_mark.line + 1
        if word in found:
            raise _bad_file(f"{key.value} is there twice, in lines {found[word]} and {line}")
        found[word] = line
    return found


def pairs(value: object) -> str:
    """A mapping as its flag takes it; a sign that no value has stands between the parts where one of them has a comma."""
    if not isinstance(value, Mapping) or not any("," in _text(part) for part in value.values()):
        return _text(value)
    return "^\x1f^" + "\x1f".join(f"{key}={_text(part)}" for key, part in value.items())


def _plain(value: object) -> bool:
    """A scalar, or one level of them: deeper than that no setting goes, and a name alone says nothing."""
    if isinstance(value, Mapping | list):
        parts = value.values() if isinstance(value, Mapping) else value
        return not any(part is None or isinstance(part, Mapping | list) for part in parts)
    return True


def _unknown(key: str, line: int) -> Exception:
    from difflib import get_close_matches

    shown, known = key.replace("_", "-"), [one.replace("_", "-") for one in KEYS]
    near = get_close_matches(shown, known, 1)
    hint = f"did you mean {near[0]}? " if near else ""
    return _bad_file(f"{shown!r} in line {line} is not a setting; {hint}known: {', '.join(known)}")


def not_yaml(error: Exception) -> str:
    """Why a text is not YAML, of what PyYAML raised: the line, and for the two slips that a settings file invites, the slip."""
    mark, problem = getattr(error, "problem_mark", None), str(getattr(error, "problem", ""))
    if mark is None:
        return "it is not YAML"
    if "'@'" in problem:
        return f'it is not YAML: in line {mark.line + 1} a value begins with @; put it into quotes, as in project: "{SANDBOX}"'
    if r"'\t'" in problem:
        return f"it is not YAML: line {mark.line + 1} is indented by a tab, and YAML takes spaces"
    return f"it is not YAML: look at line {mark.line + 1}"


def _bad_file(why: str) -> Exception:
    return usage(
        f"{PROJECT_FILE} can't be read",
        why=why,
        remedy=f"correct {PROJECT_FILE} in this folder, or remove it",
        code="project-file",
    )


def _gcloud(environ: Mapping[str, str], home: Path) -> tuple[str, dict[str, str]]:
    root = Path(environ["CLOUDSDK_CONFIG"]) if environ.get("CLOUDSDK_CONFIG") else home / ".config" / "gcloud"
    name = environ.get("CLOUDSDK_ACTIVE_CONFIG_NAME") or _first_line(root / "active_config") or "default"
    path = root / "configurations" / f"config_{name}"
    if not re.fullmatch(r"[a-z][-a-z0-9]*", name) or not path.is_file():
        return name, {}
    import configparser

    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        return name, {}  # gcloud's own file: gcloud will complain about it, a flag is enough for us
    found = {key: parser.get(section, option, fallback="") for key, (section, option) in _GCLOUD.items()}
    return name, {key: text for key, text in found.items() if text}


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
