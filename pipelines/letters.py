"""Dead letters in order, however many there are: sorted runs, of which a row group's worth is in memory.

    run 1   a.txt:2  a.txt:9            -> a.txt:2  a.txt:5  a.txt:9  b.txt:1
    run 2   a.txt:5  b.txt:1

Each run is read a piece at a time. Rows up to the least of the last rows that were read can be given away, since no run
has anything before them any more; then the pieces that are used up are followed by the next. Runs of ranges do not
overlap, so mostly one run is open; a run that begins later is not touched before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from grammar import shard

KEYS = ("file", "line", "code", "raw")
PIECE = 1_024
"""Rows of a run that are read at a time."""

Key = tuple[Any, ...]


def sort(letters: pa.RecordBatch) -> pa.RecordBatch:
    """One run."""
    return letters.take(pc.sort_indices(letters, [(key, "ascending") for key in KEYS]))


@dataclass(slots=True)
class _Run:
    load: Callable[[], pa.RecordBatch]
    first: Key
    at: int = 0
    rows: pa.RecordBatch | None = None

    def piece(self) -> pa.RecordBatch:
        """The next rows; none at the end, and then nothing of the run is held."""
        if self.rows is None:
            self.rows = self.load()
        found = self.rows.slice(self.at, PIECE)
        self.at += found.num_rows
        if not found.num_rows:
            self.rows = self.rows.slice(0, 0)
        return found


def in_order(runs: Sequence[Callable[[], pa.RecordBatch]], group: int = shard.ROW_GROUP) -> Iterator[pa.Table]:
    """The rows of sorted runs in the order of `KEYS`, in tables of `group` rows; the last one may be smaller.

    Args:
        runs: each gives a run that `sort` has sorted; called twice.
    """
    waiting = [_Run(load, _key(found, 0)) for load in runs if (found := load()).num_rows]
    waiting.sort(key=lambda run: run.first, reverse=True)
    out = _Groups(group)
    held: pa.Table | None = None
    open_: list[tuple[Key, _Run]] = []  # with the last key that was read of each
    while waiting or open_:
        if not open_:
            run = waiting.pop()
            held = _more(held, run, open_)
        border = min(key for key, _ in open_)
        while waiting and waiting[-1].first <= border:
            held = _more(held, waiting.pop(), open_)
            border = min(key for key, _ in open_)
        assert held is not None
        held = _sorted(held)
        count = _up_to(held, border)
        yield from out.take(held.slice(0, count))
        held = held.slice(count)
        used = [run for key, run in open_ if key == border]
        open_ = [(key, run) for key, run in open_ if key != border]
        for run in used:
            held = _more(held, run, open_)
    yield from out.rest()


def _more(held: pa.Table | None, run: _Run, open_: list[tuple[Key, _Run]]) -> pa.Table | None:
    piece = run.piece()
    if not piece.num_rows:
        return held
    open_.append((_key(piece, piece.num_rows - 1), run))
    rows = pa.Table.from_batches([piece])
    return rows if held is None else pa.concat_tables([held, rows])


def _key(rows: pa.RecordBatch | pa.Table, place: int) -> Key:
    return tuple(rows[name][place].as_py() for name in KEYS)


def _sorted(rows: pa.Table) -> pa.Table:
    return rows.take(pc.sort_indices(rows, [(key, "ascending") for key in KEYS])).combine_chunks()


def _up_to(rows: pa.Table, border: Key) -> int:
    """How many sorted rows are not after the border."""
    low, high = 0, rows.num_rows
    while low < high:
        middle = (low + high) // 2
        if _key(rows, middle) <= border:
            low = middle + 1
        else:
            high = middle
    return low


class _Groups:
    """Rows as they come -> tables of so many rows."""

    def __init__(self, size: int) -> None:
        self.size, self.rows = size, 0
        self.held: list[pa.Table] = []

    def take(self, rows: pa.Table) -> Iterator[pa.Table]:
        self.held.append(rows)
        self.rows += rows.num_rows
        while self.rows >= self.size:
            every = pa.concat_tables(self.held)
            yield every.slice(0, self.size).combine_chunks()
            self.held, self.rows = [every.slice(self.size)], self.rows - self.size

    def rest(self) -> Iterator[pa.Table]:
        if self.rows:
            yield pa.concat_tables(self.held).combine_chunks()
