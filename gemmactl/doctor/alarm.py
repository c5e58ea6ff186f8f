"""Whether a text that no row knows reports a failure at all, in the languages that surround such texts. Knows no failure."""

from __future__ import annotations

import re
from typing import Final

from gemmactl.doctor.search import pattern

_WORDS: Final = (
    # english: levels, outcomes, refusals; the same words as counts of nothing or as names of files are masked before
    r"\b(?:ERROR|FATAL|CRITICAL|PANIC|SEVERE)\b",
    r"(?i:\b(?:error|fatal|panic|failure|exception) ?[:\[(!]|\b\w{2,40}(?:Error|Exception)\b ?[:(])",
    r"(?i:\b(?:failed|fails|failing|failure|aborted|crashed|refused|rejected|denied|forbidden|unauthorized|unavailable|unreachable)\b)",
    r"(?i:\b(?:can(?:no|')t|could not|couldn't|unable to|not (?:permitted|allowed|authorized)|timed out|deadline exceeded)\b)",
    r"(?i:\b(?:traceback \(most recent call last\)|segmentation fault|core dumped|out of memory|oom-?killed|stack trace)\b)",
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
    r"(?i:\bunable to register cu\w{2,12} factory\b|\bdebconf: unable to initialize frontend\b|\baborted by user\b)",
    r'"severity": ?"(?:TRACE|DEBUG|INFO)", ?"message": ?"(?:[^"\\]|\\.){0,1000}"',
    r"エラーは(?:まだ)?(?:出て|あり)",
    r"(?i:\b(?:if|when|unless|should|on|in case of)(?: \w+){0,4} (?:error|errors|failure|fails|failed|denied|exception)\b)",
)
"""Words of failure that report none."""


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


def reports_failure(flat: str) -> bool:
    """Whether any word says that something failed; `flat` is without what is known to be harmless."""
    ends = flat if len(flat) <= 2 * SIDE else f"{flat[:SIDE]} {flat[-SIDE:]}"
    for expression in _FINE:
        ends = pattern(expression).sub(" ", ends)
    if any(re.search(expression, ends) for expression in _WORDS):  # with the case that each part asks for: ERROR is a level
        return True
    between = flat[SIDE:-SIDE].lower() if len(flat) > 2 * SIDE else ""
    return any(word in between for word in _PLAIN)
