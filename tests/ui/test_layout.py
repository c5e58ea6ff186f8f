"""Blocks become lines: aligned, wrapped where a person reads, untouched where something is copied."""

from gemmactl.errors import Trouble
from gemmactl.result import Facts, Item, Line, Table, Verbatim
from gemmactl.ui import layout


def texts(*blocks: object, width: int = 80) -> list[str]:
    return [s.text for s in layout.lay(blocks, width)]  # type: ignore[arg-type]  # any Block


def test_facts_are_aligned_also_with_wide_characters() -> None:
    """A Korean key takes two columns for each character."""
    assert texts(Facts((("모델", "a"), ("url", "b")))) == ["  모델  a", "  url   b"]


def test_long_prose_is_wrapped_with_a_hanging_indent() -> None:
    """No line is longer than the screen, and what follows hangs below the text."""
    found = texts(Item("!", "word " * 30), width=40)
    assert max(map(len, found)) <= 40
    assert found[1].startswith("  word")


def test_commands_and_urls_are_never_broken() -> None:
    """A command stays one line, so that it can be copied; a long word is not cut."""
    command = "gcloud projects add-iam-policy-binding p --member=serviceAccount:" + "x" * 60
    assert texts(Line(command), width=40) == [command]
    url = "https://" + "x" * 60
    assert texts(Line(f"see {url}"), width=40)[-1] == url


def test_table_columns() -> None:
    """Headings and rows share their columns."""
    assert texts(Table(("A", "B"), (("long one", "x"), ("y", "z")))) == ["A         B", "long one  x", "y         z"]


def test_verbatim_is_untouched() -> None:
    """An answer is not wrapped."""
    assert texts(Verbatim("x " * 100), width=20) == ["x " * 100]


def test_trouble_has_three_parts_and_copyable_remedies() -> None:
    """what, why, remedy; a remedy of two lines keeps its second one whole."""
    found = [s.text for s in layout.trouble(Trouble("it broke", why="rain", remedy="wait\ngcloud run services list"), 80)]
    assert found == ["error: it broke", "  why:    rain", "  remedy: wait", "          gcloud run services list"]
