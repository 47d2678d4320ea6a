"""The checker of `grammar` as a Beam run, over trees that are too many for one machine.

    files -> plan -> Reshuffle -> check a range

    OUTPUT/findings/000003-000017.jsonl   one finding a line, as `python -m grammar check --output-format json-lines`;
                                          one file for each range that has any, in the order of files and lines
    OUTPUT/counts.json                    written last: rows, rows with findings and their rate, findings by code, of
                                          all, of each file, annotator and batch

Every row is held against the grammar, the ontology and its utterance, and findings that are ignored beside its tree are
left out. What concerns rows together (duplicates, leaks) is found by `convert` and `python -m grammar check`, which see
all rows of a file. As with a conversion, a range that an earlier run finished is not done again, and everything is
published at once.

The checker reads files. A range becomes one: a head of lines that say what it must know of those before it
(`heads.py`), then its own.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.metrics import Metrics

import grammar
from grammar.files import form_of
from grammar.finding import to_json
from grammar.ontology import loads
from grammar.outputs.objects import dumps
from grammar.rules import RULES
from grammar.run import Run
from grammar.sieve import Sieve
from grammar.statistics import Statistics
from grammar.words import TOKENISERS
from pipelines import dry, lock, publish, runner, storage
from pipelines.formats import files
from pipelines.formats.lines import Range, Source, cuts, pieces, plan_lines, plan_whole, range_size, stored
from pipelines.heads import heads
from pipelines.progress import Progress
from pipelines.spill import name_of

_LOG = logging.getLogger(__name__)
PATTERNS = ("*.trees", "*.tree", "*.tsv", "*.jsonl", "*.parquet")
COUNTS = "counts.json"
_SAMPLE = 1 << 20
"""Bytes of each of up to three files that a dry run checks."""


class Checking(NamedTuple):
    """What every worker must know.

    Attributes:
        build: directory that becomes the output; reports lie in its `work/`.
        ontology: TOML text, or empty.
        tokeniser: name in `grammar.words` of how utterances that are text are cut.
    """

    build: str
    ontology: str = ""
    tokeniser: str = "words-1"


class Plan(NamedTuple):
    """A check before anything is written.

    Attributes:
        sizes: bytes of each source as it is stored.
    """

    output: str
    sources: list[Source]
    sizes: list[int]
    range_bytes: int
    job: Checking


class TooManyFindings(ValueError):
    """More rows have findings than the run allows; nothing was published."""


def prepare(
    inputs: Sequence[str], output: str, ontology: str = "", range_bytes: int = 0, tokeniser: str = "words-1"
) -> Plan:
    """Find the inputs and the ontology.

    Args:
        ontology: TOML file; empty for the `ontology.toml` in the folder above all inputs, if any.
        range_bytes: size of the pieces that workers take; 0 for 16 MiB, or more where that makes over 4,096 of them.
        tokeniser: how utterances that are text are cut.

    Raises:
        ValueError: one of them cannot be used.
    """
    if tokeniser not in TOKENISERS:
        raise ValueError(f"unknown tokeniser `{tokeniser}`; the choices are {', '.join(TOKENISERS)}")
    output = publish.absolute(output)
    sources = files.find(inputs, PATTERNS)
    stamps = [storage.stamp(source.path) for source in sources]
    beside = storage.join(files.folder_above(inputs), "ontology.toml")
    path = ontology or (beside if storage.exists(beside) else "")
    text = storage.text(path, "--ontology") if path else ""
    loads(text, path)  # a mistake in it is said here, not by a worker
    sizes = [size for size, _ in stamps]
    size = range_size(range_bytes, sum(sizes))
    said = json.dumps([grammar.__version__, sources, stamps, size, text, tokeniser])
    build = publish.build_of(output, hashlib.sha256(said.encode()).hexdigest()[:16])
    return Plan(output, sources, sizes, size, Checking(build, text, tokeniser))


def check(
    inputs: Sequence[str],
    output: str,
    ontology: str = "",
    range_bytes: int = 0,
    overwrite: bool = False,
    flags: Sequence[str] = (),
    max_rejected: float = 1.0,
    tokeniser: str = "words-1",
) -> dict[str, Any]:
    """Check files of trees.

    Args:
        ontology, range_bytes, tokeniser: as `prepare` takes them.
        flags: from `runner.flags`.
        max_rejected: share of rows that may have findings; if more have, nothing is published.

    Returns:
        What `counts.json` holds: {"rows", "rows_with_findings", "rate", "bytes", "findings", "ignored", "codes", "by",
        "files"}; `by` and `files` say rows, rows with findings, rate and findings of each annotator, batch and file;
        `ignored` are the findings that were left out.

    Raises:
        ValueError: inputs that cannot be used.
        TooManyFindings: the message lists the commonest.
        FileExistsError: something else is at the output, or another run writes there.
    """
    output = publish.absolute(output)
    with lock.hold(output):
        publish.clear_up(output)
        publish.make_room(output, overwrite, COUNTS)
        plan = prepare(inputs, output, ontology, range_bytes, tokeniser)
        job, finished = plan.job, storage.join(plan.job.build, COUNTS)
        publish.forget(output, job.build)
        if not storage.exists(finished):
            with (
                Progress(job.build, sum(plan.sizes), shards=False),
                runner.pipeline(flags or runner.flags()) as pipeline,
            ):
                _ = pipeline | "check all" >> CheckAll(job, plan.sources, plan.range_bytes)
            storage.write(finished, (json.dumps(totals(job), indent=2, ensure_ascii=False) + "\n").encode())
        counts: dict[str, Any] = json.loads(storage.read(finished))
        if counts["rate"] > max_rejected:
            raise TooManyFindings(_explain(counts, max_rejected))
        publish.put(job.build, output, COUNTS)
    return counts


def ranges_of(number: int, source: Source, size: int) -> Iterator[tuple[str, Range, bytes]]:
    """(name, range, head) of a file; names sort as files and lines do. Only lines can be cut apart."""
    if _is_lines(source):
        ranges = plan_lines(source, size)
        before = heads(ranges, form_of(source.path) or "")
    else:
        ranges = plan_whole(source, size)
        before = iter([b""])
    for range_, head in zip(ranges, before, strict=True):
        yield name_of(range_, number), range_, head


def check_range(name: str, range_: Range, head: bytes, job: Checking) -> dict[str, Any]:
    """Check a range, and write its findings and its report; what was done before is not done again.

    Args:
        head: the lines that stand for those before it; see `heads.py`.

    Returns:
        {"file", "rows_in", "read" (bytes), "rows_with_findings", "ignored", "codes", "by"}
    """
    record = storage.join(job.build, "work", "reports", f"{name}.json")
    told = storage.join(job.build, "findings", f"{name}.jsonl")
    if storage.exists(record):
        before: dict[str, Any] = json.loads(storage.read(record))
        if not before["codes"] or storage.exists(told):
            return before
    source, above = range_.source, head.count(b"\n")
    ontology = loads(job.ontology, "the ontology") if job.ontology else None
    counted = Statistics()
    lines: list[str] = []
    with tempfile.TemporaryDirectory(prefix="treewright-check-") as folder, storage.naming(source.path):
        piece = os.path.join(folder, os.path.basename(source.path))

        def note(text: str) -> None:
            line, _, said = text.removeprefix(f"{piece}:").partition(": ")
            if int(line) > above:  # else an earlier range has said it
                _LOG.warning("%s:%d: %s", source.file, int(line) - above + range_.first_line - 1, said)

        before_rows = 0
        if head:
            _put(piece, [head])
            alone = Run([piece], ontology, job.tokeniser)
            list(alone)
            before_rows = alone.rows
        _put(piece, [head, *_bytes_of(range_)])
        run, keep = Run([piece], ontology, job.tokeniser, watchers=[counted]), Sieve(None, note)
        for checked in run:
            if checked.row.place.line <= above:
                continue
            kept = list(keep(checked))
            counted.add(checked.row, [finding.code for finding, _ in kept])
            for finding, place in kept:
                line = place.line - above + range_.first_line - 1
                lines.append(dumps(to_json(finding, replace(place, path=source.file, line=line))))
        keep.look(run.marked)  # a mark may stand in another range than what is found below it
    if lines:
        storage.write(told, ("\n".join(lines) + "\n").encode())
    report = {
        "file": source.file,
        "rows_in": run.rows - before_rows,
        "read": stored(range_),
        "rows_with_findings": counted.wrong,
        "ignored": keep.ignored,
        "codes": dict(sorted(counted.codes.items())),
        "by": counted.groups,
    }
    storage.write(record, json.dumps(report).encode())
    return report


class CheckAll(beam.PTransform):
    """Sources -> findings and reports on disk; yields the name of each range."""

    def __init__(self, job: Checking, sources: Sequence[Source], range_bytes: int) -> None:
        super().__init__()
        self.job, self.sources, self.range_bytes = job, list(enumerate(sources)), range_bytes

    def expand(self, begin: Any) -> beam.PCollection:
        size = self.range_bytes
        return (
            begin
            | "sources" >> beam.Create(self.sources)
            | "plan" >> beam.FlatMapTuple(lambda number, source: ranges_of(number, source, size))
            | "deal ranges" >> beam.Reshuffle()
            | "check" >> beam.ParDo(Check(self.job))
        )


class Check(beam.DoFn):
    """(name, range, head) -> the name, when its findings and its report are written."""

    def __init__(self, job: Checking) -> None:
        self.job = job

    def process(self, element: tuple[str, Range, bytes]) -> Iterator[str]:
        report = check_range(*element, self.job)
        Metrics.counter("treewright", "rows_checked").inc(report["rows_in"])
        Metrics.counter("treewright", "rows_with_findings").inc(report["rows_with_findings"])
        Metrics.distribution("treewright", "rows_per_range").update(report["rows_in"])
        Metrics.distribution("treewright", "bytes_per_range").update(report["read"])
        Metrics.distribution("treewright", "findings_per_range").update(sum(report["codes"].values()))
        for code, number in report["codes"].items():
            Metrics.counter("treewright", f"finding_{code}").inc(number)
        yield element[0]


def describe(plan: Plan) -> dict[str, Any]:
    """The plan, and what it will take, from a sample that is checked here; see `dry.plan_of`.

    Besides, the estimate tells `rows_with_findings`.
    """
    ranges = [sum(1 for _ in ranges_of(0, source, plan.range_bytes)) for source in plan.sources]
    sample = dry.Sample(plan.sizes)
    rows = wrong = 0
    with tempfile.TemporaryDirectory(prefix="treewright-plan-") as folder:
        job = plan.job._replace(build=folder)
        for number in sample.files:
            source = plan.sources[number]
            if _is_lines(source):  # its beginning alone, whatever the size of ranges
                found = [Range(source, 0, cut.start, cut.stop, 1) for cut in islice(cuts(source.path, _SAMPLE), 1)]
            else:
                found = plan_whole(source, plan.range_bytes)
            if not found:
                continue
            [first] = found
            report = check_range(name_of(first, number), first, b"", job)
            rows, wrong = rows + report["rows_in"], wrong + report["rows_with_findings"]
            sample.read += plan.sizes[number] if storage.is_packed(source.path) else first.stop
    estimate = sample.estimate(rows, rows_with_findings=wrong)
    return dry.plan_of(plan.output, plan.job.build, plan.sources, plan.sizes, ranges, estimate)


def totals(job: Checking) -> dict[str, Any]:
    """What the ranges came to together."""
    rows = wrong = size = ignored = 0
    codes = Counter[str]()
    by_file: dict[str, list[int]] = {}
    by: dict[str, dict[str, list[int]]] = {}
    for path in storage.below(storage.join(job.build, "work", "reports")):
        report = json.loads(storage.read(path))
        found = sum(report["codes"].values())
        rows, wrong = rows + report["rows_in"], wrong + report["rows_with_findings"]
        size, ignored = size + report["read"], ignored + report["ignored"]
        codes.update(report["codes"])
        _add(by_file, report["file"], [report["rows_in"], report["rows_with_findings"], found])
        for column, groups in report["by"].items():
            for value, counts in groups.items():
                _add(by.setdefault(column, {}), value, counts)
    return {
        **_rates([rows, wrong, codes.total()]),
        "bytes": size,
        "ignored": ignored,
        "codes": dict(sorted(codes.items())),
        "by": {column: {value: _rates(one) for value, one in sorted(found.items())} for column, found in by.items()},
        "files": {file: _rates(counts) for file, counts in sorted(by_file.items())},
    }


def _add(held: dict[str, list[int]], key: str, counts: Sequence[int]) -> None:
    held[key] = [a + b for a, b in zip(held.get(key, [0, 0, 0]), counts, strict=True)]


def _rates(counts: Sequence[int]) -> dict[str, Any]:
    rows, wrong, findings = counts
    rate = round(wrong / rows, 6) if rows else 0.0
    return {"rows": rows, "rows_with_findings": wrong, "rate": rate, "findings": findings}


def _explain(counts: dict[str, Any], allowed: float) -> str:
    lines = [
        f"{counts['rows_with_findings']:,} of {counts['rows']:,} rows ({counts['rate']:.2%}) have findings, more than "
        f"`--max-rejected {allowed:g}` allows; nothing was published. The same command with a larger share publishes "
        "them, and checks nothing again"
    ]
    for code, number in Counter(counts["codes"]).most_common(5):
        lines.append(f"  {number:>8,}  {code}  {RULES[code].title}")
    return "\n".join(lines)


def _is_lines(source: Source) -> bool:
    return not storage.is_packed(source.path) and form_of(source.path) not in ("tree", "parquet")


def _put(path: str, pieces: Iterable[bytes]) -> None:
    with open(path, "wb") as file:
        file.writelines(pieces)


def _bytes_of(range_: Range) -> Iterator[bytes]:
    """The bytes of a range; all of a packed file as it is stored, which the checker unpacks by its name."""
    path = range_.source.path
    if not storage.is_packed(path):
        yield from pieces(path, range_.start, range_.stop)
        return
    with storage.as_stored(path) as file:
        while data := file.read(1 << 20):
            yield data
