"""Files as people paste them: odd spaces, curly quotes, variables of the environment."""

from __future__ import annotations

import pytest

from gemmactl.errors import Exit, Trouble
from gemmactl.knative.text import prepare
from gemmactl.knative.tree import Node, parse


def built(raw: str, **environ: str) -> Node:
    return parse(raw, "f.yaml", environ)[0]


def value(raw: str, key: str = "a", **environ: str) -> str:
    found = built(raw, **environ).pairs()[key]
    return found.text()


@pytest.mark.parametrize(
    ("raw", "clean", "note"),
    [
        ("a:\n\u00a0 b: 1", "a:\n  b: 1", "1 x U+00A0 (no-break space) read as a space, first in line 2"),
        ("a:\u3000x\u3000y", "a: x y", "2 x U+3000 (ideographic space) read as spaces, first in line 1"),
        ("\ufeffa\u200b: 1", "a: 1", "1 x U+FEFF (zero width no-break space) left out, first in line 1"),
        ("a: \u201cx y\u201d", 'a: "x y"', 'U+201D (right double quotation mark) read as "'),
        ("- \u2018x\u2019", "- 'x'", "U+2018 (left single quotation mark) read as '"),
    ],
)
def test_odd_characters_are_repaired_with_a_note(raw: str, clean: str, note: str) -> None:
    """What an editor or a web page put in for a space or a quote is read as what was meant, and told with its first line."""
    found = prepare(raw)
    assert found.text == clean
    assert any(note in said for said in found.notes)


@pytest.mark.parametrize("raw", ["a: 'x\u00a0y'", 'a: ["\u201cx\u201d\u200b"]', "b: it\u2019s"])
def test_a_text_in_quotes_stays_as_it_is(raw: str) -> None:
    """A non-breaking space inside a quoted value, or an apostrophe inside a word, is somebody's text."""
    assert prepare(raw).text == raw
    assert prepare(raw).notes == ()


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("a: $X", "1"),
        ("a: ${X}y", "1y"),
        ("a: '$X'", "1"),
        ("a: pre-$X-$Y/", "pre-1-two words/"),
        ("a: $$X", "$X"),
        ("a: $(X) costs 5$ ${X:-y}", "$(X) costs 5$ ${X:-y}"),
        ('a: "\\x24X"', "$X"),
    ],
)
def test_variables_come_from_the_environment(raw: str, expected: str) -> None:
    """As envsubst reads them; `$$` before a name is one dollar, and an escaped one is no variable."""
    assert value(raw, X="1", Y="two words") == expected


def test_a_value_can_not_become_structure() -> None:
    """Quotes, colons and lines of a variable stay inside the one value that it stands in."""
    nasty = 'x"\nb: 2\n- {c: [d'
    root = built("a: $X\ne: [$X, 'y']", X=nasty)
    assert list(root.pairs()) == ["a", "e"]
    assert root.pairs()["a"].text() == nasty
    assert root.pairs()["e"].texts() == (nasty, "y")


def test_variables_that_are_not_set_are_named_with_their_lines() -> None:
    """All of them, once each; one in a comment is nobody's, and an empty one is set."""
    with pytest.raises(Trouble) as caught:
        built("# $COMMENT\na: $EMPTY\nb: $ONE\nc: ${TWO} $ONE\n", EMPTY="")
    assert caught.value.exit is Exit.USAGE
    assert caught.value.code == "yaml-variable-unset"
    assert caught.value.why == "ONE (line 3), TWO (line 4)"
    assert "export ONE=... TWO=..." in caught.value.remedy


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        ("a: 1\n\tb: 2", "f.yaml:2: not valid YAML"),
        ("a: [1", "f.yaml:1: not valid YAML"),
        ("a: &x [*x]", "f.yaml is no service's YAML"),
        (
            "a: &x [1,1,1,1,1,1,1,1,1]\n" + "".join(f"b{i}: &y{i} [{', '.join(['*x'] * 9)}]\n" for i in range(300)),
            "no service's",
        ),
        ("a: " + "[" * 500, "f.yaml"),
        ("", "f.yaml is empty"),
        ("a: \x01", "not valid YAML"),
        ("a: 1\n---\nb: 2", "f.yaml:2: not valid YAML"),
    ],
)
def test_what_is_no_document_is_refused_in_words(raw: str, where: str) -> None:
    """Tabs, open brackets, documents that refer to themselves or never end: a sentence with the line, no traceback."""
    with pytest.raises(Trouble) as caught:
        built(raw)
    assert caught.value.exit is Exit.USAGE
    assert where in caught.value.what
