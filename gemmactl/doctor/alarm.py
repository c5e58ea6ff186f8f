"""Whether a text that no row knows reports a failure at all, in the languages that surround such texts. Knows no failure."""

from __future__ import annotations

import re
from typing import Final

from gemmactl.doctor.paste import LIMIT, shorten
from gemmactl.doctor.recovered import went_well
from gemmactl.doctor.search import pattern

_WORDS: Final = (
    # english: levels, outcomes, refusals; the same words as counts of nothing or as names of files are masked before
    r"\b(?:ERROR|FATAL|CRITICAL|PANIC|SEVERE)\b",
    r"(?i:\b(?:error|fatal|panic|failure|exception) ?[:\[(!]|\b\w{2,40}(?:Error|Exception)\b ?[:(])",
    r"(?i:\b(?:failed|fails|failing|failure|aborted|crashed|refused|rejected|denied|forbidden|unauthorized|unavailable|unreachable)\b)",
    r"(?i:\b(?:can(?:no|')t|could not|couldn't|unable to|not (?:permitted|allowed|authorized)|timed out|deadline exceeded)\b)",
    r"(?i:\b(?:does not have|lacks) (?:\w+ ){0,3}?(?:[a-z]{2,30}(?:\.[a-z]{2,60}){2}|permissions?|access)\b)",
    r"(?i:\b(?:did not|killed|must (?:be|not be|have)|needs at least|requires (?:a minimum|at least))\b)",
    r"(?i:\btraceback \(most recent call|\b(?:segmentation fault|core dumped|out of memory|oom-?killed|stack trace)\b)",
    r"(?i:\b(?:invalid|illegal|unsupported|unexpected|missing|unknown) (?:argument|value|option|flag|field|token|type|key)\b)",
    r"(?i:\bexit(?:ed)?(?: with)?(?: (?:code|status))?:? ?\(?(?!0\b)-?\d{1,3}\b)",
    r"(?i:\b(?:http(?:/\d(?:\.\d)?)?|status(?:[ _]?code)?|code|error)\W{1,3}[45]\d\d\b)",
    r"\b[A-Z]+_(?:ERROR|DENIED|EXHAUSTED|FAILED|INVALID|EXCEEDED|DISABLED|UNAVAILABLE)\b",
    r"(?i:\b(?:quota|limit) exceeded\b|\bterminated on signal\b|\buncaught signal\b|\bnot (?:enabled|authenticated)\b)",
    r"(?i:\bexceptions?\.\w{3,40}: [45]\d\d\b|\b(?:no such|no space left|doesn't exist|does not exist)\b)",
    # 한국어, 日本語, 中文
    r"오류|에러|실패|거부|없습니다|할 수 없|エラー|失敗|拒否|できません|ありません|错误|失败|拒绝|無法|无法|錯誤",
    # português, español, français, deutsch
    r"(?i:\b(?:erro|erros|falha|falhou|negad[oa]|fallo|falló|denegad[oa]|erreur|échec|échoué|refusée?|Fehler|fehlgeschlagen|verweigert)\b)",
)
_FINE: Final = (
    r"ERROR: \(gcloud\.[\w.]{3,60}\.create\).{0,300}?(?:already exists|already own it)\.?",
    r"(?i:\b(?:no|0|without(?: any)?|zero|free of) (?:errors?|failures?|exceptions?|failed)\b)",
    r"(?i:\b(?:errors?|failures?|failed|exceptions?)\W{1,3}(?:0|none|null|false|no)\b(?!\.\d))",
    r"(?i:\b(?:error|exception)[ _-](?:handler|handling|page|budget|rate|reporting|log|logs|class|report)s?\b)",
    r"(?i:\bunable to register cu\w{2,12} factory\b|\bdebconf: unable to initialize frontend\b)",
    r"(?i:(?:\bERROR: \(gcloud\.[\w.]{3,80}\) )?\baborted by user\b)",
    r'"severity": ?"(?:TRACE|DEBUG|INFO)", ?"message": ?"(?:[^"\\]|\\.){0,1000}"',
    r"エラーは(?:まだ)?(?:出て|あり)",
    r"(?:오류|에러|실패) ?없이|(?:エラー|失敗)なし|(?:没有|无)(?:错误|失败)",
    # what its own program tells and goes on: no file, no plugin, no start of services while an image is built
    r"(?i:\(was: \w{2,20}\)|\bALTS creds ignored\..{0,90}?not enabled\b)",
    r"(?i:\binvoke-rc\.d: (?:could not determine current runlevel|policy-rc\.d denied execution of \w+))",
    r"(?i:\bcould not find (?:cuda drivers on your machine|TensorRT)\b|\bTF-TRT Warning: Could not find TensorRT)",
    r"(?i:\bunavailable on attempt \d of \d\. Reason: timed out)",
    r"(?i:\bERROR: pip's dependency resolver does not currently\b)",
    r"(?i:\bRegional Access Boundary HTTP request failed after retries: .{0,300}?retryable_error=\w{4,5})",
    r"\*fuseops\.(?:Fallocate|GetXattr|ListXattr|SetXattr)Op error: function not implemented",
    r"-> Error: \"function not implemented\"",
    r"-- (?:Performing Test \S{1,80} - Failed|Looking for \S{1,80} - not found|Could NOT find \S{1,60} \(missing: [^)]{0,200}\))",
    # strangers try every server for pages that it never had
    (
        r"(?i:\"(?:GET|HEAD|POST) /(?:\.\w|wp-|wordpress|phpmyadmin|cgi-bin|actuator|vendor/|\S{1,60}\.(?:php|aspx?|jsp|env)\b)"
        r"\S{0,120} HTTP/\d(?:\.\d)?\" 4\d\d(?: (?:Not Found|Forbidden|Unauthorized|Bad Request|Method Not Allowed))?)"
    ),
    r"(?i:\bCannot find a quota project to add to ADC\b)",
    r"(?i:\bThe following APIs are not enabled on project .{0,900}?Enabling APIs on project\b)",
    r"(?i:\blabel_names can't be set automatically\b)",
    r"(?i:\battention mask is not set and cannot be inferred\b)",
    r"(?i:\bDownload is performed unsandboxed as root .{0,300}?\(13: Permission denied\))",
    r"\bseverity ?(?:>=|>|!=|<=|<) ?\"?[A-Z]{4,9}\b",
    r"(?i:\"(?:GET|HEAD) /(?:favicon\.ico|robots\.txt|apple-touch-icon\S{0,40}|sitemap\.xml) HTTP/\d(?:\.\d)?\" 404\b)",
    r"(?i:\bError: [^:\n]{1,120}, no action (?:is )?(?:needed|required)\b)",
    r"(?i:\b(?:if|when|unless|should|on|in case of)(?: \w+){0,4} (?:error|errors|failure|fails|failed|denied|exception)\b)",
)
"""Words of failure that report none."""


