"""A trained parser over a corpus without trees, as a Beam run. The one file of this package that loads `parser`.

    files -> plan -> Reshuffle -> annotate a range (annotation.py)

Elements are ranges of bytes or row groups. A worker loads the model once and parses in batches of similar length. A
range that an earlier run finished is not done again; everything is published at once.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.utils.shared import Shared

import grammar
from grammar import shard
from pipelines import annotation, dry, lock, publish, runner, storage, unlabelled
from pipelines.annotation import MANIFEST, Task
from pipelines.formats.lines import Range, Source, range_size
from pipelines.progress import Progress
from pipelines.record import Rejection

_CONFIDENCE, _ENSEMBLE = "confidence.json", "ensemble.json"
"""What `python -m parser calibrate` adds to a model, and what its `ensemble` puts beside several."""
_FILE = re.compile(r"(\d+/)?[^/]+")
"""What a model is made of; other folders in it are for training to go on."""
_SAMPLE = 256
"""Utterances of each of up to three files that a dry run parses."""


@dataclass(frozen=True)
class Options:
    """One run, as the command line gives it.

    Attributes:
        model: a directory that `python -m parser train` or `ensemble` wrote, on any filesystem.
        domain: of a model that has several.
        column: of tables: a name, or of a TSV file without a head a number from 1.
        batch_size: utterances that go through the network together.
        threads: of each worker; several workers on one machine want one each.
        range_bytes: size of the pieces that workers take, a shard each; 0 for 1 MiB, about half a minute's work, or
            more where that makes over 4,096 of them.
        max_rejected: share of utterances that may be refused.
    """

    model: str
    inputs: Sequence[str]
    output: str
    corpus: str = ""
    domain: str = ""
    column: str = unlabelled.COLUMN
    batch_size: int = 128
    threads: int = 1
    range_bytes: int = 0
    max_rejected: float = 0.01
    overwrite: bool = False
    runner: str = runner.LOCAL
    workers: int = 1
    beam: Sequence[str] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """A run before anything is written.

    Attributes:
        sizes: bytes of each source as it is stored.
    """

    output: str
    corpus: str
    sources: list[Source]
    sizes: list[int]
    range_bytes: int
    task: Task


def prepare(options: Options) -> Plan:
    """Find inputs and model.

    Raises:
        ValueError: one of them cannot be used.
    """
    output = publish.absolute(options.output)
    corpus = options.corpus or output.rpartition("/")[2]
    if options.column.isdecimal() and not int(options.column):
        raise ValueError("`--column 0`: columns are counted from 1")
    sources = unlabelled.find(options.inputs, options.column, corpus)
    stamps = [storage.stamp(source.path) for source in sources]
    model = fingerprint(options.model)
    sizes = [size for size, _ in stamps]
    range_bytes = range_size(options.range_bytes, sum(sizes), 1 << 20)
    said = [grammar.__version__, annotation.SCHEMA_VERSION, corpus, sources, stamps, range_bytes, options.column]
    said += [model, options.domain, options.batch_size, options.threads]  # the last two show in the last bit of scores
    build = publish.build_of(output, hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16])
    task = Task(build, options.model, model, options.column, options.batch_size, options.threads, options.domain)
    return Plan(output, corpus, sources, sizes, range_bytes, task)


def run(options: Options) -> dict[str, Any]:
    """Annotate, and publish all of it at once or nothing; returns what `annotation.json` holds.

    Raises:
        ValueError: inputs, flags or a model that cannot be used, or too many utterances refused.
        FileExistsError: the output is there and is not to be overwritten, or another run writes to it.
    """
    flags = runner.flags(options.runner, options.workers, options.beam)
    output = publish.absolute(options.output)
    with lock.hold(output):
        publish.clear_up(output)
        publish.make_room(output, options.overwrite, MANIFEST)
        plan = prepare(options)
        task = plan.task
        publish.forget(output, task.build)
        finished = storage.join(task.build, MANIFEST)
        if not storage.exists(finished):
            with Progress(task.build, sum(plan.sizes), shards=False), runner.pipeline(flags) as pipeline:
                _ = pipeline | "annotate" >> AnnotateAll(task, plan.sources, plan.range_bytes)
            annotation.finish(task, plan.corpus, [source.file for source in plan.sources])
        done: dict[str, Any] = json.loads(storage.read(finished))
        share = done["rows_rejected"] / done["rows_in"]
        if share > options.max_rejected:
            codes = ", ".join(f"{code} {rows:,}" for code, rows in done["rejected"].items())
            raise ValueError(
                f"{done['rows_rejected']:,} of {done['rows_in']:,} utterances ({share:.2%}) were rejected ({codes}), "
                f"more than `--max-rejected {options.max_rejected:g}` allows; nothing was published. The same command "
                "with a larger share publishes it, and parses nothing again"
            )
        publish.put(task.build, output, MANIFEST)
    return done


class AnnotateAll(beam.PTransform):
    """Sources -> shards on disk; yields the number of each."""

    def __init__(self, task: Task, sources: Sequence[Source], range_bytes: int) -> None:
        super().__init__()
        self.task, self.sources, self.range_bytes = task, list(enumerate(sources)), range_bytes

    def expand(self, begin: Any) -> beam.PCollection:
        size = self.range_bytes
        ranges = (
            begin
            | "sources" >> beam.Create(self.sources)
            | "plan"
            >> beam.FlatMapTuple(lambda number, source: [(number, one) for one in unlabelled.plan(source, size)])
        )
        # A shard is called after how many there are, and ranges of earlier files come first.
        each = ranges | "source of a range" >> beam.Keys() | "ranges of each" >> beam.combiners.Count.PerElement()
        return (
            ranges
            | "deal ranges" >> beam.Reshuffle()
            | "annotate" >> beam.ParDo(Annotate(self.task), beam.pvalue.AsDict(each))
        )


class Annotate(beam.DoFn):
    """(number of the source, range), ranges of each source -> the number of the shard, when it is written."""

    def __init__(self, task: Task) -> None:
        self.task, self.shared = task, Shared()

    def setup(self) -> None:
        """Load the model, once for all threads of the worker."""
        self.parser = self.shared.acquire(lambda: _load(self.task), self.task.fingerprint)

    def process(self, element: tuple[int, Range], each: Mapping[int, int]) -> Iterator[int]:
        source, range_ = element
        number = sum(ranges for other, ranges in each.items() if other < source) + range_.number
        report = annotation.annotate(self.parser, number, sum(each.values()), range_, self.task)
        for name in ("rows_in", "rows_out", "rows_rejected"):
            Metrics.counter("treewright", name).inc(report[name])
        for code, rows in report["rejected"].items():
            Metrics.counter("treewright", f"rejected_{code}").inc(rows)
        Metrics.distribution("treewright", "rows_per_range").update(report["rows_in"])
        Metrics.distribution("treewright", "bytes_per_range").update(report["read"])
        Metrics.distribution("treewright", "rows_per_shard").update(report["rows_out"])
        Metrics.distribution("treewright", "bytes_per_shard").update(report["size"])
        yield number


def fingerprint(model: str) -> str:
    """One hash of weights, names, settings and calibration, of an ensemble those of its models.

    Raises:
        ValueError: it is no finished model.
    """
    total = hashlib.sha256()
    names = ["config.json", "vocab.json", shard.ONTOLOGY, "model.safetensors"]
    try:
        if storage.exists(storage.join(model, _ENSEMBLE)):
            with storage.reading(storage.join(model, _ENSEMBLE)) as file:
                models = json.loads(file.read())["models"]
            names = [f"{number + 1}/{name}" for number in range(models) for name in names]
            if not names:
                raise ValueError("the ensemble is empty")
        if storage.exists(storage.join(model, _CONFIDENCE)):
            names.append(_CONFIDENCE)
        for name in names:
            with storage.reading(storage.join(model, name)) as file:
                one = hashlib.sha256()
                while data := file.read(1 << 20):
                    one.update(data)
            total.update(one.digest())
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{model} is no finished model: {error}; make one with `python -m parser train`") from error
    return total.hexdigest()


def describe(plan: Plan) -> dict[str, Any]:
    """The plan, and what it will take, from a sample that is parsed here; see `dry.plan_of`.

    Besides, the plan tells the fingerprint of the `model`, the estimate `shards_bytes`.
    """
    parser = _load(plan.task)
    ranges = [len(unlabelled.plan(source, plan.range_bytes)) for source in plan.sources]
    sample = dry.Sample(plan.sizes)
    rows = written = 0
    for source, size in [(plan.sources[number], plan.sizes[number]) for number in sample.files]:
        found, share = unlabelled.sample(source, plan.task.column, _SAMPLE)
        rows += len(found)
        sample.read += share * size
        good = [row for row in found if not isinstance(row, Rejection) and row.text.split()]
        table = annotation.parse(parser, good, source, plan.task)
        with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
            shard.write_groups([table], annotation.SCHEMA, file.name)
            written += storage.size(file.name)
    estimate = sample.estimate(rows, shards_bytes=written)
    fingerprint = plan.task.fingerprint
    return dry.plan_of(plan.output, plan.task.build, plan.sources, plan.sizes, ranges, estimate, model=fingerprint)


def _load(task: Task) -> Any:
    # Torch is loaded by workers alone; the process that submits a job does not need it.
    import torch

    import parser

    torch.set_num_threads(task.threads)
    if not storage.is_remote(task.model):
        return parser.load(task.model, domain=task.domain or None)
    with tempfile.TemporaryDirectory(prefix="treewright-model-") as folder:
        for path in storage.below(task.model):
            name = path.removeprefix(task.model.rstrip("/") + "/")
            if _FILE.fullmatch(name):
                target = Path(folder) / name
                target.parent.mkdir(parents=True, exist_ok=True)
                storage.fetch(path, str(target))
        return parser.load(folder, domain=task.domain or None)
