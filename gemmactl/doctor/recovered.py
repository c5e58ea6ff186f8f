"""Failures that a later line of the same log overcame: a try that was followed by a better one. Knows no row."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

_AGAIN: Final = (
    r"\b(?:re-?try(?:ing)?|retries|retried|attempts? #?\d+|attempt=\d|try \d+ ?/|resum(?:e|ing)\b|back(?:ing)?[ -]?off"
    r"|reconnect(?:ing)?"
    r"|trying again"
    r"|(?<!error )waiting for (?:the )?(?:server|service|endpoint|port|container|engine|it|model|api)\b|sleeping)\b"
    r"|재시도|다시 시도|リトライ|再試行|再试|重试|重試"
)
_HINTS: Final = (
    *("retry", "retri", "attempt", "try ", "resum", "backoff", "back off", "backing", "reconnect", "trying again", "waiting for"),
    *("sleeping", "재시도", "다시 시도", "リトライ", "再試行", "再试", "重试", "重試"),
)
_WELL: Final = (
    r"\b(?:succe(?:ss|ssful|ssfully|eded|eds)|completed?|finished|uploaded|downloaded|done|ok|ready|connected|recovered|deployed|listening"
    r"|healthy|resumed|serving \d+ percent|exit(?:ed)?(?: with)?(?: code| status)?[ (=:]{1,2}0)\b|(?<!\d)100%|\b200 OK\b"
    r"|완료|성공|完了|成功|完成"
)
_ILL: Final = (
    r"\b(?:error|fail(?:ed|ure|s)?|denied|not|no|un\w+|without|fatal"
    r"|refused|timed out|forbidden|exceeded|until|before|when|once)\b"
    r"|n't\b|실패|失敗|失败"
)
_GAVE_UP: Final = (
    r"\b(?:giv(?:e|ing) up|gave up|exhausted|after \d+ (?:retries|attempts|tries)"
    r"|max(?:imum)? (?:number of )?(?:retries|attempts)|no more (?:retries|attempts)|aborting|last attempt|all attempts)\b"
)
_ANYWAY: Final = (
    r"\b(?:falling back|continuing (?:without|anyway|with)|proceeding (?:without|anyway|with)|carrying on|going on without"
    r"|(?:building|starting) (?:from scratch|fresh|without)|using (?:the |its )?(?:default|fallback)|no cache(?:d)? \w+)\b"
)
"""It went on without what had failed."""
_ANYWAY_HINTS: Final = (
    "falling back",
    "continuing",
    "proceeding",
    "carrying",
    "going on",
    "from scratch",
    "fresh",
    "using",
    "no cache",
    "without",
)
_ENDING: Final = r"\b(?:FATAL|CRITICAL|PANIC)\b|Traceback|^ERROR: "
"""What ends a program: nothing goes on after it."""
_SHORTEST: Final = 9


@cache
def _re(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


def went_well(line: str) -> bool:
    """Whether a line says that something succeeded, and nothing else."""
    return bool(_re(_WELL).search(line)) and not _re(_ILL).search(line)


def _blank_done_without(lines: list[str], low: str) -> None:
    """Empty a failure whose next line goes on without what failed, where the log then ends well."""
    if not any(hint in low for hint in _ANYWAY_HINTS):
        return
    last = max((i for i, line in enumerate(lines) if line and went_well(line)), default=-1)
    for i, line in enumerate(lines[: last + 1]):
        if len(line) > _SHORTEST and _re(_ANYWAY).search(line):
            if i and not _re(_ENDING).search(lines[i - 1]):
                lines[i - 1] = ""
            lines[i] = ""


def blank_recovered(lines: list[str], low: str) -> None:
    """Empty the tries that failed before one that went well. `low`: the whole text in lower case."""
    _blank_done_without(lines, low)
    if not any(hint in low for hint in _HINTS):
        return
    again = [i for i, line in enumerate(lines) if len(line) > 9 and _re(_AGAIN).search(line)]
    if not again:
        return
    well = [i for i, line in enumerate(lines) if line and went_well(line)]
    gave_up = [i for i, line in enumerate(lines) if line and _re(_GAVE_UP).search(line)]
    if not well or well[-1] <= again[0]:
        return
    for i in again:
        good = next((at for at in well if at > i), -1)
        if good < 0 or any(i <= at < good for at in gave_up):
            continue
        if i and not _re(_ILL).search(lines[i]) and _re(_ILL).search(lines[i - 1]):
            lines[i - 1] = ""  # the failure stands above the line that says it will be tried again
        lines[i] = ""
