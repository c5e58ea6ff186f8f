"""Text that looks like a failure and is none: masked before any row looks. Knows no row."""

from __future__ import annotations

from typing import Final

from gemmactl.doctor.search import pattern, search

MASKS: Final = (
    # what somebody else said, quoted in an application's log
    (
        r"\b(?:user|prompt|message|input|request|body|question|answer|completion) (?:said|says|asked|wrote|was|text|content)\b"
        r' ?[:=]? ?"[^"]{0,4000}"'
    ),
    r"""['"]?\b(?:prompt|user_input|completion|instruction|query_text)['"]? ?[:=] ?(?:"[^"]{0,4000}"|'[^']{0,4000}')""",
    # source code of tests
    r"\bdef test_\w+\(.{0,1500}",
    r"""\b(?:stderr|stdout|match|side_effect|return_value)=(?:"[^"]{0,2000}"|'[^']{0,2000}')""",
    r"(?<!device-side )\bassert(?:Raises|In|Equal|That)?\b[ (].{0,400}",
    r"::test_\w{1,150}(?:\[[^\]]{0,80}\])? (?:PASSED|XFAIL|SKIPPED)",
    # other clouds and the machine's own permissions
    r"An error occurred \(\w+\) when calling the \w+ operation:.{0,600}",
    r"\barn:aws:\S{1,300}",
    r"\.amazonaws\.com.{0,240}?no basic auth credentials",
    r"\bRate exceeded \(Service: (?:Amazon|AWS).{0,300}?\)",
    r"\[Errno 13\] Permission denied(?:: ?\S{1,200})?",
    r"Permission denied \(publickey[^)]{0,60}\)",
    r"permission denied while trying to connect to the Docker daemon socket.{0,300}",
    r"Running pip as the 'root' user.{0,300}",
    # a try that is followed by another; the last one has total=0, or ends in an error of its own
    r"Retrying \(Retry\(total=[1-9]\d?,[^)]{0,200}\)\) after connection broken by .{0,400}?: /\S{0,300}",
    r"\b[Rr]etry (?:succeeded|was successful) after .{0,200}",
    r"\b[Rr]etry(?:ing)?\b.{0,200}?succeeded after \d+ retr(?:y|ies)",
    (
        r"\bRetrying (?:due to|after|in|because) .{0,300}?[,;]? (?:sleeping|waiting|backing off|sleep)"
        r"[ :=]{1,3}[\d.]+ ?m?s(?:ec)?\w{0,6}\b(?: ?\.\.\.)?"
    ),
    r"\b(?:attempt|try) \d+(?:/| of )\d+: .{0,1500}?\b(?:attempt|try) \d+(?:/| of )\d+: (?:ok|OK|succe|done)",
    r"\b[Rr]etrying\b.{0,600}?\b[Rr]etry succeeded",
    r"Cannot add the project \S{1,80} to ADC as the quota project because .{0,300}",
    # best-effort checks of gcloud that stop nothing
    r"WARNING: Your account does not have permission to check details of build service account.{0,400}? is active\.",
    r"WARNING: Your active project does not match the quota project.{0,400}",
    r"Command killed by keyboard interrupt",
    (
        r"\b(?:do|does|would|will|should) (?:I|we|you|they|it|the \w{1,30}) (?:really |also |only )?(?:need|have|require)\b"
        r"(?: \w+){0,4} ['\"`]?[a-z]{2,30}\.\w{2,60}\.\w{2,60}['\"`]? permissions?"
    ),
    # counts of nothing, a filter of logs, a head that training is to fill, a retry that its library tells
    r"\b\w{0,60}(?:exceeded|denied|errors?|failed|failures?)\w{0,20}\"?(?:=|: ?)0\b(?!\.\d)",
    r"\b(?:textPayload|jsonPayload\.\w{1,40})(?::| ?[=!]~ ?|=)\"[^\"]{0,300}\"",
    r"Some weights of \w{3,60}For(?:Sequence|Token)Classification were not initialized.{0,400}?newly initialized[^.]{0,80}",
    (
        r"Some weights of \w{3,60} were not initialized from the model checkpoint.{0,300}?newly initialized: "
        r"\[(?:'(?:score|classifier|v_head|value_head|reward_head|regression_head|qa_outputs)[\w.]{0,80}'(?:, )?){1,12}\]"
    ),
    # TensorFlow on a machine without NVIDIA's library, which a CPU does not need
    r"failed call to cuInit: INTERNAL: CUDA error: Failed call to cuInit: UNKNOWN ERROR \(303\)",
    r"wandb: Network error \(\w{1,60}\), entering retry loop",
)
TOLD: Final = (
    r"\b(?:needs?|requires?|have|has|had|holds?|grants?)(?: \w+){0,3} ['\"`]?[a-z]{2,30}\.\w{2,60}\.\w{2,60}['\"`]? permissions?",
    r"\b[a-z]{2,30}\.\w{2,60}\.\w{2,60}['\"`]? permission is (?:required|needed)",
)
"""What one says of rights in general; of a failure only where something was refused."""
_REFUSED: Final = r"denied|\b40[13]\b|error|forbidden|fail|refus|\bnot\b|n't\b|missing|lacks?\b|without|unauthorized|unable"


def mask(flat: str) -> str:
    """The same text with harmless passages blanked; lengths stay."""
    for expression in MASKS:
        if search(expression, flat):
            flat = pattern(expression).sub(lambda m: " " * len(m[0]), flat)
    if not pattern(_REFUSED).search(flat):
        for expression in TOLD:
            flat = pattern(expression).sub(lambda m: " " * len(m[0]), flat)
    return flat
