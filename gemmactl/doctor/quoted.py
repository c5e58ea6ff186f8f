"""Passages that quote a failure and report none: code, diffs, documents, history, conversations. Knows no row.

Works on whole lines, before they are joined: what a passage is shows in how its lines begin.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

SAID: Final = (
    # the JSON of a conversation, while its strings still have their ends
    (r'"role"', r'"(?:content|text)"\s{0,9}:\s{0,9}"(?:[^"\\]|\\.){0,20000}"'),
    (r'"(?:choices|candidates|delta)"', r'"(?:content|text|reasoning_content)"\s{0,9}:\s{0,9}"(?:[^"\\]|\\.){0,20000}"'),
    (r'"from"', r'"from"\s?:\s?"(?:human|gpt|user|system)"\s?,\s?"value"\s?:\s?"(?:[^"\\]|\\.){0,20000}"'),
    (
        r'"(?:instruction|prompt|question|chosen|rejected|completion|user_input|query_text|inputs?)"',
        (
            r'"(?:instruction|prompt|question|chosen|rejected|completion|answer|user_input|query_text|inputs?|output|response'
            r'|generated_text|context)"\s{0,9}:\s{0,9}"(?:[^"\\]|\\.){0,20000}"'
        ),
    ),
    (r'"(?:labels?|category)"', r'"(?:text|sentence|raw)"\s{0,9}:\s{0,9}"(?:[^"\\]|\\.){0,20000}"'),
    (r'"cell_type"', r'"source"\s{0,9}:\s{0,9}\[[^\]]{0,20000}\]'),
)
"""(what must be in the text, what is blanked in it)."""

_FILE_LINE: Final = r'^\s*File "'
_CODE: Final = (
    r"^\s*(?:async def |def \w+\(|class \w+[(:]|import [\w.]+(?: as \w+)?(?:, ?[\w.]+)*;?$|from [\w.]+ import |"
    r"func (?:\(\w+ \*?\w+\) )?\w+\(|(?:export )?(?:async )?function \w*\(|(?:export )?(?:const|let|var) \w+ ?[:=]|"
    r"@(?:pytest|unittest|mock|app|dataclass|Test|Override)\b|[A-Z_]{3,40}(?:: ?[\w\[\], .]{1,60})? = [\[{(\"'r]|#!/|"
    r"if __name__ ==|public (?:static |final )*(?:class|void|\w+ \w+\()|package \w+;?$|(?:it|describe|test)\([\"'`]|"
    r"with (?:pytest|self|mock)\.|(?:resource|variable|data|module|output|provider|locals) (?:\"[\w-]+\" ?)*\{|\w+\(\) ?\{$|"
    r"assert\b|self\.assert\w+\(|raise \w+\(|throw new |except [\w.(), ]+(?: as \w+)?:$|elif .*:$|case [\"'$]|return [\"'f(]|"
    r"logg?(?:er|ing)?\.\w+\(|print\(|console\.\w+\(|fmt\.\w+\(|expect\(|//|/\*|<!--|msg(?:id|str) \")"
)
_FUNCTION: Final = (
    r"\s*(?:async def |def \w+\(|class \w+[(:]|func (?:\(\w+ \*?\w+\) )?\w+\(|(?:export )?(?:async )?function \w*\()"
)
_MORE_CODE: Final = (
    r"^(?:\s|[)\]}\"'#@]|$|[\w.\[\]]{1,60} ?(?:[-+*/|&]?=|\()|(?:else|try|finally|fi|done|then|do|esac|with .*):?\s*$"
    r"|(?:if|for|while|until) .*[:;{]\s*(?:then|do)?$)"
)
_OUTPUT: Final = (
    r"^\s*(?:ERROR|FATAL|WARNING|Error:|Traceback|File \"|[\w.]{1,120}(?:Error|Exception|Denied|Forbidden|Exit)\b ?[:(]|"
    r"\[?\d{4}-\d\d-\d\d|Step #\d|#\d+ |denied:|[EWIF]\d{4} |\{\"|\$ |```)"
)

_DIFF: Final = r"^(?:diff --git |@@ -\d|--- (?:a/|/dev/null)|\+\+\+ (?:b/|/dev/null)|Index: )"
_DIFF_LINE: Final = r"^(?:[-+ \\]|@@|diff --git|index [0-9a-f]|(?:new|deleted|old) (?:file )?mode|similarity|rename|\s*$)"
_HISTORY: Final = (
    r"^\s{0,6}\d{1,6}\*?\s{1,3}(?:\d{4}-\d\d-\d\d \S+\s+)?(?:sudo |\w+=\S+ )*(?:gcloud|docker|git|e?grep|rg|echo|cat|"
    r"kubectl|python3?|pip3?|cd|"
    r"ls|export|curl|terraform|history|make|vim?|nano|gsutil|bq|ssh|source|tail|less|find|npm|uv|gh|vllm|huggingface-cli|hf)\b"
)
_TYPED: Final = (
    r"^\s*(?:[\w.@~:/()\[\] -]{0,60})?[$#\u276f\u279c%] (?:e?grep|rg|ag|ack|echo|printf|sed|awk|"
    r"git (?:commit|log|grep|stash|tag)|gh (?:issue|pr|search))\b"
)
_FOUND: Final = (
    r"^[\w./-]{1,120}\.(?:md|rst|txt|tsv|csv|html|adoc|po|ipynb)[:-]\d+[:-]"
    r"|^[\w./-]{1,120}\.(?:py|ts|js|go|java|rs|kt|rb|php|sh|tf|c|cc|cpp|ya?ml|toml|json)[:-]\d+[:-]\s*"
    r"(?:[\"'#*]|//|raise|return|assert|if|def|print|log)"
)
_COMMIT: Final = r"^\W{0,4}(?=[0-9a-f]{0,11}[a-f])(?=[0-9a-f]{0,11}\d)[0-9a-f]{7,12} (?:\([^)]{1,80}\) )?[A-Za-z\[]"
_METRIC: Final = r"^(?:# (?:HELP|TYPE) \w|[a-z_:]\w{2,80}(?:\{[^}]{0,400}\})? [\d.eE+-]+(?: \d+)?\s*$)"
_PASSED: Final = (
    r"\bPASSED\b|^\s*--- PASS:|^\s*(?:\u2713|\u2714|\u221a|\u2705)|^\s*ok \d+ |^PASS\b|\bxfailed\b"
    r"|^\s*test_?\w+ .{0,120}\.\.\. ok$"
)
_HEADER: Final = (
    r"^(?=.{0,200}\b(?:text|prompt|question|message|input)\b)"
    r"(?=.{0,200}\b(?:labels?|category|class|answer|completion|output)\b)\w+(?:,\w+){1,12}$"
)
_REMARK: Final = (
    r"^\s*(?:[-*] \[[ xX]\] |# (?:if|when|note|todo|fixme|e\.g\.|see|prints?|in case|avoid|workaround|because|this|otherwise)\b)"
)
_FOREIGN: Final = (
    r"\barn:aws|\.amazonaws\.com|\bbotocore\.|\bAADSTS\d|azurecr\.io"
    r"|\bMicrosoft\.\w+/|management\.azure\.com|\(AuthorizationFailed\)"
    r"|write_package|installation not allowed to Create|remote: Permission to \S|Resource not accessible by integration"
    r"|unable to access 'https://(?:github|gitlab|bitbucket)"
    r"|HTTP Basic: Access denied|Authentication failed for 'https://(?:github|gitlab|bitb)"
    r"|api\.openai\.com|platform\.openai\.com|insufficient_quota|anthropic\.\w+Error|slack_sdk\.|\bis not in the sudoers file"
    r"|permission denied for (?:table|schema|relation|sequence|function|database|view)|Access denied for user '[^']*'@"
    r"|password authentication failed for user|InsufficientPrivilege|\bNOAUTH\b|\bWRONGPASS\b|adb: "
    r"|insufficient permissions for device"
    r"|failed to push (?:ghcr\.io|quay\.io|registry\.gitlab)"
    r"|Error from server \(Forbidden\)(?!.{0,600}(?:container\.|requires one of))"
)
"""Denials of other clouds, forges, registries, databases and machines: no account of Google's can cure them."""
_ASKED_OF_IT: Final = (
    r"\b(?:INFO|DEBUG)\b[^\n]{0,80}?\b(?:prompt|user[_ ](?:input|message|prompt)|chat[_ ]message|query_text)\b"
    r" ?[:=][^\n]{0,8000}"
)
"""A server tells at a mild level what it was asked or what it answered."""
_SHORTEST: Final = 5
"""Characters of a line worth a look."""
_PLAN: Final = r"^\s*(?:[+~-]|-/\+|<=)\s"
_TABLE: Final = r"^\s*\|.*\|\s*$"
_RULE: Final = r"^[ \t]{0,9}\|?(?:[ \t]{0,9}:?-{3,200}:?[ \t]{0,9}\|)"