_HEAD: Final = r"^.{0,80}?(?:^|[\s\[\]|:<(])"
_FINEST: Final = rf"{_HEAD}(?:TRACE|DEBUG)\b(?!\w)|\"(?:severity|level|levelname)\": ?\"(?:TRACE|DEBUG)\""
_MILD: Final = (
    rf"{_HEAD}(?:INFO|NOTICE|WARN|WARNING|Warning|warning|W\d{{4}}|I\d{{4}})\b|: [WI] (?:external|tensorflow)/"
    r"|\"(?:severity|level|levelname)\": ?\"(?i:info|notice|warn|warning)\""
    r"|^\s+warnings\.warn\(|^\[W(?:\d{3,4} [\d:.]{5,20})? ?\w{1,40}\.cpp:\d+\]"
    r"|\b(?:User|Future|Resource|Import|Syntax|Runtime|(?:Pending)?Deprecation)Warning: "
)
"""The level or the kind that a line gives itself. What ended a program may be printed at it too: with a hard word."""
_OWN: Final = (
    r"(?m)\b(?:INFO|WARNING) \d\d-\d\d \d\d:\d\d:\d\d \[\w{1,60}\.py:\d+\]| - (?:INFO|WARNING) - |\b\w{2,40}Warning: "
    r"|^\[W(?:\d{3,4} [\d:.]{5,20})? ?\w{1,40}\.cpp:\d+\]|\blevel=(?:WARN|INFO) source=|^[WI]\d{4} \d\d:|^\s+warnings\.warn\("
)
"""How programs, not the cloud, print a level: vLLM, Python's logging and warnings, torch, glog, slog."""
_GOES_ON: Final = r"\bINFO\b"
_SHORTEST: Final = 9
_HARD: Final = (
    r"\b(?:ERROR|FATAL|CRITICAL|PANIC)\b|\b\w{2,40}(?:(?<!Warn)Error|Exception)\b ?[:(]|Traceback \(most"
    r"|(?:\"? |\b(?:status|code)\W{1,4})(?:401|403|429|5\d\d)\b"
    r"|(?i:denied|refused|forbidden|unauthori[sz]ed|out of memory|oom|killed|crashed|panic|segmentation fault"
    r"|(?<!Reason: )timed out|deadline exceeded|exhausted|quota|no space left|\bexit(?:ed|\()|uncaught signal|policy failed"
    r"|giving up|unhealthy|not authenticated|not have permission"
    r"|CUDA initialization:|driver on your system is too old)"
)
_WELL: Final = (
    r"\bSTATUS:? {1,40}SUCCESS\b|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12} .{1,400}? SUCCESS\b"
    r"|\bhas been deployed and is serving \d{1,3} percent of traffic"
    r"|\bApply complete! Resources:|\bExecution \[[\w-]{1,63}\] has successfully completed|\bSuccessfully (?:tagged|installed) \S"
)
"""The whole ended well: what was tried in vain before it was survived."""
_ENDED: Final = r"\b(?:FATAL|CRITICAL|PANIC|ERROR:)|Traceback \(most"

