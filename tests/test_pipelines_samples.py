"""The sample corpus: gold trees are right, held-out rows are new, and conversion finds the same trees."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grammar import shard
from grammar.actions import State, oracle
from grammar.infer import Counts
from grammar.ontology import load
from pipelines.clauses import SlotCounts
from pipelines.convert import Options, run
from pipelines.record import Example, SlotSpan, Utterance
from pipelines.samples import Sample, generate, invent
from pipelines.samples import templates as book
from pipelines.samples.compare import against_gold
from pipelines.samples.write import write
from pipelines.trees import to_example
from pipelines.verify import verify


@pytest.fixture(scope="module")
def full() -> list[Sample]:
    """The corpus of the demo."""
    return list(generate(6_000, seed=1))


def test_sizes(full: list[Sample]) -> None:
    rows = {split: [s for s in full if s.split == split] for split in book.SPLITS}
    assert {split: len(found) for split, found in rows.items()} == {"train": 6_000, "dev": 400, "test": 400}
    assert sum(sample.compound for sample in rows["test"]) >= 250
    assert len({sample.words for sample in full}) == len(full)


def test_test_rows_share_no_value_and_no_template_with_train(full: list[Sample]) -> None:
    train = [sample for sample in full if sample.split == "train"]
    values = {value for sample in train for value in sample.values}
    clauses = {clause for sample in train for clause in sample.template.split(" + ")}
    words = {word for sample in train for word in sample.words}
    assert words.isdisjoint({"durian", "kombucha", "jazz"})
    assert {"apples", "oranges", "music"} <= values
    for sample in full:
        if sample.split != "train":
            assert values.isdisjoint(sample.values)
        if sample.split == "test":
            assert clauses.isdisjoint(sample.template.split(" + "))


def test_train_holds_what_the_demo_asks_in_other_words(full: list[Sample]) -> None:
    clauses = {clause for s in full if s.split == "train" for clause in s.template.split(" + ")}
    assert {"add {ItemName+} to the shopping list", "play {MediaType}"} <= clauses


@pytest.mark.parametrize(("one", "two", "kind"), [("apples", "oranges", "music"), ("durian", "kombucha", "jazz")])
def test_the_demo_trees(one: str, two: str, kind: str) -> None:
    words = f"add {one} and {two} to the shopping list and play {kind}".split()
    spans = [SlotSpan(1, 2, "ItemName"), SlotSpan(3, 4, "ItemName"), SlotSpan(10, 11, "MediaType")]
    flat = Utterance("x", "f", 1, "test", " ".join(words), words, ["AddToListIntent", "PlayMusicIntent"], spans)
    counts = SlotCounts()
    for intent, label in (("AddToListIntent", "ItemName"), ("PlayMusicIntent", "MediaType")):
        counts.add(flat._replace(split="train", intents=[intent], spans=[SlotSpan(0, 1, label)]))
    row = to_example(flat, counts, coordinate=True)
    assert isinstance(row, Example)
    assert row.tree == (
        f"(and(AddToListIntent(add(ItemName({one}))(ItemName({two}))))(PlayMusicIntent(MediaType({kind}))))"
    )


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_any_seed_gives_samples_that_agree_with_themselves(seed: int) -> None:
    for sample in generate(30, seed):
        assert [sample.words[i] for i in sample.positions] == sample.tree.words()
        assert len(sample.tags) == len(sample.words)
        assert list(sample.positions) == [i for i, tag in enumerate(sample.tags) if tag != "O"]
        assert sample.compound == (sample.tree.label == "and")
        labels = [node.label for node in sample.tree.walk() if node.label not in ("and", "add")]
        assert sorted(labels) == sorted([*sample.intents, *(label for _, _, label in sample.slots)])


def test_the_same_seed_gives_the_same_samples() -> None:
    assert list(generate(50, 7)) == list(generate(50, 7)) != list(generate(50, 8))


def test_train_does_not_depend_on_how_many_rows_are_asked_for() -> None:
    few, many = list(generate(20, 3)), list(generate(40, 3))
    assert few[:20] == many[:20]


def test_invented_words_are_no_carrier_words() -> None:
    rng = random.Random(0)
    made = {invent.word(rng) for _ in range(2_000)}
    assert len(made) > 1_900 and made.isdisjoint(book.load().carriers)


def test_expand_and_deal() -> None:
    assert list(book.expand("(a|b) x (y|)")) == ["a x y", "a x", "b x y", "b x"]
    dealt = book.deal([f"t{n}" for n in range(10)], ["t3"])
    assert sorted(dealt.values()) == ["dev"] + ["test"] * 2 + ["train"] * 7 and dealt["t3"] == "train"


def test_files_shards_and_ontology(full: list[Sample], tmp_path: Path) -> None:
    few = list(generate(150, 5))
    assert write(few, tmp_path, shards=True) == {"train": 150, "dev": 10, "test": 10}
    words, tags, label = (
        (tmp_path / "flat/train" / n).read_text().splitlines() for n in ("seq.in", "seq.out", "label")
    )
    assert words[0].split() == list(few[0].words) and tags[0].split() == few[0].tags
    assert label[0].split("#") == list(few[0].intents)
    assert (tmp_path / "gold/test.tsv").read_text().splitlines()[-1] == f"{' '.join(few[-1].words)}\t{few[-1].tree}"
    assert verify(tmp_path / "shards") == (170, [])
    ontology = load(tmp_path / "gold/ontology.toml")
    assert all(node.description for node in ontology.nodes.values())
    counts = Counts()
    for sample in full:
        if sample.split == "train":
            counts.add(sample.tree)
    whole = counts.ontology()
    for sample in full:  # an ontology of train allows every held-out tree
        state = State(whole)
        for action in oracle(sample.tree, sample.positions):
            state.apply(action)


def test_converted_trees_are_the_gold_trees(tmp_path: Path) -> None:
    write(generate(600, 2), tmp_path)
    run(Options([str(tmp_path / "flat")], "seq", str(tmp_path / "shards"), coordinate=True, max_rejected=0.0))
    assert against_gold(tmp_path / "gold", tmp_path / "shards") == (680, 680, [])
    assert shard.read_manifest(tmp_path / "shards").rows_rejected == 0


def test_the_comparison_sees_a_difference(tmp_path: Path) -> None:
    write(generate(60, 2), tmp_path)
    run(Options([str(tmp_path / "flat")], "seq", str(tmp_path / "shards"), max_rejected=1.0))
    same, total, differing = against_gold(tmp_path / "gold", tmp_path / "shards")
    assert same < total == 68 and len(differing) == total - same
    assert "(add(" in differing[0].split("converted")[0]


def test_the_manifest_of_shards_is_whole_and_needs_neither_beam_nor_lark(tmp_path: Path) -> None:
    code = "import sys; sys.modules.update(dict.fromkeys(['apache_beam', 'lark'])); "
    code += "from pipelines.__main__ import app; app()"
    command = [sys.executable, "-c", code, "samples", "--shards", "--rows", "30", "--output", str(tmp_path)]
    subprocess.run(command, cwd=Path(__file__).parent.parent, check=True, capture_output=True)
    manifest = shard.read_manifest(tmp_path / "shards")
    assert manifest.grammar_sha256 == shard.grammar_sha256()
    assert set(manifest.versions) == {"treewright", "python", "pyarrow"}


def test_samples_replace_a_data_set_and_nothing_else(tmp_path: Path) -> None:
    for _ in range(2):
        write(generate(60, 1), tmp_path, shards=True)
    mine = tmp_path / "shards" / "important"
    mine.write_text("mine", encoding="utf-8")
    with pytest.raises(FileExistsError, match="no run writes \\(important\\)"):
        write(generate(60, 1), tmp_path, shards=True)
    with pytest.raises(FileExistsError, match="is a file; `--output` takes a directory"):
        write(generate(60, 1), mine)
    assert mine.read_text(encoding="utf-8") == "mine"