@cache
def re_of(pattern: str, flags: int = 0) -> re.Pattern[str]:
    return re.compile(pattern, flags)


def hush(text: str) -> str:
    """The raw text with what people and models said in a conversation blanked."""
    for hint, said in SAID:
        if re_of(hint).search(text):
            text = re_of(said, re.DOTALL).sub(" ", text)
    if "DONE" in text:
        text = _built(text)
    if "INFO" in text or "DEBUG" in text:
        text = re_of(_ASKED_OF_IT).sub(" ", text)
    return _turns(text) if "turn" in text else text


def _built(text: str) -> str:
    """The same without the output of steps that BuildKit ended as done: what they told, they survived."""
    done = set(re_of(r"^#(\d{1,3}) DONE \d", re.MULTILINE).findall(text))
    if not done:
        return text
    return re_of(r"^#(\d{1,3}) (?!DONE).*$", re.MULTILINE).sub(lambda line: "" if line[1] in done else line[0], text)


def _turns(text: str) -> str:
    """The same of a conversation in a family's own marks, which the table of families knows."""
    from inference_image.families import FAMILIES

    for turns in dict.fromkeys(row.turns for row in FAMILIES if row.turns):
        if turns.start in text:
            begin, end = re.escape(turns.start), re.escape(turns.end)
            text = re_of(rf"{begin}(?:user|{turns.model}).{{0,8000}}?(?:{end}|\Z)", re.DOTALL).sub(" ", text)
    return text


