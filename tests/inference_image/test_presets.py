"""Presets: the types of /generate beside the weights or in a deployment, over the built-in ones; refused when they are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_image import contract
from inference_image.contract import Code, LoadFailed
from inference_image.engine.request import Sampling
from inference_image.presets import BUILT_IN, PRESETS, Part, Preset, Presets, Raw, UnknownTypeError, put
from inference_image.presets_file import STOPS_MOST, TEXT_MOST, TYPES_MOST, Document, types_of
from inference_image.settings import Settings
from inference_image.small_files import PRESETS_LIMIT, VARIABLE_LIMIT

HEAD = f"schema: {contract.PRESETS_SCHEMA}\n"
EXAMPLE = """\
schema: gemmactl/presets.v1
default: poem
types:
  poem:
    mode: chat
    system: You write short poems.
    template: "Write a poem about {prompt}."
    stop: ["\\n\\n\\n"]
    max_tokens: 64
    temperature: 0.8
    top_p: 0.95
  turn:
    mode: raw
    template: |-
      <start_of_turn>user
      {prompt}<end_of_turn>
      <start_of_turn>model
  translation:
    max_tokens: 99
  product: null
"""


def read(text: str, below: Presets = BUILT_IN, where: str = contract.PRESETS) -> Presets:
    return Document.parse(text.encode("utf-8", "surrogatepass"), where).over(below)


def detail(text: str, where: str = contract.PRESETS) -> str:
    with pytest.raises(LoadFailed) as failed:
        read(text, where=where)
    failure = failed.value.failure
    assert failure.object == where
    assert failure.code is (Code.SETTING_INVALID if where == contract.ENV_PRESETS else Code.PRESETS_INVALID)
    return failure.detail


def row(**keys: Any) -> str:
    return json.dumps({"schema": contract.PRESETS_SCHEMA, "types": {"x": {"mode": "chat", "template": "{prompt}", **keys}}})


def test_a_document_adds_changes_and_removes_types() -> None:
    """A row with a mode is a whole type, one without changes what is there, null removes; the default is the file's."""
    found = read(EXAMPLE)
    assert list(found.rows) == ["translation", "text", "sql", "poem", "turn"]
    assert found.rows["poem"] == Preset(
        "poem", "chat", "Write a poem about {prompt}.", ("\n\n\n",), 64, "You write short poems.",
        (("temperature", 0.8), ("top_p", 0.95)), origin=contract.PRESETS,
    )  # fmt: skip
    assert found.rows["translation"].template == PRESETS["translation"].template
    assert found.rows["translation"].stops == PRESETS["translation"].stops
    assert found.rows["translation"].max_tokens == 99
    assert found.choose(None, "Question: a Context: b").type == "poem"
    with pytest.raises(UnknownTypeError, match="translation, text, sql, poem, turn"):
        found.choose("product", "x")
    assert set(PRESETS) == {"translation", "text", "product", "sql"}


def test_the_documents_own_example_is_right() -> None:
    """What docs/presets.md shows is read as it says."""
    page = (Path(__file__).parents[2] / "docs" / "presets.md").read_text(encoding="utf-8")
    found = read(page.partition("```yaml\n")[2].partition("```")[0])
    assert list(found.rows) == ["translation", "text", "sql", "summary", "title"]
    assert found.rows["title"].template == "### Text:\n{prompt}\n\n### Title:"
    assert (found.default, found.rows["summary"].stops) == ("summary", ("\n\n",))


def test_json_says_the_same_as_yaml() -> None:
    """A document may be written in either."""
    import yaml

    as_json = json.dumps(yaml.safe_load(EXAMPLE), ensure_ascii=False)
    assert read(as_json) == read(EXAMPLE)
    flow = "{schema: gemmactl/presets.v1, types: {x: {mode: raw, template: 'a {prompt}'}}}"
    assert read(flow).rows["x"].template == "a {prompt}"


def test_the_deployment_wins_over_the_file() -> None:
    """The variable changes what the file made, key by key, and each type says where it comes from."""
    variable = HEAD + "default: text\ntypes:\n  poem: {max_tokens: 5, top_k: 3}\n  sql: null\n"
    found = types_of({contract.PRESETS: EXAMPLE.encode()}, Document.parse(variable.encode(), contract.ENV_PRESETS))
    poem = found.rows["poem"]
    assert (poem.max_tokens, poem.system, dict(poem.sampling)) == (
        5, "You write short poems.", {"temperature": 0.8, "top_p": 0.95, "top_k": 3},
    )  # fmt: skip
    assert found.default == "text"
    assert found.named() == {
        "translation": contract.PRESETS, "text": "built-in", "poem": contract.ENV_PRESETS, "turn": contract.PRESETS,
    }  # fmt: skip
    assert types_of({}, None) is BUILT_IN


