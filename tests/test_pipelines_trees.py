"""Utterance -> Example, and the alignment of leaves."""

import inspect
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grammar.actions import Action, Kind, build
from grammar.shard import REJECTION_SCHEMA, ROW
from grammar.tree import Leaf, Tree, is_writable
from pipelines.align import align
from pipelines.compare import compare, normalise
from pipelines.record import REASONS, Example, Rejection, SlotSpan, Utterance
from pipelines.trees import read_tree, to_example


def utterance(text, *spans, intents=("Play",), **more):
    return Utterance(
        "ours", "x.txt", 7, "train", text, text.split(" "), list(intents), [SlotSpan(*s) for s in spans], **more
    )


def test_fields_are_the_columns_of_the_shard():
    assert Example._fields == ROW
    assert REJECTION_SCHEMA.names == list(Rejection._fields)


def test_an_example_in_full():
    row = to_example(utterance("play free jazz", (1, 3, "genre"), domain="music", licence="ours", locale="en"))

    assert row == Example(
        id="ours/x.txt:7",
        corpus="ours",
        domain="music",
        file="x.txt",
        line=7,
        split="train",
        licence="ours",
        locale="en",
        utterance="play free jazz",
        words=["play", "free", "jazz"],
        tree="(Play(genre(free)(jazz)))",
        actions=[0, 0, 1, 1, 2, 2],
        symbols=["Play", "genre", "free", "jazz", "", ""],
        copy=[-1, -1, 1, 2, -1, -1],
        composed=False,
    )


@pytest.mark.parametrize(
    "spans, tree",
    [
        ([], "(Play())"),
        ([(0, 4, "x"), (1, 3, "y")], "(Play(x(a)(y(b)(c))(d)))"),
        ([(1, 3, "y"), (0, 4, "x")], "(Play(x(a)(y(b)(c))(d)))"),  # the order of spans does not matter
        ([(0, 2, "x"), (0, 2, "y")], "(Play(x(y(a)(b))))"),  # of equal spans the first is the outer
        ([(0, 4, "x"), (0, 1, "y"), (3, 4, "z")], "(Play(x(y(a))(b)(c)(z(d))))"),
        ([(0, 1, "x"), (1, 2, "x")], "(Play(x(a))(x(b)))"),
    ],
)
def test_slots_nest(spans, tree):
    assert tree == to_example(utterance("a b c d", *spans)).tree


@pytest.mark.parametrize(
    "row, code",
    [
        (utterance("a b c", (0, 2, "x"), (1, 3, "y")), "R204"),
        (utterance("a b c", (1, 1, "x")), "R205"),
        (utterance("a b c", (1, 4, "x")), "R205"),
        (utterance("a b c", (0, 1, "my slot")), "R202"),
        (utterance("a b c", (0, 1, "größe")), "R202"),
        (utterance("a\tb c"), "R203"),
        (utterance("a  b"), "R203"),  # an empty word
        (utterance("a \ud83c"), "R203"),
        (utterance("a b", domain="\ud83c"), "R101"),  # JSON escapes can bring in half a pair
        (utterance("a b", intents=[]), "R108"),
        (utterance("a b", intents=["A", "B"]), "R301"),
        (utterance("a b", tree="(Play(x(a))"), "R201"),
        (utterance("a b", tree="(a)"), "R201"),
        (utterance("a b", tree="(Play" * 1001 + "()" + ")" * 1001), "R206"),
        (utterance("a b", tree="(Play(" + "a" * (1 << 20) + "))"), "R206"),
        (utterance(" ".join("a" * 2001), tree="(Play" + "(a)" * 2001 + ")"), "R206"),
        (utterance("a b", tree="(Play(x(a)))", positions=[1]), "R208"),
        (utterance("a b", tree="(Play(x(a)))", positions=[2]), "R208"),
        (utterance("a b", tree="(Play(x(a)))", positions=[]), "R208"),
    ],
)
def test_what_cannot_be_a_tree_is_refused(row, code):
    refused = to_example(row)

    assert isinstance(refused, Rejection)
    assert (code, "ours", "x.txt", 7, "train") == (refused.code, *refused[:3], refused.split)
    assert refused.reason.startswith(REASONS[code])


def test_a_sequence_that_builds_another_tree_is_refused(monkeypatch):
    monkeypatch.setattr("pipelines.trees.build", lambda actions: Tree("Other"))

    assert to_example(utterance("a")).code == "R207"


def test_several_intents_as_one_label():
    row = to_example(utterance("a b", (1, 2, "x"), intents=["A", "B"]), multi_intent="label")

    assert row.tree == "(A#B(x(b)))"


