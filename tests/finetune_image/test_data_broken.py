"""What is said of data files that can't be trained on: file, line and reason, word for word."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from finetune_image.contract import Code, TuneFailed
from finetune_image.data.problem import KEPT
from finetune_image.data.rows import read, refuse
from finetune_image.run import Data

GOOD = '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}'


def talk(*roles: str) -> str:
    return json.dumps({"messages": [{"role": role, "content": f"t{at}"} for at, role in enumerate(roles)]})


# name of the file, its content, every problem
BROKEN: list[tuple[str, str | bytes, list[str]]] = [
    ("a.jsonl", "", ["a.jsonl:1: the file holds no rows"]),
    ("b.jsonl", f'{GOOD}\n{{"messages" []}}\n', ["b.jsonl:2: not JSON: Expecting ':' delimiter at column 13"]),
    ("c.jsonl", GOOD + "\n" + GOOD[:20] + "\n" + GOOD, ["c.jsonl:2: not JSON: Unterminated string at column 16"]),
    ("d.jsonl", f"{GOOD} {GOOD}\n", ["d.jsonl:1: not JSON: Extra data at column 89"]),
    ("e.jsonl", f'{GOOD}\n["a"]\n"b"\n7\nnull', [
        "e.jsonl:2: a row must be a JSON object, not a list", "e.jsonl:3: a row must be a JSON object, not a text",
        "e.jsonl:4: a row must be a JSON object, not a number", "e.jsonl:5: a row must be a JSON object, not null"]),
    ("f.jsonl", talk("user", "user"), [
        "f.jsonl:1: messages[1] is user, expected assistant (roles must alternate, starting with user)"]),
    ("g.jsonl", talk("assistant", "user"), [
        "g.jsonl:1: messages[0] is assistant, expected user (roles must alternate, starting with user)"]),
    ("h.jsonl", talk("user", "assistant", "system"), [
        "h.jsonl:1: messages[2] is system: a system message can only be the first"]),
    ("i.jsonl", talk("user", "tool"), ["i.jsonl:1: messages[1].role 'tool': use user or assistant"]),
    ("j.jsonl", talk("system"), ["j.jsonl:1: only a system message"]),
    ("k.jsonl", talk("user"), ["k.jsonl:1: last message must be from the assistant (nothing to learn)"]),
    ("l.jsonl", '{"messages": []}\n{"messages": "hello"}\n{"messages": ["hello"]}\n{"messages": [{"content": "a"}]}', [
        "l.jsonl:1: messages must be a non-empty list", "l.jsonl:2: messages must be a non-empty list",
        "l.jsonl:3: messages[0] must be an object with role and content", "l.jsonl:4: messages[0] has no role"]),
    ("m.jsonl", GOOD.replace('"b"', '" \\n"') + "\n" + GOOD.replace('"a"', "null") + "\n" + GOOD.replace('"a"', "7"), [
        "m.jsonl:1: messages[1].content is empty", "m.jsonl:2: messages[0].content is empty",
        "m.jsonl:3: messages[0].content must be a text, not int"]),
    ("n.jsonl", GOOD.replace('"a"', '[{"type": "image", "url": "x"}]'), [
        "n.jsonl:1: messages[0].content holds a part of type 'image'; only text is trained"]),
    ("o.jsonl", GOOD.replace('"a"', '"\\ud83d"'), [
        "o.jsonl:1: half a character: \\ud83d stands alone (a text was cut inside an emoji?)"]),
    ("p.jsonl", f"{GOOD}\n".encode() + b'{"text": "caf\xe9"}\n', ["p.jsonl:2: not UTF-8: byte 0xe9 at position 14 of the line"]),
    ("q.jsonl", GOOD.encode("utf-16"), ["q.jsonl:1: the file is UTF-16; save it as UTF-8"]),
    ("q.xlsx", b"PK\x03\x04 and more", ["q.xlsx:1: the file is a ZIP archive or a spreadsheet: unpack it, or save it as CSV"]),
    ("q.jsonl", "\n<!DOCTYPE html>\n<html>", ["q.jsonl:1: the file is a web page, not data: a download that wanted a login?"]),
    ("q.csv", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n", [
        "q.csv:1: the file is a Git LFS pointer, not the data: git lfs pull"]),
    ("r.jsonl", f'\n{GOOD}\n{{"text": "a"}}\n', ["r.jsonl:3: format text differs from line 2 (messages)"]),
    ("s.jsonl", '{"a": "b", "c": "d"}\n', [
        "s.jsonl:1: no known format: its columns are a, c; name them: --prompt 'Question: {question}' --completion '{answer}'"]),
    ("s.json", '[{"query": "b", "sql": "d"}, {"query": "b", "sql": "d"}]', [
        "s.json:1: no known format: its columns are query, sql; name them: --prompt '{query}' --completion '{sql}'"] * 2),
    ("s.jsonl", '{"version": 1, "data": [{"a": 1}]}', [
        "s.jsonl:1: no known format: its columns are data, version; its rows are inside of data: keep that list alone"]),
    ("t.jsonl", '{\n  "text": "a"\n}\n', [
        "t.jsonl:1: a row goes over several lines: write one row on each line, or a list [...] of rows"]),
    ("u.jsonl", "[" * 100_000, ["u.jsonl:1: not JSON: nested too deeply"]),
    ("v.jsonl", '{"text": "' + "a" * (8 << 20) + '"}', [
        "v.jsonl:1: the line has 8,388,620 characters; at most 8,388,608 are read"]),
    ("w.json", '[\n {"text": "a"},\n {"text": ""},\n {"text": "b"}\n {"text": "c"}\n]', [
        "w.json:3: text is empty", "w.json:5: not JSON: Expecting ',' delimiter at column 2"]),
    ("x.json", '[{"text": "a"}]\n!', ["x.json:2: not JSON: Extra data at column 1"]),
    ("y.csv", 'question,answer\n"a\nb",c\nd\n,e\n', ["y.csv:4: 1 fields, the header has 2", "y.csv:5: empty: column question"]),
    ("z.csv", 'question,answer\na,"b\n', ["z.csv:2: not CSV: unexpected end of data"]),
    ("aa.csv", "a,,b\n1,2,3\n", ["aa.csv:1: column 2 of the header has no name"]),
    ("ab.csv", "a,a\n1,2\n", ["ab.csv:1: the header names a twice"]),
    ("ac.csv", b"text\ncaf\xe9\n", ["ac.csv:2: not UTF-8: byte 0xe9 at position 4 of the line"]),
    ("ad.jsonl", '{"prompt": "a", "completion": ""}\n{"prompt": 1, "completion": "b"}\n{"prompt": [], "completion": []}', [
        "ad.jsonl:1: completion is empty", "ad.jsonl:2: prompt must be a text, not int",
        "ad.jsonl:3: prompt must be a non-empty list"]),
    ("ae.jsonl", '{"instruction": " ", "output": "b"}\n{"instruction": "a", "output": null}', [
        "ae.jsonl:1: instruction is empty", "ae.jsonl:2: output is empty"]),
    ("af.jsonl", '{"conversations": [{"from": "human", "value": "a"}, {"from": "function", "value": "b"}]}', [
        "af.jsonl:1: conversations[1].from 'function': use human or gpt"]),
    ("ag.jsonl.gz", gzip.compress(GOOD.encode(), mtime=0)[:-9], [
        "ag.jsonl.gz:1: the file is no whole gzip: Compressed file ended before the end-of-stream marker was reached"]),
    ("ah.parquet", b"PAR1 nothing", [
        "ah.parquet:1: not Parquet: Parquet magic bytes not found in footer"]),
    ("ai.jsonl", GOOD.replace('"content": "b"', '"tool_calls": []'), [
        "ai.jsonl:1: messages[1] calls a tool; only text is trained"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "told"), BROKEN, ids=[row[0] for row in BROKEN])
def test_each_fault_is_told_with_its_line(name: str, content: str | bytes, told: list[str]) -> None:
    """Every fault of a file comes as file:line: reason, and nothing else does."""
    rows = read(content if isinstance(content, bytes) else content.encode(), Data(), name)
    assert [str(problem) for problem in rows.problems] == told


def test_every_fault_is_counted_and_a_bounded_number_is_kept() -> None:
    """A file of 100,000 broken rows tells the first and how many there are."""
    rows = read(b"{}\n" * 1000, Data())
    assert (rows.problems.count, len(rows.problems.kept), rows.read) == (1000, KEPT, 1000)
    with pytest.raises(TuneFailed) as failed:
        refuse(rows)
    assert failed.value.failure.code is Code.DATA_INVALID
    assert failed.value.failure.where == "data.jsonl:1"
    assert failed.value.failure.detail.endswith("; and 999 more")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (Data(prompt="{question", completion="{answer}"), "data.prompt: a lone { at position 1"),
        (Data(prompt="{question} {}", completion="{answer}"), "data.prompt: {} names no column"),
        (Data(format="template"), "data.prompt: the format template needs a template for the prompt"),
        (Data(format="text", system="Be brief."), "data.system: rows of plain text have no place for a system text"),
    ],
)
def test_a_template_that_can_not_be_is_a_setting(data: Data, told: str) -> None:
    """A template's own fault is told once, as the setting it is, not at each row."""
    with pytest.raises(TuneFailed) as failed:
        read(b'{"question": "a", "answer": "b"}', data)
    assert failed.value.failure.code is Code.SETTINGS_INVALID
    assert f"{failed.value.failure.where}: {failed.value.failure.detail}" == told


def test_a_column_that_is_not_there_is_told_with_the_one_that_was_meant() -> None:
    """A template reaches columns only, never what Python hangs on them."""
    row = b'{"question": "a", "answer": {"b": 1}}'
    told = [
        "data.jsonl:1: no column qestion; did you mean {question}?",
        "data.jsonl:1: no column question.__class__; did you mean {question}?",
        "data.jsonl:1: column answer is a dict; a template takes texts and numbers",
    ]
    templates = ["{qestion}", "{question.__class__}", "{answer}"]
    assert [str(next(iter(read(row, Data(prompt=one)).problems))) for one in templates] == told


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """The one fault that has no line."""
    with pytest.raises(TuneFailed, match=r"data_not_found: none\.jsonl: No such file or directory"):
        read(tmp_path / "none.jsonl", Data())
