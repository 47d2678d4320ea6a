"""What the trees of many rows hold, counted from their columns: no tree is built, and none is looked at by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grammar.actions import GENERATED, Kind
from grammar.infer import Counts


def count(rows: pa.RecordBatch | pa.Table) -> Counts:
    """What `Counts.add` would have come to over the trees of the rows, and the words that they generate.

    Args:
        rows: with the columns `actions`, `symbols`, `copy` and `parent` of a shard.
    """
    counts = Counts()
    if isinstance(rows, pa.Table):
        for batch in rows.to_batches():
            counts.merge(count(batch))
        return counts
    if not rows.num_rows:
        return counts
    kinds, symbols = np.asarray(rows["actions"].flatten()), rows["symbols"].flatten()
    starts = np.asarray(rows["actions"].offsets).astype(np.int64)
    starts -= starts[0]
    parent = np.asarray(rows["parent"].flatten()).astype(np.int64)
    node = np.where(parent < 0, -1, parent + np.repeat(starts[:-1], np.diff(starts)))

    opened = np.flatnonzero(kinds == Kind.NT)
    coded = pc.dictionary_encode(symbols.take(pa.array(opened)))
    names, label = coded.dictionary.to_pylist(), np.asarray(coded.indices).astype(np.int64)
    number = np.full(len(kinds), -1)  # of the node that an action opens
    number[opened] = np.arange(len(opened))
    leaves = np.bincount(number[node[kinds == Kind.TER]], minlength=len(opened))
    above = number[node[opened]]
    child = node[opened] >= 0
    nodes = np.bincount(above[child], minlength=len(opened))

    def add(into: Any, which: np.ndarray, name: Callable[[int], Any]) -> None:
        found, times = np.unique(which, return_counts=True)
        into.update({name(place): n for place, n in zip(found.tolist(), times.tolist(), strict=True)})

    def pair(code: int) -> tuple[str, str]:
        return names[code // len(names)], names[code % len(names)]

    add(counts.roots, label[~child], names.__getitem__)
    add(counts.labels, label, names.__getitem__)
    add(counts.words, label[leaves > 0], names.__getitem__)
    add(counts.childless, label[leaves + nodes == 0], names.__getitem__)
    add(counts.single, label[leaves + nodes == 1], names.__getitem__)
    links = above[child] * len(names) + label[child]  # a node and the label of one below it
    add(counts.links, label[above[child]] * len(names) + label[child], pair)
    again, times = np.unique(links, return_counts=True)
    again = again[times > 1]
    add(counts.repeats, label[again // len(names)] * len(names) + again % len(names), pair)
    made = (kinds == Kind.TER) & (np.asarray(rows["copy"].flatten()) == GENERATED)
    if made.any():
        for row in pc.value_counts(symbols.filter(pa.array(made))).to_pylist():
            counts.generated[row["values"]] += row["counts"]
    return counts


def count_train(rows: pa.RecordBatch) -> Counts:
    """The same of the rows of train alone."""
    train = pc.equal(rows["split"], "train")
    return count(rows if pc.all(train).as_py() else rows.filter(train))
