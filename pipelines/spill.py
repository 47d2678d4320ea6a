"""The two steps of a conversion, as plain functions: ranges -> bucket files -> shards.

    spill(range)      reads its records, writes work/spill/<bucket>/<range>.arrow and work/reports/<range>.json
    merge(bucket)     reads all files of one bucket, sorts by id, writes the shard and work/entries/<file>.json

A bucket is one shard of one split (`train-00002`) or `rejected`. A row's bucket and its place within the shard
depend on its id alone, so neither the size of the ranges nor the number of workers shows in the bytes.
Both steps may be repeated: their files have fixed names and appear by renaming.
"""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from grammar import shard
from grammar.actions import Action, Kind, TransitionError, build
from grammar.actions import State as TreeState
from grammar.infer import Counts
from grammar.ontology import Ontology, loads
from grammar.tree import Tree
from pipelines.clauses import SlotCounts
from pipelines.formats import Range, read
from pipelines.record import Example, Rejection, Utterance
from pipelines.splits import Dealing, shard_of
from pipelines.trees import to_example

_FLUSH = 4096
"""Rows of a bucket that are held before they are written: bounds the memory of a range."""


class Job(NamedTuple):
    """What every worker must know.

    Attributes:
        build: directory that becomes the data set; temporary files lie in its `work/`.
        shards: shards of each split.
        ontology: TOML text to hold trees against, or empty.
        licence: for the column of that name.
    """

    build: str
    shards: int
    dealing: Dealing = Dealing()
    multi_intent: str = "clauses"
    coordinate: bool = False
    ontology: str = ""
    licence: str = ""

    @property
    def work(self) -> Path:
        """Temporary files; gone before the data set appears."""
        return Path(self.build) / "work"


class Spilled(NamedTuple):
    """What one range came to: bucket files as (bucket, path), rows in, rows refused by code."""

    files: list[tuple[str, str]]
    rows_in: int
    rejected: dict[str, int]


def count_slots(range_: Range, job: Job) -> str:
    """The slots of single-intent train rows, as JSON; `merge_slots` adds such texts up."""
    counts = SlotCounts()
    for row in _rows(range_, job):
        if isinstance(row, Utterance) and row.split == "train" and len(row.intents) == 1:
            counts.add(row)
    return json.dumps(counts.to_json())


def merge_slots(texts: Sequence[str]) -> str:
    """The sum of several counts."""
    total = SlotCounts()
    for text in texts:
        total.merge(SlotCounts.from_json(json.loads(text)))
    return json.dumps(total.to_json())


def spill(number: int, range_: Range, job: Job, slots: str = "") -> Spilled:
    """Convert a range into bucket files and a report.

    Args:
        number: of the range in the run; names its files.
        slots: what `merge_slots` gave, for corpora with several intents in a row.
    """
    resolver = SlotCounts.from_json(json.loads(slots)) if slots else None
    ontology = loads(job.ontology, "the ontology") if job.ontology else None
    rows_in, rejected, counts, tokenisers = 0, Counter[str](), Counts(), set[str]()
    with _Buckets(job.work / "spill", number) as buckets:
        for row in _rows(range_, job):
            rows_in += 1
            made = row if isinstance(row, Rejection) else _convert(row, job, resolver, ontology)
            if isinstance(made, Rejection):
                rejected[made.code] += 1
                buckets.add("rejected", made)
                continue
            assert isinstance(row, Utterance)
            tokenisers.add(row.tokeniser)
            if made.split == "train":
                counts.add(tree_of(made.actions, made.symbols, made.copy))
            buckets.add(f"{made.split}-{shard_of(made.id, job.shards):05d}", made)
    report = {"rows_in": rows_in, "rejected": rejected, "counts": counts.to_json(), "tokenisers": sorted(tokenisers)}
    _put(job.work / "reports" / f"{number:06d}.json", json.dumps(report))
    return Spilled(buckets.files, rows_in, dict(rejected))


