"""gemmactl.yaml as text: what was found with where it comes from, and every other setting as a comment. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import wrap
from typing import Final

from gemmactl.settings import PROJECT_FILE, Value

WIDTH: Final = 110
SCHEMA_FILE: Final = "gemmactl.schema.json"
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
    import yaml

    return str(yaml.safe_dump({key.replace("_", "-"): value}, width=10_000, allow_unicode=True)).strip()


def _one_line(words: str) -> str:
    """An origin names buckets and files of others: as a comment it must not end."""
    return "".join(char if char.isprintable() else " " for char in words)
