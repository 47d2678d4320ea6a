"""Corpora without trees: text, an utterance a line, or one column of a table. What `annotate` reads.

    .txt              one utterance a line; files of any other name that are given by theirs are read so too
    .tsv              the column that the first line calls so, or, for a number, that column of every line
    .jsonl, .ndjson   the value of the key: text, or a list of words
    .parquet          the column: text, or lists of words

`.gz` behind any of these but `.parquet` is unpacked. Every line or row is an utterance or a dead letter.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from grammar.tree import is_writable
from pipelines import storage
from pipelines.formats import files, huggingface
from pipelines.formats.lines import Range, Source, bare, decode, numbered, open_file, plan_lines, shown, stored
from pipelines.record import Rejection, storable

PATTERNS = ("*.txt", "*.tsv", "*.jsonl", "*.ndjson", "*.parquet")
COLUMN = "utterance"
_BATCH = 8_192
_HEAD = 1 << 20
"""Bytes of a first line at most."""


class Request(NamedTuple):
    """One utterance.

    Attributes:
        line: 1-based, or the number of the row.
        text: as it stands; words that were given, with blanks between them.
        words: where the corpus has cut them.
    """

    line: int
    text: str
    words: list[str] | None = None


def find(inputs: Sequence[str], column: str, corpus: str) -> list[Source]:
    """The files of the inputs.

    Raises:
        ValueError: an input holds none, or a file has no such column; the message lists those that it has.
    """
    sources = [source._replace(corpus=corpus) for source in files.find(inputs, PATTERNS)]
    for source in sources:
        kind = kind_of(source)
        if kind == "parquet":
            names = _parquet_columns(source)
        elif kind == "tsv" and not column.isdecimal():
            names = _tsv_columns(source)
        else:
            continue
        if column not in names:
            raise ValueError(
                f"{source.path}: no column `{column}`, its columns are {', '.join(names)}; give `--column NAME`"
                + (", or `--column N` for a table without a head" if kind == "tsv" else "")
            )
    return sources


def kind_of(source: Source) -> str:
    """`tsv`, `jsonl`, `parquet` or `txt`."""
    ending = storage.plain(source.path).rpartition(".")[2].lower()
    return {"tsv": "tsv", "jsonl": "jsonl", "ndjson": "jsonl", "parquet": "parquet"}.get(ending, "txt")


def plan(source: Source, size: int) -> list[Range]:
    """The ranges of one file: lines, or row groups; a packed file is a single one."""
    if kind_of(source) == "parquet":
        return huggingface.plan(source, size)
    return plan_lines(source, sys.maxsize if storage.is_packed(source.path) else size)


def read(range_: Range, column: str) -> Iterator[Request | Rejection]:
    """What a range holds, in order."""
    kind = kind_of(range_.source)
    if kind == "parquet":
        yield from _rows(range_, column)
        return
    place = _place(range_.source, column) if kind == "tsv" else 0
    for line, data in numbered(range_):
        text = decode(data)
        if text is None:
            yield range_.source.reject(line, "R101", shown(data))
        elif kind == "jsonl":
            yield _json(range_.source, line, text, column)
        elif kind == "txt":
            yield _request(range_.source, line, text, text)
        elif line > 1 or column.isdecimal():  # the first line names the columns
            cells = text.split("\t")
            if place < len(cells):
                yield _request(range_.source, line, cells[place], text)
            else:
                yield range_.source.reject(line, "R112", text, f"{len(cells)}, but the utterance is in {place + 1}")


def bytes_of(range_: Range) -> int:
    """How much of the file as it is stored a range stands for; of a Parquet file about as much."""
    return huggingface.stored(range_) if kind_of(range_.source) == "parquet" else stored(range_)


def sample(source: Source, column: str, rows: int) -> tuple[list[Request | Rejection], float]:
    """The first records of a file, at most so many, and what share of it they are, for an estimate."""
    if kind_of(source) == "parquet":
        found = plan(source, sys.maxsize)
        some = list(islice(read(found[0], column), rows)) if found else []
        return some, len(some) / max(1, huggingface.group_rows(found[0])[1]) if found else 1.0
    data = b""
    with open_file(source.path) as file:
        for line in islice(file, rows):
            data += line
    held = len(gzip.compress(data)) if source.path.endswith(".gz") else len(data)
    return list(read(Range(source, 0, 0, len(data), 1), column)), held / max(1, storage.size(source.path))


def _request(source: Source, line: int, value: Any, raw: str) -> Request | Rejection:
    """An utterance: text, or a list of words."""
    if isinstance(value, str):
        return Request(line, storable(value)) if value.strip() else source.reject(line, "R102", raw)
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        return source.reject(line, "R104", raw, "the utterance is neither text nor a list of words")
    if not all(value):
        return source.reject(line, "R102", raw, "an empty word")
    words = [storable(word) for word in value]
    if unwritable := [word for word in words if not is_writable(word)]:
        return source.reject(line, "R203", raw, repr(unwritable[0]))
    return Request(line, " ".join(words), words) if words else source.reject(line, "R102", raw)


def _json(source: Source, line: int, text: str, column: str) -> Request | Rejection:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        return source.reject(line, "R103", text, str(error))
    if not isinstance(row, dict) or row.get(column) is None:
        return source.reject(line, "R104", text, f"no `{column}`")
    return _request(source, line, row[column], text)


def _rows(range_: Range, column: str) -> Iterator[Request | Rejection]:
    import pyarrow.parquet as pq

    with open_file(range_.source.path) as file:
        groups = list(range(range_.start, range_.stop))
        line = range_.first_line
        for batch in pq.ParquetFile(file).iter_batches(_BATCH, row_groups=groups, columns=[column]):
            for value in batch[column].to_pylist():
                yield _request(range_.source, line, value, "" if value is None else str(value))
                line += 1


def _place(source: Source, column: str) -> int:
    """Which cell of a line it is, from 0."""
    return int(column) - 1 if column.isdecimal() else _tsv_columns(source).index(column)


def _tsv_columns(source: Source) -> list[str]:
    with open_file(source.path) as file:
        line = bare(file.readline(_HEAD)).removeprefix(b"\xef\xbb\xbf")
    return (decode(line) or "").split("\t")


def _parquet_columns(source: Source) -> list[str]:
    import pyarrow.parquet as pq

    with open_file(source.path) as file:
        try:
            return list(pq.ParquetFile(file).schema_arrow.names)
        except (OSError, ValueError) as error:
            raise ValueError(f"{source.path} is no Parquet file: {error}") from error
