"""What tools put around a text when they print or pack it: escapes, prefixes of logs, cuts at a width. Knows no failure."""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise
from typing import Final

_PLAIN: Final = (
    ("\\t", " "),
    ("\\_", "_"),
    ("&nbsp;", " "),
    ("&lt;", "<"),
    ("&gt;", ">"),
    ("&#39;", "'"),
    ("&#x27;", "'"),
    ("&apos;", "'"),
    ("&#34;", '"'),
    ("&quot;", '"'),
    ("&amp;", "&"),
    *((sign, "'") for sign in "\u2018\u2019\u201a\u2032\u00b4\uff07"),
    *((sign, '"') for sign in "\u201c\u201d\u201e\u00ab\u00bb\u300c\u300d\uff02\u2033"),
    ("\u00a0", " "),
    ("\u3000", " "),
    ("\uff1a", ":"),
    ("\uff08", "("),
    ("\uff09", ")"),
    ("\u2011", "-"),
)
_TAGS: Final = (
    r"</?(?:br|p|div|span|pre|code|b|i|em|strong|li|ul|ol|td|tr|th|table|tbody|h[1-6]|tt|font|blockquote)\b[^<>]{0,300}>"
)
_TIME: Final = r"\[?\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?: ?(?:Z|UTC|[A-Z]{3,4}|[+-]\d\d:?\d\d))?\]?:?"
_PREFIX: Final = "|".join(
    (
        r'Step #\d{1,3}(?: - "[^"]{0,100}")?:\s?',  # Cloud Build
        rf"(?:(?:DEFAULT|DEBUG|INFO|NOTICE|WARNING|ERROR|CRITICAL|ALERT) )?{_TIME}(?:\s+|$)",
        r"\[?\d\d:\d\d:\d\d(?:[.,]\d{1,9})?\]?\s",
        r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S{1,80} [\w./@-]{1,80}(?:\[\d{1,9}\])?: ",  # journald, syslog
        r"[\w.-]{1,60}\s{1,30}\| ",  # docker compose, numbered lines
        r"\[pod/[\w.-]{1,200}/[\w.-]{1,100}\] ",
        r"::(?:error|warning|notice|debug)[^:]{0,200}::",  # GitHub Actions
        r"[^\t]{1,80}\t[^\t]{1,80}\t(?=\ufeff?\d{4}-\d\d-\d\dT)|\ufeff",  # gh run view --log
        r"std(?:out|err) [FP] ",  # Kubernetes
        r"\((?:\w{1,40} )?pid=\d{1,9}(?:, ip=[\d.]{7,15})?\) ",  # vLLM, Ray
        r"\[rank\d{1,4}\]: ?",
        r"#\d{1,3} \d{1,5}\.\d{1,4} ",  # BuildKit
        r"E {3,8}(?=\S)",  # pytest
    )
)
_WIDTHS: Final = frozenset({80, 100, 120, 132, 160})
_NARROW: Final = 40
_WORDS: Final = frozenset(
    {
        "the",
        "and",
        "for",
        "not",
        "does",
        "have",
        "denied",
        "access",
        "account",
        "service",
        "resource",
        "permission",
        "project",
        "with",
    }
    | {
        "exist).",
        "google",
        "cloud",
        "storage",
        "from",
        "this",
        "that",
        "was",
        "has",
        "your",
        "failed",
        "error",
        "may",
        "role",
        "which",
    }
)
"""Words that such texts are full of."""


@cache
def _re(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def unescape(text: str) -> str:
    """Undo the escapes of JSON, YAML, CSV, HTML and mail, however often a log was packed into another."""
    if "=\n" in text and ("=20" in text or "=3D" in text):
        text = text.replace("=\r\n", "").replace("=\n", "").replace("=3D", "=").replace("=20", " ")
    text = _re(r"\\{1,9}(?:r\\{1,9}n|n)").sub("\n", text)
    text = _re(r"\\{1,9}([\"'])").sub(r"\1", text)
    if "\\u" in text:
        text = _re(r"\\{1,9}u(?:00[2-7][0-9a-fA-F]|20[01][0-9a-fA-F])").sub(lambda m: chr(int(m[0][-4:], 16)), text)
    for escaped, plain in _PLAIN:
        if escaped in text:
            text = text.replace(escaped, plain)
    text = _re(r"(?<=[\s(\[])(['\"])\1(?=\w)|(?<=[\w/])(['\"])\2(?=[\s.,;:)\]]|$)").sub(lambda m: m[1] or m[2], text)
    return _re(_TAGS).sub(" ", text) if "</" in text or "<br" in text else text


def bare(line: str) -> str:
    """The line without what a log put before it; its own indentation stays."""
    for _ in range(4):
        found = _re(_PREFIX).match(line) or _re(rf"\s{{1,40}}(?:{_PREFIX})").match(line)
        if found is None:
            break
        line = line[found.end() :]
    return line


def _parted(line: str, below: str) -> bool:
    """Whether the break stands between two words, by a word that is whole on one of its sides."""
    last, first = line.rpartition(" ")[2], below.partition(" ")[0]
    if _re(r"[a-z]{3,}").fullmatch(last) and _re(r"[A-Z]{2,}").fullmatch(first):  # offer|GPU
        return True
    return last.lower() in _WORDS or below.partition(" ")[0].lower() in _WORDS


def uncut(lines: list[str]) -> list[str]:
    """Lines that a terminal cut at its width, in the middle of words, in one piece again."""
    width = max(map(len, lines), default=0)
    full = sum(1 for line in lines if len(line) == width)
    if width < _NARROW or full == len(lines) or (full < 2 and width not in _WIDTHS):
        return lines
    # broken between words, so that none of them is cut: the word below did not fit any more
    between = sum(
        1
        for line, below in pairwise(lines)
        if width * 2 // 3 < len(line) < width and below and len(line) + len(below.split(" ", 1)[0]) >= width
    )
    whole = sum(1 for line, below in pairwise(lines) if len(line) == width and _parted(line, below))
    # two lines that happen to be equally long are no terminal's width
    chance = whole and full == 2 and width not in _WIDTHS
    if between >= full or whole * 2 > full or chance:
        return lines
    out: list[str] = []
    glue = False
    for line in lines:
        if glue and full == 1 and out[-1].endswith(")") and line[:1].isalnum():
            glue = False  # a sentence that is as long as a terminal is wide by chance
        if glue:
            out[-1] += line
        else:
            out.append(line)
        glue = len(line) == width
    return out