def test_without_a_type_the_prompt_decides_unless_a_default_does() -> None:
    """The codelab's question is sql while there is such a type; all else is text."""
    question = "Question: a Context: b"
    assert BUILT_IN.choose(None, question).type == "sql"
    assert read(HEAD + "types: {sql: null}").choose(None, question).type == "text"
    assert read(HEAD + "default: product").choose(None, question).type == "product"
    assert "default is missing" in detail(HEAD + "types: {text: null}")
    assert "there is no type 'poem'" in detail(HEAD + "default: poem")


def test_a_type_of_the_own_name_is_its_own() -> None:
    """A whole new sql type does not take over what the built-in one does to a question; a changed one does."""
    whole = read(HEAD + "types: {sql: {mode: raw, template: 'Q {prompt}'}}").rows["sql"]
    assert put(whole, "Question: a Context: b") == Raw((Part("Q ", trusted=True), Part("Question: a Context: b", trusted=False)))
    changed = read(HEAD + "types: {sql: {max_tokens: 3}}").rows["sql"]
    assert put(changed, "Question: a Context: b") == put(PRESETS["sql"], "Question: a Context: b")


def test_sampling_of_a_type_has_a_temperature_when_it_asks_for_chance() -> None:
    """As a request's does: top_p, top_k or min_p alone mean temperature 1; a penalty alone stays greedy."""
    chances = {
        name: read(row(**{name: value})).rows["x"].chances()
        for name, value in {"top_p": 0.5, "top_k": 7, "min_p": 0.1, "repetition_penalty": 1.2, "temperature": 0}.items()
    }
    assert chances == {
        "top_p": {"temperature": 1.0, "top_p": 0.5},
        "top_k": {"temperature": 1.0, "top_k": 7},
        "min_p": {"temperature": 1.0, "min_p": 0.1},
        "repetition_penalty": {"repetition_penalty": 1.2},
        "temperature": {"temperature": 0},
    }
    for one in chances.values():
        Sampling(**one)


