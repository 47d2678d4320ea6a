"""Figures of evaluation: by hand, whole and by slice."""

from __future__ import annotations

import pytest

from grammar.infer import infer
from grammar.tree import Leaf, Tree
from parser.metrics import Score
from parser.report import report


def slot(label, *words):
    return Tree(label, [Leaf(word) for word in words])


GOLD = Tree("Play", [slot("Title", "blue", "train"), slot("Artist", "coltrane")])
SHORT = Tree("Play", [slot("Title", "blue", "train")])
ONTOLOGY = infer([GOLD])


def scored():
    """Two utterances: one right, with three brackets; one that lacks a slot, and whose root so has other words."""
    score = Score()
    score.add(GOLD, [1, 2, 3], GOLD, [1, 2, 3], ONTOLOGY, ["words 6 to 10", "single"])
    score.add(GOLD, [1, 2, 3], SHORT, [1, 2], ONTOLOGY, ["words 11 to 20", "single"])
    return score


def test_exact_match_and_f1_by_slice_by_hand():
    figures = scored().to_dict()

    assert figures["slices"] == {
        "single": {"n": 2, "exact_match": 0.5, "bracket_f1": round(2 * (3 + 1) / (6 + 5), 4)},
        "words 6 to 10": {"n": 1, "exact_match": 1.0, "bracket_f1": 1.0},
        "words 11 to 20": {"n": 1, "exact_match": 0.0, "bracket_f1": round(2 * 1 / (3 + 2), 4)},
    }
    assert figures["bracket_f1"] == pytest.approx(8 / 11)
    assert figures["exact_match"] == figures["exact_match_positions"] == 0.5
    assert figures["intent_accuracy"] == 1.0


def test_a_rejected_row_is_wrong_but_has_no_brackets():
    score = scored()
    score.add_rejected(2)

    assert (score.to_dict()["n"], score.to_dict()["exact_match"]) == (4, 0.25)
    assert score.to_dict()["bracket_f1"] == pytest.approx(8 / 11)


def test_slices_stand_in_the_order_of_their_numbers():
    score = Score()
    names = ["words over 20", "depth 10", "words 11 to 20", "depth 9", "words 6 to 10", "single", "words 1 to 5"]
    score.add(GOLD, [1, 2, 3], GOLD, [1, 2, 3], ONTOLOGY, names)

    assert list(score.to_dict()["slices"]) == [
        *("depth 9", "depth 10", "single", "words 1 to 5", "words 6 to 10", "words 11 to 20", "words over 20")
    ]


def test_the_page_shows_f1_of_every_slice():
    html = report(scored().to_dict(), [], ONTOLOGY)

    assert "<td>words 11 to 20</td><td>0.0%</td>" in html and "<td>40.0%</td><td>1</td>" in html
