"""Where one clause ends and the next begins."""

import os
from collections import defaultdict
from pathlib import Path

import pytest

from pipelines.clauses import GLUE, ClauseError, SlotCounts, borders, divide
from pipelines.formats import expand, plan, read
from pipelines.record import SlotSpan, Utterance
from pipelines.trees import to_example


def row(tagged, *intents, split="train"):
    """`play jazz/genre and go` -> an utterance whose slots are the words with a label."""
    pairs = [(word, label) for word, _, label in (item.partition("/") for item in tagged.split())]
    spans = [SlotSpan(at, at + 1, label) for at, (_, label) in enumerate(pairs) if label]
    words = [word for word, _ in pairs]
    return Utterance("ours", "x", 1, split, " ".join(words), words, list(intents), spans)


@pytest.fixture
def counts():
    counts = SlotCounts()
    for tagged, intent in [("play jazz/genre", "Play"), ("book two/size", "Book"), ("add figs/item", "Add")]:
        counts.add(row(tagged, intent))
    return counts


def labels(clauses):
    return [[span.label for span in clause] for clause in clauses]


@pytest.mark.parametrize("glue", GLUE, ids=" ".join)
def test_every_glue_joins_two_clauses(glue):
    utterance = row(f"play jazz/genre {' '.join(glue)} book two/size", "Play", "Book")

    assert labels(divide(utterance)) == [["genre"], ["size"]]


def test_a_clause_tree():
    example = to_example(row("play jazz/genre and then book two/size", "Play", "Book"))

    assert example.tree == "(and(Play(genre(jazz)))(Book(size(two))))"


def test_glue_inside_a_slot_or_at_an_edge_is_no_border():
    spans = [SlotSpan(1, 4, "band")]

    assert borders(["play", "salt", "and", "pepper"], spans) == []
    assert borders(["and", "play", "and"], []) == []


def test_choices_with_equal_slots_are_one():
    # Both `,` and `and` could be the border; the tree is the same.
    assert labels(divide(row("play jazz/genre , please , and book two/size", "Play", "Book"))) == [["genre"], ["size"]]


def test_clauses_may_have_no_slots():
    assert labels(divide(row("stop and book two/size and stop", "Stop", "Book", "Stop"))) == [[], ["size"], []]


def test_every_clause_has_words():
    with pytest.raises(ClauseError) as error:
        divide(row("play jazz/genre , and book two/size", "Play", "Stop", "Book"))
    assert error.value.code == "R301"


def test_slots_that_an_intent_takes_decide(counts):
    utterance = row("add figs/item and dates/item , play jazz/genre", "Add", "Play")

    with pytest.raises(ClauseError) as error:
        divide(utterance)
    assert error.value.code == "R302"
    assert labels(divide(utterance, counts)) == [["item", "item"], ["genre"]]


def test_what_stays_ambiguous_is_refused(counts):
    assert to_example(row("add figs/item and add dates/item , add plums/item", "Add", "Add"), counts).code == "R302"


def test_the_word_that_a_request_begins_with_decides(counts):
    utterance = row("add figs/item and dates/item , Add plums/item", "Add", "Add")

    assert labels(divide(utterance, counts)) == [["item", "item"], ["item"]]


def test_what_intents_never_took_is_left_to_first_words_and_the_other_way_round(counts):
    assert labels(divide(row("add figs/size and book two/item , go now/item", "Add", "Book"), counts)) == [
        ["size"],
        ["item", "item"],
    ]
    assert labels(divide(row("play jazz/genre and soul/genre , a table two/size", "Play", "Book"), counts)) == [
        ["genre", "genre"],
        ["size"],
    ]


def test_slots_and_first_words_that_contradict_each_other_are_refused(counts):
    assert to_example(row("play jazz/genre and two/size , book now", "Play", "Book"), counts).code == "R301"


def test_an_intent_that_never_stood_alone_rules_nothing_out(counts):
    assert to_example(row("stop and add figs/item , stop", "Stop", "Halt"), counts).code == "R302"


def test_only_single_intent_rows_of_train_are_counted(counts):
    counts.add(row("play loud/mood", "Play", split="test"))
    counts.add(row("play loud/mood and stop", "Play", "Stop"))

    assert not counts.takes("Play", [SlotSpan(0, 1, "mood")])
    assert counts.rows == {"Play": 1, "Book": 1, "Add": 1}


def test_counts_merge_in_any_order_and_come_back_from_json(counts):
    other = SlotCounts()
    other.add(row("play soft/mood jazz/genre", "Play"))
    one, two = SlotCounts(), SlotCounts()
    for total, parts in ((one, (counts, other)), (two, (other, counts))):
        for part in parts:
            total.merge(part)

    assert one == two == SlotCounts.from_json(one.to_json())
    assert one.slots["Play"] == {"genre": 2, "mood": 1} and one.first["Play"] == {"play": 2}
    assert one != counts


def test_an_absurd_number_of_borders_ends_quickly():
    words = "a " + " , ".join(f"w{n}/s{n}" for n in range(60))

    with pytest.raises(ClauseError):
        divide(row(words, *[f"I{n}" for n in range(12)]))


CORPORA = os.environ.get("TREEWRIGHT_CORPORA", "")
SAMPLE = 20


@pytest.mark.skipif(
    not all((Path(CORPORA) / name).is_dir() for name in ("snips", "mixsnips")) or not CORPORA,
    reason="TREEWRIGHT_CORPORA names no folder with `snips` and `mixsnips`",
)
def test_divisions_agree_with_clauses_that_are_snips_utterances():
    """MixSNIPS was made by joining SNIPS train utterances, so its borders can be found by looking these up."""
    known = defaultdict(set)
    for utterance in _rows("snips"):
        known[" ".join(utterance.words)].update(utterance.intents)
    counts, mixed = SlotCounts(), []
    for utterance in _rows("mixsnips"):
        counts.add(utterance)
        if len(utterance.intents) > 1:
            mixed.append(utterance)
    refused = 0
    for utterance in mixed[::SAMPLE]:
        try:
            found = divide(utterance, counts)
        except ClauseError:
            refused += 1
        else:
            assert [found] == _looked_up(utterance, known), utterance.id
    assert refused <= len(mixed[::SAMPLE]) / 100


def _rows(name):
    sources = expand([str(Path(CORPORA) / name)], "seq", name)
    return [row for source in sources for range_ in plan(source) for row in read(range_)]


def _looked_up(utterance, known):
    """Every division into known utterances of the right intents, as slots of each clause."""
    words, last = utterance.words, len(utterance.intents) - 1
    partial = [(0, [])]  # (start of the clause, slots of those before)
    for number, intent in enumerate(utterance.intents):
        ends = [(len(words), len(words))] if number == last else borders(words, utterance.spans)
        partial = [
            (after, [*done, [span for span in utterance.spans if start <= span.start < end]])
            for start, done in partial
            for end, after in ends
            if intent in known.get(" ".join(words[start:end]), ())
        ]
    return [done for number, (_, done) in enumerate(partial) if done not in [other for _, other in partial[:number]]]