LOLS = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
BAD: dict[str, tuple[str, str]] = {
    "nothing": ("", "no mapping"),
    "a list": ("- a", "no mapping"),
    "no YAML": ("a: [", "line 1: not valid YAML"),
    "two documents": (HEAD + "---\na: 1\n", "not valid YAML"),
    "no schema": ("types: {}", "schema is 'None'"),
    "another schema": ("schema: gemmactl/presets.v9", "schema is 'gemmactl/presets.v9'"),
    "an unknown key": (HEAD + "typs: {}", "'typs' is none of schema, default, types"),
    "types as a list": (HEAD + "types: [a]", "types is no mapping"),
    "types as nothing": (HEAD + "types:", "types is no mapping"),
    "a default that is a number": (HEAD + "default: 3", "default is no name"),
    "too many types": (
        HEAD + "types:\n" + "".join(f"  t{n}: {{mode: raw, template: '{{prompt}}'}}\n" for n in range(TYPES_MOST + 1)),
        "at most 64",
    ),
    "a name with a space": (HEAD + "types: {a b: null}", "type 'a b'"),
    "a name that is too long": (HEAD + f"types: {{{'a' * 65}: null}}", "up to 64"),
    "a name that is a number": (HEAD + "types: {1: null}", "line 2: a key is a text"),
    "a row that is text": (HEAD + "types: {x: chat}", "type x: neither a mapping nor null"),
    "an unknown key of a row": (row(tempature=1), "type x: 'tempature' is none of mode, template"),
    "a mode that is none": (row(mode="tool"), "type x: mode: it is raw or chat"),
    "a mode that is a list": (row(mode=["raw"]), "type x: mode"),
    "no template": (HEAD + "types: {x: {mode: raw}}", "type x: template is missing"),
    "no mode and no such type": (HEAD + "types: {x: {template: '{prompt}'}}", "type x: mode is missing"),
    "a type removed that is none": (HEAD + "types: {x: null}", "type x: null removes"),
    "a template without its place": (row(template="hello"), "type x: template: {prompt} stands in it 0 times"),
    "a template with two places": (row(template="{prompt} {prompt}"), "stands in it 2 times"),
    "a template that is a number": (row(template=3), "type x: template: it is a text"),
    "a template that YAML reads as a switch": (HEAD + "types: {x: {mode: raw, template: yes}}", "put quotes around"),
    "a template that is too long": (row(template="{prompt}" + "x" * TEXT_MOST), f"at most {TEXT_MOST}"),
    "half a sign": (row(template="{prompt}\ud800"), "lone surrogate"),
    "an empty system": (row(system=""), "type x: system: it is a text"),
    "a system with the prompt": (row(system="{prompt}"), "belongs into the template"),
    "a system of a raw type": (row(mode="raw", system="a"), "type x: system: a raw type has no messages"),
    "a stop that is a text": (row(stop="\n"), "type x: stop: it is a list"),
    "too many stops": (row(stop=["a"] * (STOPS_MOST + 1)), "at most 8"),
    "an empty stop": (row(stop=[""]), "type x: stop: it is a text"),
    "a stop that is too long": (row(stop=["a" * 201]), "at most 200"),
    "no tokens": (row(max_tokens=0), "type x: max_tokens: it is a whole number from 1"),
    "a switch as a number": (row(max_tokens=True), "type x: max_tokens"),
    "a part of a token": (row(max_tokens=1.5), "type x: max_tokens"),
    "too hot": (row(temperature=2.1), "type x: temperature: it is a number from 0 to 2"),
    "not a number at all": (row(temperature=float("nan")), "type x: temperature"),
    "infinite in YAML": (HEAD + "types: {x: {mode: raw, template: '{prompt}', top_p: .inf}}", "type x: top_p"),
    "no mass": (row(top_p=0), "type x: top_p: it is a number above 0 and up to 1"),
    "part of a rank": (row(top_k=1.5), "type x: top_k"),
    "more than all": (row(min_p=1.5), "type x: min_p"),
    "a penalty of nothing": (row(repetition_penalty=0), "type x: repetition_penalty"),
    "a key twice, in JSON": (HEAD + 'types: {"x": {"mode": "raw", "mode": "chat"}}', "'mode' stands there twice"),
    "a type twice": (HEAD + "types:\n  x: {mode: raw, template: '{prompt}'}\n  x: null\n", "line 4: 'x' stands there twice"),
    "an anchor": (HEAD + "types: &a {}", "line 2: anchors and aliases"),
    "an alias bomb": ("a0: &a0 [x]\n" + LOLS, "anchors and aliases"),
    "a merge": (HEAD + "types: {x: {<<: {mode: raw}, template: '{prompt}'}}", "not valid YAML"),
    "a tag": (HEAD + "types: !!python/object/apply:os.system ['true']", "tags (!) are not read"),
    "a date": (HEAD + "default: 2026-01-01", "put quotes around '2026-01-01'"),
    "deep": (HEAD + "types: " + "[" * 30_000, "more or deeper"),
    "deep in JSON": ('{"a":' * 9_000, "more or deeper"),
    "wide": (HEAD + "types: [" + "1," * 30_000 + "]", "more or deeper"),
    "a number without end": (HEAD + "default: " + "9" * 5000, "put quotes"),
    "a sign that YAML has not": (HEAD + "default: \x07", "not valid YAML"),
    "a Git LFS pointer": ("version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
}  # fmt: skip


@pytest.mark.parametrize("what", list(BAD))
def test_bad_presets_are_named_by_type_and_key(what: str) -> None:
    """Strict in every key and value; as the variable of a deployment the same is a wrong setting."""
    text, said = BAD[what]
    assert said in detail(text)
    if len(text) < VARIABLE_LIMIT:
        assert said in detail(text, contract.ENV_PRESETS)


BROKEN = st.integers(0, len(EXAMPLE) - 1).map(lambda n: f"{EXAMPLE[:n]}?{EXAMPLE[n + 1 :]}")


@settings(deadline=None, max_examples=25)
@given(st.one_of(st.text(max_size=60), BROKEN))
def test_any_text_is_presets_or_refused(text: str) -> None:
    """Whatever a file holds, it makes types or a refusal with a code; nothing else is raised."""
    try:
        read(text)
    except LoadFailed as failed:
        assert failed.failure.code is Code.PRESETS_INVALID  # noqa: PT017 - both ends are right


def test_both_places_have_a_limit() -> None:
    """A variable of Cloud Run holds 32 KiB, the file 64; bytes that are no text are refused."""
    long = HEAD + "#" * (VARIABLE_LIMIT - len(HEAD))
    assert read(long).rows == PRESETS
    assert "at most 32768" in detail(long + "#", contract.ENV_PRESETS)
    assert "at most 65536" in detail(HEAD + "#" * PRESETS_LIMIT)
    with pytest.raises(LoadFailed, match="UTF-8"):
        Document.parse(b"\xff\xfe", contract.PRESETS)
    with pytest.raises(LoadFailed, match="UTF-8") as failed:
        Settings.from_environ({contract.ENV_MODEL: "m", contract.ENV_PRESETS: "a: \udcff"})
    assert failed.value.failure.code is Code.SETTING_INVALID