SIDE: Final = 60_000
"""Characters at either end that are read word by word: a megabyte of them would take seconds."""
_PLAIN: Final = (
    "error:",
    "fatal:",
    "traceback (most recent",
    "denied",
    "failed",
    "exception:",
    "오류",
    "실패",
    "エラー",
    "失敗",
    "失败",
)


def quiet(text: str) -> str:
    """The lines without those that give themselves a level at which nothing fails: a trace, an info, a warning."""
    return "\n".join(line for line in shorten(text).splitlines() if not _unalarming(line[:2000]))


def without_warnings(text: str) -> str:
    """The text without the mild lines of a program's own log, if it goes on after them; a lone warning was pasted for a reason.

    Cloud's logs tell even the end of a container as a warning: their lines stay.
    """
    if not re.search(_OWN, text[:LIMIT]):
        return text
    lines = [line[:2000] for line in shorten(text).splitlines() if line.strip()]
    rest = [line for line in lines if not (re.search(_OWN, line) and _unalarming(line))]
    went_on = any(re.search(_GOES_ON, line) for line in lines) or any(
        len(line) > _SHORTEST and not line[0].isspace() for line in rest
    )
    return "\n".join(rest) if went_on else text


def _unalarming(line: str) -> bool:
    if went_well(line):
        return False  # a success tells that what was tried before it is over
    if re.search(_FINEST, line):
        return True
    return bool(re.search(_MILD, line)) and not re.search(_HARD, line)


def reports_failure(flat: str) -> bool:
    """Whether any word says that something failed; `flat` is without what is known to be harmless."""
    ends = flat if len(flat) <= 2 * SIDE else f"{flat[:SIDE]} {flat[-SIDE:]}"
    for expression in _FINE:
        ends = pattern(expression).sub(" ", ends)
    ended = [found.end() for found in re.finditer(_WELL, ends)]
    if ended and not re.search(_ENDED, ends[: ended[-1]]):
        ends = ends[ended[-1] :]
    if any(re.search(expression, ends) for expression in _WORDS):  # with the case that each part asks for: ERROR is a level
        return True
    between = flat[SIDE:-SIDE].lower() if len(flat) > 2 * SIDE else ""
    return any(word in between for word in _PLAIN)