def blank(lines: list[str]) -> list[str]:
    """The lines, those of a quoting passage empty; as many as came."""
    from gemmactl.doctor.documents import blank_documents
    from gemmactl.doctor.recovered import blank_recovered

    low = "\n".join(lines).lower()
    lines = list(lines)
    if "diff --git " in low or "\n@@ -" in low or "+++ b/" in low:
        _run(lines, _DIFF, _DIFF_LINE)
    if "terraform will perform" in low or "terraform used the selected" in low or "\npreviewing " in low:
        _each(lines, _PLAN)
    if sum(1 for line in lines if len(line) >= _SHORTEST and re_of(_HISTORY).match(line)) > 1:
        _each(lines, _HISTORY)
    if "# help " in low or "# type " in low:
        _each(lines, _METRIC)
    if (
        "pass" in low
        or "... ok" in low
        or "\nok " in low
        or "xfail" in low
        or any(sign in low for sign in "\u2713\u2714\u221a\u2705")
    ):
        _each(lines, _PASSED)
    if "git log" in low or sum(1 for line in lines if len(line) >= _SHORTEST and re_of(_COMMIT).match(line)) > 1:
        _each(lines, _COMMIT)
    if any(f"{sign} " in low for sign in "$#\u276f\u279c%"):
        _each(lines, _TYPED)
    if re_of(r"\.\w{1,5}[:-]\d+[:-]").search(low):
        _each(lines, _FOUND)
    if re_of(_RULE, re.MULTILINE).search(low):
        _each(lines, _TABLE)
    if re_of(r"^\w+,[\w,]+$", re.MULTILINE).search(low):
        _run(lines, _HEADER, r"\S.*,")
    _each(lines, _REMARK)
    _each(lines, _FOREIGN)
    _code(lines)
    blank_documents(lines, low)
    blank_recovered(lines, low)
    return lines


def _each(lines: list[str], pattern: str) -> None:
    compiled = re_of(pattern)
    for i, line in enumerate(lines):
        if len(line) >= _SHORTEST and compiled.search(line):
            lines[i] = ""


def _run(lines: list[str], start: str, more: str) -> None:
    inside = False
    for i, line in enumerate(lines):
        inside = bool(re_of(start).match(line)) or (inside and bool(re_of(more).match(line)))
        if inside:
            lines[i] = ""


def _code(lines: list[str]) -> None:
    """Empty what is source code: from a line that begins a statement as long as it goes on like one."""
    inside, in_string, file_at = False, "", -9
    for i, line in enumerate(lines):
        if len(line) < _SHORTEST and not inside and not in_string:
            continue
        if re_of(_FILE_LINE).match(line):
            file_at = i
        if in_string:  # a text of many lines within the code
            lines[i] = ""
            in_string = "" if in_string in line else in_string
            continue
        traceback = i - file_at <= 3 and file_at >= 0
        begins = not traceback and re_of(_CODE).match(line) is not None
        if begins and re_of(_FUNCTION).match(line):  # the remark above it belongs to it
            for above in range(i - 1, -1, -1):
                if not re_of(r"\s*(?:# |//)").match(lines[above]):
                    break
                lines[above] = ""
        goes_on = inside and not traceback and re_of(_MORE_CODE).match(line) and not re_of(_OUTPUT).match(line)
        inside = begins or bool(goes_on)
        if inside:
            lines[i] = ""
            in_string = next((q for q in ('"""', "'''") if line.count(q) % 2), "")
