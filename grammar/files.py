"""Trees in files: which files there are, and their rows one by one, with the place of each tree.

What a row of each form looks like is told in `rows.py`; a `.gz` behind any name but `.parquet` is unpacked. Lines
end at `\\n` only: other line ends of Unicode are characters of words. Bytes that are no UTF-8 become surrogates
(`surrogateescape`), so that they can be found, and be written back as they were.
"""

from __future__ import annotations

import glob
import gzip
import math
import os
import stat
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from grammar.encoding import wide
from grammar.finding import Place
from grammar.ontology import Ontology, load
from grammar.rows import FORMS, FileError, LineReader, Names, Row, as_text, is_utterance, unreadable
from grammar.rules import MAX_BYTES, finding
from grammar.tree import Span

__all__ = ["FORMS", "FileError", "Names", "Row", "form_of", "inputs", "ontology_beside", "opened", "read"]

_SPREADSHEETS = {"csv": "CSV", "xlsx": "Excel", "xls": "Excel", "ods": "OpenDocument"}
"""Names that are not read; their text taken for trees would be told to be removed."""
_SUFFIXES = {"trees": "trees", "tree": "tree", "tsv": "tsv", "jsonl": "jsonl", "ndjson": "jsonl", "parquet": "parquet"}
LONGEST = 4 * MAX_BYTES
"""Bytes of a line that is read when the reader may cut; a tree has fewer, and an utterance has no such length."""
_BOM = b"\xef\xbb\xbf"


def inputs(paths: Iterable[str]) -> list[str]:
    """The files that `paths` name: files and `-` as they are, folders searched, patterns (`*`, `?`, `[`) expanded.

    Raises:
        FileError: a folder without files of trees, or a pattern that fits nothing.
    """
    found: list[str] = []
    for path in paths:
        if Path(path).is_dir():
            below = [p for p in sorted(Path(path).rglob("*")) if p.is_file() and not _hidden(p.relative_to(path))]
            some = [str(p) for p in below if _suffix(str(p)) in _SUFFIXES]
            if not some:
                raise FileError(f"{path}: no file of trees in this folder; names end in .{', .'.join(_SUFFIXES)}")
        elif glob.has_magic(path) and not Path(path).exists():
            some = sorted(p for p in glob.glob(path, recursive=True) if Path(p).is_file())
            if not some:
                raise FileError(f"{path}: no file fits this pattern")
        else:
            some = [path]
        found += some
    return list(dict.fromkeys(found))


def read(path: str, form: str | None = None, names: Names | None = None, cut: bool = False) -> Iterator[Row]:
    """Every line of a file (`-` is stdin), in order, comments and blank lines included.

    Args:
        path: a file, or `-`.
        form: one of `FORMS`; without it the name decides, and on stdin the first line.
        names: what the columns of a table are called.
        cut: do not hold a line of more than `LONGEST` bytes; it becomes a row with a problem (E113), and the
            rest of it is passed over.

    Raises:
        FileError: the file cannot be opened, is of a form that is not read, or lacks the column of the trees.
    """
    name = "<stdin>" if path == "-" else path
    form = readable(path, form)
    if form == "parquet":
        yield from _parquet(path, names or Names())
        return
    reader = LineReader(name, form, names)
    with opened(path) as file:
        if form == "tree":
            data = file.read(LONGEST if cut else -1)
            if encoding := wide(data):
                yield other_encoding(name, "tree", data, encoding)
                return
            size = len(data) + (skip(file, b"") if len(data) == LONGEST else 0)
            text, marked = decode(data, first=True)
            place = Place(name, 1, text)
            if size > len(data):
                yield too_long(place, "tree", size)
            else:
                yield Row(place, "tree", text, text, marked=marked)
            return
        for number, (line, size) in enumerate(_lines(file, LONGEST if cut else -1), 1):
            if number == 1 and (encoding := wide(line)):
                yield other_encoding(name, reader.form or "trees", line, encoding)
                return
            raw, marked = decode(line.removesuffix(b"\n"), first=number == 1)
            if size > len(line):
                yield too_long(Place(name, number, raw[:200]), reader.form or "trees", size)
                continue
            yield reader.row(number, raw, marked)


def ontology_beside(path: str) -> Ontology | None:
    """The `ontology.toml` in the same folder, if there is one; none for stdin."""
    beside = Path(path).parent / "ontology.toml"
    return load(beside) if path != "-" and beside.is_file() else None


def size_of(path: str) -> float:
    """Bytes of a file as it is stored; without bound for a stream, and 0 for a file that is not there."""
    try:
        there = os.stat(sys.stdin.fileno() if path == "-" else path)
    except (OSError, ValueError):  # ValueError: a stdin that is no file
        return math.inf if path == "-" else 0
    return there.st_size if stat.S_ISREG(there.st_mode) else math.inf


def form_of(path: str) -> str | None:
    """The form that a name says; `trees` for a name that says none, None for stdin."""
    return None if path == "-" else _SUFFIXES.get(_suffix(path), "trees")


