"""Documents can't go stale: generated pages are compared, commands are parsed by the real app, links must lead somewhere."""

from __future__ import annotations

import importlib.util
import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.house import tree

FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
TYPED = {"", "bash", "sh", "console"}
"""Fences that hold what a reader types; others (text, yaml) hold what he reads."""
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
READMES = ("README.md", "README.ko.md")


@cache
def generate() -> Any:
    """docs/generate.py as a module."""
    spec = importlib.util.spec_from_file_location("docs_generate", tree.ROOT / "docs/generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def documents() -> tuple[Path, ...]:
    return tuple(p for p in tree.files() if p.suffix == ".md")


def command_lines(markdown: str) -> list[list[str]]:
    """Words of each `gemmactl ...` line in fenced blocks: continuation lines joined, pipes and redirections cut off."""
    found = []
    for kind, block in FENCE.findall(markdown):
        if kind not in TYPED:
            continue
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"\s(?:\||&&|;)\s", line.removeprefix("$ ")):
                words = shlex.split(part, comments=True)
                while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                    words = words[1:]
                if words and words[0].endswith("gemmactl"):
                    found.append([w for w in words[1:] if not re.fullmatch(r"\d?>.*", w)])
    return found


@cache
def parser() -> Any:
    """The app with all its verbs."""
    import typer

    from gemmactl.app import build

    return typer.main.get_command(build())


def parse(words: list[str]) -> None:
    """Let the app's own parser read a command line; nothing runs.

    Raises:
        click's UsageError: it would be refused.
    """
    command = parser()
    rest, context = words, None
    while hasattr(command, "commands"):
        if not rest or rest[0].startswith("-"):
            if rest and rest[0] not in ("--help", "--version"):
                command.make_context("gemmactl", list(rest))
            return
        inner = command.commands.get(rest[0])
        assert inner is not None, f"no verb {rest[0]!r}"
        command, rest = inner, rest[1:]
    command.make_context("gemmactl", list(rest), parent=context)


def test_command_lines_are_found() -> None:
    """Comments, prompts, variables, pipes and line continuations are understood."""
    markdown = """```bash
$ GEMMACTL_PROJECT=x gemmactl plan gs://b/m \\
  --region r  # why
cat e | gemmactl doctor --from-log - 2>&1
```
"""
    assert command_lines(markdown) == [["plan", "gs://b/m", "--region", "r"], ["doctor", "--from-log", "-"]]


@pytest.mark.parametrize("words", [["plan", "--no-such-flag"], ["no-such-verb"], ["generate"]], ids=" ".join)
def test_a_wrong_command_line_is_seen(words: list[str]) -> None:
    """A flag, verb or missing argument that the app would refuse fails the check of the documents."""
    with pytest.raises((AssertionError, Exception), match=r"no verb|No such option|Missing parameter"):
        parse(words)


@pytest.mark.parametrize("document", documents(), ids=tree.relative)
def test_commands_in_documents_are_accepted(document: Path) -> None:
    """Each `gemmactl ...` line of a fenced block is read by the app's own parser."""
    for words in command_lines(document.read_text()):
        parse(words)


def test_both_readmes_show_the_same_commands() -> None:
    """The Korean README is the same document in another language."""
    english, korean = ((tree.ROOT / name).read_text() for name in READMES)
    assert command_lines(english) == command_lines(korean)
    assert english.count("\n## ") == korean.count("\n## ")


def test_the_reference_names_every_verb() -> None:
    """docs/cli.md has a section for each verb of the app."""
    page = (tree.ROOT / "docs/cli.md").read_text()
    assert [path for path, _ in generate().commands() if f"\n## {path}\n" not in page] == []


@pytest.mark.parametrize("page", ["cli.md", "troubleshooting.md", "troubleshooting.ko.md", "api.md", "gemmactl.schema.json"])
def test_generated_pages_are_fresh(page: str) -> None:
    """`make docs` would change nothing: flags, help texts and known failures are documented as they are."""
    assert (tree.ROOT / "docs" / page).read_text() == generate().PAGES[page]()


