"""Writes the pages that must not go stale: docs/cli.md from the Typer app, docs/troubleshooting.md from doctor's rows (in
Korean with docs/troubleshooting.ko.json), the tables of docs/api.md from the server's forms, docs/gemmactl.schema.json from the
flags of deploy. `python docs/generate.py` writes; the tests compare.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).resolve().parent
MADE: Final = "<!-- Written by docs/generate.py (`make docs`): change the source, not this page. -->"

PRINCIPALS: Final = {
    "$CALLER": "the account that runs the command", "$BUILD_SA": "the service account of the build",
    "$RUNTIME_SA": "the runtime service account", "$DOCKER_IDENTITY": "the account that pushes the image",
    "$RUN_AGENT": "Cloud Run's service agent",
}  # fmt: skip


def commands() -> Iterator[tuple[str, Any]]:
    """`gemmactl deploy`, `gemmactl sandbox demo`, ... with the click command behind each."""
    import typer

    from gemmactl.app import build

    def walk(path: str, command: Any) -> Iterator[tuple[str, Any]]:
        inner = getattr(command, "commands", None)
        if inner is None:
            yield path, command
            return
        for name, child in inner.items():
            yield from walk(f"{path} {name}", child)

    yield from walk("gemmactl", typer.main.get_command(build()))


def one_line(text: str) -> str:
    """Prose in one table cell."""
    return re.sub(r"\s+", " ", text).strip().replace("|", "\\|").replace("[dim]", "").replace("[/dim]", "")


def placeholder(option: Any) -> str:
    """What an option takes: its choices, its metavar or its type."""
    choices = getattr(option.type, "choices", None)
    return "\\|".join(map(str, choices)) if choices else option.metavar or option.type.name.upper()


def option_row(option: Any) -> str:
    """`--region REGION`, what it means."""
    names = ", ".join(f"`{name}`" for name in sorted(option.opts, key=len, reverse=True))
    negated = "".join(f", `{name}`" for name in option.secondary_opts)
    takes = "" if option.is_flag or option.count else f" `{placeholder(option)}`"
    default = f" Default: `{option.default}`." if option.show_default and option.default not in (None, False) else ""
    return f"| {names}{negated}{takes} | {one_line(option.help or '')}{default} |"


def command_section(path: str, command: Any) -> list[str]:
    """Usage, prose, arguments and options of one verb."""
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
    usage = " ".join(
        [path, *(f"[{p.metavar or p.name.upper()}]" if not p.required else (p.metavar or p.name.upper()) for p in arguments)]
    )
    prose, examples = split_examples(command.help or "")
    lines = [f"## {path}", "", "```text", f"{usage}{' [OPTIONS]' if options else ''}", "```", "", *prose, ""]
    for argument in arguments:
        lines += [f"- `{argument.metavar or argument.name.upper()}`: {one_line(argument.help or '')}"]
    lines += [""] if arguments else []
    if examples:
        lines += ["```", *examples, "```", ""]
    panels = dict.fromkeys(getattr(p, "rich_help_panel", None) or "Options" for p in options)
    for panel in panels:
        lines += [f"| {panel} | |", "| --- | --- |"]
        lines += [option_row(p) for p in options if (getattr(p, "rich_help_panel", None) or "Options") == panel]
        lines += [""]
    return lines


def split_examples(help_text: str) -> tuple[list[str], list[str]]:
    """Paragraphs of a docstring, and its lines that start with `Example:`."""
    paragraphs = [one_line(p) for p in help_text.replace("\b", "").split("\n\n") if p.strip()]
    prose = [p for p in paragraphs if not p.startswith("Example:")]
    examples = [p.removeprefix("Example:").strip().replace("\\|", "|") for p in paragraphs if p.startswith("Example:")]
    return [line for p in prose for line in (p, "")][:-1], examples


def cli_page() -> str:
    """docs/cli.md."""
    lines = [MADE, "", "# Command line reference", ""]
    lines += ["Every verb also takes `--help`. Exit codes and the order of settings are in the [README](../README.md).", ""]
    found = list(commands())
    lines += [f"- [`{path}`](#{anchor(path)})" for path, _ in found] + [""]
    for path, command in found:
        lines += command_section(path, command)
    return "\n".join(lines).rstrip() + "\n"


def anchor(heading: str) -> str:
    """GitHub's anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def slots(text: str) -> str:
    """`{bucket}` -> BUCKET: what a real finding fills in."""
    return re.sub(r"\{(\w+)\}", lambda m: m[1].upper(), text)


