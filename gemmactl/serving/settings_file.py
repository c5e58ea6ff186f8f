"""gemmactl.yaml as text: what was found with where it comes from, and every other setting as a comment. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import wrap
from typing import Final

from gemmactl import spec_parse
from gemmactl.settings import PROJECT_FILE, Value

WIDTH: Final = 110
SCHEMA_FILE: Final = "gemmactl.schema.json"
NAMED: Final = frozenset({"set_env_vars", "set_secrets", "startup_probe", "adapters"})
HEAD: Final = (
    f"# {PROJECT_FILE}: one file is one service. Flags come first, then variables GEMMACTL_..., then this file.",
    "# `gemmactl plan` shows what a deploy would do, `gemmactl deploy` does it, `gemmactl status NAME` tells what differs.",
)


def text(found: Mapping[str, Value], explained: Mapping[str, tuple[str, str]], *, schema: bool) -> str:
    """The file. `found`: settings in force; `explained`: key -> (what it is, what it takes), in the file's order.

    `schema`: whether the schema lies beside it, for editors that know the comment of yaml-language-server.
    """
    lines = [*HEAD, *([f"# yaml-language-server: $schema={SCHEMA_FILE}"] if schema else [])]
    for key in (key for key in explained if key in found):
        lines += ["", *_comment(explained[key][0]), f"# from: {_one_line(found[key].origin)}", _line(key, found[key].text)]
    lines += ["", "# --- Everything below is as it is by default. Take the # away before a setting, and give it a value."]
    for key, (words, takes) in explained.items():
        if key not in found:
            lines += ["", *_comment(words), f"#{key.replace('_', '-')}: {takes}"]
    return "\n".join(lines) + "\n"


def _comment(words: str) -> list[str]:
    return [f"# {line}" for line in wrap(words, WIDTH, break_long_words=False, break_on_hyphens=False)]


def _line(key: str, value: str) -> str:
    """One setting; names with a value each stand below it."""
    import yaml

    said: object = _plain(value)
    if key in NAMED:
        parts = spec_parse.pairs(key, value)
        said = {name: _plain(part) if key == "startup_probe" else part for name, part in parts}
    return str(yaml.safe_dump({key.replace("_", "-"): said}, width=10_000, allow_unicode=True, sort_keys=False)).strip()


def _plain(value: str) -> str | int | bool:
    """A number or a yes as YAML has them, where that is read back as the same text."""
    if value in ("true", "false"):
        return value == "true"
    return int(value) if value.isdecimal() and str(int(value)) == value else value


def _one_line(words: str) -> str:
    """An origin names buckets and files of others: as a comment it must not end."""
    return "".join(char if char.isprintable() else " " for char in words)
