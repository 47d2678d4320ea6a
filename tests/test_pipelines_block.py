"""Columns of a block: the fast ways give what the plain definitions give."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import trees
from test_pipelines_index import rows_of

from grammar import shard
from grammar.actions import Action, Kind, TransitionError, build, oracle
from grammar.infer import Counts
from grammar.ontology import Ontology
from grammar.tree import Tree
from pipelines import block
from pipelines.block import Block, Settings, rejection_batch
from pipelines.clauses import SlotCounts
from pipelines.counting import count
from pipelines.index import indexed_table
from pipelines.record import Example, Rejection, SlotSpan, Utterance
from pipelines.replay import copies, rebuild
from pipelines.trees import to_example

WORDS = st.sampled_from(
    ["play", "and", "jazz", ",", "a(b", "x\\y", "New York", "caf\u00e9", "", "tab\t", "\ud800", "(live)"]
)
PLAIN = st.sampled_from(["play", "and", "jazz", ",", "calm", "or", "caf\u00e9"])
LABELS = st.sampled_from(["genre", "artist", "add", "and", "SL:A", "two words", "", "é"])


@st.composite
def utterances(draw: st.DrawFn) -> Utterance:
    """Tagged rows, mostly of slots beside each other, some nested, crossing, empty or outside."""
    words = draw(st.lists(draw(st.sampled_from([PLAIN, PLAIN, WORDS])), min_size=1, max_size=8))
    cuts = sorted(draw(st.lists(st.integers(0, len(words)), max_size=6)))
    spans = [SlotSpan(a, b, draw(LABELS)) for a, b in pairwise(cuts) if a < b and draw(st.booleans())]
    if draw(st.integers(0, 3)) == 0:
        ends = st.integers(-1, len(words) + 1)
        spans = [SlotSpan(draw(ends), draw(ends), draw(LABELS)) for _ in range(draw(st.integers(0, 3)))]
    intents = draw(st.lists(st.sampled_from(["Play", "Buy", "Play", "bad label"]), max_size=3))
    text = draw(st.sampled_from(["", "\ud800", "é"])) + " ".join(words)
    return Utterance("c", "f", draw(st.integers(1, 9)), "train", text, words, intents, spans, raw="raw")


def in_a_block(rows: list[Utterance], settings: Settings) -> tuple[list[Example], list[Rejection]]:
    made = Block(settings)
    for row in rows:
        made.add(row)
    batch, rejections = made.finish()
    assert batch.schema.equals(shard.SCHEMA)
    return [Example(*(row[name] for name in Example._fields)) for row in batch.to_pylist()], rejections


@given(st.lists(utterances(), max_size=6), st.sampled_from(["clauses", "label"]), st.booleans(), st.booleans())
def test_a_block_holds_what_the_definition_gives(
    rows: list[Utterance], multi_intent: str, coordinate: bool, counted: bool
) -> None:
    counts = SlotCounts() if counted else None
    if counts is not None:
        counts.add(Utterance("c", "f", 1, "train", "x", ["x"], ["Play"], [SlotSpan(0, 1, "genre")]))
    expected = [to_example(row, counts, multi_intent, coordinate) for row in rows]

    examples, rejections = in_a_block(rows, Settings(multi_intent, coordinate, counts))

    assert examples == [row for row in expected if isinstance(row, Example)]
    assert rejections == [row for row in expected if isinstance(row, Rejection)]


def test_plain_rows_take_the_fast_way() -> None:
    row = Utterance("c", "f", 1, "train", "play jazz", ["play", "jazz"], ["Play"], [SlotSpan(1, 2, "genre")])
    made = Settings().quick(row)
    assert made == (
        "(Play(genre(jazz)))",
        bytes([0, 0, 1, 2, 2]),
        ["Play", "genre", "jazz", "", ""],
        [-1, -1, 1, -1, -1],
    )
    assert (
        Settings(coordinate=True).quick(
            row._replace(words=["a", "b"], spans=[SlotSpan(0, 1, "g"), SlotSpan(1, 2, "g")])
        )
        is None
    )


@pytest.mark.parametrize(("label", "code"), [("g" * 9_000, None), ("g" * 90_000, None), ("g" * 150_000, "R206")])
def test_long_labels_count_for_the_size_of_a_tree(label: str, code: str | None) -> None:
    words = [f"w{n}" for n in range(9)]
    row = Utterance("c", "f", 1, "train", " ".join(words), words, ["Play"], [], raw="raw")
    row = row._replace(spans=[SlotSpan(n, n + 1, label) for n in range(9)])
    examples, rejections = in_a_block([row], Settings())
    expected = to_example(row)
    assert [*examples, *rejections] == [expected]
    assert (expected.code if isinstance(expected, Rejection) else None) == code


def test_a_wrong_fast_way_is_caught_by_the_replay(monkeypatch) -> None:
    row = Utterance("c", "f", 1, "train", "play jazz", ["play", "jazz"], ["Play"], [SlotSpan(1, 2, "genre")], raw="raw")
    good = Settings().quick(row)
    assert good is not None
    tree, kinds, symbols, copy = good
    wrong = [
        ("(Play(genre(folk)))", kinds, symbols, copy),
        (tree, bytes([0, 0, 1, 2, 1]), symbols, copy),
        (tree, kinds, symbols, [-1, -1, 0, -1, -1]),
        (tree, kinds, symbols, [-1, -1, 2, -1, -1]),
        (tree, kinds, symbols, [1, -1, 1, -1, -1]),
    ]
    answers = iter([good, *wrong, good])
    monkeypatch.setattr(block, "flat", lambda *_: next(answers))

    examples, rejections = in_a_block([row] * 7, Settings())

    assert [example.tree for example in examples] == [tree, tree]
    assert sorted(rejection.code for rejection in rejections) == ["R207", "R207", "R208", "R208", "R208"]


@given(st.lists(trees(), max_size=5))
def test_an_ontology_allows_in_a_block_what_it_allows_alone(found: list[Tree]) -> None:
    ontology = Ontology({})
    if found:
        counts = Counts()
        counts.add(found[0])
        ontology = counts.ontology()
    rows = [Utterance("c", "f", 1, "train", "x", ["x"], [], [], str(tree), None) for tree in found]
    settings = Settings(ontology=ontology)
    made = [to_example(row) for row in rows]
    twice = [
        [settings.refuses(bytes(row.actions), row.symbols, row.copy) for row in made if isinstance(row, Example)]
        for _ in range(2)
    ]
    fresh = [
        Settings(ontology=ontology).refuses(bytes(row.actions), row.symbols, row.copy)
        for row in made
        if isinstance(row, Example)
    ]
    assert twice == [fresh, fresh]
    assert not found or not fresh or isinstance(made[0], Rejection) or fresh[0] == ""


ACTIONS = st.lists(
    st.tuples(st.sampled_from([0, 0, 1, 2]), st.sampled_from(["a", "b c", "(", "\\"])), max_size=8
) | trees().map(lambda tree: [(int(action.kind), action.symbol) for action in oracle(tree)])


@given(st.lists(ACTIONS, max_size=6), st.booleans())
def test_columns_rebuild_the_trees_that_build_gives(rows: list[list[tuple[int, str]]], sliced: bool) -> None:
    rows = [[(kind, "" if kind == Kind.RED else symbol) for kind, symbol in row] for row in rows]
    expected = []
    for row in rows:
        try:
            expected.append(str(build(Action(Kind(kind), symbol) for kind, symbol in row)))
        except TransitionError:
            expected.append(None)
    before = [[(0, "x"), (2, "")]] if sliced else []
    actions = pa.array([[kind for kind, _ in row] for row in before + rows], pa.list_(pa.int8()))
    symbols = pa.array([[symbol for _, symbol in row] for row in before + rows], pa.list_(pa.string()))

    assert rebuild(actions[len(before) :], symbols[len(before) :]).to_pylist() == expected


@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from("ab"), max_size=3),
            st.lists(st.tuples(st.integers(0, 2), st.sampled_from("ab"), st.integers(-2, 3)), max_size=4),
        ),
        max_size=5,
    )
)
def test_copies_are_the_words_at_their_positions(rows: list[tuple[list[str], list[tuple[int, str, int]]]]) -> None:
    expected = [
        all(at == -1 or (kind == Kind.TER and 0 <= at < len(words) and words[at] == s) for kind, s, at in actions)
        for words, actions in rows
    ]
    found = copies(
        pa.array([[at for _, _, at in actions] for _, actions in rows], pa.list_(pa.int32())),
        pa.array([[kind for kind, _, _ in actions] for _, actions in rows], pa.list_(pa.int8())),
        pa.array([[s for _, s, _ in actions] for _, actions in rows], pa.list_(pa.string())),
        pa.array([words for words, _ in rows], pa.list_(pa.string())),
    )
    assert np.asarray(found).tolist() == expected


@given(st.lists(st.tuples(trees(), st.booleans()), max_size=5), st.integers(0, 2))
def test_columns_count_what_trees_count(found: list[tuple[Tree, bool]], passed: int) -> None:
    expected = Counts()
    for tree, copied in found[passed:]:
        expected.add(tree)
        expected.generated.update([] if copied else tree.words())

    rows = rows_of([tree for tree, _ in found], [copied for _, copied in found])
    assert count(indexed_table(rows).slice(passed)).to_json() == expected.to_json()


def test_no_dead_letters_are_an_empty_batch() -> None:
    assert rejection_batch([]).schema.equals(shard.REJECTION_SCHEMA)