def english(_where: str, text: str) -> str:
    """The rows' own language."""
    return text


class Korean:
    """Says an English text in Korean by docs/troubleshooting.ko.json, and keeps what it could not say.

    The catalogue holds, for each family, `page` and `shared`, the whole English text and its Korean: a text that was changed
    is one that has no Korean. A text without a space is a name, and stays.
    """

    KEPT: Final = re.compile(
        r"\{\w*\}|`[^`]+`|--[a-z][\w-]*|roles/[\w.]+|[\w.]+\.(?:json|jinja|txt|yaml|md)\b|https?://[\w./-]*\w"
        r"|\b[A-Z]+_[A-Z_]+\b",
        re.ASCII,  # a Korean particle follows without a space
    )
    """What Korean must hold as English does: slots, code, flags, roles, files, addresses, variables."""

    def __init__(self, catalogue: Mapping[str, Mapping[str, str]]) -> None:
        self.catalogue = catalogue
        self.unused = {(section, text) for section, texts in catalogue.items() for text in texts}
        self.faults: list[str] = []

    def __call__(self, where: str, text: str) -> str:
        """`where` is `family/code` (or `page/...`): its section is looked up first, then `shared`."""
        if " " not in text:
            return text
        for section in (where.partition("/")[0], "shared"):
            if said := self.catalogue.get(section, {}).get(text):
                self.unused.discard((section, text))
                lost = sorted(set(self.KEPT.findall(text)) ^ set(self.KEPT.findall(said)))
                self.faults += [f"{where}: {mark} stands in one language only: {text}" for mark in lost]
                return said
        self.faults.append(f"{where}: no Korean for: {text}")
        return text

    def check(self) -> None:
        """Raises:
        ValueError: English that has no Korean, Korean that nothing asks for, or a name lost on the way; each is named.
        """
        faults = [*self.faults, *(f"{section}: no longer said: {text}" for section, text in sorted(self.unused))]
        if faults:
            raise ValueError("docs/troubleshooting.ko.json is behind doctor's rows:\n  " + "\n  ".join(dict.fromkeys(faults)))


def row_section(row: Any, family: str, say: Callable[[str, str], str]) -> list[str]:
    """One known failure."""

    def told(text: str) -> str:
        return slots(say(f"{family}/{row.code}", text))

    def fixed(text: str, fill: str) -> str:
        return say("page/row", text).replace("{}", fill)

    lines = [f"### {told(row.title)}", "", f"`{row.code}` · {told(row.cause)}", "", fixed("**Fix.** {}", told(row.remedy))]
    grant = [
        row.permission and fixed("permission {}", f"`{row.permission}`"),
        row.role and fixed("role {}", f"`{row.role}`"),
        row.principal in PRINCIPALS and say("page/principal", PRINCIPALS[row.principal]),
    ]
    if any(grant):
        lines += ["", fixed("Concerns {}.", ", ".join(part for part in grant if part))]
    if row.commands:
        lines += ["", "```", *(slots(command) for command in row.commands), "```"]
    if row.not_fix:
        lines += ["", fixed("What does not help: {}.", "; ".join(told(n) for n in row.not_fix))]
    return [*lines, ""]


INTRO: Final = (
    "Everything that `gemmactl doctor` knows, for reading. Faster: paste the error into it,\n"
    "`gemmactl doctor --from-log FILE` (or `-` for standard input); it fills in the words in capitals and names the account.\n"
    "A code that gemmactl printed: `gemmactl doctor --explain CODE`; what it says of itself is in the last groups."
)


def troubleshooting_page(say: Callable[[str, str], str] = english, other: str = "[한국어](troubleshooting.ko.md)") -> str:
    """docs/troubleshooting.md, or with another `say` the same page in another language; `other` links the one in the other."""
    rows = import_module("gemmactl.doctor.rows")
    lines = [MADE, "", say("page/intro", "# Troubleshooting"), "", say("page/intro", INTRO), "", other, ""]
    families = [(name, import_module(f"{rows.__name__}.{name}")) for name in rows.FAMILIES]
    named = {name: one_line((family.__doc__ or name).partition(". ")[0]).rstrip(".") for name, family in families}
    headings = {name: say(f"{name}/heading", heading) for name, heading in named.items()}
    knowledge, own = import_module("gemmactl.serving.knowledge"), import_module("gemmactl.doctor.own_codes").meanings()
    groups = {name: (say(f"own_{name}/heading", knowledge.heading(name)), group) for name, group in own.items()}
    titles = (*headings.values(), *(heading for heading, _ in groups.values()))
    lines += [f"- [{heading}](#{anchor(heading)})" for heading in titles] + [""]
    for name, family in families:
        lines += [f"## {headings[name]}", ""]
        for row in family.ROWS:
            lines += row_section(row, name, say)
    for name, (heading, meanings) in groups.items():
        fix, where = say("page/row", "**Fix.** {}"), f"own_{name}/code"
        told = [(say(where, one.title), one.code, fix.replace("{}", say(where, one.remedy))) for one in meanings]
        lines += [f"## {heading}", "", *(f"### {title}\n\n`{code}`\n\n{remedy}\n" for title, code, remedy in told)]
    return "\n".join(lines).rstrip() + "\n"


