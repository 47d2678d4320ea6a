"""The two steps of a conversion, as plain functions: ranges -> files of sorted runs -> shards.

    spill(range)      reads its records, writes work/spill/<range>.arrow and work/reports/<range>.json
    merge(bucket)     takes one bucket's runs out of all these files and writes the shard and work/entries/<file>.json

A bucket is one shard of one split (`train-00002`) or `rejected`. A row's bucket and its place within the shard
depend on its id alone, so neither the size of the ranges nor the number of workers shows in the bytes.
Both steps may be repeated: their files have fixed names and appear whole. What has its report or its entry is done,
and is not done again when a job that died is started anew.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grammar import shard
from grammar.actions import Action, Kind, build
from grammar.infer import Counts
from grammar.ontology import loads
from grammar.tree import Tree
from pipelines import letters, storage
from pipelines.block import Block, Settings, rejection_batch
from pipelines.clauses import SlotCounts
from pipelines.counting import count_train
from pipelines.formats import FORMATS, Range, read
from pipelines.formats.lines import pieces
from pipelines.formats.parallel import Lines
from pipelines.record import Rejection, Utterance
from pipelines.relabel import Map, relabel
from pipelines.relabel import loads as names_of
from pipelines.splits import Dealing, shards_of
from pipelines.tagged import examples

RUN_ROWS = 1 << 16
"""Rows that are sorted at a time: bounds the memory of a range, whatever its size."""

RUN_BYTES = 64 << 20
"""The same for rows that are long."""


class Job(NamedTuple):
    """What every worker must know.

    Attributes:
        build: directory that becomes the data set; temporary files lie in its `work/`.
        shards: shards of each split.
        ontology: TOML text to hold trees against, or empty.
        licence: for the column of that name.
        map: TOML text of new names, or empty; see `relabel.py`.
    """

    build: str
    shards: int
    dealing: Dealing = Dealing()
    multi_intent: str = "clauses"
    coordinate: bool = False
    ontology: str = ""
    licence: str = ""
    map: str = ""

    def work(self, *parts: str) -> str:
        """The path of a temporary file; they are gone before the data set appears."""
        return storage.join(self.build, "work", *parts)

    def new_names(self) -> Map:
        """The map of the run; an empty one where none was given."""
        return names_of(self.map, "the map") if self.map else Map()

    def settings(self, slots: str = "") -> Settings:
        """How rows become trees.

        Args:
            slots: what `merge_slots` gave, for corpora with several intents in a row.
        """
        return Settings(
            self.multi_intent,
            self.coordinate,
            SlotCounts.from_json(json.loads(slots)) if slots else None,
            loads(self.ontology, "the ontology") if self.ontology else None,
            self.licence,
        )


class Spilled(NamedTuple):
    """What one range came to.

    Attributes:
        parts: (bucket, path of a file, numbers of the bucket's batches in it).
        files: path -> bytes, so that a damaged file is not taken for a whole one.
        splits, rejected_splits: rows of each split.
        rejected: rows by code.
        mapped: names of the map that rows had.
        counts: what the trees of train hold, as JSON.
        read: bytes of the range, for the progress line.
    """

    parts: list[tuple[str, str, list[int]]]
    files: dict[str, int]
    rows_in: int
    splits: dict[str, int]
    rejected: dict[str, int]
    rejected_splits: dict[str, int]
    counts: dict[str, list]
    tokenisers: list[str]
    read: int
    mapped: list[str]


def name_of(range_: Range, source: int) -> str:
    """What the files of a range are called: the numbers of its source and of itself."""
    return f"{source:06d}-{range_.number:06d}"


def joins_intents(range_: Range) -> bool:
    """Whether any row may have several intents: these are joined by `#`. Looks at bytes, a hundred times as fast."""
    paths = (range_.source.path, *range_.source.companions)
    starts, stops = (range_.start, *range_.starts), (range_.stop, *range_.stops)
    return any(b"#" in piece for bounds in zip(paths, starts, stops, strict=True) for piece in pieces(*bounds))


def count_slots(range_: Range, job: Job) -> str:
    """The slots of single-intent train rows, as JSON; `merge_slots` adds such texts up."""
    counts = SlotCounts()
    for row in rows(range_, job.dealing, job.new_names()):
        if isinstance(row, Utterance) and row.split == "train" and len(row.intents) == 1:
            counts.add(row)
    return json.dumps(counts.to_json())


def merge_slots(texts: Iterable[str]) -> str:
    """The sum of several counts."""
    total = SlotCounts()
    for text in texts:
        total.merge(SlotCounts.from_json(json.loads(text)))
    return json.dumps(total.to_json())


def spill(name: str, range_: Range, job: Job, slots: str = "") -> Spilled:
    """Convert a range into a file of sorted runs and a report; what was done before is not done again.

    Args:
        name: of its files; see `name_of`.
        slots: what `merge_slots` gave, for corpora with several intents in a row.
    """
    done = _spilled_before(name, job)
    if done is not None:
        return done
    rejected, splits, rejected_splits = Counter[str](), Counter[str](), Counter[str]()
    map_ = job.new_names()
    counts = Counts()
    tokenisers = set[str]()
    with Runs(job.work("spill", f"{name}.arrow"), job.shards) as runs:
        for made, rejections, used in batches(range_, job, slots, map_):
            tokenisers |= used
            rejected.update(row.code for row in rejections)
            rejected_splits.update(row.split for row in rejections)
            splits.update({row["values"]: row["counts"] for row in pc.value_counts(made["split"]).to_pylist()})
            counts.merge(count_train(made))
            runs.add(made, rejections)
    report = Spilled(
        parts=[(bucket, *part) for bucket, part in sorted(runs.parts.items())],
        files=runs.files,
        rows_in=splits.total() + rejected.total(),
        splits=dict(splits),
        rejected=dict(rejected),
        rejected_splits=dict(rejected_splits),
        counts=counts.to_json(),
        tokenisers=sorted(tokenisers),
        read=range_.stop - range_.start + sum(range_.stops) - sum(range_.starts),
        mapped=sorted(map_.seen),
    )
    storage.write(job.work("reports", f"{name}.json"), json.dumps(report._asdict()).encode())
    return report


def batches(
    range_: Range, job: Job, slots: str = "", map_: Map | None = None
) -> Iterator[tuple[pa.RecordBatch, list[Rejection], set[str]]]:
    """A range in blocks: the columns of the rows, the rows that were refused, the tokenisers that were used."""
    lines = FORMATS[range_.source.format].lines
    if lines is None or (map_ is not None and map_.names):
        yield from blocks(rows(range_, job.dealing, map_), job, slots)
        return
    settings = job.settings(slots)
    rest = Block(settings)
    for found in lines(range_):
        if isinstance(found, Lines):
            made, left = examples(found, settings)
            yield job.dealing.deal(job.dealing.deal_texts(made)), [], {""}
        for row in found.rows(left) if isinstance(found, Lines) else (found,):
            rest.add(placed(row, job.dealing))
            if rest.full:
                yield _finished(rest, job.dealing)
                rest = Block(settings)
    yield _finished(rest, job.dealing)


def blocks(
    records: Iterable[Utterance | Rejection], job: Job, slots: str = ""
) -> Iterator[tuple[pa.RecordBatch, list[Rejection], set[str]]]:
    """The same of records that were read, each in its split and under its new names."""
    settings = job.settings(slots)
    block = Block(settings)
    for row in records:
        block.add(row)
        if block.full:
            yield _finished(block, job.dealing)
            block = Block(settings)
    yield _finished(block, job.dealing)


def _finished(block: Block, dealing: Dealing) -> tuple[pa.RecordBatch, list[Rejection], set[str]]:
    examples, rejections = block.finish()
    return dealing.deal(examples), rejections, block.tokenisers


def rows(range_: Range, dealing: Dealing, map_: Map | None = None) -> Iterator[Utterance | Rejection]:
    """The records of a range, each in its split and under its new names."""
    for row in read(range_):
        yield placed(row, dealing, map_)


def placed(row: Utterance | Rejection, dealing: Dealing, map_: Map | None = None) -> Utterance | Rejection:
    """A record in its split and under its new names."""
    if map_ is not None and map_.names and isinstance(row, Utterance):
        row = relabel(row, map_)
    split = dealing.split(row.split, row.text if isinstance(row, Utterance) else row.raw)
    return row if split == row.split else row._replace(split=split)


def merge(bucket: str, parts: Sequence[tuple[str, list[int]]], job: Job) -> dict[str, Any]:
    """Write one shard from its runs, unless it is there; returns its entry for the manifest and its split.

    Args:
        parts: (path of a file of runs, numbers of this bucket's batches in it).

    Raises:
        ValueError: two rows have one id.
    """
    if bucket == "rejected":
        split, name, schema = "", shard.shard_name(shard.REJECTED, 0, 1), shard.REJECTION_SCHEMA
        target = storage.join(job.build, shard.REJECTED, name)
    else:
        split, number = bucket.rsplit("-", 1)
        name, schema = shard.shard_name(split, int(number), job.shards), shard.SCHEMA
        target = storage.join(job.build, name)
    record = job.work("entries", f"{name}.json")
    if storage.exists(record) and storage.exists(target):
        before: dict[str, Any] = json.loads(storage.read(record))
        if before["size"] == storage.size(target):
            return before
    with ExitStack() as stack:
        if split:
            groups = by_id([batch for path, numbers in sorted(parts) for batch in _load(stack, path, numbers)])
        else:
            groups = letters.in_order([partial(_run, path, n) for path, numbers in sorted(parts) for n in numbers])
        with storage.writing(target) as temporary:
            entry = shard.write_groups(groups, schema, temporary) | {"file": name}
    entry |= {"split": split, "size": storage.size(target)}
    storage.write(record, json.dumps(entry).encode())
    return entry


def reports(job: Job, kind: str = "reports") -> Iterator[dict[str, Any]]:
    """What the ranges reported, or with `entries` the shards, in the order of their names."""
    for path in storage.below(job.work(kind)):
        if path.endswith(".json") and not path.rpartition("/")[2].startswith("."):
            yield json.loads(storage.read(path))


def tree_of(kinds: Sequence[int], symbols: Sequence[str], copy: Sequence[int]) -> Tree:
    """The tree of a row's action columns."""
    return build(Action(Kind(k), s, c) for k, s, c in zip(kinds, symbols, copy, strict=True))


def _spilled_before(name: str, job: Job) -> Spilled | None:
    """The report of a range that an earlier run finished, if its file is as it left it."""
    path = job.work("reports", f"{name}.json")
    if not storage.exists(path):
        return None
    report = Spilled(**json.loads(storage.read(path)))
    whole = all(storage.exists(file) and storage.size(file) == size for file, size in report.files.items())
    return report if whole else None


def _load(stack: ExitStack, path: str, numbers: Sequence[int]) -> list[pa.RecordBatch]:
    if storage.is_remote(path):
        source = pa.PythonFile(stack.enter_context(storage.reading(path)), mode="r")
    else:
        source = stack.enter_context(pa.memory_map(path))
    reader = stack.enter_context(pa.ipc.open_file(source))
    return [reader.get_batch(number) for number in numbers]


def _run(path: str, number: int) -> pa.RecordBatch:
    """One batch of a file; a file on this machine is not read before its rows are looked at."""
    with ExitStack() as stack:
        [batch] = _load(stack, path, [number])
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