def test_an_unknown_way_with_several_intents_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="`both`"):
        to_example(utterance("a"), multi_intent="both")


def test_a_leaf_that_is_not_in_the_utterance_is_generated():
    row = to_example(utterance("how many lamps", tree="(Count(Of(lamps))(As(number)))"))

    assert row.copy == [-1, -1, 2, -1, -1, -1, -1, -1]


@st.composite
def utterances(draw):
    words = draw(st.lists(st.sampled_from(["a", "b", "(", "c d", "\\", "Zoë"]), min_size=1, max_size=8))
    cuts = sorted(draw(st.lists(st.integers(0, len(words)), max_size=8)))
    spans = [SlotSpan(a, b, draw(st.sampled_from("xyz"))) for a, b in zip(cuts[::2], cuts[1::2], strict=False) if a < b]
    return Utterance("c", "f", 1, "train", " ".join(words), words, ["A"], spans)


@settings(max_examples=200, deadline=None)
@given(utterances())
def test_rows_hold_together(utterance):
    row = to_example(utterance)

    assert isinstance(row, Example)
    actions = [Action(Kind(kind), *rest) for kind, *rest in zip(row.actions, row.symbols, row.copy, strict=True)]
    assert row.tree == str(build(actions)) == str(read_tree(row.tree))
    positions = [copy for kind, copy in zip(row.actions, row.copy, strict=True) if kind == Kind.TER]
    assert positions == sorted({at for span in utterance.spans for at in range(span.start, span.end)})


@pytest.mark.parametrize(
    "brackets, words, positions",
    [
        ("(T(star)(wars))", "star wars and the star wars film", [0, 1]),
        ("(T(star)(wars))", "play star music star wars", [3, 4]),  # a run beats the leftmost
        ("(A(T(star))(T(wars)))", "play star music star wars", [1, 4]),  # two nodes make no run
        ("(A(T(b))(T(a)))", "add a then b then a", [3, 5]),
        ("(A(T(b))(T(a)))", "add a then b", [3, 1]),  # out of order: found, the later leaf takes what is left
        ("(A(T(a))(T(a)))", "say a", [1, -1]),
        ("(A(T(x)))", "say a", [-1]),
        ("(A())", "say a", []),
        ("(T(a)(b)(c))", "a b x a b c", [3, 4, 5]),
    ],
)
def test_leaves_are_aligned(brackets, words, positions):
    assert positions == align(read_tree(brackets), words.split())


small = st.lists(st.sampled_from("abc"), max_size=6)


@settings(max_examples=200, deadline=None)
@given(small, small)
def test_alignment_copies_equal_words_once_and_finds_all_it_can(leaves, words):
    positions = align(Tree("T", map(Leaf, leaves)), words)
    taken = [position for position in positions if position >= 0]

    assert len(taken) == len(set(taken))
    assert all(words[at] == word for word, at in zip(leaves, positions, strict=True) if at >= 0)
    assert len(taken) == sum(min(leaves.count(word), words.count(word)) for word in set(leaves))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=8), st.data())
def test_leaves_in_utterance_order_get_rising_positions(words, data):
    chosen = sorted(data.draw(st.sets(st.integers(0, len(words) - 1))))
    positions = align(Tree("T", [Leaf(words[at]) for at in chosen]), words)

    assert positions == sorted(positions)
    assert all(a <= b for a, b in zip(positions, chosen, strict=True)) or _runs(positions) <= _runs(chosen)


def _runs(positions):
    return sum(b != a + 1 for a, b in pairwise(positions))


def test_two_forms_are_paired_by_the_least_that_differs():
    left = [utterance("Play jazz", (1, 2, "g")), utterance("play it."), utterance("one pmnear"), utterance("only here")]
    right = [utterance("play jazz", (0, 1, "g")), utterance("play it"), utterance("one pm near"), utterance("there")]
    found = compare(left, right)

    assert found.texts == {"letter case": 1, "punctuation": 1, "blanks": 1}
    assert found.slots == {"same": 2, "borders": 1}
    assert ([u.text for u in found.left], [u.text for u in found.right]) == (["only here"], ["there"])
    assert normalise("It's 8:30!") == normalise("it s 8 30")


def test_reasons_are_lower_case_without_a_full_stop():
    assert all(not text.endswith(".") and inspect.cleandoc(text) == text for text in REASONS.values())


@pytest.mark.parametrize("word", ["", "a\tb", "a\nb", "a\rb", "a b", "a\u2028b", "\\", "Zoë"])
def test_a_word_is_refused_just_when_the_language_cannot_write_it(word):
    row = Utterance("c", "f", 1, "train", word, ["say", word], ["Say"], [])

    assert is_writable(word) == isinstance(to_example(row), Example)
