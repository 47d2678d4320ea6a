"""`--map` gives new names and drops what is to go; every row is still accounted for."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from pipelines.convert import Options, run
from pipelines.record import Rejection, SlotSpan, Utterance
from pipelines.relabel import loads, relabel
from pipelines.verify import verify

MAP = """
[intents]
Play = "PlayIntent"
Stream = "PlayIntent"
Rate = false
Plya = "X"
[slots]
genre = "Kind"
mood = false
"""


def row(**fields):
    words = ["play", "calm", "jazz"]
    return Utterance("ours", "a", 1, "train", " ".join(words), words, **{"intents": [], "spans": []} | fields)


def test_tags_and_trees_get_the_same_new_names():
    spans = [SlotSpan(1, 2, "mood"), SlotSpan(2, 3, "genre")]
    tags = relabel(row(intents=["Stream"], spans=spans), loads(MAP, "m"))
    tree = relabel(row(tree="(Stream(mood(calm))(genre(jazz)))", positions=[1, 2]), loads(MAP, "m"))

    assert (["PlayIntent"], [SlotSpan(2, 3, "Kind")]) == (tags.intents, tags.spans)
    assert (tree.tree, tree.positions) == ("(PlayIntent(Kind(jazz)))", [2])


def test_a_dropped_intent_refuses_its_row():
    for one in (row(intents=["Play", "Rate"]), row(tree="(and(Play())(Rate()))", positions=[])):
        refused = relabel(one, loads(MAP, "m"))
        assert isinstance(refused, Rejection) and refused.code == "R210" and "`Rate`" in refused.reason


@pytest.mark.parametrize(
    "text, message",
    [
        ("[intents", "not TOML"),
        ("[intent]\na = 'b'", "unknown table `intent`"),
        ("[slots]\na = 'b c'", "needs a label"),
        ("[slots]\na = true", "needs a label"),
        ("[slots]\na = 'b'\n[intents]\nc = 'b'", "of an intent and of a slot"),
    ],
)
def test_a_map_that_cannot_be_used_says_why(text, message):
    with pytest.raises(ValueError, match=message):
        loads(text, "m.toml")


def test_a_conversion_under_new_names(tmp_path: Path, caplog):
    lines = ["play jazz\t(Play(genre(jazz)))", "rate it\t(Rate())", "calm\t(Stream(mood(calm)))"]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.tsv").write_text("\n".join(lines) + "\n")
    (tmp_path / "m.toml").write_text(MAP)
    with caplog.at_level(logging.WARNING, "pipelines"):
        manifest = run(Options([str(tmp_path / "in")], "brackets", str(tmp_path / "out"), map=str(tmp_path / "m.toml")))

    assert (manifest.rows_in, manifest.rows_out, manifest.rejected) == (3, 2, {"R210": 1})
    assert manifest.options["map_unmatched"] == ["Plya"]
    assert manifest.options["map"]["intents"]["Stream"] == "PlayIntent"
    assert "no row has `Plya`" in caplog.text
    assert verify(tmp_path / "out")[1] == []
