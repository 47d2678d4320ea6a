"""Sources, byte ranges and the lines in them: what every reader stands on.

A range ends where a record ends, so reading a range needs no look at its neighbours, and the records of a file are
the same for every range size. Lines end at `\\n` only (`str.splitlines` knows ten other ends, all legal inside words);
a carriage return before it and a byte order mark at the start of the file are taken off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import IO, NamedTuple

from pipelines import storage
from pipelines.record import Rejection, reason, storable

BOM = b"\xef\xbb\xbf"
"""Byte order mark, which is no part of the text."""

MOST_RANGES = 4_096
"""Ranges of a run: a report is kept of each, and every shard of a conversion opens the files of all of them."""

_BLOCK = 1 << 20


def open_file(path: str) -> AbstractContextManager[IO[bytes]]:
    """A file of a corpus, for reading, wherever it is and unpacked. Every reader opens its files here."""
    return storage.reading(path)


class Reading(NamedTuple):
    """What a user asks of a reader; each format looks at what concerns it.

    Attributes:
        min_judgment: MASSIVE: mean score that a row's judges must give, 0 to 1; rows without judgments pass.
        annotator: Label Studio: `first`, `agreed` (annotators who all say the same) or the id of one.
        offsets: unit of the offsets instead of the format's own; empty for the format's own.
        seed: Alexa: of the values that templates are filled with.
        rows: Alexa: utterances made of each template.
        notation: of the trees of logical forms, `compact` or `plain`.
    """

    min_judgment: float = 0.0
    annotator: str = "first"
    offsets: str = ""
    seed: int = 0
    rows: int = 5
    notation: str = "compact"

    def said(self) -> dict[str, str | float]:
        """What differs from the defaults, for the manifest."""
        return {key: value for key, value in self._asdict().items() if value != self._field_defaults[key]}


class Source(NamedTuple):
    """One input file, with the files that stand beside it line by line.

    Attributes:
        path: where it is.
        file: its path under the input that was given, with `/`; part of every row's id.
        companions: paths of the parallel files, in the order of the format's `companions`.
        split: of rows that do not carry their own.
        corpus: first part of every row's id.
        format: key of `FORMATS`.
        reading: what the user asks of the reader.
    """

    path: str
    file: str
    companions: tuple[str, ...] = ()
    split: str = "train"
    corpus: str = ""
    format: str = ""
    reading: Reading = Reading()

    def reject(
        self, line: int, code: str, raw: str, detail: str = "", split: str = "", findings: Sequence[str] = ()
    ) -> Rejection:
        """A record of this file, refused."""
        said, raw = reason(code, detail), storable(raw)
        return Rejection(self.corpus, self.file, line, code, said, raw, split or self.split, findings)


class Range(NamedTuple):
    """Whole records of a source: bytes `[start, stop)`, of which the first line is `first_line` (1-based).

    `starts` and `stops` bound the same records in each companion.
    """

    source: Source
    number: int
    start: int
    stop: int
    first_line: int
    starts: tuple[int, ...] = ()
    stops: tuple[int, ...] = ()


def range_size(given: int, total: int, least: int = 16 << 20) -> int:
    """Bytes of the pieces that workers take.

    Args:
        given: what the user asks for; 0 for `least`, or more where that makes over `MOST_RANGES` of them.
        total: bytes of all inputs.
    """
    return given or max(least, -(-total // MOST_RANGES))


class Cut(NamedTuple):
    """Bytes `[start, stop)` of a file, which hold `lines` whole lines."""

    start: int
    stop: int
    lines: int


def cuts(path: str, size: int, ends_record: Callable[[bytes], bool] | None = None) -> Iterator[Cut]:
    """Cut a file into pieces of at least `size` bytes (the last one may be smaller), after lines that end a record."""
    start = stop = count = 0
    with open_file(path) as file:
        if ends_record is None:
            while data := file.read(min(_BLOCK, size - (stop - start))):
                stop += len(data)
                count += data.count(b"\n")
                if stop - start >= size or not data.endswith(b"\n"):
                    rest = b"" if data.endswith(b"\n") else file.readline()
                    stop += len(rest)
                    count += not data.endswith(b"\n")
                if stop - start >= size:
                    yield Cut(start, stop, count)
                    start, count = stop, 0
        else:
            for line in file:
                stop += len(line)
                count += 1
                if stop - start >= size and ends_record(line):
                    yield Cut(start, stop, count)
                    start, count = stop, 0
    if count:
        yield Cut(start, stop, count)


def plan_lines(source: Source, size: int, ends_record: Callable[[bytes], bool] | None = None) -> list[Range]:
    """Ranges of a file whose records end at a line end, or at the line ends that `ends_record` accepts."""
    ranges: list[Range] = []
    first = 1
    for cut in cuts(source.path, size, ends_record):
        ranges.append(Range(source, len(ranges), cut.start, cut.stop, first))
        first += cut.lines
    return ranges


def plan_whole(source: Source, size: int) -> list[Range]:
    """One range: for files that can only be read whole. A range counts bytes as they are read, so unpacked ones."""
    if not storage.is_packed(source.path):
        return [Range(source, 0, 0, storage.size(source.path), 1)]
    with open_file(source.path) as file:
        return [Range(source, 0, 0, sum(map(len, iter(lambda: file.read(_BLOCK), b""))), 1)]


def span(range_: Range) -> int:
    """How much a range holds of its files, in the unit that its format counts in: bytes as they are read, mostly."""
    return range_.stop - range_.start + sum(range_.stops) - sum(range_.starts)


def stored(range_: Range) -> int:
    """Bytes of the files as they are stored that a range stands for; a packed file is one range."""
    source = range_.source
    if storage.is_packed(source.path):
        return sum(map(storage.size, (source.path, *source.companions)))
    return span(range_)


def pieces(path: str, start: int, stop: int) -> Iterator[bytes]:
    """Bytes `[start, stop)` of a file, a MiB at a time."""
    with open_file(path) as file:
        file.seek(start)
        while start < stop and (data := file.read(min(_BLOCK, stop - start))):
            start += len(data)
            yield data


def lines(path: str, start: int, stop: int) -> Iterator[bytes]:
    """The lines of bytes `[start, stop)` without their ends; both must be borders of lines."""
    rest = b""
    for data in pieces(path, start, stop):
        text = rest + (data.removeprefix(BOM) if start == 0 else data)
        start += len(data)
        *found, rest = text.split(b"\n")
        yield from map(bare, found) if b"\r" in text else found
    if rest:
        yield bare(rest)


def numbered(range_: Range) -> Iterator[tuple[int, bytes]]:
    """The lines of a range with their numbers in the file."""
    return enumerate(lines(range_.source.path, range_.start, range_.stop), range_.first_line)


def whole(path: str) -> bytes:
    """A file without its byte order mark."""
    return storage.read(path).removeprefix(BOM)


def read_bytes(path: str, start: int, stop: int) -> bytes:
    """Bytes `[start, stop)` of a file."""
    with open_file(path) as file:
        file.seek(start)
        return file.read(stop - start)


def bare(line: bytes) -> bytes:
    """A line without `\\n` or `\\r\\n`."""
    return line.removesuffix(b"\n").removesuffix(b"\r")


def decode(data: bytes) -> str | None:
    r"""Text of UTF-8 bytes; characters written as two surrogates of three bytes each (CESU-8) are mended.

    Returns None for anything else: a guess such as latin-1 would spoil every other character of the line.

    >>> decode(b"a \xed\xa0\xbc\xed\xbd\x95")
    'a 🍕'
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    try:
        return data.decode("utf-8", "surrogatepass").encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeError:
        return None


def shown(data: bytes) -> str:
    """Bytes as text for a dead letter, whatever they are."""
    return data.decode("utf-8", "backslashreplace")
