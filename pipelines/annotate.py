"""A trained parser over a corpus of plain text, as a Beam run. The one file of this package that loads `parser`.

    requests.txt   one utterance a line
    -> annotated-00000-of-00003.parquet   id, file, line, utterance, words, tree, positions, score, uncertainty, model
       rejected/rejected-*.parquet        lines that are empty or no UTF-8
       annotation.json                    counts, model, SHA-256 of every shard; written last

Elements are byte ranges, and each becomes one shard: the order of the text is kept, and a range that an earlier run
finished is not done again. A worker loads the model once and parses in batches of similar length.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.metrics import Metrics
from apache_beam.utils.shared import Shared

from grammar import shard
from pipelines import lock, publish, runner, storage
from pipelines.block import rejection_batch
from pipelines.formats import files
from pipelines.formats.lines import Range, Source, decode, numbered, plan_lines, plan_whole, shown
from pipelines.record import Rejection

MANIFEST = "annotation.json"
SCHEMA_VERSION = "1"
ROWS = 4_096
"""Utterances that a worker parses at a time; batches of similar length are made of these."""

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
"""`score` is the log-probability of the tree in nats; `uncertainty` is minus that for each action, 0 for certainty."""


@dataclass(frozen=True)
class Options:
    """One run, as the command line gives it.

    Attributes:
        model: a directory that `python -m parser train` wrote.
        batch_size: utterances that go through the network together.
        threads: of each worker; several workers on one machine want one each.
    """

    model: str
    inputs: Sequence[str]
    output: str
    corpus: str = ""
    batch_size: int = 128
    threads: int = 1
    range_bytes: int = 4 << 20
    overwrite: bool = False
    runner: str = runner.LOCAL
    workers: int = 1
    beam: Sequence[str] = field(default_factory=list)


class Task(NamedTuple):
    """What every worker must know."""

    build: str
    model: str
    fingerprint: str
    batch_size: int
    threads: int
    shards: int


def run(options: Options) -> dict[str, Any]:
    """Annotate, and publish all of it at once or nothing; returns what `annotation.json` holds.

    Raises:
        ValueError: inputs, flags or a model that cannot be used.
        FileExistsError: the output is there and is not to be overwritten, or another run writes to it.
    """
    flags = runner.flags(options.runner, options.workers, options.beam)
    output = publish.absolute(options.output)
    corpus = options.corpus or output.rpartition("/")[2]
    sources = [source._replace(corpus=corpus) for source in files.find(options.inputs, ("*.txt",))]
    model = fingerprint(options.model)
    with lock.hold(output):
        _make_room(output, options.overwrite)
        ranges = [range_ for source in sources for range_ in plan(source, options.range_bytes)]
        stamps = [storage.stamp(source.path) for source in sources]
        said = json.dumps([SCHEMA_VERSION, corpus, sources, stamps, options.range_bytes, model])
        build = publish.build_of(output, hashlib.sha256(said.encode()).hexdigest()[:16])
        publish.forget(output, build)
        task = Task(build, options.model, model, options.batch_size, options.threads, len(ranges))
        with runner.pipeline(flags) as pipeline:
            _ = (
                pipeline
                | "ranges" >> beam.Create(list(enumerate(ranges)))
                | "deal ranges" >> beam.Reshuffle()
                | "annotate" >> beam.ParDo(Annotate(task))
            )
        done = finish(task, corpus, [source.file for source in sources])
        storage.remove(storage.join(build, "work"))
        publish.reveal(Path(build), Path(output))
    return done


def plan(source: Source, size: int) -> list[Range]:
    """The ranges of one file; a packed one is a single range."""
    return plan_whole(source, size) if storage.is_packed(source.path) else plan_lines(source, size)


def fingerprint(model: str) -> str:
    """One hash of weights, names and settings.

    Raises:
        ValueError: it is no finished model.
    """
    total = hashlib.sha256()
    try:
        for name in ("config.json", "vocab.json", shard.ONTOLOGY, "model.safetensors"):
            total.update(bytes.fromhex(shard.sha256(Path(model) / name)))
    except OSError as error:
        raise ValueError(f"{model} is no finished model: {error}; make one with `python -m parser train`") from error
    return total.hexdigest()


class Annotate(beam.DoFn):
    """(number, range) -> the number, when its shard and its report are written."""

    def __init__(self, task: Task) -> None:
        self.task, self.shared = task, Shared()

    def setup(self) -> None:
        """Load the model, once for all threads of the worker."""
        self.parser = self.shared.acquire(lambda: _load(self.task), self.task.fingerprint)

    def process(self, element: tuple[int, Range]) -> Iterator[int]:
        number, range_ = element
        report = annotate(self.parser, number, range_, self.task)
        for name in ("rows_in", "rows_out", "rows_rejected"):
            Metrics.counter("treewright", name).inc(report[name])
        yield number


def annotate(parser: Any, number: int, range_: Range, task: Task) -> dict[str, Any]:
    """Write the shard of one range, its dead letters and its report; what was done before is not done again."""
    record = storage.join(task.build, "work", f"{number:06d}.json")
    name = shard.shard_name("annotated", number, task.shards)
    target = storage.join(task.build, name)
    if storage.exists(record) and storage.exists(target):
        before: dict[str, Any] = json.loads(storage.read(record))
        return before
    letters: list[Rejection] = []
    with storage.writing(target) as temporary:
        groups = (_parsed(parser, rows, range_.source, task) for rows in _blocks(_read(range_, letters)))
        entry = shard.write_groups(groups, SCHEMA, temporary) | {"file": name}
    refused = []
    if letters:
        lost = shard.shard_name(shard.REJECTED, number, task.shards)
        with storage.writing(storage.join(task.build, shard.REJECTED, lost)) as temporary:
            table = pa.Table.from_batches([rejection_batch(letters)])
            refused = [shard.write_groups([table], shard.REJECTION_SCHEMA, temporary) | {"file": lost}]
    report = {
        "rows_in": entry["rows"] + len(letters),
        "rows_out": entry["rows"],
        "rows_rejected": len(letters),
        "rejected": Counter(letter.code for letter in letters),
        "shards": [entry],
        "letters": refused,
    }
    storage.write(record, json.dumps(report).encode())
    return report


def finish(task: Task, corpus: str, inputs: list[str]) -> dict[str, Any]:
    """Add the reports up, check that no line is lost, and write the manifest.

    Raises:
        ValueError: no line was annotated.
    """
    paths = [storage.join(task.build, "work", f"{number:06d}.json") for number in range(task.shards)]
    reports = [json.loads(storage.read(path)) for path in paths]
    totals = {name: sum(report[name] for report in reports) for name in ("rows_in", "rows_out", "rows_rejected")}
    if totals["rows_in"] != totals["rows_out"] + totals["rows_rejected"]:
        raise ValueError(f"lines were lost: {totals}")
    if not totals["rows_out"]:
        raise ValueError("no line was annotated: the input is empty")
    rejected = Counter[str]()
    for report in reports:
        rejected.update(report["rejected"])
    done = {
        "schema": SCHEMA_VERSION,
        "corpus": corpus,
        "inputs": inputs,
        **totals,
        "rejected": dict(sorted(rejected.items())),
        "shards": [entry for report in reports for entry in report["shards"]],
        "letters": [entry for report in reports for entry in report["letters"]],
        "model": {"path": task.model, "fingerprint": task.fingerprint},
        "versions": publish.versions("apache-beam", "pyarrow", "torch"),
    }
    storage.write(storage.join(task.build, MANIFEST), (json.dumps(done, indent=2, ensure_ascii=False) + "\n").encode())
    return done


def _read(range_: Range, letters: list[Rejection]) -> Iterator[tuple[int, str]]:
    """(line, utterance) of each line that holds one; the others become dead letters."""
    for line, data in numbered(range_):
        text = decode(data)
        if text is None:
            letters.append(range_.source.reject(line, "R101", shown(data)))
        elif not text.strip():
            letters.append(range_.source.reject(line, "R102", text))
        else:
            yield line, text


def _blocks(rows: Iterator[tuple[int, str]]) -> Iterator[list[tuple[int, str]]]:
    while block := list(islice(rows, ROWS)):
        yield block


def _parsed(parser: Any, rows: Sequence[tuple[int, str]], source: Source, task: Task) -> pa.Table:
    parses = parser.parse_many([text for _, text in rows], task.batch_size)
    made = [
        {
            "id": f"{source.corpus}/{source.file}:{line}",
            "corpus": source.corpus,
            "file": source.file,
            "line": line,
            "utterance": text,
            "words": parse.words,
            "tree": str(parse.tree),
            "positions": parse.positions,
            "score": parse.score,
            "uncertainty": -parse.score / (len(parse.positions) + 2 * sum(1 for _ in parse.tree.walk())),
            "model": task.fingerprint,
        }
        for (line, text), parse in zip(rows, parses, strict=True)
    ]
    return pa.Table.from_pylist(made, schema=SCHEMA)


def _load(task: Task) -> Any:
    # Torch is loaded by workers alone; the process that submits a job does not need it.
    import torch

    import parser

    torch.set_num_threads(task.threads)
    return parser.load(task.model)


def _make_room(output: str, overwrite: bool) -> None:
    if storage.is_remote(output):
        raise ValueError(f"{output}: the output of `annotate` is a directory on this machine or a mounted one")
    path = Path(output)
    if path.exists() and not path.is_dir():
        raise FileExistsError(f"{output} is a file; `--output` takes a directory")
    if path.exists() and any(path.iterdir()):
        if not overwrite:
            raise FileExistsError(f"{output} exists; give `--overwrite` to replace it, or another `--output`")
        if not (path / MANIFEST).exists():
            raise FileExistsError(f"{output} holds no annotations, so it is not overwritten; give another `--output`")
