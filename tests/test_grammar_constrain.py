"""Grammars for constrained decoding accept what our own checker passes, in both notations, and nothing else."""

from __future__ import annotations

import importlib.util
import random
import re
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lark import Lark, UnexpectedInput
from strategies import ontologies

from grammar import Leaf, Ontology, Tree, check
from grammar.actions import NT, RED, TER, State
from grammar.constrain import export, rules
from grammar.ontology import Node, loads

WORDS = ["x", "Café", "New York", "(", "\\", "音乐", "SlotA", "a\u00a0b"]  # one is spelt like a slot
CODES = {"E201", "E202", "E203", "E204", "E205", "E206", "E209"}


def grow(ontology: Ontology, rng: random.Random, most: int = 40) -> Tree | None:
    """A random tree that the ontology allows."""
    state = State(ontology, max_actions=most)
    while state.tree is None:
        opens, word, close = state.allowed(ontology.labels())
        choices = [NT(label) for label in sorted(opens)] + [TER(rng.choice(WORDS))] * word + [RED] * close * 2
        if not choices:
            return None
        state.apply(rng.choice(choices))
    return state.tree


def spoil(tree: Tree, labels: list[str], rng: random.Random) -> Tree:
    """The tree with one child left out, doubled, moved or replaced, or one label changed."""
    target = rng.choice(list(tree.walk()))
    children, label = list(target.children), target.label
    kind = rng.choice(["drop", "double", "swap", "word", "label", "node"])
    at = rng.randrange(len(children)) if children else 0
    if kind == "drop" and children:
        del children[at]
    elif kind == "double" and children:
        children.insert(rng.randrange(len(children) + 1), children[at])
    elif kind == "swap" and children:
        children.insert(0, children.pop(at))
    elif kind == "word":
        children.insert(at, Leaf(rng.choice(WORDS)))
    elif kind == "label":
        label = rng.choice(labels)
    else:
        children.insert(at, Tree(rng.choice(labels), [Leaf("x")]))
    return replace(tree, target, Tree(label, children))


def replace(tree: Tree, old: Tree, new: Tree) -> Tree:
    if tree is old:
        return new
    return Tree(tree.label, [replace(c, old, new) if isinstance(c, Tree) else c for c in tree.children])


def cases(ontology: Ontology, seed: int, count: int = 12) -> list[Tree]:
    rng = random.Random(seed)
    grown = [tree for _ in range(count) if (tree := grow(ontology, rng))]
    return grown + [spoil(tree, ontology.labels(), rng) for tree in grown]


def is_allowed(tree: Tree, ontology: Ontology) -> bool:
    return not CODES & {finding.code for finding in check(str(tree), ontology)}


def accepts(parser: Lark, text: str) -> bool:
    try:
        parser.parse(text)
    except UnexpectedInput:
        return False
    return True


class Gbnf:
    """The part of GBNF that we write: names, strings, classes, groups, `|`, `*`, `+`, `?`."""

    TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"|(\[(?:[^\]\\]|\\.)*\])|([A-Za-z][A-Za-z0-9-]*)|([()|*+?])')

    def __init__(self, text: str) -> None:
        self.rules = {}
        for line in text.splitlines():
            if line and not line.startswith("#"):
                name, body = line.split(" ::= ")
                self.tokens = [m.group() for m in self.TOKEN.finditer(body)]
                self.rules[name] = self.alternatives()
                assert not self.tokens

    def alternatives(self):
        found = [[]]
        while self.tokens and self.tokens[0] != ")":
            token = self.tokens.pop(0)
            if token == "|":
                found.append([])
                continue
            if token == "(":
                item = self.alternatives()
                assert self.tokens.pop(0) == ")"
            else:
                item = token
            many = self.tokens.pop(0) if self.tokens and self.tokens[0] in "*+?" else ""
            found[-1].append((item, many))
        return found

    def accepts(self, text: str) -> bool:
        @cache
        def rule(name: str, at: int) -> frozenset[int]:
            return frozenset(anyof(self.rules[name], at))

        def anyof(alternatives, at):
            return {end for sequence in alternatives for end in run(sequence, {at})}

        def run(sequence, places):
            for item, many in sequence:
                once = {end for at in places for end in one(item, at)}
                found = set(once) | (places if many in ("*", "?") else set())
                while many in ("*", "+") and once:
                    once = {end for at in once for end in one(item, at)} - found
                    found |= once
                places = found
            return places

        def one(item, at):
            if isinstance(item, list):
                return anyof(item, at)
            if item[0] == '"':
                literal = item[1:-1].replace('\\"', '"').replace("\\\\", "\\")
                return {at + len(literal)} if text.startswith(literal, at) else set()
            if item[0] == "[":
                return {at + 1} if at < len(text) and re.fullmatch(item, text[at]) else set()
            return rule(item, at)

        return len(text) in rule("root", 0)


