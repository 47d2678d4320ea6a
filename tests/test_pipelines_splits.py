"""Splits: what rows share never stands on two sides, and the report finds what does."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_pipelines_index import rows_of

from grammar import shard
from grammar.tree import Leaf, Tree
from pipelines import leaks
from pipelines.hashes import value_texts
from pipelines.index import Steps, indexed
from pipelines.splits import OF_TREES, Dealing, place, places

VALUES = st.sampled_from(["jazz", "folk", "rock", "soul", "funk"])


@st.composite
def requests(draw: st.DrawFn) -> pa.RecordBatch:
    """Rows of few labels and values, so that many share something; the domain is the intent."""
    kinds = st.tuples(st.sampled_from("ABC"), st.lists(st.tuples(st.sampled_from("xy"), VALUES), max_size=3))
    drawn = draw(st.lists(kinds, min_size=1, max_size=12))
    trees = [Tree(root, [Tree(slot, [Leaf(value)]) for slot, value in slots]) for root, slots in drawn]
    rows = rows_of(trees, [True] * len(trees)).combine_chunks().to_batches()[0]
    rows = rows.set_column(2, rows.schema.field(2), pa.array([root for root, _ in drawn]))
    return indexed(rows)


def keys(rows: pa.RecordBatch, mode: str) -> list[set[object]]:
    if mode != "value":
        return [{key} for key in rows["domain" if mode == "domain" else f"{mode}_hash"].to_pylist()]
    texts, which, row = value_texts(Steps(rows["actions"], rows["symbols"]))
    found: list[set[object]] = [set() for _ in range(rows.num_rows)]
    for number, owner in zip(which, row, strict=True):
        found[owner].add(texts[number])
    return found


@pytest.mark.parametrize("mode", sorted(OF_TREES - {"value"}))
@given(requests())
def test_what_shares_a_key_shares_a_split(mode: str, rows: pa.RecordBatch) -> None:
    dealt = Dealing(mode, 0.3, 0.4).deal(rows)
    assert dealt.schema == rows.schema
    splits = defaultdict(set)
    for [key], split in zip(keys(rows, mode), dealt["split"].to_pylist(), strict=True):
        splits[key].add(split)
    assert all(len(found) == 1 for found in splits.values())


@given(requests())
def test_no_train_row_holds_a_value_that_is_held_out(rows: pa.RecordBatch) -> None:
    dealing = Dealing("value", 0.3, 0.4)
    dealt = dealing.deal(rows)["split"].to_pylist()
    held = {
        name: {v for v in ["jazz", "folk", "rock", "soul", "funk"] if _side(dealing, v) == name}
        for name in ("dev", "test")
    }
    for values, split in zip(keys(rows, "value"), dealt, strict=True):
        want = "test" if values & held["test"] else "dev" if values & held["dev"] else "train"
        assert split == want


def _side(dealing: Dealing, value: str) -> str:
    share = place(value)
    return "test" if share >= 1 - dealing.test_share else "dev" if share < dealing.dev_share else "train"


@given(requests(), st.sampled_from(sorted(OF_TREES)), st.data())
def test_a_row_keeps_its_split_whatever_stands_beside_it(rows: pa.RecordBatch, mode: str, data: st.DataObject) -> None:
    some = data.draw(st.lists(st.integers(0, rows.num_rows - 1), unique=True))
    dealing = Dealing(mode, 0.3, 0.4)
    whole = dealing.deal(rows)["split"].to_pylist()
    assert dealing.deal(rows.take(pa.array(some, pa.int64())))["split"].to_pylist() == [whole[i] for i in some]


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=5), min_size=1))
def test_columns_and_texts_are_dealt_alike(texts: list[str]) -> None:
    from pipelines.hashes import utterances

    assert places(utterances(pa.array(texts, pa.string()))).tolist() == [place(text) for text in texts]


def test_domains_can_be_named() -> None:
    trees = [Tree(root, []) for root in "ABC"]
    rows = rows_of(trees, [True] * 3).combine_chunks().to_batches()[0]
    rows = indexed(rows.set_column(2, rows.schema.field(2), pa.array(["a", "b", "c"])))
    dealt = Dealing("domain", dev_domains=("b",), test_domains=("c",)).deal(rows)
    assert dealt["split"].to_pylist() == ["train", "dev", "test"]


def data_set(folder: Path, splits: dict[str, list[Tree]]) -> shard.Manifest:
    manifest = shard.Manifest()
    for split, trees in splits.items():
        made = [indexed(batch) for batch in rows_of(trees, [True] * len(trees)).to_batches()]
        manifest.shards.append(shard.write_table(pa.Table.from_batches(made), folder / shard.shard_name(split, 0, 1)))
        manifest.splits[split] = len(trees)
    return manifest


@pytest.mark.parametrize("together", [1, 2, 100])
def test_leaks_duplicates_and_conflicts_are_counted(tmp_path: Path, together: int) -> None:
    def play(word: str, slot: str = "genre") -> Tree:
        return Tree("Play", [Tree(slot, [Leaf(word)])])

    train = [play("jazz"), play("JAZZ"), play("folk"), Tree("Stop", [])]
    test = [play("jazz"), play("rock"), play("folk", "mood"), Tree("Buy", [])]
    found = leaks.find(tmp_path, data_set(tmp_path, {"train": train, "test": test}), together)
    assert found["leaks"] == [
        # "please" alone is Stop in train and Buy in test.
        {"split": "test", "seen_in": "train", "rows": 4, "utterance": 3, "template": 3, "shape": 2}
    ]
    assert found["repeated"] == {"train": 1, "test": 0}
    assert found["conflicts"] == {"utterances": 2, "rows": 4}
    assert found["unseen"] == {"test": {"rows": 1, "values": 1, "value_rows": 3}}
