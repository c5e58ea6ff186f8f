"""Habits that a linter does not know: docstrings, names, sizes, reasons, nothing of this machine. Each rule is seen to fail."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path

import pytest

from tests.house import tree

LONG: dict[str, str] = {
    "bench/make_sample_model.py": "one recipe, read from top to bottom; half of it is the table of examples",
    "gemmactl/resources/cloud.py": "one page of all that a resource may ask of the cloud, one protocol for each API",
    "inference_image/contract.py": "one page of all that the image promises: variables, routes, files, codes, examples",
    "tests/checkpoint/zoo.py": "a table: one animal, one line; split it and nobody sees what is missing",
    "tests/fakes/cloud.py": "the in-memory cloud is one state behind all protocols of resources/cloud.py",
    "tests/inference_image/test_loading.py": "one subject, faults of a checkpoint; each test writes one and reads one code",
    "tests/sandbox/test_apis.py": "one running world for all control-plane APIs; each test is a few calls",
    "tests/sandbox_data/test_services.py": "one running world with real processes for all of Cloud Run's behaviours",
}
"""Files over 300 lines with the reason why they stay one file."""

VAGUE = {"util", "utils", "helper", "helpers", "common", "manager", "managers", "base", "misc", "stuff", "core"}
OF_THE_FIELD = {"secretmanager"}
"""Names of Google's that end in such a word."""

# written in pieces, so that this file is not its own first finding
MACHINE = re.compile(r"(?:^|[^A-Za-z0-9_.$}])/(?:work|farm|root|ho" + r"me/[a-z]+)/[A-Za-z.]|/tmp/(?:bash" + "_jobs|research)")
REGISTRY = re.compile(
    "|".join(
        ("registry.npm" + "js", "pypi" + r"\.org", "files.python" + "hosted", "deb.deb" + "ian", "/opt/" + "(?:pypi|wheels)")
    )
)

UNEXPLAINED = re.compile(r"#\s*noqa(?::\s*[A-Z0-9, ]+)?\s*$")
UNTYPED = re.compile(r"#\s*type:\s*ignore(?:\[[\w, -]+\])?\s*$")
UNFINISHED = re.compile(r"\b(?:TO" + "DO|FIX" + "ME|XX" + r"X|HA" + r"CK)\b|NotImplemented" + "Error")


def lines(pattern: re.Pattern[str], source: str) -> list[int]:
    """Numbers of the lines that match."""
    return [number for number, line in enumerate(source.splitlines(), 1) if pattern.search(line)]


parsed = lru_cache(maxsize=1)(ast.parse)
"""Several rules look at one source in turn; all trees at once would be half a gigabyte."""


def patches(source: str) -> list[int]:
    """Lines that ask for pytest's or unittest's way to replace parts of the code under test."""
    found = []
    for node in ast.walk(parsed(source)):
        named = (
            (isinstance(node, ast.arg) and node.arg in {"monkeypatch", "mocker"})
            or (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0:2] in (["unittest", "mock"], ["mock"]))
            or (isinstance(node, ast.ImportFrom) and node.module == "unittest" and any(n.name == "mock" for n in node.names))
            or (isinstance(node, ast.Import) and any(n.name in {"mock", "unittest.mock"} for n in node.names))
            or (isinstance(node, ast.Attribute) and node.attr == "MonkeyPatch")
        )
        if named:
            found.append(getattr(node, "lineno", 0))
    return found


