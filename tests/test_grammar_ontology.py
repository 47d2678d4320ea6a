"""Ontologies: TOML there and back, drafts from trees, and messages that say how to mend a file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import ontologies, trees

from grammar import Ontology, Tree, check, parse
from grammar.infer import Counts, infer
from grammar.ontology import Node, OntologyError, loads

SHOPPING = "(and(AddToListIntent(add(ItemName(apples))(ItemName(pears))))(PlayMusicIntent()))"


@given(ontologies())
def test_toml_round_trip(ontology: Ontology) -> None:
    again = loads(ontology.dumps())
    assert again == ontology
    assert again.sha256() == ontology.sha256()


@pytest.mark.parametrize("words", [True, False])
@pytest.mark.parametrize("least", [0, 1, 2])
@pytest.mark.parametrize("kind", ["intent", "function", "slot"])
def test_toml_keeps_what_differs_from_the_defaults(kind: str, least: int, words: bool) -> None:
    nodes = {
        "x": Node(kind, frozenset({"y"}), words=words, least=min(least, 1)),
        "y": Node("slot", words=words, least=0),
    }
    ontology = Ontology(nodes, ["x"])
    assert loads(ontology.dumps()) == ontology


@given(st.lists(trees(st.sampled_from(["and", "add", "IN:A", "B", "C"]), st.sampled_from(["x", "y"])), min_size=1))
def test_a_draft_reads_back_and_allows_what_it_was_drawn_from(corpus: list[Tree]) -> None:
    draft = loads(infer(corpus).dumps())
    for tree in corpus:
        assert check(str(tree), draft) == []


@given(st.lists(trees(), min_size=1, max_size=4), st.lists(trees(), max_size=4))
def test_counts_add_up_over_parts(left: list[Tree], right: list[Tree]) -> None:
    whole, part, other = Counts(), Counts(), Counts()
    for tree in left + right:
        whole.add(tree)
    for tree in left:
        part.add(tree)
    for tree in right:
        other.add(tree)
    part.merge(Counts.from_json(other.to_json()))
    assert part.to_json() == whole.to_json()


def test_kinds_of_a_draft() -> None:
    draft = infer([parse(SHOPPING)])
    assert {label: draft.kind(label) for label in draft.labels()} == {
        "AddToListIntent": "intent",
        "ItemName": "slot",
        "PlayMusicIntent": "intent",
        "add": "function",
        "and": "function",
    }
    assert draft.nodes["add"].counts == {"ItemName": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[intents.A", "<text>: "),
        ("[intent.A]", "unknown key `intent`"),
        ("[intents.A]\ntake = []", "the nearest key is `takes`"),
        ("[intents.A]\ntakes = ['ItmName']\n[slots.ItemName]", "the ontology has `ItemName`"),
        ("[intents.A]\nrequired = ['B']\n[slots.B]", "which `takes` lacks"),
        ("[intents.A]\n[slots.A]", "both intent and slot"),
        ("roots = ['B']\n[intents.A]", "`roots` names the unknown label `B`"),
        ("[intents.A]\ntakes = ['A']\nrequired = ['A']", "no finite tree has the label `A`"),
        ("[intents.A]\ntakes = ['B']\nleast = 2\n[slots.B]", "no finite tree has the label `A`"),
        ("[intents.A]\nleast = 'two'", "`least` must be a int"),
    ],
)
def test_messages(text: str, message: str) -> None:
    with pytest.raises(OntologyError) as caught:
        loads(text)
    assert message in str(caught.value)