KOREAN = {
    "auth": {"Log in again.": "다시 로그인하세요.", "Use `gcloud {verb}`.": "gcloud를 쓰세요."},
    "shared": {"any role": "역할"},
}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("Log in once more.", "auth/adc-expired: no Korean for: Log in once more."),
        ("Use `gcloud {verb}`.", "auth/adc-expired: `gcloud {verb}` stands in one language only"),
        ("any role", "auth: no longer said: Log in again."),
    ],
)
def test_korean_that_is_behind_is_named(text: str, fault: str) -> None:
    """A row whose English changed, a name lost in translation, and Korean that no row asks for stop the Korean page by name."""
    say = generate().Korean(KOREAN)
    say("auth/adc-expired", text)
    with pytest.raises(ValueError, match=re.escape(fault)):
        say.check()


def test_korean_that_keeps_up_is_said() -> None:
    """The family's own text, then the shared one; a name stays as it is, and nothing is left to complain about."""
    say = generate().Korean(
        {"auth": KOREAN["auth"] | {"Use `gcloud {verb}`.": "`gcloud {verb}`를 쓰세요."}, "shared": KOREAN["shared"]}
    )
    texts = ("Log in again.", "Use `gcloud {verb}`.", "any role", "roles/owner")
    assert [say("auth/adc-expired", text) for text in texts] == [
        "다시 로그인하세요.",
        "`gcloud {verb}`를 쓰세요.",
        "역할",
        "roles/owner",
    ]
    say.check()


@pytest.mark.parametrize("document", documents(), ids=tree.relative)
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link names a file of the repository, and a heading in it where it names one."""
    for target in LINK.findall(FENCE.sub("", document.read_text())):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        assert file.exists(), f"{tree.relative(document)} links to {target}"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file.read_text()), f"{tree.relative(document)} links to {target}"


def anchors(markdown: str) -> set[str]:
    """GitHub's anchors of the headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", markdown), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def asking(page: str) -> tuple[set[str], set[str], set[str]]:
    """Verbs that ask, that change something without, and that change nothing, as docs/day2.md has them."""
    section = page.partition("## What asks, and what does not\n")[2].partition("\n## ")[0]
    _, asks, changes = re.split(r"^\| verb \|.*$", section, flags=re.MULTILINE)
    rows = re.compile(r"^\| `([a-z -]+)` \|", re.MULTILINE)
    table, _, others = changes.partition("\nAll others")
    return set(rows.findall(asks)), set(rows.findall(table)), set(re.findall(r"`([a-z -]+)`", others))


def test_the_page_of_what_asks_has_every_verb() -> None:
    """A verb asks where it has --yes, and only there; each other one stands with what it changes and what undoes it."""
    asks, changes, reads = asking((tree.ROOT / "docs/day2.md").read_text(encoding="utf-8"))
    verbs = {path.removeprefix("gemmactl "): command for path, command in generate().commands()}
    assert asks == {path for path, command in verbs.items() if any(option.name == "yes" for option in command.params)}
    changing = {verb for verb in changes if "--" not in verb}
    flagged = {verb.partition(" --")[0] for verb in changes - changing}
    assert changing | flagged | reads == verbs.keys() - asks
    assert not (changing | flagged) & reads


def unmapped(page: str, files: tuple[Path, ...]) -> list[str]:
    """Modules of a room that a page doesn't name."""
    return [path.name for path in files if f"`{path.name}`" not in page]


def test_the_map_of_the_verbs_names_every_file() -> None:
    """A newcomer finds where a verb's work is: docs/architecture.md has each file of serving, and knows when one is missing."""
    page = (tree.ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    files = tuple(sorted(p for p in (tree.ROOT / "gemmactl/serving").glob("*.py") if p.name != "__init__.py"))
    assert unmapped(page, files) == []
    assert unmapped(page, (*files, Path("elsewhere.py"))) == ["elsewhere.py"]
