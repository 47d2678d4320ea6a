"""Text -> tree: spans, the grammar itself, and the scanner that is held equal to it."""

from __future__ import annotations

import logging
import re

import lark
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from strategies import LABEL_CHARS, trees

from grammar import Leaf, Span, Tree, parse
from grammar.recover import scan
from grammar.rules import MAX_BYTES, MAX_DEPTH
from grammar.shard import grammar_sha256
from grammar.syntax import _GRAMMAR, TreeSyntaxError
from grammar.syntax import lark as loaded
from grammar.tree import is_label


def test_spans() -> None:
    text = " (Play (Title ( Star  W\\ s ) (x)))"
    tree = parse(text)
    title = tree.children[0]
    assert isinstance(title, Tree)
    star, wars, x = title.children
    assert (tree.span, tree.label_span) == (Span(1, len(text)), Span(2, 6))
    assert (title.span, title.label_span) == (Span(7, len(text) - 1), Span(8, 13))
    assert (star.span, wars.span, x.span) == (Span(16, 20), Span(22, 26), Span(30, 31))
    assert [leaf.word for leaf in tree.leaves()] == ["Star", "W s", "x"]


@given(trees())
def test_spans_hold_what_was_read(tree: Tree) -> None:
    text = str(tree)
    read = parse(text)
    for node in read.walk():
        assert node.span and node.label_span
        assert str(node) == text[node.span.start : node.span.end]
        assert node.label == text[node.label_span.start : node.label_span.end]
    for leaf in read.leaves():
        assert leaf.span and parse(f"(x({text[leaf.span.start : leaf.span.end]}))").words() == [leaf.word]


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("(PlayMusicIntent ( ) )", "(PlayMusicIntent())"),
        ("\t(a\r\n  (b  c))\n", "(a(b)(c))"),
        ("(a(b c)(d(e)))", "(a(b)(c)(d(e)))"),
        ("(a(Café))", "(a(Café))"),
        ("(a(x\u00a0y))", "(a(x\u00a0y))"),
        ("(fromloc.city_name(IN:GET_EVENT))", "(fromloc.city_name(IN:GET_EVENT))"),
        ("(a(\\(b\\)))", "(a(\\(b\\)))"),
    ],
)
def test_canonical_form(text: str, canonical: str) -> None:
    assert str(parse(text)) == canonical
    assert scan(text).findings == []


def test_grammar_has_no_conflicts(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger=lark.logger.name):
        lark.Lark(_GRAMMAR.read_text(), parser="lalr", lexer="basic", debug=True)
    assert "onflict" not in caplog.text


@given(st.text(LABEL_CHARS + 'é\\() \t"', min_size=1, max_size=6))
@example("Caf")
@example("Café")
@example("\\ ")
def test_names_and_words_are_disjoint(atom: str) -> None:
    terminals = {t.name: t.pattern.to_regexp() for t in loaded().terminals}
    is_name, is_word = (bool(re.fullmatch(terminals[name], atom)) for name in ("NAME", "WORD"))
    assert not (is_name and is_word)
    assert is_name == is_label(atom)


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """The text of a tree with a few characters taken out, put in, or copied."""
    text = str(draw(trees(size=6)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(text)))
        kind = draw(st.sampled_from(["insert", "delete", "copy"]))
        if kind == "insert":
            text = text[:at] + draw(st.sampled_from("()\\ a\té")) + text[at:]
        elif kind == "delete":
            text = text[:at] + text[at + 1 :]
        else:
            text = text[:at] + text[at:][: draw(st.integers(0, 5))] + text[at:]
    return text


@settings(max_examples=400)
@given(damaged() | st.text("()\\ aé\n", max_size=14))
@example("(a())")
@example("(a()())")
@example("(a(b)())")
@example("(a\\")
@example("(é())")
@example("(())")
def test_scanner_is_clean_exactly_where_the_grammar_parses(text: str) -> None:
    recovered = scan(text)
    try:
        tree = parse(text)
    except TreeSyntaxError as error:
        assert recovered.findings == error.findings != []
        for finding in recovered.findings:
            assert 0 <= finding.span.start <= finding.span.end <= len(text)
    else:
        assert recovered.findings == []
        assert recovered.tree == tree
        assert recovered.tree is not None
        assert [(n.span, n.label_span) for n in recovered.tree.walk()] == [(n.span, n.label_span) for n in tree.walk()]
        assert [leaf.span for leaf in recovered.tree.leaves()] == [leaf.span for leaf in tree.leaves()]


def test_error_names_the_first_finding_and_holds_all() -> None:
    with pytest.raises(TreeSyntaxError) as caught:
        parse("(a(b)c)(")
    assert [finding.code for finding in caught.value.findings] == ["E108", "E106"]
    assert str(caught.value) == "E108 at character 5: `c` stands beside brackets without its own (and 1 more)"


def test_text_on_both_sides_of_a_tree_is_found_at_once() -> None:
    found = scan('"(a(b))"').findings  # as spreadsheets quote cells
    assert [(finding.code, finding.span.start) for finding in found] == [("E106", 0), ("E106", 7)]


@pytest.mark.parametrize(
    ("text", "recovered"),
    [
        ("(a(b(c)", "(a(b(c)))"),
        ("(a(b))))", "(a(b))"),
        ("(a(b c (d)))", "(a(b(c)(d)))"),
        ("(a(b)())", "(a(b))"),
        ("x (a(b)) y", "(a(b))"),
    ],
)
def test_recovered_tree(text: str, recovered: str) -> None:
    found = scan(text)
    assert found.findings
    assert str(found.tree) == recovered


def test_limits_come_before_the_parser() -> None:
    deepest = Tree("a", [Leaf("b")])
    for _ in range(MAX_DEPTH - 1):
        deepest = Tree("a", [deepest])
    longest = f"(a({'b' * (MAX_BYTES - 5)}))"
    assert scan(str(deepest)).findings == scan(longest).findings == []
    for text, code in ((str(Tree("a", [deepest])), "E112"), (longest + " ", "E113"), ("(" * 100_000, "E112")):
        assert [finding.code for finding in scan(text).findings] == [code]
        with pytest.raises(TreeSyntaxError):
            parse(text)


def test_hash_is_of_the_grammar_file() -> None:
    assert re.fullmatch("[0-9a-f]{64}", grammar_sha256())
