"""How fast a conversion is, and against what: the same work in four ways, each in a process of its own.

    plain   a Python loop over the same functions: reads, converts, keeps everything in memory, sorts, writes shards
    beam    `convert` on the local runner, in one process
    beam2   the same in two processes
    usual   ReadFromText -> DoFn -> WriteToParquet, as pipelines are commonly written, over the same functions for one
            record; it is spared the replay, the index columns, the sorting and the fixed shards

`plain`, `beam` and `beam2` must come to the same bytes, and so must `beam` with other sizes of range.
The corpus is invented, see `bench_corpus.py`: `seq.in/seq.out/label` with single intents, as varied as SNIPS.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from grammar import shard
from grammar.infer import Counts
from pipelines import tagged
from pipelines.bench_corpus import PASTED, repeat_corpus, write_corpus
from pipelines.counting import count_train
from pipelines.formats import expand, plan, seq
from pipelines.formats.lines import Source
from pipelines.formats.parallel import Lines
from pipelines.index import indexed
from pipelines.record import Utterance
from pipelines.runs import RUN_ROWS, by_bucket, by_id
from pipelines.spill import Job, batches

RECORDS = 1_000_000
ARMS = ("plain", "beam", "beam2", "usual")
_CORPUS = "bench"
_RANGES = (1 << 20, 3 << 20, 64 << 20)


class Cost(NamedTuple):
    """Of one arm: CPU-seconds of all its processes with their start, wall seconds, peak memory of the whole tree."""

    arm: str
    records: int
    cpu_s: float
    wall_s: float
    peak_mb: float
    fingerprint: str

    @property
    def records_per_cpu_s(self) -> float:
        """Records a second on one core."""
        return self.records / self.cpu_s


def run_arm(arm: str, folder: str, output: str, shards: int, range_bytes: int = 0) -> None:
    """One arm, in this process."""
    if arm == "plain":
        _plain(folder, output, shards)
    elif arm == "usual":
        _usual(folder, output)
    else:
        from pipelines.convert import Options, run

        workers = 2 if arm == "beam2" else 1
        run(
            Options(
                [f"{folder}/corpus"],
                "seq",
                output,
                corpus=_CORPUS,
                shards=shards,
                workers=workers,
                range_bytes=range_bytes,
            )
        )


def _plain(folder: str, output: str, shards: int) -> None:
    job = Job(output, shards)
    held: dict[str, list[pa.RecordBatch]] = defaultdict(list)
    counts = Counts()
    waiting: list[pa.RecordBatch] = []
    rejected = 0

    def deal() -> None:
        if waiting:
            for bucket, part in by_bucket(pa.Table.from_batches(waiting), shards):
                held[bucket].append(part.to_batches()[0])
            waiting.clear()

    sources = expand([f"{folder}/corpus"], "seq", _CORPUS)
    for range_ in chain.from_iterable(plan(source) for source in sources):
        for examples, rejections, _ in batches(range_, job):
            rejected += len(rejections)
            counts.merge(count_train(examples))
            waiting.append(examples)
            if sum(batch.num_rows for batch in waiting) >= RUN_ROWS:
                deal()
        deal()
    counts.ontology()
    entries = []
    Path(output).mkdir()
    for bucket, runs in sorted(held.items()):
        split, number = bucket.rsplit("-", 1)
        path = Path(output) / shard.shard_name(split, int(number), shards)
        entries.append(shard.write_groups(by_id(runs), shard.SCHEMA, path))
    (Path(output) / shard.MANIFEST).write_text(json.dumps({"fingerprint": shard.fingerprint(entries)}))


def _usual(folder: str, output: str) -> None:
    import apache_beam as beam

    from pipelines import runner

    with runner.pipeline(runner.flags()) as pipeline:
        _ = (
            pipeline
            | beam.io.ReadFromText(f"{folder}/{PASTED}")
            | beam.FlatMap(_usual_row, Job("", 1).settings())
            | beam.io.WriteToParquet(f"{output}/train", shard.ROW_SCHEMA, file_name_suffix=".parquet", codec="zstd")
        )


def _usual_row(line: str, settings: Any) -> Iterator[dict[str, Any]]:
    columns = tuple(column.encode() for column in line.split("\t"))
    row = seq.utterance(Source("", "pasted.tsv", corpus=_CORPUS), 1, columns)
    made = settings.quick(row) if isinstance(row, Utterance) else None
    if made is not None:
        assert isinstance(row, Utterance)
        tree, kinds, symbols, copy = made
        yield {
            "id": f"{_CORPUS}:{hash(line)}",
            "corpus": row.corpus,
            "domain": row.domain,
            "file": row.file,
            "line": row.line,
            "split": row.split,
            "licence": row.licence,
            "locale": row.locale,
            "utterance": row.text,
            "words": row.words,
            "tree": tree,
            "actions": list(kinds),
            "symbols": symbols,
            "copy": copy,
            "composed": False,
        }


def measure(arm: str, folder: Path, records: int, range_bytes: int = 0) -> Cost:
    """Run an arm in a process of its own, and watch the tree below it.

    Raises:
        RuntimeError: it failed.
    """
    output = folder / f"out-{arm}"
    shutil.rmtree(output, ignore_errors=True)
    shards = max(1, records // 200_000)
    code = f"from pipelines.bench import run_arm; run_arm({arm!r}, {str(folder)!r}, {str(output)!r}, {shards}, "
    began = time.perf_counter()
    with open(folder / "log", "wb") as log:  # Beam's workers talk a lot
        process = subprocess.Popen([sys.executable, "-c", f"{code}{range_bytes})"], stdout=log, stderr=log)
    watch = _Watch(process.pid)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    watch.stop()
    if status:
        last = (folder / "log").read_text("utf-8", "replace").strip().rpartition("\n")[2]
        raise RuntimeError(f"`{arm}` on {records:,} records failed: {last}")
    fingerprint = ""
    if (output / shard.MANIFEST).exists():
        fingerprint = json.loads((output / shard.MANIFEST).read_text())["fingerprint"]
    shutil.rmtree(output)
    cpu = max(usage.ru_utime + usage.ru_stime, watch.cpu_s)
    return Cost(arm, records, cpu, wall, watch.peak_mb, fingerprint)


class _Watch:
    """Memory and CPU of a process and all below it, looked at ten times a second."""

    def __init__(self, pid: int) -> None:
        self.pid, self.peak_mb = pid, 0.0
        self._spent: dict[int, float] = {}  # workers that nobody waits for count as well
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    @property
    def cpu_s(self) -> float:
        return sum(self._spent.values())

    def stop(self) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        page, tick = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")
        while not self._done.wait(0.1):
            held = 0
            for pid, fields in processes(self.pid):
                held += int(fields[21]) * page
                self._spent[pid] = (int(fields[11]) + int(fields[12])) / tick
            self.peak_mb = max(self.peak_mb, held / 1e6)


def processes(root: int) -> list[tuple[int, list[str]]]:
    """(number, fields of `/proc/NUMBER/stat` after the name) of a process and all below it."""
    found: dict[int, list[str]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                text = Path(f"/proc/{entry}/stat").read_text()
            except OSError:
                continue  # it ended just now
            found[int(entry)] = text.rpartition(")")[2].split()
    tree = {root}
    while more := {pid for pid, fields in found.items() if int(fields[1]) in tree} - tree:
        tree |= more
    return [(pid, found[pid]) for pid in tree if pid in found]


def parts(folder: Path) -> dict[str, float]:
    """Share of the time of `plain` that each part takes, best of three over at most 50,000 records; see `look` too."""
    job = Job("", 2)
    settings = job.settings()
    blocks = _blocks(folder)
    made = [tagged.columns(block, settings)[0] for block in blocks]
    examples = [indexed(batch) for batch in made]
    table = pa.Table.from_batches(examples)
    runs = [part.to_batches()[0] for _, part in by_bucket(table, 1)]
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        spent = {
            "read": _best(lambda: _blocks(folder)),
            "trees and oracle": _best(lambda: [tagged.columns(block, settings) for block in blocks]),
            "replay": _best(lambda: [tagged.replayed(batch, settings) for batch in made]),
            "index columns": _best(lambda: [indexed(batch) for batch in made]),
            "counts of labels": _best(lambda: [count_train(batch) for batch in examples]),
            "shard and sort": _best(lambda: list(by_bucket(table, job.shards))),
            "write Parquet": _best(lambda: shard.write_groups(by_id(runs), shard.SCHEMA, file.name)),
        }
    total = sum(spent.values())
    return {part: round(seconds / total, 3) for part, seconds in spent.items()}


def look(folder: Path) -> dict[str, float]:
    """How varied the corpus is, over at most 50,000 records: shares of the rows, and of their words.

    Returns:
        `rows_in_blocks` (rows that no Python looked at by themselves), `distinct_lines_of_tags`, `distinct_words`.
    """
    settings = Job("", 1).settings()
    blocks = _blocks(folder)
    words, tags = (b"".join(block.columns[place] for block in blocks).split(b"\n")[:-1] for place in (0, 1))
    spoken = b" ".join(words).split()
    by_block = sum(tagged.examples(block, settings)[0].num_rows for block in blocks)
    return {
        "rows_in_blocks": round(by_block / len(words), 4),
        "distinct_lines_of_tags": round(len(set(tags)) / len(tags), 4),
        "distinct_words": round(len(set(spoken)) / len(spoken), 4),
    }


def _blocks(folder: Path) -> list[Lines]:
    source = expand([f"{folder}/corpus/train/seq.in"], "seq", _CORPUS)[0]
    return [block for block in seq.lines_of(plan(source, 2 << 20)[0]) if isinstance(block, Lines)]


def _best(work: Callable[[], Any]) -> float:
    times = []
    for _ in range(3):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


class Differs(RuntimeError):
    """Ways that must come to the same bytes do not."""


def bench(
    records: int = RECORDS, full: bool = True, say: Callable[[str], None] = print, corpus: str = ""
) -> dict[str, Any]:
    """Measure.

    Args:
        records: of the comparison; memory is measured at 0.3 and 3 times as many.
        full: all arms at 0.1, 0.3, 1 and 3 times as many, not at `records` alone.
        say: called with a line for each measurement.
        corpus: folder with `seq.in`, `seq.out` and `label` of a real one, to be repeated; else one is invented.

    Returns:
        One flat object; `peak_mb_300k` and `peak_mb_3m` are of 0.3 and 3 times `records`.

    Raises:
        Differs: the bytes are not the same.
    """
    sizes = [records // 10, records * 3 // 10, records, records * 3]
    costs: dict[tuple[str, int], Cost] = {}
    result: dict[str, Any] = {"records": records, "machine": _machine(), "python": platform.python_version()}
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="treewright-bench-") as name:
            folder = Path(name)
            if corpus:
                repeat_corpus(folder, Path(corpus), size)
            else:
                write_corpus(folder, size)
            arms: Sequence[str] = ARMS if full or size == records else ("beam",) if size != sizes[0] else ()
            for arm in arms:
                cost = costs[arm, size] = measure(arm, folder, size)
                say(_line(cost))
            marks = {costs[arm, size].fingerprint for arm in arms if arm != "usual"}
            if size == sizes[0]:
                marks |= {measure(arm, folder, size, r).fingerprint for arm, r in _cases()}
                say(
                    f"{size:>9,}  same bytes: {len(marks) == 1}, ranges of {', '.join(f'{r:,}' for r in _RANGES)} bytes"
                )
            if len(marks) > 1:
                raise Differs(f"{size:,} records: the shards of {', '.join(arms)} are not the same bytes")
            if size == records:
                result |= {f"share_{part.replace(' ', '_')}": share for part, share in parts(folder).items()}
                result |= look(folder)
    for (arm, size), cost in costs.items():
        label = _short(size)
        result[f"{arm}_cpu_s_{label}"] = round(cost.cpu_s, 2)
        result[f"{arm}_records_per_cpu_s_{label}"] = round(cost.records_per_cpu_s)
        result[f"{arm}_peak_mb_{label}"] = round(cost.peak_mb)
    plain, beam, usual = (costs[arm, records] for arm in ("plain", "beam", "usual"))
    return result | {
        "beam_over_plain_cpu": round(beam.cpu_s / plain.cpu_s, 3),
        "usual_over_beam_cpu": round(usual.cpu_s / beam.cpu_s, 3),
        "records_per_cpu_s": round(beam.records_per_cpu_s),
        "plain_us_per_record": round(plain.cpu_s / records * 1e6, 2),
        "peak_mb_300k": round(costs["beam", sizes[1]].peak_mb),
        "peak_mb_3m": round(costs["beam", sizes[3]].peak_mb),
        "peak_ratio": round(costs["beam", sizes[3]].peak_mb / costs["beam", sizes[1]].peak_mb, 3),
        "identical": True,
    }


def _cases() -> list[tuple[str, int]]:
    """Arms and sizes of ranges whose bytes must be the same."""
    return [("plain", 0), *(("beam", size) for size in _RANGES), ("beam2", _RANGES[0])]


def _line(cost: Cost) -> str:
    return (
        f"{cost.records:>9,}  {cost.arm:<6} {cost.cpu_s:8.1f} CPU-s  {cost.records_per_cpu_s:8,.0f} records/CPU-s  "
        f"{cost.wall_s:7.1f} s  {cost.peak_mb:6,.0f} MB"
    )


def _short(size: int) -> str:
    for unit, letter in ((1_000_000, "m"), (1_000, "k")):
        if size >= unit and size % unit == 0:
            return f"{size // unit}{letter}"
    return str(size)


def _machine() -> str:
    try:
        found = [line for line in Path("/proc/cpuinfo").read_text().split("\n") if line.startswith("model name")]
    except OSError:
        found = []
    return f"{found[0].partition(': ')[2] if found else platform.processor()}, {os.cpu_count()} cores"
