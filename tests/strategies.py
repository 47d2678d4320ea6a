"""Hypothesis strategies for the things that every package passes around."""

from __future__ import annotations

from hypothesis import strategies as st

from grammar.ontology import Node, Ontology, OntologyError
from grammar.tree import Leaf, Tree, is_writable

LABEL_CHARS = "abzAZ09_.:/-!@#<>=+*?'$%"


def labels() -> st.SearchStrategy[str]:
    """Any label."""
    return st.text(LABEL_CHARS, min_size=1, max_size=6)


def words() -> st.SearchStrategy[str]:
    """Any word that can be written, ugly ones first."""
    ugly = st.sampled_from(
        ["a", "music", "New York", "(live)", "\\", "a\\b", "()", "Café", "音乐", "\u00a0", "\u2028", "#"]
    )
    return ugly | st.text(min_size=1, max_size=5).filter(is_writable)


LABELS, WORDS = labels(), words()


def trees(
    label: st.SearchStrategy[str] = LABELS, word: st.SearchStrategy[str] = WORDS, size: int = 12
) -> st.SearchStrategy[Tree]:
    """Any tree, of about `size` nodes and leaves."""
    leaf = st.builds(Leaf, word)
    flat = st.builds(Tree, label, st.lists(leaf, max_size=3))
    return st.recursive(
        flat, lambda inner: st.builds(Tree, label, st.lists(inner | leaf, min_size=1, max_size=4)), max_leaves=size
    )


@st.composite
def ontologies(draw: st.DrawFn) -> Ontology:
    """Small ontologies under which finite trees exist; they nest, repeat, require and ask for several children."""
    names = {"intent": ["IntentA", "IntentB"], "function": ["and"], "slot": ["SlotA", "SlotB", "slot.c"]}
    every = [name for group in names.values() for name in group]
    nodes = {}
    for kind, group in names.items():
        for name in group:
            takes = draw(st.frozensets(st.sampled_from(every), max_size=4))
            some = st.frozensets(st.sampled_from(sorted(takes)), max_size=2) if takes else st.just(frozenset[str]())
            nodes[name] = Node(
                kind=kind,
                takes=takes,
                required=draw(some),
                repeated=draw(some),
                words=draw(st.booleans()),
                least=draw(st.integers(0, 3)),
                description=draw(st.sampled_from(["", 'say "play"', "two\nlines", "back\\slash"])),
                count=draw(st.integers(0, 2)),
                counts={child: 1 for child in sorted(takes)[: draw(st.integers(0, 2))]},
            )
    try:
        return Ontology(nodes, draw(st.none() | st.just(["IntentA", "and"])), draw(st.just(()) | st.just(["not"])))
    except OntologyError:  # some label would need an endless tree: allow it words instead
        mended = {
            name: Node(node.kind, node.takes, frozenset(), node.repeated, True, node.least)
            for name, node in nodes.items()
        }
        return Ontology(mended)
