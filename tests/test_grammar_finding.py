"""How findings look: columns, carets under wide characters, long lines, several lines."""

from __future__ import annotations

import pytest

from grammar.finding import Finding, Place, Related, render, to_json
from grammar.tree import Span


def shown(text: str, start: int, end: int, offset: int = 0) -> list[str]:
    """The lines of a finding on `text`, from the position line to the carets."""
    finding = Finding("E000", "message", Span(start, end), "mend it")
    return render(finding, Place("f", 17, text, offset)).split("\n")[1:5]


def test_the_manner_of_rustc() -> None:
    text = "(AddToListIntent(add(ItmName(apples))))"
    finding = Finding("E201", "unknown label `ItmName`", Span(21, 28), "the ontology has `ItemName`")
    assert render(finding, Place("batch_07.trees", 17, text)).split("\n") == [
        "error[E201]: unknown label `ItmName`",
        "  --> batch_07.trees:17:22",
        "   |",
        "17 | (AddToListIntent(add(ItmName(apples))))",
        "   |                      ^^^^^^^",
        "   = help: the ontology has `ItemName`",
    ]


@pytest.mark.parametrize(
    ("text", "start", "end", "line", "carets"),
    [
        ("(a(音乐)(b))", 3, 5, "(a(音乐)(b))", "   ^^^^"),
        ("(a(音乐)(b))", 7, 8, "(a(音乐)(b))", "         ^"),
        ("(a(e\u0301)(b))", 7, 8, "(a(e\u0301)(b))", "      ^"),
        ("\t(a)", 2, 3, "    (a)", "     ^"),
        ("(a\u202eb)", 2, 3, "(a\ufffdb)", "  ^"),
        ("(a\x1bb)", 3, 4, "(a\ufffdb)", "   ^"),
        ("(a", 2, 2, "(a", "  ^"),
        ("(a)\r", 0, 3, "(a)", "^^^"),
    ],
)
def test_carets_stand_below_the_mistake(text: str, start: int, end: int, line: str, carets: str) -> None:
    _, _, source, under = shown(text, start, end)
    assert source == f"17 | {line}"
    assert under == f"   | {carets}"


def test_column_counts_characters_of_the_whole_line() -> None:
    where, _, source, under = shown("音乐\t(b)", 1, 2, offset=3)
    assert where == "  --> f:17:5"
    assert source == "17 | 音乐    (b)"
    assert under == "   |          ^"


def test_tree_over_several_lines() -> None:
    where, _, source, under = shown("(a\n  (b)\n  (c))", 5, 13)
    assert where == "  --> f:18:3"
    assert source == "18 |   (b)"
    assert under == "   |   ^^^"


def test_long_line_is_cut_around_the_mistake() -> None:
    where, _, source, under = shown("a" * 1_000 + "X" + "b" * 1_000, 1_000, 1_001)
    assert where == "  --> f:17:1001"
    assert source.startswith("17 | …aaa") and source.endswith("bbb…")
    assert len(source) < 180
    assert source[under.index("^")] == "X"


def test_second_place() -> None:
    near = Finding("E000", "m", Span(4, 5), "h", related=Related(Span(0, 1), "the first"))
    assert render(near, Place("f", 1, "(a(b)"))[-60:].split("\n")[-3:] == [
        "  | -   ^",
        "  = note: the first (at column 1)",
        "  = help: h",
    ]
    assert "the first (at 1:1)" in render(near, Place("f", 1, "(a\n(b)"))


def test_json() -> None:
    finding = Finding("E000", "m", Span(1, 4), "h", related=Related(Span(0, 1), "r"))
    assert to_json(finding, Place("f", 3, "x\t(a\n b)", 2)) == {
        "code": "E000",
        "severity": "error",
        "message": "m",
        "file": "f",
        "line": 3,
        "column": 4,
        "end_line": 4,
        "end_column": 2,
        "field": "tree",
        "start": 1,
        "end": 4,
        "help": "h",
        "fix": None,
        "related": {"start": 0, "end": 1, "message": "r"},
    }
