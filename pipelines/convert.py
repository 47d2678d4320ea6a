"""The conversion as a Beam pipeline: wiring only, the steps are plain functions of `spill.py`.

    sources -> plan -> Reshuffle -> spill -> group by bucket -> merge

Elements are byte ranges and paths of files; a row never leaves the function that reads it, so memory does
not grow with the corpus. The runner is always named: Beam's own default looks for a server first.

A job that died is started again by the same command: inputs and options give the build directory its name, and the
ranges and shards that stand there are not made again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.metrics import Metrics

import grammar
from grammar import shard
from grammar.ontology import loads
from pipelines import dry, lock, publish, runner, storage
from pipelines.formats import FORMATS, Range, Source, expand, plan
from pipelines.formats.files import folder_above
from pipelines.formats.lines import Reading, range_size, span
from pipelines.formats.recognise import recognised
from pipelines.progress import Progress
from pipelines.relabel import loads as names_of
from pipelines.spill import Job, batches, count_slots, joins_intents, merge, merge_slots, name_of, spill
from pipelines.splits import Dealing

_LOG = logging.getLogger(__name__)
BYTES_PER_SHARD = 32 << 20
_SAMPLE = 1 << 20
"""Bytes of each of up to three files that a dry run converts."""


@dataclass(frozen=True)
class Options:
    """One conversion, as the command line gives it.

    Attributes:
        map: TOML file of new names for intents and slots; empty for none.
        licence: of the corpus, for its column.
        dealing: None for the corpus's own splits, with the share of dev that is customary for the format.
        reading: what only some formats look at.
        ontology: TOML file to hold trees against; empty for the `ontology.toml` in the folder above all inputs, if any.
        shards: of each split; 0 for one per 32 MiB of input.
        range_bytes: size of the pieces that workers take; 0 for 16 MiB, or more where that makes over 4,096 of them.
        beam: further flags, for Beam.
    """

    inputs: Sequence[str]
    format: str
    output: str
    corpus: str = ""
    licence: str = ""
    map: str = ""
    reading: Reading = field(default_factory=Reading)
    multi_intent: str = "clauses"
    coordinate: bool = False
    dealing: Dealing | None = None
    ontology: str = ""
    shards: int = 0
    max_rejected: float = 0.01
    overwrite: bool = False
    range_bytes: int = 0
    runner: str = runner.LOCAL
    workers: int = 1
    beam: Sequence[str] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """A conversion before anything is written.

    Attributes:
        output: where the data set goes.
        sizes: bytes of each source as it is stored, parallel files included.
        recorded: the options as the manifest tells them.
    """

    output: str
    corpus: str
    format: str
    sources: list[Source]
    sizes: list[int]
    range_bytes: int
    job: Job
    recorded: dict[str, Any]


def prepare(options: Options) -> Plan:
    """Find the inputs and settle what the options leave open.

    Raises:
        ValueError: inputs or options that cannot be used.
    """
    output = publish.absolute(options.output)
    if options.format == "auto":
        options = replace(options, format=recognised(options.inputs))
    corpus = options.corpus or output.rstrip("/").rpartition("/")[2]
    sources = expand(list(options.inputs), options.format, corpus, options.reading)
    stamps = [[storage.stamp(path) for path in (source.path, *source.companions)] for source in sources]
    sizes = [sum(size for size, _ in stamp) for stamp in stamps]
    ontology = options.ontology
    beside = storage.join(folder_above(options.inputs), shard.ONTOLOGY)
    if not ontology and storage.exists(beside):
        ontology = beside
        _LOG.info("every tree is held against %s", beside)
    job = Job(
        build="",
        shards=options.shards or max(1, -(-sum(sizes) // BYTES_PER_SHARD)),
        dealing=options.dealing or Dealing(dev_share=FORMATS[options.format].dev_share),
        multi_intent=options.multi_intent,
        coordinate=options.coordinate,
        ontology=loads(storage.text(ontology, "--ontology"), ontology).dumps() if ontology else "",
        licence=options.licence,
        map=storage.text(options.map, "--map") if options.map else "",
    )
    names = names_of(job.map, options.map)
    recorded = {
        "format": options.format,
        "inputs": [source.file for source in sources],
        "multi_intent": job.multi_intent,
        "coordinate": job.coordinate,
        "split_by": job.dealing.by,
        "dev_share": job.dealing.dev_share,
        "test_share": job.dealing.test_share,
        **({"dev_domains": job.dealing.dev_domains} if job.dealing.dev_domains else {}),
        **({"test_domains": job.dealing.test_domains} if job.dealing.test_domains else {}),
        "ontology": ontology.rpartition("/")[2],
        "licence": job.licence,
        **options.reading.said(),
        **({"map": {"intents": names.intents, "slots": names.slots}} if options.map else {}),
        **({"notation": options.reading.notation} if FORMATS[options.format].forms else {}),
    }
    range_bytes = range_size(options.range_bytes, sum(sizes))
    said = [grammar.__version__, shard.SCHEMA_VERSION, corpus, sources, stamps, range_bytes, job, recorded]
    fingerprint = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]
    build = publish.build_of(output, fingerprint)
    return Plan(output, corpus, options.format, sources, sizes, range_bytes, job._replace(build=build), recorded)


def run(options: Options) -> shard.Manifest:
    """Convert, and publish the data set at once or not at all.

    Raises:
        ValueError: inputs, options or flags that cannot be used.
        TooManyRejected: the message says why, and where the dead letters are.
        FileExistsError: the output is there and is not to be overwritten, is a file, or another run writes to it.
    """
    flags = runner.flags(options.runner, options.workers, options.beam)
    output = publish.absolute(options.output)
    with lock.hold(output):
        publish.clear_up(output)
        publish.make_room(output, options.overwrite)
        plan_ = prepare(options)
        job = plan_.job
        publish.forget(output, job.build)
        try:
            if not publish.is_finished(job):
                with Progress(job.build, sum(plan_.sizes)), runner.pipeline(flags) as pipeline:
                    _ = pipeline | "convert" >> Convert(job, plan_.sources, plan_.format, plan_.range_bytes)
                tokeniser = FORMATS[plan_.format].tokeniser
                publish.finish(job, plan_.corpus, tokeniser, plan_.recorded, options.max_rejected)
            return publish.publish(job, output, options.max_rejected)
        except publish.TooManyRejected:  # its message says where the dead letters are
            raise
        except ValueError:  # the same inputs would come to the same end, so nothing is kept of them
            storage.remove(job.build)
            raise


class Convert(beam.PTransform):
    """Sources -> shards on disk; yields the name of each shard.

    Args:
        range_bytes: size of the pieces that workers take.
    """

    def __init__(self, job: Job, sources: Sequence[Source], format_: str, range_bytes: int) -> None:
        super().__init__()
        self.job, self.sources, self.range_bytes = job, list(enumerate(sources)), range_bytes
        self.several = FORMATS[format_].several

    def expand(self, begin: Any) -> beam.PCollection:
        job, size = self.job, self.range_bytes
        slots: Any = ()
        # Ranges have names, so grouping by these deals them to workers, at an eighth of the steps of a Reshuffle.
        ranges = (
            begin
            | "sources" >> beam.Create(self.sources, reshuffle=False)
            | "plan" >> beam.FlatMapTuple(lambda number, source: ranges_of(number, source, size))
            | "deal ranges" >> beam.GroupByKey()
        )
        if self.several and job.multi_intent == "clauses":
            joined = ranges | "look for #" >> beam.MapTuple(lambda _, found: any(map(joins_intents, found)))
            counted = (
                ranges
                | "count slots" >> beam.FlatMap(_count, job, beam.pvalue.AsIter(joined))
                | "counts together" >> beam.GroupByKey()
                | "add counts up" >> beam.MapTuple(lambda _, texts: merge_slots(texts))
            )
            slots = beam.pvalue.AsList(counted)
        return (
            ranges
            | "spill" >> beam.ParDo(Spill(job), slots)
            | "by bucket" >> beam.GroupByKey()
            | "merge" >> beam.ParDo(Merge(job))
        )


def _count(item: tuple[str, Iterable[Range]], job: Job, joined: Iterable[bool]) -> Iterator[tuple[str, str]]:
    """The counts of a range, if any range has rows that need them: else no row is read twice."""
    if any(joined):
        yield from (("", count_slots(range_, job)) for range_ in item[1])


def ranges_of(number: int, source: Source, size: int) -> Iterator[tuple[str, Range]]:
    """The ranges of a source, with the names of their files."""
    for range_ in plan(source, size):
        yield name_of(range_, number), range_


class Spill(beam.DoFn):
    """(name, range), slots -> (bucket, (path of a file, numbers of the bucket's batches in it))."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def process(
        self, element: tuple[str, Iterable[Range]], slots: Sequence[str]
    ) -> Iterator[tuple[str, tuple[str, list[int]]]]:
        name, [range_] = element
        spilled = spill(name, range_, self.job, "".join(slots))
        count = Metrics.counter
        count("treewright", "rows_in").inc(spilled.rows_in)
        count("treewright", "rows_out").inc(sum(spilled.splits.values()))
        count("treewright", "rows_rejected").inc(sum(spilled.rejected.values()))
        Metrics.distribution("treewright", "rows_per_range").update(spilled.rows_in)
        Metrics.distribution("treewright", "bytes_per_range").update(spilled.read)
        for kind, rows in (
            ("split", spilled.splits),
            ("rejected", spilled.rejected),
            ("rejected_split", spilled.rejected_splits),
        ):
            for name, number in rows.items():
                count("treewright", f"{kind}_{name}").inc(number)
        for bucket, path, numbers in spilled.parts:
            yield bucket, (path, numbers)


class Merge(beam.DoFn):
    """(bucket, its parts) -> name of the shard."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def process(self, element: tuple[str, Any]) -> Iterator[str]:
        bucket, parts = element
        entry = merge(bucket, list(parts), self.job)
        Metrics.distribution("treewright", "rows_per_shard").update(entry["rows"])
        Metrics.distribution("treewright", "bytes_per_shard").update(entry["size"])
        yield entry["file"]


def describe(plan_: Plan) -> dict[str, Any]:
    """The plan, and what it will take, from a sample that is converted here; see `dry.plan_of`.

    Besides, the plan tells `format`, `corpus`, `range_bytes` and `shards_per_split`, the estimate `shards_bytes` and
    `work_bytes`: of the temporary files, which lie beside the output until it is published.

    Raises:
        OSError: an input cannot be read.
    """
    ranges = [sum(1 for _ in plan(source, plan_.range_bytes)) for source in plan_.sources]
    sample = dry.Sample(plan_.sizes)
    rows = held = written = 0
    for number in sample.files:
        # The beginning of a packed file can be read alone, though it is one range.
        found = FORMATS[plan_.format].plan(plan_.sources[number], _SAMPLE)
        if not found:
            continue
        small = found[0]
        sample.read += plan_.sizes[number] * span(small) / (sum(map(span, found)) or 1)
        for examples, rejections, _ in batches(small, plan_.job):
            rows += examples.num_rows + len(rejections)
            held += examples.nbytes
            with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
                shard.write_groups([pa.Table.from_batches([examples])], shard.SCHEMA, file.name)
                written += storage.size(file.name)
    return dry.plan_of(
        plan_.output,
        plan_.job.build,
        plan_.sources,
        plan_.sizes,
        ranges,
        sample.estimate(rows, shards_bytes=written, work_bytes=held),
        format=plan_.format,
        corpus=plan_.corpus,
        range_bytes=plan_.range_bytes,
        shards_per_split=plan_.job.shards,
    )
