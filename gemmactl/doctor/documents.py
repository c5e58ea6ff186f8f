"""Documents about failures: what one explains is no report of one. Knows no row."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

_VOICES: Final = (
    r"\b(?:if|when(?:ever)?) (?:you|users?|one|customers?) (?:still )?(?:sees?|gets?|receives?|encounters?|runs? into|hits?)\b",
    r"\b(?:you|users) (?:may|might|will|can|could|would) (?:also )?(?:see|get|receive|encounter|run into)\b",
    r"\byou (?:see|get|receive) (?:this|the|an?) (?:error|message|warning)\b.{0,40}\b(?:if|when|because)\b",
    (
        r"\bthis (?:error|message|warning|status) (?:message )?(?:means|occurs|happens|indicates|appears"
        r"|is (?:shown|returned|raised|logged|thrown|printed))\b"
    ),
    (
        r"\bfollowing (?:error|issue|message|exception)s?(?: messages?)? (?:(?:can|may|might|will) )?"
        r"(?:occur|happen|appear|is (?:shown|returned|raised|logged|thrown|displayed))"
    ),
    r"\berrors?(?: messages?)? (?:such as|similar to|like (?:this|the following|`))",
    r"[\"'`\u201d] means (?:that )?(?:the|your|you|it|a)\b",
    r"^\W{0,4}(?:symptoms?|resolution|workaround|(?:example|sample|expected) (?:error|output|message))\b\W{0,4}(?::|$)",
    "오류가 (?:나면|발생하면|뜨면|나오면|보이면)|(?:에러|오류)(?:는|란) .{0,60}(?:뜻|의미)",
    "というエラーが出(?:たら|る場合|た場合)|エラーは.{0,60}(?:意味|示し)",
    "(?:如果|若|当)(?:你|您)?(?:出现|看到|遇到|收到|出現|遇到)|(?:错误|錯誤)(?:表示|意味)",
    r"\bwenn (?:der|die|das|Sie|du) .{0,40}(?:Fehler|Meldung|erscheint)",
    r"\bsi (?:vous|l'erreur|aparece|recibes?|ves?|obtienes?)\b.{0,60}(?:erreur|error|message|mensaje)",
    r"\bse (?:aparecer|você (?:vir|receber)|receber)\b.{0,60}erro",
)
"""How a document speaks of failures in general."""
_HINTS: Final = (
    *("if you", "when you", "if users", "when users", "whenever", "you may", "you might", "you will", "you can", "you could"),
    *("you would", "users may", "users might", "you see", "you get", "you receive", "this error", "this message"),
    *("this warning", "this status", "following error", "following issue", "following message", "following exception"),
    *("errors such", "error such", "similar to", "error like", "errors like", "message like", " means ", "to resolve this"),
    *(
        "to fix this",
        "to solve this",
        "to avoid this",
        "to work around this",
        "symptom",
        "resolution",
        "workaround",
        "example error",
    ),
    *("example output", "sample ", "expected ", "오류", "에러", "エラー", "错误", "錯誤", "如果", "wenn ", "si ", "se "),
)
_CURE: Final = r"^\W{0,4}to (?:resolve|fix|solve|avoid|work around) this(?: (?:issue|error|problem))?[,:]"
"""How one goes on after the block that shows the failure; tools say it in their own messages too."""
_OURS: Final = r"\b(?:I|I'm|I've|we|we're|my|our|me)\b|\b(?:ich|wir|je|nous|yo|eu|estou)\b|제가|저희|우리|私|我"
"""Somebody tells what happened to him."""
_FAILED: Final = r"(?:^|\s)(?:ERROR\b|FATAL\b|Error:|denied[: ]|\S{1,80}(?:Error|Exception|Denied|Forbidden): )"
_WHEN: Final = r"\bwhen (?:the|a|an) \w+ (?:answers?|returns?|prints?|says?|reports?|shows?|logs?|fails? with)\b"
"""A document of failures names the case."""
_PLANNING: Final = (
    r"\b(?:how|what) (?:can|do|could|should|must|to)\b(?: \w+){0,4} (?:avoid|prevent|guard against|rule out)\b",
    r"\bwhat (?:happens|would happen) (?:if|when)\b|\bwhat should (?:I|we|one) do if\b",
    r"\b(?:I|we) (?:have not|haven't) (?:tried|run|deployed|built|started)(?: anything| it| this)? yet\b",
    r"(?:오류|에러|실패)(?:가|를|을)? ?.{0,30}(?:피하려면|막으려면|예방하려면|방지하려면)",
    r"아직 (?:배포|실행) ?(?:전|하지|해 ?보지|안)",
    r"(?:エラー|失敗|exceeded」?)\S{0,20}(?:避けるには|防ぐには)|まだ(?:何も)?(?:実行|デプロイ|試)して(?:いません|いない)",
    r"\bdifferences? between\b.{0,200}\?|어떻게 다른가요|차이(?:가|는|점) .{0,20}(?:뭔|무엇|뭐|궁금)|違いは(?:何|なん)",
    r"(?:如何|怎么|怎樣|怎样)(?:避免|防止|预防)|(?:还|還)(?:没|沒)(?:有)?(?:部署|运行|運行|试)",
)
"""Somebody asks ahead: nothing happened yet."""
_PLANNING_HINTS: Final = (
    *("avoid", "prevent", "guard against", "rule out", "happens if", "happens when", "happen if", "happen when", "should i do"),
    *("difference", "다른가요", "차이", "違いは"),
    *("should we do", "should one do", "have not", "haven't", "려면", "아직", "には", "まだ", "避免", "防止", "预防", "没", "沒"),
)
_HEADING: Final = r"^\s{0,3}#{1,6} "
_SUBJECT: Final = (
    r"^\s{0,3}(?:#{1,6} |\*\*)?(?:\d+[.)] )?(?:troubleshooting|common (?:errors|problems|issues)|known issues|FAQ|"
    r"error (?:reference|codes|messages)|"
    r"release notes|changelog|runbook|문제 ?해결|자주 (?:묻는|나는)|トラブル|よくある|"
    r"常见(?:问题|错误)|fehlerbehebung|dépannage|solución de problemas)"
)
_RELEASE: Final = r"^\s{0,3}#{1,4} \[?(?:v?\d{1,4}(?:\.\d{1,4}){1,2}\S{0,12}|unreleased)\]?(?: ?[-(]? ?\d{4}-\d\d-\d\d\)?)?\s*$"
"""The heading of a release in a list of changes."""
_CHANGE: Final = (
    r"^\s*[-*] (?:\*\*)?(?:fix(?:e[sd])?|add(?:ed|s)?|chang(?:ed|es)|improv(?:ed|es)|docs?|chore|feat)\b"
    r"|^\s*[-*]? ?(?:fix|feat|docs|chore|test)(?:\([\w-]+\))?: "
)
_PAIR: Final = (
    r"^\s*[-*] .{0,60}`[^`\n]{5,200}`.{0,60}(?:\u2192|->|=>) |"
    r"^\s*\|.{0,80}`[^`\n]{5,200}`[^|\n]{0,80}\| ?(?:please )?(?:run|grant|add|needs?|check|set|use|give)\b"
)
"""A failure and its cure in a line of a list or table."""
_ASKED: Final = r"^\s*(?:\*\*)?Q(?:uestion)?\s?[:.] .{0,40}\b(?:what|why|how|when)\b.{0,400}\?"
_DOCUMENT: Final = r"^\s{0,6}(?:[-*>#|]|\d+[.)] |\*\*)"
"""How a line of a document begins: a list, a quotation, a table, a heading."""
_SPAN: Final = r"`[^`\n]{3,300}`|\"[^\"\n]{3,300}\"|\u201c[^\u201d\n]{3,300}\u201d"


@cache
def _re(pattern: str, flags: int = re.IGNORECASE) -> re.Pattern[str]:
    return re.compile(pattern, flags)


def blank_documents(lines: list[str], low: str) -> None:
    """Empty what a document shows as an example. `low`: the whole text in lower case."""
    subject = ("#" in low or "**" in low or len(lines) > 3) and any(_re(f"{_SUBJECT}|{_RELEASE}").match(line) for line in lines)
    if subject:
        for i, line in enumerate(lines):
            if (
                _re(_HEADING).match(line)
                or _re(_CHANGE).match(line)
                or (_re(_WHEN).search(line) and not _re(_OURS, 0).search(line))
            ):
                lines[i] = ""
    _blank_cures(lines, low)
    _blank_planning(lines, low)
    if not any(hint in low for hint in _HINTS):
        return
    for i, line in enumerate(lines):
        above = _next(lines, i, -1) if "this" in line and _re(_CURE).match(line) else -1
        if above >= 0 and lines[above].strip().startswith("```"):
            _block(lines, above, -1)
    voices = [i for i, line in enumerate(lines) if len(line) > 9 and _speaks(line)]
    for i in voices:
        _example(lines, i)
        above = _next(lines, i, -1)
        if above >= 0 and _re(_HEADING).match(lines[above]):
            lines[above] = ""
        elif above >= 0 and lines[above].strip().startswith("```"):
            _block(lines, above, -1)
        lines[i] = _reported(lines[i], _VOICES)


def _blank_cures(lines: list[str], low: str) -> None:
    if "`" in low or "q: " in low:
        for i, line in enumerate(lines):
            if _re(_PAIR).match(line) or _re(_ASKED).match(line):
                lines[i] = ""


def _blank_planning(lines: list[str], low: str) -> None:
    if any(hint in low for hint in _PLANNING_HINTS):
        for i, line in enumerate(lines):
            if _re("|".join(_PLANNING)).search(line) and not _re(_FAILED, 0).search(line):
                lines[i] = _reported(line, _PLANNING)


def _speaks(line: str) -> bool:
    found = _re("|".join(_VOICES)).search(line)
    if found is None or _re(_OURS, 0).search(line):
        return False
    before = _re(_SPAN).sub("", line[: found.start()])
    return not _re(_FAILED, 0).search(before)


def _reported(line: str, voices: tuple[str, ...]) -> str:
    """What stands before the sentence that speaks in general, where that is a report: a program explains its own message too."""
    found = _re("|".join(voices)).search(line)
    start = max(line.rfind(stop, 0, found.start()) for stop in (". ", "! ", "\u3002")) if found else -1
    before = line[: start + 1]
    return "" if start < 0 or _re(_SPAN).search(before) or _re(_DOCUMENT).match(before) else before


def _example(lines: list[str], i: int) -> None:
    """What follows a line that announces it: a fenced block, or the next paragraph."""
    below = _next(lines, i, 1)
    if below < 0:
        return
    if lines[below].strip().startswith("```"):
        _block(lines, below, 1)
    elif lines[i].rstrip().endswith((":", "\uff1a")):
        while below < len(lines) and lines[below].strip():
            lines[below] = ""
            below += 1


def _next(lines: list[str], i: int, step: int) -> int:
    """The nearest line that is not empty, at most three away; -1: none."""
    for far in range(1, 4):
        at = i + far * step
        if not 0 <= at < len(lines):
            return -1
        if lines[at].strip():
            return at
    return -1


def _block(lines: list[str], fence: int, step: int) -> None:
    at = fence + step
    while 0 <= at < len(lines) and not lines[at].strip().startswith("```"):
        lines[at] = ""
        at += step
