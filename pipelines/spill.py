"""The two steps of a conversion, as plain functions: ranges -> files of sorted runs -> shards.

    spill(range)      reads its records, writes work/spill/<range>.arrow and work/reports/<range>.json
    merge(bucket)     takes one bucket's runs out of all these files and writes the shard and work/entries/<file>.json

A bucket is one shard of one split or `rejected`; see `runs.py`, which writes the runs and puts them in one order.
Both steps may be repeated: their files have fixed names and appear whole. What has its report or its entry is done,
and is not done again when a job that died is started anew.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from grammar import shard
from grammar.infer import Counts
from grammar.ontology import loads
from pipelines import letters, storage
from pipelines.block import Block, Settings
from pipelines.clauses import SlotCounts
from pipelines.counting import count_train
from pipelines.formats import FORMATS, Range, read
from pipelines.formats.lines import pieces
from pipelines.formats.parallel import Lines
from pipelines.record import Rejection, Utterance
from pipelines.relabel import Map, relabel
from pipelines.relabel import loads as names_of
from pipelines.runs import Runs, by_id, load, load_one
from pipelines.splits import Dealing
from pipelines.tagged import examples


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
        read: bytes of the range as they are stored, for the progress line.
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
    with storage.naming(range_.source.path), Runs(job.work("spill", f"{name}.arrow"), job.shards) as runs:
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
        read=FORMATS[range_.source.format].stored(range_),
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
            groups = by_id([batch for path, numbers in sorted(parts) for batch in load(stack, path, numbers)])
        else:
            groups = letters.in_order([partial(load_one, path, n) for path, numbers in sorted(parts) for n in numbers])
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


def _spilled_before(name: str, job: Job) -> Spilled | None:
    """The report of a range that an earlier run finished, if its file is as it left it."""
    path = job.work("reports", f"{name}.json")
    if not storage.exists(path):
        return None
    report = Spilled(**json.loads(storage.read(path)))
    whole = all(storage.exists(file) and storage.size(file) == size for file, size in report.files.items())
    return report if whole else None
