"""Blocks become lines: aligned, wrapped where a person reads, untouched where something is copied."""

from gemmactl.errors import Trouble
from gemmactl.result import Facts, Item, Line, Marked, Table, Verbatim
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
    assert texts(Facts((("url", url), ("a", "b"))), width=40) == [f"  url  {url}", "  a    b"]


def test_table_columns() -> None:
    """Headings and rows share their columns."""
    assert texts(Table(("A", "B"), (("long one", "x"), ("y", "z")))) == ["A         B", "long one  x", "y         z"]


def test_columns_that_do_not_fit_stand_below_their_row() -> None:
    """With their names, and whole: nothing is moved under another heading."""
    model, url = "gs://bucket/" + "m" * 30, "https://u"
    found = texts(Table(("NAME", "MODEL", "SHARE", "URL"), (("a", "short", "90 %", url), ("bb", model, "10 %", "-"))), width=40)
    first = ["a", "    MODEL  short", "    SHARE  90 %", "    URL    https://u"]
    assert found == ["NAME", *first, "bb", f"    MODEL  {model}", "    SHARE  10 %", "    URL    -"]


def test_prose_in_the_last_column_wraps_below_itself() -> None:
    """As long as there is room for it: below that it stands under its row."""
    table = Table(("CODE", "WHAT"), (("a", "word " * 10),))
    assert texts(table, width=30)[1:3] == ["a     word word word word word", "      word word word word word"]
    assert texts(table, width=20)[:2] == ["CODE", "a"]


def test_verbatim_is_untouched() -> None:
    """An answer is not wrapped."""
    assert texts(Verbatim("x " * 100), width=20) == ["x " * 100]


def test_trouble_has_three_parts_and_copyable_remedies() -> None:
    """what, why, remedy; a remedy of two lines keeps its second one whole."""
    found = [s.text for s in layout.trouble(Trouble("it broke", why="rain", remedy="wait\ngcloud run services list"), 80)]
    assert found == ["error: it broke", "  why:    rain", "  remedy: wait", "          gcloud run services list"]


def test_marked_pieces_keep_their_lines() -> None:
    """Where a line ends is part of the text; a piece over two lines is marked on both."""
    found = list(layout.lay((Marked((("a\nb ", False), ("c\nd", True), ("\n", False)), title="row"),), 80))
    assert [line.text for line in found] == ["row", "    a", "    b c", "    d"]
    assert [[line.text[a:b] for a, b in line.marks] for line in found] == [[], [], ["c"], ["d"]]
