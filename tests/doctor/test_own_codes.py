"""Every code that gemmactl prints is explained: the set is read from its source, so a new code without a meaning fails here."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Final

import pytest

from finetune_image import contract as tuning
from gemmactl import resources
from gemmactl.doctor.own_codes import meanings, other_names
from gemmactl.doctor.rows import all_rows
from gemmactl.gcp import errors as google
from gemmactl.kernel.resource import Resource
from gemmactl.serving.knowledge import explained, listed
from inference_image import contract, lora
from tests.doctor.printed_codes import said

ROOT: Final = Path(__file__).parents[2]


def kinds(of: type[Resource] = Resource) -> set[str]:
    """Kinds of resources of a stack."""
    below = {kind for sub in of.__subclasses__() for kind in kinds(sub)}
    own = of.__dict__.get("kind")
    return below | ({own} if isinstance(own, str) and of.__module__.startswith("gemmactl.") else set())


def words(path: str, target: str, at: int) -> set[str]:
    """Codes that a function of `gemmactl/PATH` puts into a variable together with others: `code, what = "a", ...`."""
    tree = ast.parse((ROOT / "gemmactl" / path).read_text(encoding="utf-8"))
    found = {
        value.elts[at]
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(value := node.value, ast.Tuple)
        if ast.unparse(node.targets[0]).strip("()") == target
    }
    return {one.value for one in found if isinstance(one, ast.Constant)}


def problems() -> set[str]:
    """What is wrong with an adapter, as the image's own look calls it."""
    tree = ast.parse(inspect.getsource(lora))
    calls = (n.args[0] for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) == "Problem")
    odd = next(n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == "_odd")
    pairs = (n.elts[0] for n in ast.walk(odd) if isinstance(n, ast.Tuple) and len(n.elts) == 2)
    return {one.value for one in (*calls, *pairs) if isinstance(one, ast.Constant) and isinstance(one.value, str)}


def by_google() -> set[str]:
    return {"unavailable", *(words[0] for table in (google.BY_STATUS, google.BY_REASON) for words in table.values())}


def differing() -> set[str]:
    for module in iter_modules(resources.__path__, f"{resources.__name__}."):
        import_module(module.name)
    # an API and a binding have findings of their own
    named = {kind.replace("_", "-") for kind in kinds() - {"apis", "iam_member"}}
    return {f"{how}-{kind}" for how in ("missing", "differs") for kind in named}


def of(codes: Iterable[Any], before: str = "") -> set[str]:
    return {f"{before}{code}".replace("_", "-") for code in codes}


READ: Final[dict[tuple[str, str], set[str]]] = {
    ("checkpoint/adapter.py", "f'adapter-{code}'"): of(problems(), "adapter-"),
    ("checkpoint/completeness.py", "code"): words("checkpoint/completeness.py", "code, what, remedy", 0),
    ("checkpoint/inspect.py", "first.code"): set(),
    ("checkpoint/ledger.py", "code"): of(contract.Code),
    ("checkpoint/too_large.py", "code"): words("checkpoint/too_large.py", "what, code", 1),
    ("checkpoint/whereabouts.py", "code"): {"wrong-folder", "config-missing"},
    ("checkpoint/whereabouts.py", "f'{form.key}-only'"): {"adapter-only", "gguf-only"},
    ("doctor/checkpoint.py", "f'model-{one.code}'"): set(),
    ("doctor/checks/quota.py", "code"): {"gpu-quota-none", "gpu-quota-small", "gpu-quota-in-use", "cpu-quota", "memory-quota"},
    ("doctor/checks/shape.py", "f'{what}-illegal'"): {"service-illegal", "job-illegal"},
    ("doctor/live.py", "f\"{('missing' if step.op is Op.CREATE else 'differs')}-{wanted.kind.replace('_', '-')}\""): differing(),
    ("doctor/row.py", "row.code"): of(row.code for row in all_rows()),
    ("errors.py", "code"): {"usage", "failure"},
    ("gcp/errors.py", "code"): by_google(),
    ("local/engine.py", "str(error.code)"): of(contract.RequestCode),
    ("resources/dry_run.py", "f'{kind}-illegal'"): {"service-illegal", "job-illegal"},
    ("resources/dry_run.py", "f'{kind}-refused'"): {"service-refused", "job-refused"},
    ("serving/explain.py", "finding.code"): set(),
    ("serving/gate.py", "look.code if look else found[0].code"): set(),
    ("serving/grounding.py", "short.code"): set(),
    ("serving/knowledge.py", "row.code"): set(),
    ("serving/log_filter.py", "f\"{flag.removeprefix('--')}-illegal\""): {"since-illegal", "until-illegal"},
    ("serving/preflight.py", "trouble.code"): set(),
    ("serving/regions.py", "trouble.code"): set(),
    ("serving/yaml_checks.py", "trouble.code"): set(),
    ("tune/base_model.py", "first.code"): set(),
    ("tune/failing.py", "code"): of(tuning.Code, "finetune-"),
}
"""(file, expression) -> what it can be, where the call alone does not say it; empty: the code of another error is handed on."""


@cache
def printed() -> set[str]:
    return {text for one in said() for text in one.texts or READ[one.where, one.code]}


def test_every_call_that_makes_a_code_up_is_known() -> None:
    """No more and no fewer than the table names, so that a new one is looked at."""
    assert {(one.where, one.code) for one in said() if one.texts is None} == set(READ)


def test_each_code_that_is_printed_is_explained() -> None:
    """An error's, a check's, a finding's, the server's: more than 300, and --explain has a remedy for each."""
    codes = printed()
    known = {row.code for row in all_rows()} | {one.code for group in meanings().values() for one in group}
    assert sorted(code for code in codes if not known & set(other_names(code))) == []
    assert len(codes) > 300


def test_nothing_is_explained_that_is_never_printed() -> None:
    """A meaning whose code went away is taken out."""
    codes = printed()
    assert sorted(one.code for group in meanings().values() for one in group if one.code not in codes) == []


def test_each_meaning_is_told_once() -> None:
    """Once in its group; title and remedy are there, and the list names it, unless a known failure has that code."""
    every = [one for group in meanings().values() for one in group]
    assert all(len({one.code for one in group}) == len(group) for group in meanings().values())
    assert all(one.title and not one.title.endswith(".") and one.remedy.endswith((".", "...")) for one in every)
    rows = {row.code for row in all_rows()}
    assert {one["code"] for one in listed().data["own"]} == {one.code for one in every} - rows


def test_a_code_of_two_things_is_told_of_both() -> None:
    """`keys-missing`: of API keys, and of a model's tensors."""
    assert len(explained("keys-missing").data["own"]) == 2


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("flags-contradict", "flags-contradict"),
        ("model-wrong-folder", "wrong-folder"),
        ("model-host-memory", "host-memory"),
        ("model_not_found", "model-not-found"),
        ("keys-missing", "keys-missing"),
        ("config_invalid", "load-config-invalid"),
        ("out_of_memory", "finetune-out-of-memory"),
        ("missing-bucket", "missing-bucket"),
        ("QUEUE_FULL", "queue-full"),
    ],
)
def test_a_code_is_found_as_it_was_printed(code: str, found: str) -> None:
    """With a hyphen or an underscore, with the word that doctor puts before it or without."""
    assert explained(code).data["code"] == found
