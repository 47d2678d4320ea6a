"""What a run would do, without doing it: files, ranges, and what it takes, estimated from a sample.

The sample is the beginning of up to three files, spread over the corpus. It goes through all that the run would do, so
the estimate knows how long the rows are and how well they compress.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from pipelines.formats.lines import Source

_FILES = 3
_SHOWN = 20
_SIZES = {"shards_bytes": "of shards", "work_bytes": "of temporary files"}


class Sample:
    """What a part of the input comes to, and so the whole; time counts from when it is made.

    Args:
        sizes: bytes of each file as it is stored.

    Attributes:
        files: numbers of those to look into.
        read: bytes that were looked at; whoever reads them adds them up.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        self.total, self.read = sum(sizes), 0.0
        self.files = range(0, len(sizes), max(1, -(-len(sizes) // _FILES)))
        self._began = time.process_time()

    def estimate(self, rows: int, **more: int) -> dict[str, float]:
        """Of the whole run: `rows` and `more`, `cpu_seconds` of all workers together, and the rows `sampled`."""
        share = self.total / self.read if self.read else 0.0
        spent = time.process_time() - self._began
        found: dict[str, float] = {name: round(number * share) for name, number in {"rows": rows, **more}.items()}
        return found | {"cpu_seconds": round(spent * share, 1), "sampled": rows}


def plan_of(
    output: str,
    build: str,
    sources: Sequence[Source],
    sizes: Sequence[int],
    ranges: Sequence[int],
    estimate: dict[str, float],
    **more: Any,
) -> dict[str, Any]:
    """A plan, as JSON can hold it.

    Args:
        sizes, ranges: bytes and number of ranges of each source.
        more: what only this kind of run says.

    Returns:
        {"output", "build", *more, "files": [{"file", "split", "bytes", "ranges"}], "bytes", "ranges", "estimate"}
    """
    files = [
        {"file": source.file, "split": source.split, "bytes": size, "ranges": number}
        for source, size, number in zip(sources, sizes, ranges, strict=True)
    ]
    head = {"output": output, "build": build, **more}
    return head | {"files": files, "bytes": sum(sizes), "ranges": sum(ranges), "estimate": estimate}


def lines(plan: dict[str, Any], head: str = "", of_ranges: str = "", splits: bool = False) -> list[str]:
    """A plan for people.

    Args:
        head: what stands behind the output.
        of_ranges: what stands behind the number of ranges.
        splits: whether the split of a file means anything.
    """
    files, guess = plan["files"], plan["estimate"]
    shown = [f"{plan['output']}{head and ': '}{head}"]
    for one in files[:_SHOWN]:
        split = f"{one['split']}, " if splits else ""
        shown.append(f"  {one['file']}: {split}{one['bytes']:,} bytes, {one['ranges']:,} ranges")
    if len(files) > _SHOWN:
        shown.append(f"  ... and {len(files) - _SHOWN:,} more files")
    found = f"{guess['rows_with_findings']:,} with findings, " if "rows_with_findings" in guess else ""
    sizes = "".join(f"{guess[name] / 1e6:,.1f} MB {what}, " for name, what in _SIZES.items() if name in guess)
    return [
        *shown,
        f"{len(files):,} files, {plan['bytes']:,} bytes, {plan['ranges']:,} ranges{of_ranges and ', '}{of_ranges}",
        f"about {guess['rows']:,} rows, {found}{sizes}{guess['cpu_seconds']:,.0f} CPU-seconds "
        f"(from {guess['sampled']:,} rows)",
        "nothing was written",
    ]


def show(plan: dict[str, Any], as_json: bool, head: str = "", of_ranges: str = "", splits: bool = False) -> None:
    """Print a plan; the arguments are those of `lines`."""
    text = (
        json.dumps(plan, indent=2, ensure_ascii=False) if as_json else "\n".join(lines(plan, head, of_ranges, splits))
    )
    print(text)
