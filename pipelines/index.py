"""The index columns: what a shard says of its rows so that no reader must work it out. Whole columns at a time.

kinds    NT NT TER RED RED        of (PlayMusicIntent(MediaType(music)))
parent   -1  0   1   1   0        the action that opened the node this one goes into, or which RED closes
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grammar import shard
from grammar.actions import Kind
from pipelines.texts import strings

_LEVELS = 8
"""Up to so many levels, a pass for each is faster than a search for every action."""


def forms(actions: pa.ListArray, symbols: pa.ListArray) -> tuple[np.ndarray, np.ndarray]:
    """Rows that differ in words alone: (one row of each form, the form of each row).

    Args:
        actions, symbols: columns of a shard.
    """
    starts = np.asarray(actions.offsets).astype(np.int64)
    starts -= starts[0]
    kinds = np.asarray(actions.flatten())
    opened = np.flatnonzero(kinds == Kind.NT)
    labels = pc.dictionary_encode(symbols.flatten().take(pa.array(opened)))
    codes = -kinds.astype(np.int32)
    codes[opened] = np.asarray(labels.indices) + 1
    rows = strings(codes.view(np.uint8), np.diff(starts) * codes.itemsize, pa.binary())
    form = np.asarray(pc.dictionary_encode(rows).indices)
    _, shown = np.unique(form, return_index=True)
    return shown, form


class Steps:
    """The actions of many rows, one row after the other. The rows must build trees.

    Attributes:
        kinds, symbols: of every action.
        starts: [rows + 1] where each row begins.
        row: of every action.
        node: the action that opened the node this one goes into, or which RED closes; counted over all rows, the first
            action of a row has none and says -1.
        open: nodes that are open before the action.
    """

    def __init__(self, actions: pa.ListArray, symbols: pa.ListArray) -> None:
        starts = np.asarray(actions.offsets).astype(np.int64)
        self.starts = starts - starts[0]
        self.kinds = np.asarray(actions.flatten())
        self.symbols: pa.Array = symbols.flatten()
        size = len(self.kinds)
        self.row = np.repeat(np.arange(len(actions)), np.diff(self.starts))
        change = np.array([1, 0, -1], dtype=np.int64)[self.kinds]
        self.open = np.cumsum(change) - change  # every row closes what it opens, so each begins at 0
        self.node = self._nodes(size)

    def _nodes(self, size: int) -> np.ndarray:
        """The node is the last one that was opened a level higher."""
        deepest = int(self.open.max(initial=0))
        if deepest <= _LEVELS:
            opening = self.kinds == Kind.NT
            every = np.arange(size)
            node = np.full(size, -1, dtype=np.int64)
            for level in range(deepest):
                last = np.maximum.accumulate(np.where(opening & (self.open == level), every, 0))
                inside = self.open == level + 1
                node[inside] = last[inside]
            return node
        opened = np.flatnonzero(self.kinds == Kind.NT)
        keys = np.sort(self.open[opened] * size + opened)
        wanted = (self.open - 1) * size + np.arange(size)
        found = np.searchsorted(keys, wanted) - 1
        return np.where(self.open > 0, keys[found] % size, -1)

    def parent(self) -> pa.ListArray:
        """`node`, counted within each row."""
        within = np.where(self.node >= 0, self.node - self.starts[:-1][self.row], -1)
        return pa.ListArray.from_arrays(pa.array(self.starts, pa.int32()), pa.array(within, pa.int32()))

    def depth(self) -> np.ndarray:
        """The most nodes that are open at once, of each row."""
        if not len(self.kinds):
            return np.zeros(len(self.starts) - 1, dtype=np.int16)
        return (np.maximum.reduceat(self.open, self.starts[:-1])).astype(np.int16)


def index(columns: Any) -> dict[str, pa.Array]:
    """The index columns of rows that build trees.

    Args:
        columns: name -> Arrow array, of the columns `shard.ROW`.
    """
    # A cycle otherwise: hashes are made of steps.
    from pipelines import hashes

    steps = Steps(columns["actions"], columns["symbols"])
    templates = hashes.template_texts(columns["words"], columns["copy"], steps)
    return {
        "parent": steps.parent(),
        "depth": pa.array(steps.depth(), pa.int16()),
        "utterance_hash": pa.array(hashes.utterances(columns["utterance"])),
        "template_hash": pa.array(hashes.repeated(templates)),
        "shape_hash": pa.array(hashes.shapes(columns)),
    }


def indexed(rows: pa.RecordBatch) -> pa.RecordBatch:
    """The rows with their index columns, in the order of the schema; index columns that they have are made anew."""
    columns = {name: rows[name] for name in shard.ROW}
    columns |= index(columns)
    return pa.record_batch([columns[name] for name in shard.SCHEMA.names], schema=shard.SCHEMA)


def indexed_table(rows: pa.Table) -> pa.Table:
    """The same for a table."""
    return pa.Table.from_batches(map(indexed, rows.to_batches()), schema=shard.SCHEMA)
