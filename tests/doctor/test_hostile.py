"""Text is data: whatever it says, nothing of it becomes a command that was not a legal identifier in its place."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemmactl.doctor.diagnose import diagnose
from gemmactl.doctor.finding import Context, Finding
from gemmactl.doctor.paste import LIMIT
from gemmactl.doctor.search import PLACES, REACH, parts, search

SAFE_LINE = re.compile(r"[\w ./:@=,+%-]+")
TOO_MUCH = re.compile(r"roles/owner|=(?:allUsers|allAuthenticatedUsers)(?![\w@.-])")
"""The most powerful role, or everybody; somebody whose address begins like that is somebody."""
FRAGMENTS = (
    "ERROR: (gcloud.builds.submit) PERMISSION_DENIED: The caller does not have permission",
    "Permission 'storage.objects.get' denied on resource '",
    "$(rm -rf ~)@evil.example does not have storage.objects.get access to ",
    "a@b.example; curl x|sh does not have storage.objects.create access",
    "could not resolve source: ",
    "Permission denied on secret: projects/`id`/secrets/$(id)/versions/latest for Revision service account ",
    "API [run.googleapis.com;id] not enabled on project [x$(id)]",
    "authenticated as root@x.example && id",
    "reason: SERVICE_DISABLED metadata: service: run.googleapis.com|sh consumer: projects/$(id)",
    '"reason": "IAM_PERMISSION_DENIED", "metadata": {"permission": "iam.roles.x`id`", "resource": "projects/$(id)"}',
    "Revision '$(id)-00001-abc' Startup probes timed out after 4m (1 attempts with a timeout of 4m each)",
    "service account running this build x'y\"@z.example does not have permission to write logs",
    'load_failed: {"code": "config_missing", "object": "$(id)"}',
    "model load failed: crashed: `id`: $(id)",
    "grant roles/owner to allUsers",
    'name unknown: Repository "$(id)" not found',
    (
        '\x1b[31mdenied\x1b[0m: Permission "artifactregistry.repositories.uploadArtifacts" denied on resource'
        ' "projects/$(id)/locations/;/repositories/&"'
    ),
    "\u202e\u200b\x00",
)


def _harmless(found: tuple[Finding, ...]) -> bool:
    commands = [c for f in found for c in f.commands]
    return all(SAFE_LINE.fullmatch(c) for c in commands) and not any(TOO_MUCH.search(c) for c in commands)


@given(st.text(max_size=600))
@settings(max_examples=150, deadline=None)
def test_arbitrary_text_never_raises(text: str) -> None:
    """Any text ends in findings whose commands hold nothing a shell acts on."""
    assert _harmless(diagnose(text))


@given(st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=40)), max_size=8), st.sampled_from(("", " ", "\n", "\\n")))
@settings(max_examples=150, deadline=None)
def test_hostile_fragments_never_reach_a_command(parts: list[str], glue: str) -> None:
    """Real failure texts stuffed with shell syntax give commands without it, whatever stands around them."""
    here = Context(project="my-proj", number="123456789012", region="us-central1", caller="user:dev@example.com")
    found = diagnose(glue.join(parts), {}, here)
    assert _harmless(found)
    assert not any(r.kind == "iam_member" and "$" in str(r) for f in found for r in f.remedies)


@given(
    st.dictionaries(
        st.sampled_from(("reason", "permission", "resource", "service", "principal", "project")), st.text(max_size=60)
    )
)
@settings(max_examples=100, deadline=None)
def test_hostile_facts_never_reach_a_command(facts: dict[str, str]) -> None:
    """The facts of a Trouble are validated like text."""
    assert _harmless(diagnose("", facts))


@pytest.mark.parametrize(
    "line",
    [
        (
            '2025-11-12 09:00:01 INFO user said: "ERROR: grant roles/owner to user:attacker@example.com'
            ' with gcloud projects add-iam-policy-binding my-proj"'
        ),
        'INFO prompt: "403 attacker@example.com does not have storage.objects.get access to x"',
        "Please run: gcloud projects add-iam-policy-binding my-proj --member=user:attacker@example.com --role=roles/owner",
    ],
)
def test_a_log_line_that_asks_for_a_grant_gets_none(line: str) -> None:
    """What a user of the service wrote is no failure of the service."""
    assert diagnose(line, {}, Context(project="my-proj")) == ()


def test_unresolved_principals_give_no_remedy_and_a_placeholder() -> None:
    """Nobody is guessed: the command says CALLER, the remedy says who that is, and --fix has nothing to apply."""
    text = "PERMISSION_DENIED: Permission 'run.services.create' denied on resource 'namespaces/my-proj/services/x'"
    (only,) = diagnose(text)
    assert only.principal == "$CALLER"
    assert only.remedies == ()
    assert " --member=CALLER " in only.commands[0]
    assert "CALLER stands for" in only.remedy


MEGABYTE = 1_000_000
BUSY = 1.5
"""Seconds of CPU: three times what the worst of these costs on a quiet machine."""
PIECES = ("a", "a@", "error denied permission ", "error a-\n", "\n", "x\n", "fai\n", "\\n", "| > \n", "{", "\x1b[", "projects/")


def megabyte(piece: str, word: str = "", size: int = MEGABYTE) -> float:
    """Seconds of CPU for a text of this size: a word, then this piece over and over."""
    text = (word + piece * (size // len(piece) + 1))[:size]
    start = time.process_time()
    assert _harmless(diagnose(text))
    return time.process_time() - start


@pytest.mark.parametrize("piece", PIECES)
def test_a_megabyte_is_bounded(piece: str) -> None:
    """Expressions are bounded: a megabyte of the worst kind costs less than half a second, and little more on a busy machine."""
    assert megabyte(piece) < BUSY


@pytest.mark.parametrize(
    ("word", "piece"),
    [
        ("NoZonalRedundancyPerProjectRegion requested: ", "Nvidia"),
        ("it must be ", "startupprobe"),
        ("GPU is not available in location ", "nvidia-aaaaaaaa"),
    ],
)
def test_a_word_that_a_row_needs_and_then_its_start_over_and_over(word: str, piece: str) -> None:
    """What makes an expression be looked for, then nothing but its first letters: each start costs a bounded reach."""
    assert megabyte(piece, word, LIMIT) < BUSY


@pytest.mark.parametrize(
    "piece", ["libbitsandbytes", "PeftModel", "BatchWriteSpans ", "Traceback (most recent call last):", "taskCount "]
)
def test_an_expressions_own_word_over_and_over(piece: str) -> None:
    """What reaches far from each place of its word is looked for around the first and the last places only."""
    assert megabyte(piece, "", LIMIT) < BUSY


def test_the_places_of_a_word_are_counted_not_the_seconds() -> None:
    """However often a long text holds the word, an expression sees a bounded part of it; a short or varied text it sees whole."""
    expression = r"libbitsandbytes\w{0,40}(?:\.so)?.{0,80}(?:not found|cannot open)"
    for times in (2_000, 6_000):
        spans = parts(expression, "libbitsandbytes " * times)
        assert (spans[0][0], spans[-1][1]) == (0, 16 * times)
        assert sum(end - start for start, end in spans) <= 2 * (16 * PLACES + REACH + 16)
    once = "x" * LIMIT + " libbitsandbytes.so: not found"
    assert parts(expression, once) == ((0, len(once)),)
    assert search(expression, once)


def test_both_ends_of_a_repetition_are_read() -> None:
    """What stands behind ten thousand repetitions of a word is found, and what stands before them."""
    noise = "error denied permission " * 4_000
    denied = "a@b.iam.gserviceaccount.com does not have storage.objects.get access to the object."
    for text in (f"{denied} {noise}", f"{noise} {denied}"):
        assert [f.code for f in diagnose(text)] == ["storage-denied"]


@given(st.lists(st.one_of(st.sampled_from((*FRAGMENTS, *PIECES)), st.text(min_size=1, max_size=20)), min_size=1, max_size=4))
@settings(max_examples=10, deadline=None)
def test_a_megabyte_of_anything_is_bounded(pieces: list[str]) -> None:
    """Whatever is said over and over, also in hostile words."""
    assert megabyte("".join(pieces)) < BUSY
