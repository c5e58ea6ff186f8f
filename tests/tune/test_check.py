"""finetune check on the command line's own path: what it shows, what it documents, how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gemmactl.app import main

ROW = '{"prompt": "a", "completion": "b"}\n'


def run(folder: Path, *argv: str) -> int:
    return main(["finetune", "check", *argv], {"HOME": str(folder), "PATH": ""}, folder)


def test_faults_end_it_with_4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each by file and line, of the data and of the held-out rows; twenty on the screen, and how many more."""
    (tmp_path / "a.jsonl").write_text(ROW + "{}\n" * 30 + ROW)
    (tmp_path / "own.csv").write_text("prompt,completion\na\n")
    assert run(tmp_path, "a.jsonl", "--eval", "own.csv") == 4
    shown = capsys.readouterr().out
    assert "! 30 rows can't be used" in shown
    assert "a.jsonl:2: no column prompt; there are none" in shown
    assert "and 10 more" in shown
    assert "own.csv:2: 1 fields, the header has 2" in shown


def test_the_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Counts, and the first of each kind with its place."""
    (tmp_path / "a.jsonl").write_text(ROW + ROW + ROW.replace('"b"', '"c"') + ROW.replace('"a"', '"<bos>"'))
    assert run(tmp_path, "a.jsonl", "--format", "json", "--eval", "0") == 0
    made = json.loads(capsys.readouterr().out)
    assert made["verb"] == "finetune check"
    data = made["data"]
    assert data["rows"] == {"read": 4, "usable": 4, "trained": 4, "held_out": 0}
    assert data["duplicates"] == {"count": 1, "first": [{"file": "a.jsonl", "line": 2, "reason": "the same as line 1"}]}
    assert (data["conflicts"]["count"], data["control"]["count"], data["problems"]) == (1, 1, {"count": 0, "first": []})
