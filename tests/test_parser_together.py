"""Several data sets read as one."""

from __future__ import annotations

import json

import pytest
from parsing import tiny, write_shards

from grammar.ontology import Node, Ontology, OntologyError, joined
from grammar.shard import ShardError
from parser.checkpoint import CheckpointError, load_model
from parser.config import ConfigError, DataConfig, from_dict
from parser.selection import Selection
from parser.source import Source
from parser.together import opened
from parser.train import train


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Two data sets: the second, of another corpus with a word of its own and two shards, has no test split."""
    where = tmp_path_factory.mktemp("places")
    one = write_shards(where / "one", train=60)
    two = write_shards(where / "two", 50, 2, seed=7, corpus="other", tokeniser="words-1", word="thanks")
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
        assert list(one.rows(split)) != list(two.rows(split))
        assert list(both.rows(split)) == [*one.rows(split), *two.rows(split)]
        assert both.manifest.splits[split] == one.manifest.splits[split] + two.manifest.splits[split]
        assert sum(block.rows for block in both.blocks(split)) == both.manifest.splits[split]
    assert list(both.rows("test")) == list(one.rows("test"))
    assert both.manifest.rejected_splits == {"test": 10} and both.manifest.rows_rejected == 10
    both.manifest.check()
    assert both.manifest.tokeniser == "" and both.manifest.corpus == "invented + other"
    assert both.manifest.fingerprint != opened(places[::-1]).manifest.fingerprint, "the order counts"
    assert both.ontology() == joined({"one": one.ontology(), "two": two.ontology()})
    assert both.where == f"{one.where} + {two.where}"


def test_several_data_sets_are_selected_from_by_corpus(places):
    other = Selection(places, DataConfig(by="corpus", without=("invented",), rows=30))

    assert other.manifest.splits["train"] == 30
    assert {row["words"][-1] for row in other.rows("train")} == {"thanks"}
    assert other.domains("train") == ["other"] and other.domains("dev") == ["invented", "other"]


def test_what_was_learned_from_several_data_sets_is_built_on(places, tmp_path):
    train(places, tmp_path / "all", tiny())
    setup, _, facts = load_model(tmp_path / "all")
    assert facts["corpus"] == "invented + other"
    assert setup.vocab.tokeniser == "words-1", "where they differ, text is cut in the way of its own"
    train(places[0], tmp_path / "one", tiny(), init=tmp_path / "all")

    mine = load_model(tmp_path / "one")[0].vocab
    assert "thanks" in mine.words, "no train row of its own has it"
    with pytest.raises(CheckpointError, match=r"it has model.pooled=False, here True"):
        train(places[0], tmp_path / "pooled", tiny(pooled=True), init=tmp_path / "all")
    train(places, tmp_path / "half", tiny(), stop_after=2)
    with pytest.raises(CheckpointError, match="give the same ones, in the same order"):
        train(places[::-1], tmp_path / "half", tiny(), resume=True)


def test_what_cannot_be_read_as_one_is_refused(places, tmp_path):
    with pytest.raises(ShardError, match="a data set is given twice"):
        opened([str(places[0]), f"{places[0]}/"])
    with pytest.raises(ShardError, match="no data set is given"):
        opened([])
    with pytest.raises(ShardError, match="is not a data set"):
        opened([places[0], tmp_path])
    with pytest.raises(ShardError, match=r"has no split `golf`; its splits are dev, test, train"):
        opened(places).blocks("golf")
    empty = write_shards(tmp_path / "empty", train=0)
    with pytest.raises(ShardError, match=r"empty has no rows in the split `train`; leave it out"):
        opened([places[0], empty])
    intent, slot = Ontology({"Play": Node("intent")}), Ontology({"Play": Node("slot", words=True)}, ["Play"])
    with pytest.raises(OntologyError, match="`Play` is of the kind intent in a and slot in b; rename one"):
        joined({"a": intent, "b": slot})
    with pytest.raises(ConfigError, match=r"`model.pooled` says nothing without"):
        from_dict({"model": {"pooled": True, "init_from_encoder": False}})


def test_a_joined_ontology_allows_what_any_of_them_does():
    song = Node("slot", words=True, least=1, count=2)
    one = Ontology(
        {
            "Play": Node(
                "intent", frozenset({"Song"}), frozenset({"Song"}), frozenset({"Song"}), least=2, counts={"Song": 2}
            ),
            "Song": song,
        }
    )
    two = Ontology(
        {
            "Play": Node(
                "intent", frozenset({"Room"}), repeated=frozenset({"Room"}), words=True, least=1, counts={"Room": 1}
            ),
            "Room": Node("slot", words=True),
        },
        lexicon=["HERE"],
    )

    both = joined({"one": one, "two": two})

    assert joined({"one": one}) == one
    play = both.nodes["Play"]
    assert (play.takes, play.required, play.repeated) == ({"Song", "Room"}, frozenset(), {"Song", "Room"})
    assert play.words and play.least == 1
    assert play.counts == {"Song": 2, "Room": 1} and both.nodes["Song"] == song
    assert both.roots == {"Play"} and both.lexicon == {"HERE"}
