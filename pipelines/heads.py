"""What a range must know of the lines before it, said in lines that the checker reads.

    # treewright: ignore-file[E508]      range 1
    (Play(title(a)))\\r
    # treewright: ignore[E201]
    ----------------------------------
    (Play(titel(b)))\\r                  range 2; its head is a blank line that ends in CRLF, and both marks

A head is empty where a file begins. Else it begins with the first line of a table, which may name the columns, or with
a blank line, so that no byte-order mark is seen where none can be. That line ends in CRLF where one before the range
does, since this is told once a file. Then follow the marks that hold for the range.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from grammar.rules import UnknownCode
from grammar.suppress import mark
from pipelines.formats.lines import BOM, Range, open_file, pieces

_MARK = b"treewright:"


def heads(ranges: Sequence[Range], form: str) -> Iterator[bytes]:
    """The head of each range of one file.

    Args:
        ranges: all of them, in order.
        form: one of those of `grammar.rows`.
    """
    first = _first_line(ranges[0].source.path) if form == "tsv" and ranges[1:] else b""
    crlf = False
    lasting: list[bytes] = []
    waiting: list[bytes] = []
    for range_ in ranges:
        if not range_.start:
            yield b""
        else:
            top = first.removesuffix(b"\n").removesuffix(b"\r") + (b"\r\n" if crlf else b"\n")
            yield b"".join([top, *lasting, *waiting])
        if range_ is ranges[-1]:
            return
        crlf = crlf or _has_crlf(range_)
        if form == "trees":
            _marks(range_, lasting, waiting)


def _first_line(path: str) -> bytes:
    with open_file(path) as file:
        return file.readline()


def _has_crlf(range_: Range) -> bool:
    last = b""
    for data in pieces(range_.source.path, range_.start, range_.stop):
        if b"\r\n" in last + data:
            return True
        last = data[-1:]
    return False


def _marks(range_: Range, lasting: list[bytes], waiting: list[bytes]) -> None:
    """Add the marks of a range: those that hold to the end of the file, and those above the next tree."""
    with open_file(range_.source.path) as file:
        file.seek(range_.start)
        left = range_.stop - range_.start
        while left > 0 and (line := file.readline()):
            left -= len(line)
            if not line.startswith((b"#", BOM + b"#")):
                if waiting and line.strip():
                    waiting.clear()
            elif _MARK in line:
                line = line.removeprefix(BOM)
                try:
                    found = mark(line.decode("utf-8", "replace"))
                except UnknownCode:  # the range of the mark tells of it
                    continue
                if found:
                    (lasting if found[0] else waiting).append(line)
