"""What `annotate` makes of a range, as plain functions: a shard of trees with their scores, dead letters, a report.

    annotated-00000-of-00003.parquet           utterances with tree, score and model: `SCHEMA`
    rejected/rejected-00000-of-00003.parquet   what is no utterance; absent if a range has none
    annotation.json                            counts, model, SHA-256 of every shard; written last

A range becomes one shard, so the order of the corpus is kept. Its files have fixed names and appear whole, the report
last: a range that has its report is done.
"""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import pyarrow as pa

from grammar import shard
from pipelines import publish, storage, unlabelled
from pipelines.block import rejection_batch
from pipelines.formats.lines import Range, Source
from pipelines.record import Rejection
from pipelines.unlabelled import Request

MANIFEST = "annotation.json"
SCHEMA_VERSION = "2"
ROWS = 4_096
"""Utterances that a worker parses at a time; batches of similar length are made of these."""
MOST_WORDS = 1_000
"""Words of an utterance: a longer one is no request, and would make its whole batch as long."""

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("corpus", pa.string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("line", pa.int64(), nullable=False),
        pa.field("utterance", pa.string(), nullable=False),
        pa.field("words", pa.list_(pa.string()), nullable=False),
        pa.field("tree", pa.string(), nullable=False),
        pa.field("positions", pa.list_(pa.int32()), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
        pa.field("uncertainty", pa.float32(), nullable=False),
        pa.field("model", pa.string(), nullable=False),
    ],
    metadata={"treewright.annotation": SCHEMA_VERSION},
)
"""`score` is the log-probability of the tree in nats. `exp(-uncertainty)` is how likely the tree is right: as
`python -m parser calibrate` has fitted it to the model, else the probability of the tree."""


class Task(NamedTuple):
    """What every worker must know.

    Attributes:
        build: directory that becomes the output; reports lie in its `work/`.
        model: where the parser is.
        fingerprint: of the model, for the column `model`.
        column: of tables; see `unlabelled`.
        domain: of a model that has several.
    """

    build: str
    model: str
    fingerprint: str
    column: str = unlabelled.COLUMN
    batch_size: int = 128
    threads: int = 1
    domain: str = ""


def annotate(parser: Any, number: int, shards: int, range_: Range, task: Task) -> dict[str, Any]:
    """Write what one range comes to; what was done before is not done again.

    Args:
        number, shards: which shard of how many.
    """
    record = storage.join(task.build, "work", "reports", f"{number:06d}.json")
    name = shard.shard_name("annotated", number, shards)
    target = storage.join(task.build, name)
    if storage.exists(record) and storage.exists(target):
        before: dict[str, Any] = json.loads(storage.read(record))
        if before["size"] == storage.size(target):
            return before
    letters: list[Rejection] = []
    parser.forget()  # which ranges this worker had before must not show in the scores
    with storage.naming(range_.source.path), storage.writing(target) as temporary:
        rows = _usable(parser, range_, task, letters)
        groups = (_parsed(parser, block, range_.source, task) for block in _blocks(rows))
        entry = shard.write_groups(groups, SCHEMA, temporary) | {"file": name}
    refused = []
    if letters:
        lost = shard.shard_name(shard.REJECTED, number, shards)
        with storage.writing(storage.join(task.build, shard.REJECTED, lost)) as temporary:
            table = pa.Table.from_batches([rejection_batch(letters)])
            refused = [shard.write_groups([table], shard.REJECTION_SCHEMA, temporary) | {"file": lost}]
    report = {
        "rows_in": entry["rows"] + len(letters),
        "rows_out": entry["rows"],
        "rows_rejected": len(letters),
        "rejected": Counter(letter.code for letter in letters),
        "read": unlabelled.bytes_of(range_),
        "size": storage.size(target),
        "shards": [entry],
        "letters": refused,
    }
    storage.write(record, json.dumps(report).encode())
    return report


def finish(task: Task, corpus: str, inputs: list[str]) -> dict[str, Any]:
    """Add the reports up, check that nothing is lost, and write the manifest.

    Raises:
        ValueError: there was no utterance.
    """
    totals, rejected = Counter[str](rows_in=0, rows_out=0, rows_rejected=0), Counter[str]()
    shards: list[dict[str, Any]] = []
    letters: list[dict[str, Any]] = []
    for path in storage.below(storage.join(task.build, "work", "reports")):
        report = json.loads(storage.read(path))
        totals.update({name: report[name] for name in totals})
        rejected.update(report["rejected"])
        shards += report["shards"]
        letters += report["letters"]
    names = [entry["file"] for entry in shards]
    if names != [shard.shard_name("annotated", number, len(shards)) for number in range(len(shards))]:
        raise ValueError(f"ranges were lost: {len(shards)} shards, of which the last is {names[-1]}")
    if totals["rows_in"] != totals["rows_out"] + totals["rows_rejected"]:
        raise ValueError(f"utterances were lost: {dict(totals)}")
    if not totals["rows_out"]:
        raise ValueError("nothing was annotated: the input holds no utterance")
    done = {
        "schema": SCHEMA_VERSION,
        "corpus": corpus,
        "inputs": inputs,
        **totals,
        "rejected": dict(sorted(rejected.items())),
        "shards": shards,
        "letters": letters,
        "model": {"path": task.model, "fingerprint": task.fingerprint},
        "versions": publish.versions("apache-beam", "pyarrow", "torch"),
    }
    storage.write(storage.join(task.build, MANIFEST), (json.dumps(done, indent=2, ensure_ascii=False) + "\n").encode())
    return done


def parse(parser: Any, rows: Sequence[Request], source: Source, task: Task) -> pa.Table:
    """The rows of a shard for some utterances."""
    return _parsed(parser, [(row, row.words or parser.words(row.text)) for row in rows], source, task)


def _usable(
    parser: Any, range_: Range, task: Task, letters: list[Rejection]
) -> Iterator[tuple[Request, Sequence[str]]]:
    """The utterances with their words; all else becomes dead letters."""
    source = range_.source
    for row in unlabelled.read(range_, task.column):
        if isinstance(row, Rejection):
            letters.append(row)
            continue
        try:
            words = row.words or parser.words(row.text)
        except ValueError:  # blanks of some kind, and nothing else
            letters.append(source.reject(row.line, "R102", row.text))
            continue
        if len(words) > MOST_WORDS:
            letters.append(source.reject(row.line, "R206", row.text, f"{len(words):,} words, {MOST_WORDS:,} at most"))
        else:
            yield row, words


def _blocks(rows: Iterator[tuple[Request, Sequence[str]]]) -> Iterator[list[tuple[Request, Sequence[str]]]]:
    while block := list(islice(rows, ROWS)):
        yield block


def _parsed(parser: Any, rows: Sequence[tuple[Request, Sequence[str]]], source: Source, task: Task) -> pa.Table:
    parses = parser.parse_many([words for _, words in rows], task.batch_size)
    made = [
        {
            "id": f"{source.corpus}/{source.file}:{row.line}",
            "corpus": source.corpus,
            "file": source.file,
            "line": row.line,
            "utterance": row.text,
            "words": parse.words,
            "tree": str(parse.tree),
            "positions": parse.positions,
            "score": parse.score,
            "uncertainty": _uncertainty(parser, parse),
            "model": task.fingerprint,
        }
        for (row, _), parse in zip(rows, parses, strict=True)
    ]
    return pa.Table.from_pylist(made, schema=SCHEMA)


def _uncertainty(parser: Any, parse: Any) -> float:
    if parser.confidence is None:
        return -float(parse.score)
    return -math.log(max(parser.confidence.of(parse), sys.float_info.min))
