"""JSON files: lists that are cut at their elements, lines of objects, and whole objects.

[                                 plan: a list of a gigabyte is cut after every 16 MiB, between two elements
  {"id": 1, ...},                 items: (number, element) for each, 1-based
  {"id": 2, ...}
]
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from pipelines.formats.lines import (
    BOM,
    Range,
    Source,
    decode,
    numbered,
    open_file,
    plan_lines,
    read_bytes,
    shown,
    whole,
)
from pipelines.record import Rejection

_BLOCK = 1 << 20
_MARK = re.compile(rb'["\\\[\]{},]')


def plan(source: Source, size: int) -> list[Range]:
    """Ranges of the elements of a list, or of lines where the file is no list."""
    if not _is_list(source.path):
        return plan_lines(source, size)
    ranges: list[Range] = []
    start, first, number, end = -1, 1, 0, 0
    with open_file(source.path) as file:
        for begin, end in _elements(iter(partial(file.read, _BLOCK), b""), 0):
            start = begin if start < 0 else start
            number += 1
            if end - start >= size:
                ranges.append(Range(source, len(ranges), start, end, first))
                start, first = -1, number + 1
    if start >= 0:
        ranges.append(Range(source, len(ranges), start, end, first))
    return ranges


def items(range_: Range) -> Iterator[tuple[int, str, dict[str, Any] | Rejection]]:
    """Number, text and object of each element or line; a Rejection for what is not UTF-8 (R101) or no object (R103)."""
    source = range_.source
    found: Iterable[tuple[int, bytes]] = numbered(range_)
    if _is_list(source.path):
        data = read_bytes(source.path, range_.start, range_.stop)
        found = enumerate((data[a:b] for a, b in _elements([data], 1)), range_.first_line)
    for number, piece in found:
        if not piece.strip():
            continue
        text = decode(piece)
        if text is None:
            yield number, "", source.reject(number, "R101", shown(piece))
            continue
        row = parsed(source, number, text.strip())
        if not isinstance(row, dict | Rejection):
            row = source.reject(number, "R103", text.strip(), "not an object")
        yield number, text.strip(), row


def parsed(source: Source, number: int, text: str) -> Any:
    """The value of a JSON text, or a Rejection (R103)."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        return source.reject(number, "R103", text, str(error))


def whole_object(source: Source) -> dict[str, Any] | Rejection:
    """The object that a file holds; a Rejection for what is not UTF-8 (R101) or no object (R103)."""
    data = whole(source.path)
    text = decode(data)
    if text is None:
        return source.reject(1, "R101", shown(data))
    body = parsed(source, 1, text)
    if isinstance(body, dict | Rejection):
        return body
    return source.reject(1, "R103", text, "not an object")


def _is_list(path: str) -> bool:
    with open_file(path) as file:
        return file.read(1024).removeprefix(BOM).lstrip()[:1] == b"["


def _elements(blocks: Iterable[bytes], depth: int) -> Iterator[tuple[int, int]]:
    """Bytes `[start, end)` of each element of a list that begins in the blocks, or of one that they are inside of.

    The last element takes what is left where the list is not closed.
    """
    in_string, skip, start, at = False, -1, 0 if depth else -1, 0
    for block in blocks:
        for match in _MARK.finditer(block):
            mark, place = match[0], at + match.start()
            if place == skip:
                continue
            if mark == b"\\":
                skip = place + 1 if in_string else -1
            elif mark == b'"':
                in_string = not in_string
            elif in_string:
                continue
            elif mark in b"[{":
                depth += 1
                start = place + 1 if depth == 1 and start < 0 else start
            elif mark in b"]}":
                depth -= 1
                if depth == 0:
                    yield start, place
                    return
            elif depth == 1:
                yield start, place
                start = place + 1
        at += len(block)
    if start >= 0 and at > start:
        yield start, at
