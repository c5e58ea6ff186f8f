"""Every form that rows come in leaves as one of three; what is there twice; who is held out."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetune_image.data.forms import CODELAB
from finetune_image.data.order import permutation
from finetune_image.data.rows import Rows, key, read
from finetune_image.data.split import MOST_HELD_OUT, Split, load, split
from finetune_image.run import Data

TALK = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
SQL = {"question": "How many?", "context": "CREATE TABLE t (a INT)", "answer": "SELECT count(*) FROM t"}


def of(*rows: dict[str, Any], data: Data | None = None) -> Rows:
    found = read("\n".join(map(json.dumps, rows)).encode(), data or Data())
    assert not list(found.problems)
    return found


@pytest.mark.parametrize(
    ("given", "form", "made"),
    [
        (TALK, "messages", TALK),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "model", "content": "b"}], "id": 7}, "messages", TALK),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}, TALK["messages"][1]]}, "messages", TALK),
        ({"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}, "sharegpt", TALK),
        ({"conversations": TALK["messages"]}, "sharegpt", TALK),
        ({"prompt": "a", "completion": "b", "n": 1}, "prompt-completion", {"prompt": "a", "completion": "b"}),
        (
            {"prompt": TALK["messages"][:1], "completion": TALK["messages"][1:]},
            "prompt-completion",
            {"prompt": TALK["messages"][:1], "completion": TALK["messages"][1:]},
        ),
        ({"instruction": "a", "input": "", "output": "b"}, "alpaca", {"prompt": "a\n\n", "completion": "b"}),
        ({"instruction": "a", "input": "c", "response": "b"}, "alpaca", {"prompt": "a\n\nc\n\n", "completion": "b"}),
        ({"text": "a b"}, "text", {"text": "a b"}),
    ],
)
def test_each_form_becomes_one_of_three(given: dict[str, Any], form: str, made: dict[str, Any]) -> None:
    """Messages of any style, prompt and completion, or text."""
    found = of(given)
    assert (found.format, found.rows) == (form, [made])


def test_a_system_text_stays_the_first_message() -> None:
    """From the row's own messages, from a column of that name, or from the template: the row's own wins."""
    system = {"role": "system", "content": "Be brief."}
    own = {"messages": [system, *TALK["messages"]]}
    assert of(own, data=Data(system="Be long.")).rows == [own]
    assert of(TALK, data=Data(system="Be brief.")).rows == [own]
    assert of({**TALK, "system": "Be brief."}).rows == [own]
    made = {"prompt": [system, {"role": "user", "content": "a"}], "completion": [{"role": "assistant", "content": "b"}]}
    assert of({"prompt": "a", "completion": "b"}, data=Data(system="Be brief.")).rows == [made]


def test_the_codelab_form() -> None:
    """The codelab's template alone gives its text, letter for letter; its columns alone give the same letters in two parts."""
    text = CODELAB.format(**SQL)
    assert of(SQL, data=Data(prompt=CODELAB)).rows == [{"text": text}]
    assert of(SQL, data=Data(prompt=CODELAB.replace("\n", r"\n"))).rows == [{"text": text}]
    found = of(SQL)
    assert found.rows[0]["prompt"] + found.rows[0]["completion"] == text
    assert found.rows[0]["completion"] == " " + SQL["answer"]
    assert "--completion ' {answer}'" in found.notes[0]
    assert of({"question": "a", "answer": "b"}).rows == [{"prompt": "Question: a\nAnswer:", "completion": " b"}]


def test_templates() -> None:
    """Numbers become text, nothing becomes nothing, doubled braces are braces."""
    data = Data(prompt="{{{a}}} {b c}{n}", completion="{y}")
    assert of({"a": 1, "b c": "x", "n": None, "y": True}, data=data).rows == [{"prompt": "{1} x", "completion": "True"}]


def _csv(rows: list[dict[str, str]], **options: str) -> bytes:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, rows[0].keys(), **options)  # type: ignore[arg-type]
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


def _parquet(rows: list[dict[str, str]]) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    file = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows), file)
    return file.getvalue()


ROWS = [{"prompt": 'a "1"\r\n€', "completion": "x"}, {"prompt": "b", "completion": "y,;\tz"}]


