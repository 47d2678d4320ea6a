"""What a check found, and how it is shown: as text in the manner of rustc, and as JSON.

    error[E201]: unknown label `ItmName`
      --> batch_07.trees:17:22
       |
    17 | (AddToListIntent(add(ItmName(apples))))
       |                      ^^^^^^^
       = help: the ontology has `ItemName`

Spans and columns count characters, as editors do; carets count terminal cells, so they stand right
below Chinese (two cells a character) and below combining marks (none).
"""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from grammar.json_text import places, written
from grammar.tree import Span

_WIDEST = 160
"""Longer lines are cut around the mistake."""
_BEFORE = 60
"""Cells kept before it."""
_TAB = 4


@dataclass(frozen=True, slots=True)
class Fix:
    """A mechanical mend: put `text` in the place of `span`. An unsafe one may change what the tree means."""

    span: Span
    text: str
    safe: bool


@dataclass(frozen=True, slots=True)
class Related:
    """A second place that explains the first, such as the other bracket."""

    span: Span
    message: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake in one tree.

    Attributes:
        code: a code of `grammar.rules`, such as `E201`.
        message: what is wrong; lowercase, one line.
        span: the smallest piece of the tree's text that is wrong.
        help: how to mend it.
        fix: the mend as an edit, where it is mechanical.
        related: a second place.
        severity: `error`, `warning` or `note`, as the rule has it.
        field: what `span` counts in: the `tree`, or the `utterance` it belongs to.
    """

    code: str
    message: str
    span: Span
    help: str
    fix: Fix | None = None
    related: Related | None = None
    severity: str = "error"
    field: str = "tree"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tree was read.

    Attributes:
        path: file name, or `<stdin>`.
        line: the line, from 1, on which `source` begins.
        source: the text to show; the tree stands in it at `offset`.
        offset: in characters; the column of the tree in a table.
        literal: whether `source` stands in the file as it is; not so for the strings of JSON and Parquet.
        json: the line of the file and the key, where `source` is the string that stands there in JSON.
    """

    path: str
    line: int
    source: str
    offset: int = 0
    literal: bool = True
    json: tuple[str, str] | None = None

    def in_file(self, index: int) -> tuple[int, int]:
        """(line, column), both from 1, of a character of the tree, as an editor counts in the file."""
        if self.json is None:
            return self.position(index)
        there = places(*self.json)
        return self.line, there[min(index + self.offset, len(there) - 1)] + 1

    def as_written(self, text: str) -> str:
        """Text that is put into `source`, as the file has to write it."""
        return text if self.json is None else written(text)

    def position(self, index: int) -> tuple[int, int]:
        """(line, column), both from 1, of a character of the tree, counted in `source`."""
        index += self.offset
        start = self.source.rfind("\n", 0, index) + 1
        return self.line + self.source.count("\n", 0, index), index - start + 1

    def text(self, line: int) -> str:
        """A line of `source`, by its number in the file."""
        start = 0
        for _ in range(line - self.line):
            start = self.source.index("\n", start) + 1
        end = self.source.find("\n", start)
        return self.source[start : end if end >= 0 else None].removesuffix("\r")


def fingerprint(finding: Finding, place: Place) -> str:
    """A name of this finding that stays when lines move: a hash of code, file, row and place in the row.

    Rows that are equal have equal findings, so a fingerprint may stand for several.
    """
    parts = [finding.code, place.path, finding.field, str(finding.span.start), str(finding.span.end), place.source]
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def to_json(finding: Finding, place: Place) -> dict[str, Any]:
    """A finding as plain values. `start` and `end` count characters of the field, lines and columns from 1."""
    line, column = place.in_file(finding.span.start)
    end_line, end_column = place.in_file(finding.span.end)
    fix, related = finding.fix, finding.related
    return {
        "code": finding.code,
        "severity": finding.severity,
        "message": finding.message,
        "file": place.path,
        "line": line,
        "column": column,
        "end_line": end_line,
        "end_column": end_column,
        "field": finding.field,
        "start": finding.span.start,
        "end": finding.span.end,
        "help": finding.help,
        "fix": fix and {"start": fix.span.start, "end": fix.span.end, "text": fix.text, "safe": fix.safe},
        "related": related and {"start": related.span.start, "end": related.span.end, "message": related.message},
    }