def merge(bucket: str, paths: Sequence[str], job: Job) -> int:
    """Write one shard from its bucket files; returns its rows.

    Raises:
        ValueError: two rows have one id.
    """
    refused = bucket == "rejected"
    schema = shard.REJECTION_SCHEMA if refused else shard.SCHEMA
    tables = [pa.ipc.open_file(pa.memory_map(path)).read_all() for path in sorted(paths)]
    table = pa.concat_tables(tables) if tables else schema.empty_table()
    keys = ["file", "line", "code", "raw"] if refused else ["id"]
    table = table.take(pc.sort_indices(table, [(key, "ascending") for key in keys])).combine_chunks()
    folder = Path(job.build)
    if refused:
        name = shard.shard_name(shard.REJECTED, 0, 1)
        folder = folder / shard.REJECTED
    else:
        split, number = bucket.rsplit("-", 1)
        name = shard.shard_name(split, int(number), job.shards)
        _refuse_duplicates(table)
    entry = shard.write_table(table.replace_schema_metadata(schema.metadata), folder / name)
    _put(job.work / "entries" / f"{name}.json", json.dumps(entry | {"split": "" if refused else bucket[:-6]}))
    return table.num_rows


def reports(job: Job, kind: str = "reports") -> Iterator[dict[str, Any]]:
    """What the ranges reported, or with `entries` the shards, in the order of their names."""
    for path in sorted((job.work / kind).glob("*.json")):
        yield json.loads(path.read_text(encoding="utf-8"))


def tree_of(kinds: Sequence[int], symbols: Sequence[str], copy: Sequence[int]) -> Tree:
    """The tree of a row's action columns."""
    return build(Action(Kind(k), s, c) for k, s, c in zip(kinds, symbols, copy, strict=True))


def _rows(range_: Range, job: Job) -> Iterator[Utterance | Rejection]:
    for row in read(range_):
        text = row.text if isinstance(row, Utterance) else row.raw
        yield row._replace(split=job.dealing.split(row.split, text))


def _convert(row: Utterance, job: Job, slots: SlotCounts | None, ontology: Ontology | None) -> Example | Rejection:
    made = to_example(row._replace(licence=job.licence or row.licence), slots, job.multi_intent, job.coordinate)
    if ontology is None or isinstance(made, Rejection):
        return made
    state = TreeState(ontology)
    try:
        for kind, symbol, copy in zip(made.actions, made.symbols, made.copy, strict=True):
            state.apply(Action(Kind(kind), symbol, copy))
    except TransitionError as error:
        return row.reject("R209", str(error))
    return made


def _refuse_duplicates(table: pa.Table) -> None:
    rows = table.select(["id", "file", "line", "utterance"])
    for place, (one, two) in enumerate(pairwise(table["id"].to_pylist())):
        if one == two:
            first, second = rows.slice(place, 2).to_pylist()
            raise ValueError(
                f"two rows have the id `{one}`: {first['file']}:{first['line']} `{first['utterance']}` "
                f"and {second['file']}:{second['line']} `{second['utterance']}`; convert a folder above both files"
            )


class _Buckets:
    """Arrow files of one range, one per bucket, written as they fill."""

    def __init__(self, folder: Path, number: int) -> None:
        self._folder, self._name = folder, f"{number:06d}.arrow"
        self._rows: dict[str, list[Example | Rejection]] = defaultdict(list)
        self._open: dict[str, tuple[Path, pa.ipc.RecordBatchFileWriter]] = {}
        self.files: list[tuple[str, str]] = []

    def __enter__(self) -> _Buckets:
        return self

    def add(self, bucket: str, row: Example | Rejection) -> None:
        rows = self._rows[bucket]
        rows.append(row)
        if len(rows) >= _FLUSH:
            self._flush(bucket)

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            for bucket in self._rows:
                self._flush(bucket)
        for bucket, (path, writer) in self._open.items():
            writer.close()
            if kind is None:
                os.replace(path, path.with_name(self._name))
                self.files.append((bucket, str(path.with_name(self._name))))

    def _flush(self, bucket: str) -> None:
        schema = shard.REJECTION_SCHEMA if bucket == "rejected" else shard.SCHEMA
        if bucket not in self._open:
            path = self._folder / bucket / f".{self._name}.{os.getpid()}.tmp"
            path.parent.mkdir(parents=True, exist_ok=True)
            self._open[bucket] = (path, pa.ipc.new_file(str(path), schema))
        columns = zip(*self._rows[bucket], strict=True)
        arrays = [pa.array(column, type=field.type) for column, field in zip(columns, schema, strict=True)]
        if arrays:
            self._open[bucket][1].write_batch(pa.record_batch(arrays, schema=schema))
        self._rows[bucket] = []


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shard.write_text(path, text)