@pytest.mark.parametrize(
    ("name", "content", "lines"),
    [
        ("a.jsonl", b"\xef\xbb\xbf" + "\r\n\r\n".join(map(json.dumps, ROWS)).encode() + b"\r\n\n", [1, 3]),
        ("a.jsonl", "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS).encode(), [1, 2]),
        ("a.json", json.dumps(ROWS, indent=1).encode(), [2, 6]),
        ("a.json", json.dumps(ROWS).encode(), [1, 1]),
        ("a.csv", _csv(ROWS), [2, 4]),
        ("a.csv", _csv(ROWS, delimiter=";"), [2, 4]),
        ("a.tsv", _csv(ROWS, delimiter="\t"), [2, 4]),
        ("a.parquet", _parquet(ROWS), [1, 2]),
        ("a.csv.gz", gzip.compress(_csv(ROWS), mtime=0), [2, 4]),
        ("a", gzip.compress("\n".join(map(json.dumps, ROWS)).encode(), mtime=0), [1, 2]),
    ],
)
def test_each_kind_of_file_holds_the_same_rows(name: str, content: bytes, lines: list[int], tmp_path: Path) -> None:
    """Rows, and the line where each begins, whatever the file is written as."""
    path = tmp_path / name
    path.write_bytes(content)
    found = read(path, Data())
    assert (found.rows, found.lines, found.file) == (ROWS, lines, name)


def test_what_is_there_twice() -> None:
    """The same row is a duplicate however it is written; the same question with another answer is a conflict."""
    other = {"messages": [TALK["messages"][0], {"role": "assistant", "content": "c"}]}
    model = {"messages": [{"role": "user", "content": "a"}, {"content": "b", "role": "model"}]}
    found = of(TALK, other, model, other, {**TALK, "id": 1})
    assert [str(one) for one in found.duplicates] == [
        "data.jsonl:3: the same as line 1",
        "data.jsonl:4: the same as line 2",
        "data.jsonl:5: the same as line 1",
    ]
    assert [str(one) for one in found.conflicts] == ["data.jsonl:2: asks what line 1 asks and answers otherwise"]
    assert len(found.rows) == 5


def test_control_tokens_in_a_text_are_told() -> None:
    """However the file spells them; a whole text may be written with them on purpose."""
    found = read(b'{"prompt": "a", "completion": "b"}\n{"prompt": "\\u003cstart_of_turn>user", "completion": "b"}', Data())
    assert [str(one) for one in found.control] == [
        "data.jsonl:2: prompt holds <start_of_turn>: the model reads it as the control token, not as text"
    ]
    assert not of({"text": "<start_of_turn>user\na<end_of_turn>"}).control


@pytest.mark.parametrize("seed", [0, 1, 42, 2**32 - 1, 2**40 + 7, 2**130 + 9])
def test_the_order_of_a_seed_is_numpys(seed: int) -> None:
    """So the rows that the codelab's shuffle(seed=42) chooses are chosen without numpy."""
    for count in (0, 1, 2, 10, 3000):
        assert permutation(seed, count) == np.random.default_rng(seed).permutation(count).tolist()


def numbered(count: int, data: Data, own: Rows | None = None) -> tuple[list[int], list[int], Split]:
    made = split(of(*({"text": f"t{at}"} for at in range(count))), data, own)
    train, held = ([int(row["text"][1:]) for row in rows] for rows in (made.train, made.eval))
    return train, held, made


def test_a_limit_chooses_as_the_codelab_does() -> None:
    """dataset.shuffle(seed=42).select(range(limit)): those rows, in that order."""
    train, held, made = numbered(50, Data(limit=10, eval=0.0))
    assert train == np.random.default_rng(42).permutation(50)[:10].tolist()
    assert (held, made.notes) == ([], ("10 of 50 rows, chosen with seed 42",))
    assert numbered(5, Data(limit=10, eval=0.0))[0] == [0, 1, 2, 3, 4]


def test_a_share_is_held_out() -> None:
    """The same rows each time, at most MOST_HELD_OUT, and never the last one to train."""
    train, held, _ = numbered(100, Data(eval=0.05))
    assert (len(held), sorted(train + held)) == (5, list(range(100)))
    assert numbered(100, Data(eval=0.05))[1] == held != numbered(100, Data(eval=0.05, shuffle_seed=7))[1]
    assert len(numbered(5000, Data(eval=0.2))[1]) == MOST_HELD_OUT
    train, held, made = numbered(4, Data(eval=0.05))
    assert (train, held) == ([0, 1, 2, 3], [])
    assert made.notes == ("too few rows to hold any out: 0.05 of 4 is less than one",)
    assert numbered(2, Data(eval=0.99))[0]


def test_what_is_held_out_is_never_trained(tmp_path: Path) -> None:
    """A row that stands twice is on one side, with a share and with a file of held-out rows."""
    rows = [{"text": f"t{at % 10}"} for at in range(40)]
    made = split(of(*rows), Data(eval=0.1))
    assert not {key(row) for row in made.train} & {key(row) for row in made.eval}
    assert (len(made.eval), len(made.train)) == (4, 24)
    assert made.notes == ("12 rows are not trained: they say the same as held-out ones",)
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "eval.jsonl").write_text('{"text": "t3"}\n{"text": "new"}')
    own = load(tmp_path / "train.jsonl", Data(eval="eval.jsonl"), tmp_path / "eval.jsonl")
    assert (len(own.train), [row["text"] for row in own.eval]) == (36, ["t3", "new"])
    assert own.notes == ("4 rows are not trained: they say the same as held-out ones",)
