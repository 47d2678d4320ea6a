"""What a conversion would do, without doing it: files, ranges, shards, and sizes estimated from a sample.

The sample is the first block of up to three files, spread over the corpus. It goes through the whole conversion in
memory, so the estimate knows how long the rows are and how well they compress.
"""

from __future__ import annotations

import tempfile
import time
from typing import Any, NamedTuple

import pyarrow as pa

from grammar import shard
from pipelines.convert import Plan, ranges_of
from pipelines.spill import batches

_FILES = 3


class Estimate(NamedTuple):
    """Of the whole conversion.

    Attributes:
        shards_bytes: of the Parquet files.
        work_bytes: of the temporary files, which lie beside the output until it is published.
        cpu_seconds: of all workers together.
        sampled: rows that this was worked out from.
    """

    rows: int
    shards_bytes: int
    work_bytes: int
    cpu_seconds: float
    sampled: int


def describe(plan: Plan) -> dict[str, Any]:
    """The plan and its estimate, as JSON can hold it.

    Returns:
        {"output", "build", "format", "corpus", "files": [{"file", "split", "bytes", "ranges"}], "bytes", "ranges",
        "range_bytes", "shards_per_split", "estimate": `Estimate` as a dict}

    Raises:
        OSError: an input cannot be read.
    """
    files = [
        {
            "file": source.file,
            "split": source.split,
            "bytes": size,
            "ranges": sum(1 for _ in ranges_of(number, source, plan.range_bytes)),
        }
        for number, (source, size) in enumerate(zip(plan.sources, plan.sizes, strict=True))
    ]
    return {
        "output": plan.output,
        "build": plan.job.build,
        "format": plan.format,
        "corpus": plan.corpus,
        "files": files,
        "bytes": sum(plan.sizes),
        "ranges": sum(file["ranges"] for file in files),
        "range_bytes": plan.range_bytes,
        "shards_per_split": plan.job.shards,
        "estimate": estimate(plan)._asdict(),
    }


def estimate(plan: Plan) -> Estimate:
    """Convert a sample, and multiply."""
    step = max(1, len(plan.sources) // _FILES)
    rows = read = held = written = 0
    began = time.process_time()
    for number in range(0, len(plan.sources), step):
        source = plan.sources[number]
        small = next(ranges_of(number, source, 1 << 20), None)
        if small is None:
            continue
        read += small[1].stop - small[1].start + sum(small[1].stops) - sum(small[1].starts)
        for examples, rejections, _ in batches(small[1], plan.job):
            rows += examples.num_rows + len(rejections)
            held += examples.nbytes
            with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
                shard.write_groups([pa.Table.from_batches([examples])], shard.SCHEMA, file.name)
                file.seek(0, 2)
                written += file.tell()
    share = sum(plan.sizes) / read if read else 0
    spent = time.process_time() - began
    return Estimate(round(rows * share), round(written * share), round(held * share), round(spent * share, 1), rows)


def lines(described: dict[str, Any]) -> list[str]:
    """The same for people."""
    guess, files = described["estimate"], described["files"]
    shown = [
        f"{described['output']}: format {described['format']}, corpus `{described['corpus']}`",
        *(
            f"  {f['file']}: {f['split']}, {f['bytes']:,} bytes, {f['ranges']:,} ranges"
            for f in described["files"][:20]
        ),
    ]
    if len(files) > 20:
        shown.append(f"  ... and {len(files) - 20:,} more files")
    return [
        *shown,
        f"{len(files):,} files, {described['bytes']:,} bytes, {described['ranges']:,} ranges, "
        f"{described['shards_per_split']:,} shards for each split",
        f"about {guess['rows']:,} rows, {_mb(guess['shards_bytes'])} of shards, {_mb(guess['work_bytes'])} of "
        f"temporary files, {guess['cpu_seconds']:,.0f} CPU-seconds (from {guess['sampled']:,} rows)",
        "nothing was written",
    ]


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