def silent_tests(source: str) -> list[str]:
    """Tests without a docstring."""
    return [
        node.name
        for node in ast.walk(parsed(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]


def unintroduced(source: str) -> list[str]:
    """A module that has code but no first line saying what it owns."""
    module = parsed(source)
    return ["module"] if module.body and not ast.get_docstring(module) else []


def vague(source: str, name: str = "") -> list[str]:
    """Names of modules, classes and functions that say nothing: the whole of it, or its last word, stands for anything."""
    named = [name] + [n.name for n in ast.walk(parsed(source)) if isinstance(n, ast.ClassDef | ast.FunctionDef)]
    last = {n: re.sub(r"(?<=[a-z])(?=[A-Z])", "_", n).lower().strip("_").rsplit("_", 1)[-1] for n in named}
    return [n for n in named if last[n] in VAGUE and re.sub("[^a-z]", "", n.lower()) not in OF_THE_FIELD]


RULES: tuple[tuple[str, Callable[[str], list[object]], str], ...] = (
    ("patches", patches, "def test_x(monkeypatch):\n    ..."),
    ("patches", patches, "from unittest.mock import patch"),
    ("patches", patches, "import unittest.mock"),
    ("silent tests", silent_tests, "async def test_x():\n    assert True"),
    ("unintroduced", unintroduced, "x = 1"),
    ("vague", vague, "class ConnectionManager:\n    pass"),
    ("vague", vague, "def upload_helper():\n    pass"),
    ("machine paths", lambda s: lines(MACHINE, s), "see /ho" + "me/ann/x"),
    ("machine paths", lambda s: lines(MACHINE, s), "/ro" + "ot/.cache"),
    ("registries", lambda s: lines(REGISTRY, s), "https://pypi" + ".org/simple"),
    ("unexplained exceptions", lambda s: lines(UNEXPLAINED, s), "x = 1  # noqa" + ": E501"),
    ("unexplained exceptions", lambda s: lines(UNEXPLAINED, s), "x = 1  # no" + "qa"),
    ("unexplained exceptions", lambda s: lines(UNTYPED, s), "x = 1  # type: " + "ignore[arg-type]"),
    ("unfinished", lambda s: lines(UNFINISHED, s), "# TO" + "DO later"),
)


@pytest.mark.parametrize(("rule", "source"), [(rule, source) for _, rule, source in RULES], ids=[name for name, _, _ in RULES])
def test_each_rule_can_fail(rule: Callable[[str], list[object]], source: str) -> None:
    """A source that breaks the rule is found."""
    assert rule(source)


def test_what_the_rules_allow() -> None:
    """An exception with its reason, a web path and a container's path are no findings."""
    assert not lines(UNEXPLAINED, "x = 1  # noqa: E501 - a table")
    assert not lines(UNTYPED, "y = 2  # type: ignore[arg-type]  # the client is untyped")
    assert not lines(MACHINE, "gs://bucket/wo" + "rk/x  https://a.b/ro" + "ot/x  /workspace/x  ${HOME}/wo" + "rk/x")
    assert not patches("def test_x(mock_cloud):\n    import mocks")


def found_in(paths: tuple[Path, ...], rule: Callable[[str], list[object]]) -> list[str]:
    """`path: finding` over the text files."""
    return [
        f"{tree.relative(path)}: {finding}"
        for path in paths
        if (source := tree.text(path)) is not None
        for finding in rule(source)
    ]


@cache
def of_the_syntax() -> dict[str, list[str]]:
    """The findings of each rule that reads a module's syntax: every module is parsed once for all of them."""
    tests, packages = set(tree.python("tests")), set(tree.python(*tree.PACKAGES))
    found: dict[str, list[str]] = {"patches": [], "silent tests": [], "unintroduced": [], "vague": []}
    for path in tree.python():
        found["unintroduced"] += found_in((path,), unintroduced)
        found["patches"] += found_in((path,) if path in tests else (), patches)
        found["silent tests"] += found_in((path,) if path in tests else (), silent_tests)
        found["vague"] += found_in((path,) if path in packages else (), lambda source, name=path.stem: vague(source, name))
    return found


def test_tests_pass_fakes_and_patch_nothing() -> None:
    """A test that replaces part of the code under test does not test that code."""
    assert not of_the_syntax()["patches"]


def test_every_test_says_what_it_proves() -> None:
    """The docstring states the behaviour: it is what a reader of a failure sees first."""
    assert not of_the_syntax()["silent tests"]


def test_every_module_says_what_it_owns() -> None:
    """The first line of a module with code is its docstring."""
    assert not of_the_syntax()["unintroduced"]


def test_names_come_from_the_field() -> None:
    """No module, class or function is named for being of use."""
    assert not of_the_syntax()["vague"]


def test_files_are_one_idea_long() -> None:
    """At most 300 lines, or a reason in LONG; a reason that is no longer needed goes."""
    sizes = {tree.relative(p): len(p.read_text().splitlines()) for p in tree.python()}
    assert {name: size for name, size in sizes.items() if size > 300 and name not in LONG} == {}
    assert {name for name in LONG if sizes.get(name, 0) <= 300} == set()


def test_no_file_names_a_machine_or_a_registry() -> None:
    """What is written here is true on any machine."""
    texts = tree.files()
    assert not found_in(texts, lambda s: lines(MACHINE, s))
    assert not found_in(texts, lambda s: lines(REGISTRY, s))


def test_every_exception_carries_its_reason() -> None:
    """`noqa` names rule and reason; `type: ignore` is followed by why."""
    assert not found_in(tree.python(), lambda s: lines(UNEXPLAINED, s))
    assert not found_in(tree.python(*tree.PACKAGES), lambda s: lines(UNTYPED, s))  # mypy does not read the tests


def test_nothing_is_left_for_later() -> None:
    """No marker of unfinished work and no function that only refuses."""
    assert not found_in(tree.python(), lambda s: lines(UNFINISHED, s))
