"""What doctor knows, listed and explained; and its honest end on a text that it does not know."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gemmactl.doctor.alarm import quiet, reports_failure
from gemmactl.doctor.diagnose import flattened
from gemmactl.doctor.nearest import nearest
from gemmactl.doctor.rows import all_rows
from gemmactl.errors import Exit, Trouble
from gemmactl.result import Item, Line
from gemmactl.serving.findings import from_log
from gemmactl.serving.knowledge import explained, listed, unrecognised
from gemmactl.settings import load

DATA = Path(__file__).parent / "data"


def test_the_list_has_every_code_once() -> None:
    """--list names each known failure once, with its category."""
    rows = listed().data["rows"]
    assert [row["code"] for row in rows] == sorted({row.code for row in all_rows()})
    assert all(row["category"] and row["title"] for row in rows)


def test_each_code_is_explained() -> None:
    """--explain gives cause and remedy of every code that --list names."""
    found = {row.code: explained(row.code) for row in all_rows()}
    assert [code for code, one in found.items() if one.exit is not Exit.OK] == []
    assert [code for code, one in found.items() if not all(row["cause"] and row["remedy"] for row in one.data["rows"])] == []


def test_an_unknown_code_names_the_closest() -> None:
    """A misspelled code is refused with the one that was meant."""
    with pytest.raises(Trouble, match="knows no failure") as caught:
        explained("probe-failled")
    assert "probe-failed" in caught.value.why
    assert caught.value.exit is Exit.USAGE


def test_an_unknown_text_ends_honestly(tmp_path: Path) -> None:
    """A failure that no row knows: exit 1 and an empty list for machines; the nearest families and what to collect."""
    log = tmp_path / "log"
    log.write_text("FATAL: the tokenizer of this model was melted while the checkpoint was saved\n", encoding="utf-8")
    result = from_log(log, load({}, tmp_path, tmp_path), None, None)
    document = result.document()
    assert (document["schema"], document["findings"], document["exit"]) == ("gemmactl/doctor.v1", [], 1)
    assert document["failure"]
    assert document["nearest"]
    assert document["collect"]
    heads = [block.head if isinstance(block, Item) else block.text for block in result.blocks if isinstance(block, Item | Line)]
    assert heads[0].startswith("not recognised")
    assert any("nearest" in head for head in heads)


@pytest.mark.parametrize(
    "text",
    [
        "Done. Service [gemma] revision [gemma-00002-abc] has been deployed and is serving 100 percent of traffic.",
        "INFO 14 files uploaded, 0 errors, failed: 0",
        "INFO:     Uvicorn running on http://0.0.0.0:8080 (Press CTRL+C to quit)",
        "WARNING: if the deploy fails, look at the log",
        "エラーはまだ出ていません。",
    ],
)
def test_a_harmless_text_is_told_apart(tmp_path: Path, text: str) -> None:
    """Nothing wrong found: exit 0, an empty list, and no advice that a failure would need."""
    log = tmp_path / "log"
    log.write_text(text, encoding="utf-8")
    result = from_log(log, load({}, tmp_path, tmp_path), None, None)
    assert (result.exit, result.data["findings"], result.data["failure"]) == (0, [], False)
    (line,) = result.blocks
    assert isinstance(line, Line)
    assert line.text.startswith("nothing wrong found")


@pytest.mark.parametrize(
    "text",
    [
        "frob: 오류가 발생했습니다",
        "frob: falha ao abrir",
        "Frob fehlgeschlagen",
        "frob exited with code 3",
        "FrobError: no frob",
        "x" * 10**6 + " frob denied",
    ],
)
def test_a_failure_is_heard_in_other_tongues(text: str) -> None:
    """Words of failure, codes and exception names; in a long text at its end too."""
    assert reports_failure(flattened(text))


def test_nearly_every_harmless_text_is_told_as_one() -> None:
    """Of all texts without an answer at least 90 % end as nothing wrong; the rest are failures of other tools."""
    texts = [json.loads(line) for file in DATA.glob("*.jsonl") for line in file.read_text(encoding="utf-8").splitlines()]
    harmless = [text["raw"] for text in texts if text.get("category") in (None, "", "negative")]
    alarming = [text for text in harmless if reports_failure(flattened(quiet(text)))]
    assert len(alarming) <= 0.1 * len(harmless), alarming


@pytest.mark.parametrize(
    "text",
    [
        "WARNING: Could not load the library libfrob.so, falling back to the slow one",
        "/app/frob.py:3: DeprecationWarning: frob failed to be new; use frob2",
        '{"severity":"INFO","message":"could not find a cache, starting without"}',
        "-- Looking for frob.h - not found\nfrob failed, trying the next\nSTATUS: SUCCESS",
        "W0000 00:00:1.2 1 frob.cc:8] Unable to open the cache",
    ],
)
def test_a_level_that_a_line_gives_itself_is_believed(text: str) -> None:
    """Info, warnings, deprecations and what a success at the end has survived alarm nobody."""
    assert not reports_failure(flattened(quiet(text)))


@pytest.mark.parametrize(
    "text",
    [
        "WARNING: frob was denied",
        "INFO: frob exited with code 1",
        'INFO:     10.0.0.1:1 - "POST /generate HTTP/1.1" 500 Internal Server Error',
        "INFO frob: FrobError: melted",
        "STATUS: SUCCESS\nfrob failed",
        "Traceback (most recent call last):\n  frob\nSTATUS: SUCCESS",
        '{"severity":"INFO","message":"ok"}\nfrob failed',
    ],
)
def test_a_hard_word_is_heard_at_every_level(text: str) -> None:
    """A refusal, an exit, a server error at a mild level; and whatever comes after a success."""
    assert reports_failure(flattened(quiet(text)))


def test_nearest_needs_more_than_one_word() -> None:
    """One word that happens to occur in a row names nothing; the rows that share most come first."""
    assert nearest("container") == ()
    assert nearest("") == ()
    assert nearest("the shard of the tokenizer is missing beside the model")[0].category == "model"
    assert len(unrecognised("container")) == 2


def test_findings_stand_at_the_top_of_the_document(tmp_path: Path) -> None:
    """`--format json` is gemmactl/doctor.v1 with its findings beside the envelope's fields."""
    log = tmp_path / "log"
    log.write_text("torch.OutOfMemoryError: CUDA out of memory.", encoding="utf-8")
    document = from_log(log, load({}, tmp_path, tmp_path), None, None).document()
    assert document["schema"] == "gemmactl/doctor.v1"
    assert [finding["code"] for finding in document["findings"]] == ["cuda-memory"]
    assert "data" not in document


@pytest.mark.parametrize("code", ["missing-grant", "caller-lacks-permission", "two-logins", "open-to-all", "missing-service"])
def test_what_only_live_checks_find_is_explained(code: str) -> None:
    """Their codes are on the screen: --explain knows them although no text leads to them."""
    (row,) = explained(code).data["rows"]
    assert row["cause"]
    assert row["remedy"]
