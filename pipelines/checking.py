"""The checker of `grammar` as a Beam run, over trees that are too many for one machine.

    files -> plan -> Reshuffle -> check a range -> add counts up

    OUTPUT/findings/000003-000017.jsonl   one finding a line, as `python -m grammar check --output-format json-lines`;
                                          one file for each range that has any, in the order of files and lines
    OUTPUT/counts.json                    written last: rows, findings by code, and both for each file

Every row is held against the grammar, the ontology and its utterance. What concerns rows together (duplicates, leaks)
is found by `convert` and `python -m grammar check`, which see all rows of a file.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.metrics import Metrics

from grammar.finding import to_json
from grammar.ontology import loads
from grammar.run import Run
from pipelines import lock, publish, runner, storage
from pipelines.formats import files
from pipelines.formats.lines import Range, Source, open_file, pieces, plan_lines, plan_whole
from pipelines.spill import name_of

PATTERNS = ("*.trees", "*.tree", "*.tsv", "*.jsonl", "*.parquet")
COUNTS = "counts.json"


class Checking(NamedTuple):
    """What every worker must know.

    Attributes:
        output: directory of findings and counts.
        ontology: TOML text, or empty.
        range_bytes: size of the pieces that workers take.
    """

    output: str
    ontology: str = ""
    range_bytes: int = 16 << 20


class Found(NamedTuple):
    """What a range came to: rows with a tree, and findings by code."""

    file: str
    rows: int
    bytes: int
    codes: dict[str, int]


def check(
    inputs: Sequence[str],
    output: str,
    ontology: str = "",
    range_bytes: int = 16 << 20,
    overwrite: bool = False,
    flags: Sequence[str] = (),
) -> dict[str, Any]:
    """Check files of trees.

    Args:
        ontology: TOML file; empty for the `ontology.toml` in the folder above all inputs, if any.
        flags: from `runner.flags`.

    Returns:
        What `counts.json` holds: {"rows", "bytes", "findings", "codes", "files": {file: {"rows", "findings"}}}.

    Raises:
        ValueError: inputs that cannot be used.
        FileExistsError: something else is at the output, or another run writes there.
    """
    output = publish.absolute(output)
    with lock.hold(output):
        there = storage.below(output)
        if there and not (overwrite and (f"{output}/{COUNTS}" in there or f"{output}/findings" in there[0])):
            raise FileExistsError(f"{output} exists; give `--overwrite` to replace findings, or another `--output`")
        sources = files.find(inputs, PATTERNS)
        beside = storage.join(files.folder_above(inputs), "ontology.toml")
        path = ontology or (beside if storage.exists(beside) else "")
        job = Checking(output, storage.read(path).decode() if path else "", range_bytes)
        loads(job.ontology, path)  # a mistake in it is said here, not by a worker
        storage.remove(output)
        with runner.pipeline(flags or runner.flags()) as pipeline:
            _ = (
                pipeline
                | "sources" >> beam.Create(list(enumerate(sources)))
                | "plan" >> beam.FlatMapTuple(lambda number, source: ranges_of(number, source, range_bytes))
                | "deal ranges" >> beam.Reshuffle()
                | "check" >> beam.ParDo(Check(job))
                | "add counts up" >> beam.CombineGlobally(Totals())
                | "write counts" >> beam.Map(_write, storage.join(output, COUNTS))
            )
        counts: dict[str, Any] = json.loads(storage.read(storage.join(output, COUNTS)))
    return counts


def ranges_of(number: int, source: Source, size: int) -> Iterator[tuple[str, Range]]:
    """The ranges of a file, with names that sort as files and lines do; only lines can be cut apart."""
    whole = storage.plain(source.path).endswith((".tree", ".parquet")) or storage.is_packed(source.path)
    for range_ in plan_whole(source, size) if whole else plan_lines(source, size):
        yield name_of(range_, number), range_


def check_range(name: str, range_: Range, job: Checking) -> Found:
    """Check a range, and write its findings to a file of its own."""
    source = range_.source
    ontology = loads(job.ontology, "the ontology") if job.ontology else None
    codes = Counter[str]()
    lines: list[str] = []
    with tempfile.TemporaryDirectory(prefix="treewright-check-") as folder:
        # The checker reads files. A piece of a TSV file is one when it begins with the file's first line, which may
        # name its columns.
        piece = os.path.join(folder, os.path.basename(source.path))
        head = _head(source.path) if range_.start else b""
        before = 0
        if head:
            _put(piece, [head])
            alone = Run([piece], ontology=ontology)
            list(alone)
            before = alone.rows
        _put(piece, [head, *_bytes_of(range_)])
        run = Run([piece], ontology=ontology)
        for checked in run:
            place = checked.row.place
            if head and place.line == 1:
                continue
            line = place.line + range_.first_line - 1 - bool(head)
            for finding in checked.findings:
                codes[finding.code] += 1
                lines.append(json.dumps(to_json(finding, replace(place, path=source.file, line=line))))
    if lines:
        storage.write(storage.join(job.output, "findings", f"{name}.jsonl"), ("\n".join(lines) + "\n").encode())
    return Found(source.file, run.rows - before, range_.stop - range_.start, dict(codes))


class Check(beam.DoFn):
    """(name, range) -> its counts."""

    def __init__(self, job: Checking) -> None:
        self.job = job

    def process(self, element: tuple[str, Range]) -> Iterator[Found]:
        found = check_range(*element, self.job)
        Metrics.counter("treewright", "rows_checked").inc(found.rows)
        Metrics.distribution("treewright", "findings_per_range").update(sum(found.codes.values()))
        for code, number in found.codes.items():
            Metrics.counter("treewright", f"finding_{code}").inc(number)
        yield found


class Totals(beam.CombineFn):
    """The sum of what ranges came to, as `counts.json` holds it."""

    def create_accumulator(self) -> dict[str, Any]:
        return {"rows": 0, "bytes": 0, "codes": Counter(), "files": {}}

    def add_input(self, total: dict[str, Any], found: Found) -> dict[str, Any]:
        one = {
            "rows": found.rows,
            "bytes": found.bytes,
            "codes": Counter(found.codes),
            "files": {found.file: [found.rows, sum(found.codes.values())]},
        }
        return self.merge_accumulators([total, one])

    def merge_accumulators(self, totals: Iterable[dict[str, Any]]) -> dict[str, Any]:
        total = self.create_accumulator()
        for one in totals:
            total["rows"] += one["rows"]
            total["bytes"] += one["bytes"]
            total["codes"].update(one["codes"])
            for file, (rows, findings) in one["files"].items():
                held = total["files"].setdefault(file, [0, 0])
                held[0] += rows
                held[1] += findings
        return total

    def extract_output(self, total: dict[str, Any]) -> dict[str, Any]:
        return {
            "rows": total["rows"],
            "bytes": total["bytes"],
            "findings": sum(total["codes"].values()),
            "codes": dict(sorted(total["codes"].items())),
            "files": {f: {"rows": rows, "findings": n} for f, (rows, n) in sorted(total["files"].items())},
        }


def _write(counts: dict[str, Any], path: str) -> None:
    storage.write(path, (json.dumps(counts, indent=2, ensure_ascii=False) + "\n").encode())


def _head(path: str) -> bytes:
    """The first line of a TSV file."""
    if not path.endswith(".tsv"):
        return b""
    with open_file(path) as file:
        return file.readline()


def _put(path: str, pieces: Iterable[bytes]) -> None:
    with open(path, "wb") as file:
        file.writelines(pieces)


def _bytes_of(range_: Range) -> Iterator[bytes]:
    """The bytes of a range as they stand; all of a packed file, which the checker unpacks by its name."""
    if storage.is_packed(range_.source.path):
        data = storage.read(range_.source.path)
        import gzip

        yield gzip.compress(data, 1) if range_.source.path.endswith(".gz") else data
        return
    yield from pieces(range_.source.path, range_.start, range_.stop)
