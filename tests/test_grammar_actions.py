"""Transitions: the oracle rebuilds its tree, and no allowed walk ends in a dead end."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import ontologies, trees

from grammar import Ontology, Tree, check, parse
from grammar.actions import NT, RED, TER, State, TransitionError, build, oracle


@given(trees())
def test_oracle_round_trip(tree: Tree) -> None:
    assert build(oracle(tree)) == tree


@given(trees())
def test_oracle_carries_copy_positions(tree: Tree) -> None:
    positions = list(range(len(tree.words())))
    actions = oracle(tree, positions)
    assert [a.copy for a in actions if a.kind == TER("").kind] == positions
    assert build(actions) == tree


def test_actions_of_the_example() -> None:
    tree = parse("(PlayMusicIntent(MediaType(music)))")
    assert oracle(tree, [1]) == [NT("PlayMusicIntent"), NT("MediaType"), TER("music", 1), RED, RED]
    assert [str(action) for action in oracle(tree, [1])][2:4] == ["TER(music <- 1)", "RED"]


@pytest.mark.parametrize("positions", [[], [0, 1], [0, 1, 2, 3]])
def test_wrong_number_of_positions(positions: list[int]) -> None:
    with pytest.raises(ValueError, match=f"3 leaves but {len(positions)} copy positions"):
        oracle(parse("(a(b)(c)(d))"), positions)


@pytest.mark.parametrize("actions", [[], [NT("a")], [TER("b")], [RED], [NT("a"), RED, RED], [NT("a"), RED, NT("b")]])
def test_impossible_sequences(actions: list) -> None:
    with pytest.raises(TransitionError):
        build(actions)


@settings(max_examples=150)
@given(ontologies(), st.integers(1, 60), st.data())
def test_walks_under_an_ontology_end_with_a_clean_tree(ontology: Ontology, budget: int, data: st.DataObject) -> None:
    state = State(ontology, max_actions=budget)
    assume(any(state.allows(NT(label)) for label in ontology.labels()))
    while state.tree is None:
        opens, word, close = state.allowed(ontology.labels())
        choices = [NT(label) for label in sorted(opens)] + [TER("word")] * word + [RED] * close
        assert choices, f"dead end after {state.taken} actions below {state.open_labels}"
        state.apply(data.draw(st.sampled_from(choices)))
    assert state.taken <= budget
    assert check(str(state.tree), ontology) == []


@given(st.integers(2, 30), st.data())
def test_walks_without_an_ontology_end_in_time(budget: int, data: st.DataObject) -> None:
    state = State(max_actions=budget)
    while state.tree is None:
        choices = [a for a in (NT("a"), TER("b"), RED) if state.allows(a)]
        state.apply(data.draw(st.sampled_from(choices)))
    assert state.taken <= budget


def test_open_nodes_are_limited() -> None:
    state = State(max_open=1)
    state.apply(NT("a"))
    assert not state.allows(NT("b"))