def readable(path: str, form: str | None) -> str | None:
    """The form a file is read as: the one that is given, or what its name says; None for stdin.

    Raises:
        FileError: it is a spreadsheet.
    """
    if form is None and (suffix := _suffix(path)) in _SPREADSHEETS:
        raise FileError(f"{path}: {_SPREADSHEETS[suffix]} is not read; save it as TSV, columns with tabs between them")
    return form or form_of(path)


def spreadsheets(paths: Iterable[str]) -> list[str]:
    """The spreadsheets in folders among `paths`, which `inputs` passes over."""
    folders = [path for path in paths if Path(path).is_dir()]
    below = ((path, p) for path in folders for p in sorted(Path(path).rglob("*")))
    return [str(p) for path, p in below if _suffix(str(p)) in _SPREADSHEETS and not _hidden(p.relative_to(path))]


def decode(data: bytes, first: bool) -> tuple[str, bool]:
    """The text of a line, and whether a byte-order mark was taken from its begin."""
    marked = first and data.startswith(_BOM)
    return data[3 * marked :].decode("utf-8", "surrogateescape"), marked


def too_long(place: Place, form: str, size: int) -> Row:
    span = Span(0, len(place.source))
    return Row(place, form, place.source, problem=finding("E113", span, size=size))


def other_encoding(path: str, form: str, data: bytes, encoding: str) -> Row:
    """The one row that stands for a file of UTF-16, given its begin: cut at bytes 0A, its lines would be nonsense."""
    seen = data[:400].decode(encoding, "ignore").split("\n")[0].rstrip("\r")
    what = f"the file is {encoding.upper()}, not UTF-8"
    problem = finding("E503", Span(0, len(seen)), what=what, encoding=encoding)
    return Row(Place(path, 1, seen), form, decode(data[:400], first=False)[0], problem=problem)


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """A file for reading bytes, unpacked; `-` is stdin.

    Raises:
        FileError: it cannot be opened or unpacked.
    """
    if path == "-":
        yield sys.stdin.buffer
        return
    try:
        # Closed below; an error while reading is not one of opening.
        file = gzip.open(path, "rb") if path.lower().endswith(".gz") else open(path, "rb")  # noqa: SIM115
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror}") from error
    with file:
        try:
            yield file  # type: ignore[misc]  # a GzipFile is read like any other
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise FileError(f"cannot unpack {path}: {error}") from error
        except IsADirectoryError as error:
            raise FileError(f"cannot read {path}: {error.strerror}") from error


def _lines(file: BinaryIO, longest: int) -> Iterator[tuple[bytes, int]]:
    """(line, its size in the file): the size is the greater where the line was cut."""
    while line := file.readline(longest):
        cut = len(line) == longest and not line.endswith(b"\n")
        yield line, len(line) + (skip(file, b"\n") if cut else 0)


def skip(file: BinaryIO, end: bytes) -> int:
    """Pass over bytes to the end of the line, or (for an empty `end`) of the file; how many they were."""
    size = 0
    while piece := file.readline(1 << 20) if end else file.read(1 << 20):
        size += len(piece)
        if end and piece.endswith(end):
            break
    return size


def _parquet(path: str, names: Names) -> Iterator[Row]:
    for first, table in parquet_batches(path, names):
        for number, cell in enumerate(table.to_pylist(), first):
            yield parquet_row(path, number, cell, names)


def parquet_row(path: str, number: int, cell: dict[str, object], names: Names) -> Row:
    """The row `number` (from 1) of a Parquet file; its line in findings is that number."""
    text = cell.get(names.tree)
    place = Place(path, number, text if isinstance(text, str) else "", literal=False)
    if not isinstance(text, str):
        return unreadable(place, "parquet", f"`{names.tree}` is null", "write a tree, or leave the row out")
    utterance = next((cell[name] for name in names.utterances if cell.get(name) is not None), None)
    if not is_utterance(utterance):
        return unreadable(place, "parquet", "the utterance is not text", "it is a string, or a list of strings")
    annotator, batch, split = (as_text(cell.get(name)) for name in (names.annotator, names.batch, names.split))
    ignore, id_ = cell.get(names.ignore), as_text(cell.get(names.id))
    row = Row(place, "parquet", text, text, utterance, None, annotator, batch, split, names.tree)  # type: ignore[arg-type]
    return replace(row, ignore=ignore, id=id_)


def parquet_batches(path: str, names: Names, rows: int = 16_384) -> Iterator[tuple[int, Any]]:
    """(number of the first row from 1, record batch) of the columns that are named.

    Raises:
        FileError: it is no Parquet file, or lacks the column of the trees.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise FileError(f"{path}: Parquet needs pyarrow; install treewright[grammar]") from error
    if path == "-":
        raise FileError("<stdin>: Parquet is not read from stdin; give a file")
    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            there = file.schema_arrow.names
            if names.tree not in there:
                raise FileError(f"{path}: no column `{names.tree}`; the columns are {', '.join(there)}")
            first = 1
            for batch in file.iter_batches(rows, columns=[name for name in names.all() if name in there]):
                yield first, batch
                first += batch.num_rows
    except (OSError, pa.ArrowException) as error:
        raise FileError(f"cannot read {path}: {error}") from error


def _suffix(path: str) -> str:
    name = path.lower().removesuffix(".gz")
    return Path(name).suffix.removeprefix(".")


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
