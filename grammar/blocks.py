"""Files -> blocks of some MiB whose trees are one Arrow column; needs numpy and pyarrow.

A block knows its rows by their place alone. What a row holds is read from its bytes by `LineReader`, as without
blocks, when somebody asks for it; so what is said of a row does not depend on how it was read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grammar.columns import rows_of
from grammar.encoding import wide
from grammar.files import (
    LONGEST,
    decode,
    opened,
    other_encoding,
    parquet_batches,
    parquet_row,
    readable,
    skip,
    too_long,
)
from grammar.finding import Place
from grammar.rows import LineReader, Names, Row, as_text, is_utterance
from grammar.run import Block

if TYPE_CHECKING:
    from grammar.columns import Clean

SIZE = 4 << 20
"""Bytes of a block."""
Said = list[str | list[str] | None]


class Columns(Block):
    """A block of rows that are made when they are asked for.

    Attributes:
        column: the text of each row's tree as a binary column; anything that is no tree where the row has none.
        doubt: rows that must be looked at whatever their tree is.
        said: the utterance of each row, where the file has utterances.
        parts: the split of each row, where that is known without looking at them.
    """

    def __init__(
        self,
        path: str,
        column: pa.Array,
        make: Callable[[int], Row],
        nbytes: int,
        doubt: np.ndarray,
        said: Callable[[], Said | None],
        crlf: int,
        parts: list[str | None] | None,
    ) -> None:
        super().__init__(path, _Lazy(len(column), make), nbytes)
        self.column, self.doubt, self._say, self.crlf, self._parts = column, doubt, said, crlf, parts

    @cached_property
    def said(self) -> Said | None:
        return self._say()

    @cached_property
    def utterances(self) -> Said:
        return self.said or [None] * self.size

    @cached_property
    def splits(self) -> list[str | None]:
        return [row.split for row in self._rows] if self._parts is None else self._parts

    def suspects(self, clean: Clean | None) -> Collection[int]:
        """The rows that are not certainly clean; all, where nothing is known of them."""
        if clean is None:
            return range(self.size)
        certain = clean(self.column, self.said) & ~self.doubt
        return np.flatnonzero(~certain).tolist()


class _Lazy(Sequence[Row]):
    def __init__(self, size: int, make: Callable[[int], Row]) -> None:
        self.size, self.make = size, make

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, i: Any) -> Any:
        if not 0 <= i < self.size:
            raise IndexError(i)
        return self.make(i)


def blocks(path: str, form: str | None, names: Names, size: int = SIZE) -> Iterator[Block]:
    """The rows of a file, in order; the same as `files.read(path, form, names, cut=True)` gives.

    Raises:
        FileError: as `files.read` does.
    """
    form = readable(path, form)
    if form == "parquet":
        yield from _parquet(path, names)
        return
    name = "<stdin>" if path == "-" else path
    reader = LineReader(name, form, names)
    number = 1
    with opened(path) as file:
        for data, whole in _pieces(file, size):
            if number == 1 and (encoding := wide(data)):
                yield Block(path, [other_encoding(name, reader.form or "trees", data, encoding)], whole)
                return
            if whole > len(data):
                row = too_long(Place(name, number, decode(data, number == 1)[0][:200]), reader.form or "trees", whole)
                yield Block(path, [row], whole)
                number += 1
                continue
            first: list[Row] = []
            at = 0
            # What the lines are is known from the first one that says it.
            while at < len(data) and (reader.form is None or (reader.form == "tsv" and reader.columns is None)):
                end = data.find(b"\n", at) + 1 or len(data)
                first.append(line_row(reader, number, data[at:end]))
                at, number = end, number + 1
            if first:
                yield Block(path, first, at)
            if at < len(data):
                block = _lines(path, reader, number, data[at:])
                yield block
                number += block.size


def line_row(reader: LineReader, number: int, line: bytes) -> Row:
    """The row of one line, its line end included."""
    if len(line) > LONGEST:
        source = decode(line[:LONGEST], number == 1)[0][:200]
        return too_long(Place(reader.path, number, source), reader.form or "trees", len(line))
    raw, marked = decode(line.removesuffix(b"\n"), number == 1)
    return reader.row(number, raw, marked)


def _pieces(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int]]:
    """(whole lines, their size); the size is the greater for a line that is too long, of which only a part is given."""
    rest = b""
    while chunk := file.read(size):
        cut = chunk.rfind(b"\n") + 1
        if cut:
            yield rest + chunk[:cut], len(rest) + cut
            rest = chunk[cut:]
            continue
        rest += chunk
        if len(rest) > LONGEST:
            yield rest[:LONGEST], len(rest) + skip(file, b"\n")
            rest = b""
    if rest:
        yield rest, len(rest)


def _lines(path: str, reader: LineReader, number: int, data: bytes) -> Columns:
    marks = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(marks == 10) + 1
    if not len(ends) or ends[-1] != len(data):
        ends = np.append(ends, len(data))
    starts = np.concatenate(([0], ends))

    def make(i: int) -> Row:
        return line_row(reader, number + i, data[starts[i] : starts[i + 1]])

    said: Callable[[], Said | None] = partial(_same, None)
    parts: list[str | None] | None = [None] * len(ends)
    if reader.form == "tsv":
        column, said = _tsv(data, starts, marks, reader)
        parts = None if reader.names.split in (reader.columns or ()) else parts
    elif reader.form == "jsonl":
        column, spoken, parts = _jsonl(data, reader.names)
        said = partial(_same, spoken)
    else:
        column = _binary(len(ends), starts, data)
    crlf = data.find(b"\r\n") if b"\r" in data else -1  # looking for one byte is far quicker
    if crlf < 0 and data.endswith(b"\r"):
        crlf = len(data) - 1
    at = int(rows_of(np.array([crlf]), starts)[0]) if crlf >= 0 else -1
    return Columns(path, column, make, len(data), np.diff(starts) > LONGEST, said, at, parts)


def _same(said: Said | None) -> Said | None:
    return said


def _binary(size: int, offsets: np.ndarray, data: bytes) -> pa.Array:
    return pa.BinaryArray.from_buffers(
        pa.binary(), size, [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(data)]
    )


def _tsv(
    data: bytes, starts: np.ndarray, marks: np.ndarray, reader: LineReader
) -> tuple[pa.Array, Callable[[], Said | None]]:
    """The column of the trees, and the utterances; cut at tabs as `LineReader` does it."""
    columns = reader.columns or ()
    tabs = np.append(np.flatnonzero(marks == 9), np.full(len(columns), len(data)))
    begin, end = starts[:-1], starts[1:]
    base = np.searchsorted(tabs, begin)
    short = tabs[base + max(0, len(columns) - 2)] >= end if len(columns) > 1 else np.zeros(len(begin), bool)

    def cells(place: int) -> pa.Array:
        left = begin if place == 0 else tabs[base + place - 1] + 1
        right = end if place == len(columns) - 1 else tabs[base + place]
        # A row with too few columns has no cells; the empty text is no tree.
        span = np.stack((np.where(short, begin, left), np.where(short, begin, right)), 1).ravel()
        return _binary(len(span) - 1, span, data).take(pa.array(np.arange(0, len(span), 2)))

    spoken = next((name for name in reader.names.utterances if name in columns), None)

    def said() -> Said | None:
        if spoken is None:
            return None
        texts = cells(columns.index(spoken)).to_pylist()
        last = columns.index(spoken) == len(columns) - 1
        return [(text.removesuffix(b"\n") if last else text).decode("utf-8", "surrogateescape") for text in texts]

    return cells(reader.tree_column()), said


def _jsonl(data: bytes, names: Names) -> tuple[pa.Array, Said, list[str | None]]:
    trees: list[bytes] = []
    said: Said = []
    splits: list[str | None] = []
    for line in data.decode("utf-8", "surrogateescape").removesuffix("\n").split("\n"):
        tree, utterance, split = b"", None, None
        try:
            row = json.loads(line)
            text = row.get(names.tree) if isinstance(row, dict) else None
            if isinstance(text, str):
                key = next((key for key in names.utterances if row.get(key)), names.utterances[-1])
                if is_utterance(row.get(key)):
                    utterance, split = row.get(key), as_text(row.get(names.split))
                    tree = text.encode()
        except (ValueError, RecursionError):
            pass  # the reader of rows says what is wrong with it
        trees.append(tree)
        said.append(utterance)
        splits.append(split)
    return pa.array(trees, pa.binary()), said, splits


def _parquet(path: str, names: Names) -> Iterator[Block]:
    for first, batch in parquet_batches(path, names):
        column = batch.column(names.tree)
        if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            rows = [parquet_row(path, i, cell, names) for i, cell in enumerate(batch.to_pylist(), first)]
            yield Block(path, rows, batch.nbytes)
            continue

        def make(i: int, batch: Any = batch, first: int = first) -> Row:
            return parquet_row(path, first + i, batch.slice(i, 1).to_pylist()[0], names)

        trees = pc.fill_null(column.cast(pa.binary()), b"")
        doubt = pc.ends_with(trees, "\r").to_numpy(zero_copy_only=False).copy()
        said = _spoken(batch, names)
        for i, utterance in enumerate(said or ()):
            if not is_utterance(utterance):
                doubt[i], said[i] = True, None  # type: ignore[index]
        parts: list[str | None] | None = None if names.split in batch.schema.names else [None] * batch.num_rows
        yield Columns(path, trees, make, batch.nbytes, doubt, partial(_same, said), -1, parts)


def _spoken(batch: Any, names: Names) -> Said | None:
    found: Said | None = None
    for name in names.utterances:
        if name in batch.schema.names:
            more = batch.column(name).to_pylist()
            found = more if found is None else [a if a is not None else b for a, b in zip(found, more, strict=True)]
    return found
