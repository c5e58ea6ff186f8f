"""Import rules that import-linter can't express: standard library only, and imports that must wait inside functions."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

import pytest

from tests.house import tree
from tests.house.tree import Import, within

STANDARD_LIBRARY_ONLY = (
    "inference_image.api_keys",
    "inference_image.adapter_names",
    "inference_image.architecture",
    "inference_image.bases",
    "inference_image.contract",
    "inference_image.families",
    "inference_image.family_rules",
    "inference_image.fields",
    "inference_image.generic_sizes",
    "inference_image.layout",
    "inference_image.published",
    "inference_image.lora",
    "inference_image.overrides",
    "inference_image.pin",
    "inference_image.presets",
    "inference_image.releases",
    "inference_image.reserve",
    "inference_image.shapes",
    "inference_image.small_files",
    "inference_image.tokenizer_file",
    "inference_image.tokenizer_parts",
    "inference_image.vision",
)
"""gemmactl reads these at every start, and the image must be able to fail with a code before anything is installed."""
SHARED = (*STANDARD_LIBRARY_ONLY, "inference_image.chat", "inference_image.plain_yaml", "inference_image.presets_file")
"""What gemmactl may import at its start; chat imports jinja2 in functions, plain_yaml PyYAML."""

LATE = {
    "torch": "seconds of import, and not there without the extra `local`",
    "transformers": "the same",
    "google": "165-200 ms for the first client package",
    "requests": "98 ms",
    "rich": "46 ms, and only a terminal or --help needs it",
    "yaml": "15 ms, and only where the file exists",
    "jinja2": "70-100 ms, and only inspect renders a template",
}
"""Packages that no module of gemmactl's command path imports at its start, with what each would cost."""
EAGER_ROOMS = ("gemmactl.gcp", "gemmactl.sandbox", "gemmactl.client")
"""Rooms that are themselves imported late, by the function that needs them."""


def foreign(found: Iterable[Import]) -> list[str]:
    """Imports of the modules that must stay within the standard library and each other; others of SHARED only at their start."""
    return [
        str(i)
        for i in found
        if (within(i.importer, *STANDARD_LIBRARY_ONLY) or (i.at_start and within(i.importer, *SHARED)))
        and i.target.partition(".")[0] not in sys.stdlib_module_names
        and not within(i.target, *(STANDARD_LIBRARY_ONLY if within(i.importer, *STANDARD_LIBRARY_ONLY) else SHARED))
    ]


def too_early(found: Iterable[Import]) -> list[str]:
    """Heavy packages imported while a module of gemmactl is imported."""
    return [
        str(i)
        for i in found
        if i.at_start and within(i.importer, "gemmactl") and not within(i.importer, *EAGER_ROOMS) and within(i.target, *LATE)
    ]


def started(found: Iterable[Import]) -> list[str]:
    """Engine and server imported while gemmactl.local is imported, not when it is asked to run them."""
    return [
        str(i)
        for i in found
        if i.at_start
        and within(i.importer, "gemmactl")
        and within(i.target, "inference_image")
        and not within(i.target, *SHARED)
        and i.target != "inference_image"
    ]


def wired(found: Iterable[Import]) -> list[str]:
    """Rooms with heavy imports of their own, imported at the start of a module that every command loads."""
    return [
        str(i)
        for i in found
        if i.at_start
        and within(i.importer, "gemmactl")
        and not within(i.importer, *EAGER_ROOMS)
        and within(i.target, "gemmactl.gcp")
    ]


@pytest.mark.parametrize(
    ("rule", "importer", "source"),
    [
        (foreign, "inference_image.layout", "def late():\n    import numpy"),
        (foreign, "inference_image.contract", "from inference_image import engine"),
        (foreign, "inference_image.overrides", "from inference_image import chat"),
        (foreign, "inference_image.chat", "import jinja2"),
        (foreign, "inference_image.presets_file", "import yaml"),
        (foreign, "inference_image.chat", "from inference_image.template import ChatTemplate"),
        (too_early, "gemmactl.commands.deploy", "from google.cloud import run_v2"),
        (too_early, "gemmactl.settings", "try:\n    import yaml\nexcept ImportError:\n    pass"),
        (started, "gemmactl.local.engine", "from inference_image.engine import text"),
        (wired, "gemmactl.commands.plan", "from gemmactl import gcp"),
    ],
    ids=lambda value: value if isinstance(value, str) and "\n" not in value else None,
)
def test_each_rule_can_fail(rule: Callable[[Iterable[Import]], list[str]], importer: str, source: str) -> None:
    """A module that breaks the rule is reported with its line."""
    assert rule(tree.imports(source, importer))


def test_what_runs_late_or_for_types_only_is_not_early() -> None:
    """An import inside a function or under TYPE_CHECKING costs a start nothing."""
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import rich\ndef late():\n    import google.auth\n"
    assert not too_early(tree.imports(source, "gemmactl.settings"))
    assert [i.target for i in tree.imports("from . import cloud\nfrom ..kernel import plan", "gemmactl.resources.bucket")] == [
        "gemmactl.resources.cloud",
        "gemmactl.kernel.plan",
    ]


def test_contract_layout_and_presets_use_the_standard_library_only() -> None:
    """The modules that both sides share run on a bare Python; chat does until it renders."""
    assert not foreign(tree.imports_of("inference_image"))


def test_nothing_heavy_is_imported_at_the_start() -> None:
    """Modules that a command loads before it knows what it needs import nothing heavy."""
    assert not too_early(tree.imports_of("gemmactl"))


def test_the_engine_starts_only_when_asked() -> None:
    """gemmactl.local imports engine and server inside functions: the tool works without the extra `local`."""
    assert not started(tree.imports_of("gemmactl"))


def test_the_gateways_are_imported_when_a_cloud_is_made() -> None:
    """A command that needs no cloud does not pay for the clients."""
    assert not wired(tree.imports_of("gemmactl"))
