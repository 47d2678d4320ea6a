"""The conversion as a Beam pipeline: wiring only, the steps are plain functions of `spill.py`.

    ranges -> Reshuffle -> spill -> group by bucket -> merge

Elements are byte ranges and paths of files; a row never leaves the function that reads it, so memory does
not grow with the corpus. The runner is always named: Beam's own default looks for a server first.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.options.pipeline_options import PipelineOptions

from grammar import shard
from grammar.ontology import load
from pipelines import publish
from pipelines.formats import FORMATS, Range, expand, plan
from pipelines.formats.files import folder_above
from pipelines.formats.lines import Reading
from pipelines.formats.recognise import recognised
from pipelines.spill import Job, count_slots, merge, merge_slots, name_of, spill
from pipelines.splits import Dealing

_LOG = logging.getLogger(__name__)
BYTES_PER_SHARD = 64 << 20


@dataclass(frozen=True)
class Options:
    """One conversion, as the command line gives it.

    Attributes:
        licence: of the corpus, for its column.
        reading: what only some formats look at.
        ontology: TOML file to hold trees against; empty for the `ontology.toml` in the folder above all inputs, if any.
        shards: of each split; 0 for one per 64 MiB of input.
        range_bytes: size of the pieces that workers take.
        beam: further flags, for Beam.
    """

    inputs: Sequence[str]
    format: str
    output: str
    corpus: str = ""
    licence: str = ""
    reading: Reading = field(default_factory=Reading)
    multi_intent: str = "clauses"
    coordinate: bool = False
    dealing: Dealing = field(default_factory=Dealing)
    ontology: str = ""
    shards: int = 0
    max_rejected: float = 0.01
    overwrite: bool = False
    range_bytes: int = 16 << 20
    runner: str = "FnApiRunner"
    workers: int = 1
    beam: Sequence[str] = field(default_factory=list)


def run(options: Options) -> shard.Manifest:
    """Convert, and publish the data set at once or not at all.

    Raises:
        ValueError: inputs, options or flags that cannot be used, or too many rows refused.
        FileExistsError: the output is there and is not to be overwritten, or is a file.
    """
    output = Path(options.output).resolve()
    publish.clear_up(output)
    publish.make_room(output, options.overwrite)
    if options.format == "auto":
        options = replace(options, format=recognised(options.inputs))
    corpus = options.corpus or output.name
    flags = _flags(options)
    sources = expand(list(options.inputs), options.format, corpus, options.reading)
    ranges = [
        (name_of(range_, number), range_)
        for number, source in enumerate(sources)
        for range_ in plan(source, options.range_bytes)
    ]
    size = sum(os.path.getsize(source.path) for source in sources)

    ontology = options.ontology
    beside = folder_above(options.inputs) / shard.ONTOLOGY
    if not ontology and beside.is_file():
        ontology = str(beside)
        _LOG.info("every tree is held against %s", beside)

    build = output.with_name(f".{output.name}.{os.getpid()}.build")
    job = Job(
        build=str(build),
        shards=options.shards or max(1, -(-size // BYTES_PER_SHARD)),
        dealing=options.dealing,
        multi_intent=options.multi_intent,
        coordinate=options.coordinate,
        ontology=load(ontology).dumps() if ontology else "",
        licence=options.licence,
    )
    build.mkdir(parents=True)
    recorded = {
        "format": options.format,
        "inputs": [source.file for source in sources],
        "multi_intent": job.multi_intent,
        "coordinate": job.coordinate,
        "split_by": job.dealing.by,
        "dev_share": job.dealing.dev_share,
        "test_share": job.dealing.test_share,
        "ontology": Path(ontology).name,
        "licence": job.licence,
        **options.reading.said(),
    }
    try:
        with _Progress(job, len(ranges)), beam.Pipeline(options=PipelineOptions(flags)) as pipeline:
            _ = pipeline | "convert" >> Convert(job, ranges, FORMATS[options.format].several)
        manifest = publish.finish(job, corpus, FORMATS[options.format].tokeniser, recorded, options.max_rejected)
        publish.reveal(build, output)
    finally:
        shutil.rmtree(build, ignore_errors=True)
    return manifest


class Convert(beam.PTransform):
    """Ranges -> shards on disk; yields the rows of each shard."""

    def __init__(self, job: Job, ranges: Sequence[tuple[str, Range]], several: bool) -> None:
        super().__init__()
        self.job, self.ranges, self.several = job, list(ranges), several

    def expand(self, begin: Any) -> beam.PCollection:
        job = self.job
        slots: Any = ""
        ranges = begin | "ranges" >> beam.Create(self.ranges, reshuffle=False)
        if self.several and job.multi_intent == "clauses":
            counted = (
                ranges
                | "count slots" >> beam.Map(lambda item: count_slots(item[1], job))
                | "add counts up" >> beam.CombineGlobally(merge_slots)
            )
            slots = beam.pvalue.AsSingleton(counted)
        return (
            ranges
            | "deal ranges" >> beam.Reshuffle()
            | "spill" >> beam.ParDo(Spill(job), slots)
            | "by bucket" >> beam.GroupByKey()
            | "merge" >> beam.MapTuple(lambda bucket, parts: merge(bucket, list(parts), job)["file"])
        )


class Spill(beam.DoFn):
    """(name, range), slots -> (bucket, (path of a file, numbers of the bucket's batches in it))."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def process(self, element: tuple[str, Range], slots: str) -> Iterator[tuple[str, tuple[str, list[int]]]]:
        spilled = spill(*element, self.job, slots)
        count = Metrics.counter
        count("treewright", "rows_in").inc(spilled.rows_in)
        count("treewright", "rows_out").inc(sum(spilled.splits.values()))
        count("treewright", "rows_rejected").inc(sum(spilled.rejected.values()))
        Metrics.distribution("treewright", "rows_per_range").update(spilled.rows_in)
        for kind, rows in (
            ("split", spilled.splits),
            ("rejected", spilled.rejected),
            ("rejected_split", spilled.rejected_splits),
        ):
            for name, number in rows.items():
                count("treewright", f"{kind}_{name}").inc(number)
        for bucket, path, numbers in spilled.parts:
            yield bucket, (path, numbers)


def _flags(options: Options) -> list[str]:
    """Beam's flags. A flag that nobody knows is an error: Beam itself would only log it."""
    flags = [f"--runner={options.runner}", *options.beam]
    if options.workers > 1:
        flags += ["--direct_running_mode=multi_processing", f"--direct_num_workers={options.workers}"]
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False)
    for group in PipelineOptions.__subclasses__():
        try:
            group._add_argparse_args(parser)  # type: ignore[arg-type]
        except argparse.ArgumentError:
            continue  # two groups share a flag; the first one is enough to know it
    unknown = [flag for flag in parser.parse_known_args(flags)[1] if flag.startswith("-")]
    if unknown:
        raise ValueError(f"neither `convert` nor Beam knows `{unknown[0]}`; see `python -m pipelines convert --help`")
    logging.getLogger("apache_beam").setLevel(logging.WARNING)
    return [*flags, "--default_sdk_harness_log_level=WARNING"]


class _Progress:
    """One line on stderr, rewritten on a terminal: ranges read and shards written so far."""

    def __init__(self, job: Job, total: int) -> None:
        self.job, self.total, self.done = job, total, threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        if sys.stderr.isatty():
            self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.done.set()
        if self.thread.is_alive():
            self.thread.join()
            print(file=sys.stderr)

    def _watch(self) -> None:
        while not self.done.wait(0.5):
            read, written = (len(list(Path(self.job.work(name)).glob("*.json"))) for name in ("reports", "entries"))
            print(f"\rread {read:,} of {self.total:,} ranges, wrote {written:,} shards", end="", file=sys.stderr)
