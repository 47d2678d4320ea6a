"""Sorted runs of rows on disk: what a range leaves for each bucket, and how a bucket's runs become one order.

    rows of a range --Runs--> <name>.arrow, a sorted batch for each bucket --by_id--> row groups, sorted by id

A bucket is one shard of one split (`train-00002`) or `rejected`. A row's bucket and its place within the shard depend
on its id alone, so neither the size of the ranges nor the number of workers shows in the bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grammar import shard
from pipelines import letters, storage
from pipelines.block import rejection_batch
from pipelines.record import Rejection
from pipelines.splits import shards_of

RUN_ROWS = 1 << 16
"""Rows that are sorted at a time: bounds the memory of a range, whatever its size."""

RUN_BYTES = 64 << 20
"""The same for rows that are long."""


def by_bucket(examples: pa.Table, shards: int) -> Iterator[tuple[str, pa.Table]]:
    """Rows of each bucket, sorted by id."""
    splits = sorted(pc.unique(examples["split"]).to_pylist())
    place = np.asarray(pc.index_in(examples["split"], pa.array(splits, pa.string()))).astype(np.int64) * shards
    if shards > 1:
        place += shards_of(examples["id"].combine_chunks(), shards)
    keys = pa.table({"bucket": pa.array(place), "id": examples["id"]})
    order = pc.sort_indices(keys, [("bucket", "ascending"), ("id", "ascending")])
    table = examples.combine_chunks().take(order)
    place = place[np.asarray(order)]
    edges = np.concatenate([[0], np.flatnonzero(np.diff(place)) + 1, [len(place)]])
    for first, last in pairwise(edges.tolist()):
        if first < last:
            split, number = divmod(int(place[first]), shards)
            yield f"{splits[split]}-{number:05d}", table.slice(first, last - first)


class Runs:
    """The files of one range: `<name>.arrow` with runs of examples and `<name>.rejected.arrow` with dead letters.

    They appear whole, and only if the `with` block ends well.
    """

    def __init__(self, path: str, shards: int) -> None:
        self._shards = shards
        self._held: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0
        self._examples = _Spool(path, shard.SCHEMA)
        self._letters = _Spool(path.replace(".arrow", ".rejected.arrow"), shard.REJECTION_SCHEMA)
        self.parts: dict[str, tuple[str, list[int]]] = {}
        self.files: dict[str, int] = {}

    def __enter__(self) -> Runs:
        return self

    def __exit__(self, *error: Any) -> None:
        if error[0] is None:
            self._flush()
        for spool in (self._examples, self._letters):
            spool.__exit__(*error)
            if error[0] is None and spool.batches:
                self.files[spool.path] = storage.size(spool.path)

    def add(self, examples: pa.RecordBatch, rejections: list[Rejection]) -> None:
        """Take a block."""
        if rejections:
            self.refuse(rejection_batch(rejections))
        self._held.append(examples)
        self._rows += examples.num_rows
        self._bytes += examples.nbytes
        if self._rows >= RUN_ROWS or self._bytes >= RUN_BYTES:
            self._flush()

    def refuse(self, refused: pa.RecordBatch) -> None:
        """Take dead letters."""
        self._put("rejected", self._letters, letters.sort(refused))

    def _flush(self) -> None:
        if self._rows:
            table = pa.Table.from_batches(self._held)
            self._held, self._rows, self._bytes = [], 0, 0
            for bucket, part in by_bucket(table, self._shards):
                self._put(bucket, self._examples, part.to_batches()[0])

    def _put(self, bucket: str, spool: _Spool, batch: pa.RecordBatch) -> None:
        self.parts.setdefault(bucket, (spool.path, []))[1].append(spool.write(batch))


class _Spool(ExitStack):
    """An Arrow file that is written batch by batch; there is none if nothing was written."""

    def __init__(self, path: str, schema: pa.Schema) -> None:
        super().__init__()
        self.path, self.batches = path, 0
        self._schema = schema
        self._writer: pa.ipc.RecordBatchFileWriter | None = None

    def write(self, batch: pa.RecordBatch) -> int:
        """The number of the batch in the file."""
        if self._writer is None:
            temporary = self.enter_context(storage.writing(self.path))
            self._writer = self.enter_context(pa.ipc.new_file(temporary, self._schema))
        self._writer.write_batch(batch)
        self.batches += 1
        return self.batches - 1


def load(stack: ExitStack, path: str, numbers: Sequence[int]) -> list[pa.RecordBatch]:
    if storage.is_remote(path):
        source = pa.PythonFile(stack.enter_context(storage.reading(path)), mode="r")
    else:
        source = stack.enter_context(pa.memory_map(path))
    reader = stack.enter_context(pa.ipc.open_file(source))
    return [reader.get_batch(number) for number in numbers]


def load_one(path: str, number: int) -> pa.RecordBatch:
    """One batch of a file; a file on this machine is not read before its rows are looked at."""
    with ExitStack() as stack:
        [batch] = load(stack, path, [number])
        return batch


def by_id(runs: Sequence[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The rows of sorted runs in the order of their ids, one row group at a time.

    Every run is sorted, so a row group is made of one slice of each: no more than that is in memory.
    """
    if not runs:
        return
    ids = pa.chunked_array([run["id"] for run in runs])
    ordered = pc.sort_indices(ids)
    _refuse_duplicates(ids.take(ordered), ordered, runs)
    order = np.asarray(ordered).astype(np.int64)
    starts = np.concatenate([[0], np.cumsum([run.num_rows for run in runs])])
    for first in range(0, len(order), shard.ROW_GROUP):
        rows_ = order[first : first + shard.ROW_GROUP]
        run_of = np.searchsorted(starts, rows_, side="right") - 1
        moved = np.empty_like(rows_)
        slices, held = [], 0
        for run in np.unique(run_of):
            mine = run_of == run
            lowest, count = int(rows_[mine].min()), int(mine.sum())
            slices.append(runs[run].slice(lowest - int(starts[run]), count))
            moved[mine] = rows_[mine] - lowest + held
            held += count
        yield pa.Table.from_batches(slices).combine_chunks().take(pa.array(moved))


def _refuse_duplicates(ids: pa.ChunkedArray, order: pa.Array, runs: Sequence[pa.RecordBatch]) -> None:
    if len(ids) < 2 or not pc.any(pc.equal(ids[1:], ids[:-1])).as_py():
        return
    table = pa.Table.from_batches([run.select(["id", "file", "line", "utterance"]) for run in runs])
    for place, (one, two) in enumerate(pairwise(ids.to_pylist())):
        if one == two:
            first, second = table.take(order[place : place + 2]).to_pylist()
            raise ValueError(
                f"two rows have the id `{one}`: {first['file']}:{first['line']} `{first['utterance']}` "
                f"and {second['file']}:{second['line']} `{second['utterance']}`; convert a folder above both files"
            )
