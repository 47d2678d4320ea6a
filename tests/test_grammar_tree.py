"""Trees: their canonical text, walks that do not recurse, pictures."""

from __future__ import annotations

import pytest
from hypothesis import given
from strategies import trees

import grammar
from grammar.picture import picture, pretty
from grammar.tree import Leaf, Tree, escape, is_writable, unescape

SHOPPING = (
    "(and(AddToListIntent(add(ItemName(apples))(ItemName(oranges))))"
    "(PlayMusicIntent(MediaType(music))(Title(Star)(Wars))))"
)


@given(trees())
def test_text_round_trip(tree: Tree) -> None:
    assert grammar.parse(str(tree)) == tree


@given(trees())
def test_pretty_round_trip(tree: Tree) -> None:
    assert grammar.parse(pretty(tree)) == tree


@given(trees())
def test_canonical_text_is_a_fixed_point(tree: Tree) -> None:
    assert str(grammar.parse(str(tree))) == str(tree)


@given(trees())
def test_constituents_cover_the_leaves_below_each_node(tree: Tree) -> None:
    words = tree.words()
    nodes = list(tree.walk())
    constituents = tree.constituents()
    assert [label for label, _ in constituents] == [node.label for node in nodes]
    for node, (_, numbers) in zip(nodes, constituents, strict=True):
        assert [words[n] for n in numbers] == node.words()


@given(trees())
def test_picture_has_a_line_for_each_node(tree: Tree) -> None:
    lines = picture(tree).replace("\u2028", "").split("\n")
    mixed = [n for n in tree.walk() if any(isinstance(c, Tree) for c in n.children)]
    loose = sum(isinstance(child, Leaf) for node in mixed for child in node.children)
    assert len(lines) == len(list(tree.walk())) + loose


def test_picture() -> None:
    assert picture(grammar.parse(SHOPPING)).split("\n") == [
        "and",
        "├─ AddToListIntent",
        "│  └─ add",
        "│     ├─ ItemName ── apples",
        "│     └─ ItemName ── oranges",
        "└─ PlayMusicIntent",
        "   ├─ MediaType ── music",
        "   └─ Title ── Star Wars",
    ]


def test_pretty() -> None:
    assert pretty(grammar.parse("(a(b(x)(y))(c(d())(z)))")).split("\n") == [
        "(a",
        "  (b(x)(y))",
        "  (c",
        "    (d())",
        "    (z)))",
    ]


@pytest.mark.parametrize("word", ["a b", "(", ")", "\\", "\\(", "a\\ b", "\\\\", "x"])
def test_escape_round_trip(word: str) -> None:
    assert unescape(escape(word)) == word


@pytest.mark.parametrize("word", ["", "a\tb", "a\n", "\r"])
def test_unwritable(word: str) -> None:
    assert not is_writable(word)


def test_a_thousand_levels() -> None:
    tree = Tree("a", [Leaf("b")])
    for _ in range(999):
        tree = Tree("a", [tree])
    assert tree.depth() == 1_000
    assert grammar.parse(str(tree)) == tree
    assert grammar.parse(pretty(tree, 0)) == tree
    assert picture(tree).count("\n") == 999


def test_the_package_names_the_function_check() -> None:
    assert grammar.check("(a(b))") == grammar.check("(a(b))") == []
