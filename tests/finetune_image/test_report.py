"""The report: figures, answers and curve as a reader sees them, and text from outside that stays text."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from dataclasses import replace
from typing import Any

import pytest

from finetune_image.figures import Answer, Ended, Figures
from finetune_image.lineage import fingerprint, lineage, versions
from finetune_image.manifest import record_of
from finetune_image.report import curve, markdown, plain
from finetune_image.run import File, Run, parse

RUN = Run(
    "0123456789ab", "0123456789ab" + "0" * 52, parse({"name": "sql", "data": {"system": "Say ``` <b>SQL</b>"}}), "gs://b",
    File("gs://b/gemmactl/data/x/sql.jsonl", "f" * 64, 1200), base="b" * 64, made_by="gemmactl 9",
)  # fmt: skip
FIGURES = Figures(
    Ended.PATIENCE, 60, 100, loss=0.8, baseline=2.0, curve=((1, 2.1), (50, 1.0), (100, 0.7)), held_out=((50, 0.9), (100, 0.95)),
    before=(Answer("How many?", "SELECT 1", "I don't know"),), after=(Answer("How many?", "SELECT 1", " SELECT 1\n"),),
    attempts=2, seconds=3725, usd=1.234, stats={"tokens_per_s": 1500, "device": "cpu", "unknown": None},
)  # fmt: skip


def report(figures: Figures = FIGURES, **more: Any) -> str:
    prints = fingerprint("a" * 64, {"model.safetensors": record_of(b"weights")})
    return markdown(figures, lineage(RUN, {"torch": "2.13.0"}), prints, **more)


def test_the_report_says_what_was_measured() -> None:
    """Figures, the answers side by side, settings, where everything came from, fingerprints, the licence."""
    text = report(merged_loss=0.801, picture=True)
    for line in (
        "# sql, run `0123456789ab`", "| steps | 60 of 100 |", "| held-out loss of the adapter | 0.8000 (-60%) |",
        "| held-out loss of the merged weights | 0.8010 |", "| exact answers of the tuned model | 1 of 1 shown below |",
        "| exact answers of the base | 0 of 1 shown below |", "| time until the result | 1 h 2 min |", "| tokens per s | 1500 |",
        "![Loss by step](loss.png)", "| base said | I don't know |", "| tuned model said (exact) | SELECT 1 |",
        '  "r": 16,', "| data (train) | gs://b/gemmactl/data/x/sql.jsonl, 1200 rows |",
        "| libraries | torch 2.13.0 |", f"| the adapter | {'a' * 64} |", "the held-out loss got no better",
    ):  # fmt: skip
        assert line in text, line
    assert "ai.google.dev/gemma/terms" in text
    assert "unknown" not in text.partition("## Settings")[0]


def test_what_is_not_known_is_not_invented() -> None:
    """No held-out rows, no price, no samples, no picture."""
    text = report(Figures(Ended.STEPS, 5, 5))
    assert "| held-out loss of the merged weights | not measured |" in text
    assert "| cost until the result | not known |" in text
    for absent in ("of the base |", "of the adapter |", "loss.png", "Answers", "$", "nan", "None"):
        assert absent not in text.partition("## Settings")[0]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("[click](http://evil) ![x](https://e/x.png)", r"\[click\](http&#58;//evil) !\[x\](https&#58;//e/x.png)"),
        ("a | b\n\n# c", r"a \| b<br><br># c"),
        ("`code` *b* _i_ ~~s~~ $m$ \\x", r"\`code\` \*b\* \_i\_ \~\~s\~\~ \$m\$ \\x"),
        ("&lt; www.evil.com \x1b[31m\u202e", r"&amp;lt; www&#46;evil.com  \[31m"),
        ("x" * 700, "x" * 599 + "…"),
        ("한국어 <b>", "한국어 &lt;b&gt;"),
    ],
)
def test_text_from_outside_means_nothing(said: str, shown: str) -> None:
    """Rows, answers and names can make no tag, link, picture, cell or mark of their own."""
    assert plain(said) == shown
    answers = (Answer(said, said, said),)
    assert f"| asked | {shown} |" in report(replace(FIGURES, before=answers, after=answers))


def test_settings_can_t_leave_their_fence() -> None:
    """A prompt with a fence in it stays inside a longer one."""
    inside = report().partition("````json\n")[2].partition("\n````\n")[0]
    assert "Say ``` <b>SQL</b>" in inside
    assert inside.endswith("}")


def pixels(png: bytes) -> tuple[int, int, int]:
    """(width, height, different rows of pixels) of an 8-bit PNG, checked by its own sums."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at, data, size = 8, b"", (0, 0)
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        body = png[at + 8 : at + 8 + length]
        assert struct.unpack(">I", png[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind + body)
        if kind == b"IHDR":
            size = struct.unpack(">II", body[:8])
        data += body if kind == b"IDAT" else b""
        at += 12 + length
    raw = zlib.decompress(data)
    stride = len(raw) // size[1]
    return *size, len({raw[row * stride : (row + 1) * stride] for row in range(size[1])})


def test_the_curve_is_a_picture_of_the_losses() -> None:
    """1600 by 900, the same bytes for the same figures, other ones for others; none where there is nothing to draw."""
    drawn = curve(FIGURES)
    assert drawn is not None
    width, height, rows = pixels(drawn)
    assert (width, height) == (1600, 900)
    assert rows > 100
    assert curve(FIGURES) == drawn
    assert curve(replace(FIGURES, curve=((1, 2.1), (100, 2.0)))) != drawn
    assert curve(Figures(Ended.STEPS, 5, 5)) is None


def test_the_report_imports_no_library_that_trains() -> None:
    """And matplotlib only for a curve."""
    code = "import sys, finetune_image.report; assert not {'torch', 'matplotlib', 'google'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_versions_are_those_of_what_is_installed() -> None:
    """What is not there is left out."""
    found = versions(("pytest", "no-such-library"))
    assert list(found) == ["pytest"]