@settings(max_examples=20)
@given(ontologies(), st.integers(0, 2**32))
def test_both_notations_accept_what_the_checker_passes(ontology: Ontology, seed: int) -> None:
    lalr, gbnf = Lark(export(ontology, "lark"), parser="lalr"), Gbnf(export(ontology, "gbnf"))
    for tree in cases(ontology, seed):
        wanted = is_allowed(tree, ontology)

        assert wanted == accepts(lalr, str(tree)) == gbnf.accepts(str(tree)), str(tree)


@settings(max_examples=8)
@given(ontologies(), st.integers(0, 2**32), st.integers(0, 1))
def test_with_fewer_counted_children_all_good_trees_are_still_accepted(ontology: Ontology, seed: int, exact: int):
    parser = Lark(export(ontology, "lark", exact), parser="lalr")
    for tree in cases(ontology, seed, 6):
        assert accepts(parser, str(tree)) or not is_allowed(tree, ontology)


def slots(once: int, required: int = 0) -> Ontology:
    names = [f"Slot{i}" for i in range(once)]
    nodes = {name: Node("slot", words=True, least=1) for name in names}
    return Ontology({"I": Node("intent", frozenset(names), frozenset(names[:required])), **nodes})


@pytest.mark.parametrize(("once", "required", "exact"), [(6, 0, True), (6, 6, True), (7, 2, False), (15, 1, False)])
def test_six_slots_are_counted_and_more_are_a_stated_superset(once: int, required: int, exact: bool) -> None:
    ontology = slots(once, required)
    text = export(ontology, "lark")
    parser = Lark(text, parser="lalr")
    rng = random.Random(once)
    wrong = 0
    for _ in range(60):
        picks = rng.sample(range(once), rng.randint(0, min(once, 8)))
        picks += rng.sample(picks, min(1, len(picks))) * rng.randint(0, 1)
        tree = Tree("I", [Tree(f"Slot{i}", [Leaf("x")]) for i in picks])
        good = is_allowed(tree, ontology)
        wrong += good != accepts(parser, str(tree))
        assert not good or accepts(parser, str(tree))

    assert (wrong == 0) is exact
    assert ("`I` accepts more than the ontology: these may stand more than once: " in text) is not exact


def test_required_children_are_counted_first() -> None:
    nodes = {name: Node("slot", words=True, least=1) for name in "abcdefgh"}
    nodes["I"] = Node("intent", frozenset("abcdefgh"), frozenset("gh"), counts={"c": 9, "d": 5})
    note = rules(Ontology(nodes), 3).notes[0]

    assert note == "`I` accepts more than the ontology: these may stand more than once: a, b, d, e, f"


@settings(max_examples=15)
@given(st.sets(st.text("abAB09_.:/-!@#<>=+*?'$%", min_size=1, max_size=4), min_size=1, max_size=12))
def test_any_label_can_be_exported(labels: set[str]) -> None:
    names = sorted(labels)
    nodes = {name: Node("intent", frozenset(names), frozenset(), frozenset(names), True) for name in names}
    lalr, gbnf = (Lark(export(Ontology(nodes), "lark"), parser="lalr"), Gbnf(export(Ontology(nodes), "gbnf")))
    for name in names:
        text = str(Tree(name, [Tree(names[-1], [Leaf(names[0])]), Leaf("w")]))
        assert accepts(lalr, text) and gbnf.accepts(text)
        assert not accepts(lalr, text.replace("(", "((", 1)) and not gbnf.accepts(text + ")")


def test_labels_that_no_tree_holds_are_left_out_and_named() -> None:
    text = export(loads("roots = ['A']\n[intents.A]\n[slots.B]"), "gbnf")

    assert "# No tree holds these labels: B" in text
    assert '"B"' not in text


def test_an_ontology_without_roots_is_refused() -> None:
    with pytest.raises(ValueError, match="has no roots"):
        export(loads("[slots.B]"), "lark")


@pytest.mark.skipif(not importlib.util.find_spec("llguidance"), reason="llguidance is not installed")
@settings(max_examples=15)
@given(ontologies(), st.integers(0, 2**32))
def test_llguidance_reads_the_lark_grammar(ontology: Ontology, seed: int) -> None:
    import llguidance

    tokens = llguidance.LLTokenizer("byte")
    for tree in cases(ontology, seed, 4):
        matcher = llguidance.LLMatcher(tokens, llguidance.grammar_from("lark", export(ontology, "lark")))
        assert not matcher.get_error()
        ids = list(str(tree).encode())
        done = matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting()

        assert done == is_allowed(tree, ontology), str(tree)