def concise(finding: Finding, place: Place) -> str:
    """A finding as one line: `file:line:column: error[E201]: what is wrong`."""
    line, column = place.in_file(finding.span.start)
    return f"{shown(place.path)}:{line}:{column}: {finding.severity}[{finding.code}]: {shown(finding.message)}"


def render(finding: Finding, place: Place) -> str:
    """A finding as text, several lines without a line end."""
    line = place.position(finding.span.start)[0]
    marks = [(finding.span, "^")]
    notes = [f"help: {finding.help}"]
    elsewhere = None
    if finding.related:
        marks.append((finding.related.span, "-"))
        at_line = place.position(finding.related.span.start)[0]
        at = place.in_file(finding.related.span.start)
        where = f"column {at[1]}" if at_line == line else f"{at[0]}:{at[1]}"
        notes.insert(0, f"note: {finding.related.message} (at {where})")
        elsewhere = at_line if at_line != line else None
    gutter = " " * len(str(max(line, elsewhere or 0)))
    below = [f"{gutter} |"]
    for number in sorted({line, elsewhere or line}):
        source, carets = _underline(place, number, marks)
        if len(below) > 1:
            below.append(f"{gutter} ⋮")
        below += [f"{number:>{len(gutter)}} | {source}".rstrip(), f"{gutter} | {carets}"]
    return "\n".join(
        [
            f"{finding.severity}[{finding.code}]: {shown(finding.message)}",
            f"{gutter}--> {shown(place.path)}:{':'.join(map(str, place.in_file(finding.span.start)))}",
            *below,
            *(f"{gutter} = {shown(note)}" for note in notes),
        ]
    )


def shown(text: str) -> str:
    """Text as it can be printed: what would move the cursor or turn the line round is replaced."""
    return "".join(_visible(char) for char in text)


def _underline(place: Place, line: int, marks: list[tuple[Span, str]]) -> tuple[str, str]:
    """The line as shown, and the marks below it."""
    text = place.text(line)
    places = []  # (first, behind the last, mark) in this line; the end of a line can be marked, too
    for span, mark in marks:
        start_line, start = place.position(span.start)
        end_line, end = place.position(span.end)
        if start_line <= line <= end_line and (start_line == line or mark == "^"):
            first = min(start - 1, len(text)) if start_line == line else 0
            last = end - 1 if end_line == line else len(text)
            places.append((first, max(last, first + 1), mark))
    # A line that fits is shown whole, a longer one around its first mark; none is measured that is longer.
    left, right = 0, len(text) + 1
    if len(text) > _WIDEST or sum(width for _, _, width in _cells(text)) > _WIDEST:
        left = max(0, places[0][0] - _BEFORE) if places else 0
        right = min(right, left + _WIDEST)
    head, tail = "…" * (left > 0), "…" * (right <= len(text))
    parts, carets = [head], [" " * len(head)]
    for start, part, width in _cells((text + " ")[left:right]):
        here = [mark for first, last, mark in places if first < left + start + len(part) and left + start < last]
        parts.append(" " * _TAB if part == "\t" else part)
        carets.append((here[0] if here else " ") * width)
    return ("".join(parts) + tail).rstrip(), "".join(carets).rstrip()


def _cells(text: str) -> list[tuple[int, str, int]]:
    """(start, characters as shown, cells) of what a terminal shows as one: a letter with its accents, an emoji."""
    visible = "".join(_visible(char) for char in text)
    if visible.isascii() or "\t" in visible:
        pieces = []
        start = 0
        for is_tab, group in groupby(visible, lambda char: char == "\t"):
            part = "".join(group)
            if is_tab or part.isascii():
                pieces += [(start + i, char, _TAB if is_tab else 1) for i, char in enumerate(part)]
            else:
                pieces += [(start + a, b, c) for a, b, c in _cells(part)]
            start += len(part)
        return pieces
    from rich.cells import split_graphemes

    return [(start, visible[start:end], width) for start, end, width in split_graphemes(visible)[0]]


def _visible(char: str) -> str:
    """The character, or U+FFFD for one that would move the cursor or turn the line round."""
    if " " <= char <= "~" or char == "\t":
        return char
    if (
        char == "\ufeff"
        or unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")
        or unicodedata.bidirectional(char) in _BIDI
    ):
        return "\ufffd"
    return char


_BIDI = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
