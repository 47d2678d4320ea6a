"""Parallel files in blocks: the same lines of each file, as bytes, so that no line is looked at by itself.

    seq.in   b"play calm jazz\\nstop\\n"
    seq.out  b"O B-mood B-genre\\nO\\n"        -> one `Lines`, whose first line is 1
    label    b"PlayMusic\\nStop\\n"

The lines are those that `lines.lines` gives one by one: the same ends, the same byte order mark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import NamedTuple

import numpy as np

from pipelines.formats.lines import BOM, Range, Source, pieces
from pipelines.record import Rejection, Utterance

LINES = 8_192
"""Of a block: enough that a call of Arrow costs nothing per row, few enough to stay in the cache."""

MOST = 16 << 20
"""Bytes of one file in a block, where lines are long."""

_END = ord("\n")
Record = Callable[[Source, int, tuple[bytes | None, ...]], Utterance | Rejection]


class Lines(NamedTuple):
    """The same lines of parallel files.

    Attributes:
        first: number of the first one, 1-based.
        columns: the lines of each file, every one ended by `\\n`.
        record: what makes a row of one line of each file.
    """

    source: Source
    first: int
    columns: tuple[bytes, ...]
    record: Record

    def rows(self, wanted: np.ndarray) -> Iterator[Utterance | Rejection]:
        """Some of the rows, one by one.

        Args:
            wanted: which, counted from 0, ascending.
        """
        if not len(wanted):
            return
        found = [column.split(b"\n") for column in self.columns]
        for number in wanted.tolist():
            yield self.record(self.source, self.first + number, tuple(column[number] for column in found))


def blocks(range_: Range, record: Record, size: int = LINES) -> Iterator[Lines | Utterance | Rejection]:
    """The lines of a range, in their order: in blocks where all files have them, one by one where a file has ended."""
    paths = (range_.source.path, *range_.source.companions)
    starts, stops = (range_.start, *range_.starts), (range_.stop, *range_.stops)
    feeds = [_Feed(*bounds) for bounds in zip(paths, starts, stops, strict=True)]
    number = range_.first_line
    while True:
        count = min(feed.ready(size) for feed in feeds)
        taken = [feed.take(count) for feed in feeds]
        counts = [column.count(b"\n") for column in taken]
        if not any(counts):
            return
        if len({*counts}) == 1:
            yield Lines(range_.source, number, tuple(taken), record)
        else:
            found = [column.split(b"\n")[:-1] for column in taken]
            for place, row in enumerate(zip_longest(*found), number):
                yield record(range_.source, place, row)
        number += max(counts)


class _Feed:
    """One file, so many lines at a time; no more than those and a MiB is held."""

    def __init__(self, path: str, start: int, stop: int) -> None:
        self._pieces = pieces(path, start, stop)
        self._at_start = start == 0
        self._held = b""
        self._ends = np.zeros(0, dtype=np.int64)
        self._more = True

    def ready(self, count: int) -> int:
        """How many lines may be taken at once: `count`, or fewer where they are long."""
        while len(self._ends) < count and self._more and not (len(self._held) > MOST and len(self._ends)):
            self._read()
        return count if len(self._ends) < count and not self._more else max(1, min(count, len(self._ends)))

    def take(self, count: int) -> bytes:
        """The next lines, each ended by `\\n`: `count` of them, fewer at the end. Ask `ready` first."""
        ends = self._ends[:count]
        stop = int(ends[-1]) + 1 if len(ends) else 0
        taken, self._held = self._held[:stop], self._held[stop:]
        self._ends = self._ends[count:] - stop
        return taken.replace(b"\r\n", b"\n") if b"\r" in taken else taken

    def _read(self) -> None:
        data = next(self._pieces, None)
        if data is None:
            self._more = False
            if self._held and not self._held.endswith(b"\n"):
                data = b"\n"
            else:
                return
        elif self._at_start:
            data, self._at_start = data.removeprefix(BOM), False
        found = np.flatnonzero(np.frombuffer(data, np.uint8) == _END) + len(self._held)
        self._held += data
        self._ends = np.concatenate([self._ends, found])