def korean_page() -> str:
    """docs/troubleshooting.ko.md.

    Raises:
        ValueError: as Korean.check.
    """
    say = Korean(json.loads((HERE / "troubleshooting.ko.json").read_text(encoding="utf-8")))
    page = troubleshooting_page(say, "[English](troubleshooting.md)")
    say.check()
    return page


def bounds(field: Any) -> str:
    """`0 to 2`, `over 0 to 1`, `1 or more`, of a number; of a list or a text nothing."""
    found = {name: getattr(one, name) for one in field.metadata for name in ("ge", "gt", "le", "lt") if hasattr(one, name)}
    least = str(found.get("ge", f"over {found['gt']}" if "gt" in found else ""))
    if "le" in found:
        return f"{least} to {found['le']}"
    return f"{least} or more" if least and "lt" not in found else ""


def field_table(form: Any) -> list[str]:
    """The fields of a request's form, as pydantic knows them."""
    fields = form.model_fields.items()
    rows = [f"| `{name}` | {one_line(field.description or '')} | {bounds(field)} |" for name, field in fields]
    return ["| field | meaning | values |", "| --- | --- | --- |", *rows]


def api_blocks() -> dict[str, list[str]]:
    """The tables of docs/api.md, by the name of their place."""
    contract = import_module("inference_image.contract")
    fields = import_module("inference_image.server.openai_fields")
    openai = import_module("inference_image.server.openai_schemas")
    own = import_module("inference_image.server.schemas")
    accepted = [f"| `{name}` | {one_line(why)} |" for name, why in {**fields.ACCEPTED, **fields.INSIDE}.items()]
    refused = [
        f"| `{name}` | {one_line(one.why)} | {', '.join(f'`{json.dumps(value)}`' for value in one.harmless)} |"
        for name, one in fields.REFUSED.items()
    ]
    errors = sorted((status, code) for code, status in contract.REQUEST_STATUS.items())
    return {
        "generate": field_table(own.GenerateRequest),
        "chat": field_table(openai.ChatRequest),
        "completions": field_table(openai.CompletionRequest),
        "accepted": ["| field | why it changes nothing |", "| --- | --- |", *accepted],
        "refused": ["| field | why | values that ask for nothing |", "| --- | --- | --- |", *refused],
        "errors": ["| status | code |", "| --- | --- |", *(f"| {status} | `{code}` |" for status, code in errors)],
    }


def api_page() -> str:
    """docs/api.md: its own words, with the tables in their places."""
    page = (HERE / "api.md").read_text(encoding="utf-8")
    for name, lines in api_blocks().items():
        before, mark, rest = page.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition("<!-- end -->\n")
        if not mark or not end:
            raise ValueError(f"docs/api.md has no place for {name}")
        page = before + mark + "\n".join(lines) + "\n<!-- end -->\n" + after
    return page


def schema_page() -> str:
    """docs/gemmactl.schema.json: what gemmactl.yaml may hold."""
    schema = import_module("gemmactl.commands.described").schema()
    return json.dumps(schema, ensure_ascii=False, indent=2) + "\n"


PAGES: Final = {
    "cli.md": cli_page,
    "troubleshooting.md": troubleshooting_page,
    "api.md": api_page,
    "gemmactl.schema.json": schema_page,
    "../gemmactl/doctor/words.json": lambda: import_module("gemmactl.doctor.vocabulary").written(),  # as stale as a page
    "troubleshooting.ko.md": korean_page,  # the last: when it lacks a text, the others are written
}


def main(wanted: Iterable[str] = PAGES) -> None:
    """Write the pages."""
    for name in wanted:
        (HERE / name).write_text(PAGES[name](), encoding="utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))  # this checkout's code, installed or not
    main(sys.argv[1:] or PAGES)
