"""Several data sets read as one."""

from __future__ import annotations

import json

import pytest
from parsing import tiny, write_shards

from grammar.ontology import Node, Ontology, OntologyError, joined
from grammar.shard import ShardError
from parser.checkpoint import load_model
from parser.config import DataConfig, from_dict
from parser.selection import Selection, source_of
from parser.source import Source
from parser.together import opened
from parser.train import train


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Two data sets; the second, of two shards and another corpus, has no test split."""
    where = tmp_path_factory.mktemp("places")
    one, two = write_shards(where / "one", train=60), write_shards(where / "two", train=50, files=2)
    manifest = json.loads((two / "manifest.json").read_text("utf-8"))
    test = manifest["splits"].pop("test")
    manifest |= {"rows_in": manifest["rows_in"] - test, "rows_out": manifest["rows_out"] - test}
    manifest["shards"] = [shard for shard in manifest["shards"] if not shard["file"].startswith("test-")]
    (two / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    return [one, two]


def test_a_split_holds_the_rows_of_all_that_have_it(places):
    one, two = map(Source, places)
    both = opened(places)

    assert type(opened(places[0])) is type(opened(places[:1])) is Source
    for split in ("train", "dev"):
        assert list(both.rows(split)) == [*one.rows(split), *two.rows(split)]
        assert both.manifest.splits[split] == one.manifest.splits[split] + two.manifest.splits[split]
        assert sum(block.rows for block in both.blocks(split)) == both.manifest.splits[split]
    assert list(both.rows("test")) == list(one.rows("test"))
    assert both.manifest.fingerprint not in (one.manifest.fingerprint, two.manifest.fingerprint)
    assert both.content() not in (one.content(), two.content())
    assert both.ontology() == joined([one.ontology(), two.ontology()])
    assert "one + " in both.where and both.where.endswith("two")


def test_several_data_sets_are_selected_from_and_trained_on(places, tmp_path):
    few = Selection(places, DataConfig(by="intent", only=("PlayMusicIntent",), rows=30))
    assert few.manifest.splits["train"] == 30 and few.domains("dev") == ["PlayMusicIntent"]

    config = from_dict(tiny().to_dict() | {"data": {"by": "corpus"}})
    train(places, tmp_path / "all", config)
    setup, _, facts = load_model(tmp_path / "all")
    assert facts["fingerprint"] == source_of(places, config.data).manifest.fingerprint
    train(places[0], tmp_path / "one", config, init=tmp_path / "all")
    assert set(setup.vocab.words) <= set(load_model(tmp_path / "one")[0].vocab.words)


def test_what_cannot_be_read_as_one_is_refused(places, tmp_path):
    with pytest.raises(ShardError, match="a data set is given twice"):
        opened([places[0], places[0]])
    with pytest.raises(ShardError, match="is not a data set"):
        opened([places[0], tmp_path])
    with pytest.raises(ShardError, match=r"has no split `golf`; its splits are dev, test, train"):
        opened(places).blocks("golf")
    intent, slot = Ontology({"Play": Node("intent")}), Ontology({"Play": Node("slot", words=True)}, ["Play"])
    with pytest.raises(OntologyError, match="`Play` is both intent and slot; rename one"):
        joined([intent, slot])


def test_a_joined_ontology_allows_what_any_of_them_does():
    song = Node("slot", words=True, least=1, count=2)
    one = Ontology({"Play": Node("intent", frozenset({"Song"}), frozenset({"Song"}), counts={"Song": 2}), "Song": song})
    room = Node("slot", words=True)
    two = Ontology(
        {"Play": Node("intent", frozenset({"Room"}), repeated=frozenset({"Room"}), counts={"Room": 1}), "Room": room},
        lexicon=["HERE"],
    )

    both = joined([one, two])

    assert joined([one]) == one
    play = both.nodes["Play"]
    assert (play.takes, play.required, play.repeated) == ({"Song", "Room"}, frozenset(), {"Room"})
    assert play.counts == {"Song": 2, "Room": 1} and both.nodes["Song"] == song
    assert both.roots == {"Play"} and both.lexicon == {"HERE"}
