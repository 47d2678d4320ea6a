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

import unicodedata
from dataclasses import dataclass
from typing import Any

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
    """

    path: str
    line: int
    source: str
    offset: int = 0

    def position(self, index: int) -> tuple[int, int]:
        """(line, column), both from 1, of a character of the tree."""
        index += self.offset
        start = self.source.rfind("\n", 0, index) + 1
        return self.line + self.source.count("\n", 0, index), index - start + 1

    def text(self, line: int) -> str:
        """A line of `source`, by its number in the file."""
        return self.source.split("\n")[line - self.line].removesuffix("\r")


def to_json(finding: Finding, place: Place) -> dict[str, Any]:
    """A finding as plain values. `start` and `end` count characters of the tree, lines and columns from 1."""
    line, column = place.position(finding.span.start)
    end_line, end_column = place.position(finding.span.end)
    fix, related = finding.fix, finding.related
    return {
        "code": finding.code,
        "message": finding.message,
        "file": place.path,
        "line": line,
        "column": column,
        "end_line": end_line,
        "end_column": end_column,
        "start": finding.span.start,
        "end": finding.span.end,
        "help": finding.help,
        "fix": fix and {"start": fix.span.start, "end": fix.span.end, "text": fix.text, "safe": fix.safe},
        "related": related and {"start": related.span.start, "end": related.span.end, "message": related.message},
    }


def render(finding: Finding, place: Place) -> str:
    """A finding as text, several lines without a line end."""
    line, column = place.position(finding.span.start)
    marks = [(finding.span, "^")]
    notes = [f"help: {finding.help}"]
    if finding.related:
        marks.append((finding.related.span, "-"))
        at_line, at_column = place.position(finding.related.span.start)
        where = f"column {at_column}" if at_line == line else f"{at_line}:{at_column}"
        notes.insert(0, f"note: {finding.related.message} (at {where})")
    source, carets = _underline(place, line, marks)
    gutter = " " * len(str(line))
    return "\n".join(
        [
            f"error[{finding.code}]: {_safe(finding.message)}",
            f"{gutter}--> {place.path}:{line}:{column}",
            f"{gutter} |",
            f"{line} | {source}".rstrip(),
            f"{gutter} | {carets}",
            *(f"{gutter} = {_safe(note)}" for note in notes),
        ]
    )


def _underline(place: Place, line: int, marks: list[tuple[Span, str]]) -> tuple[str, str]:
    """The line as shown, and the marks below it."""
    text = place.text(line)
    under = [" "] * (len(text) + 1)  # the last one is the place behind the end
    first = 0
    for span, mark in reversed(marks):
        start_line, start = place.position(span.start)
        end_line, end = place.position(span.end)
        if start_line != line:
            continue
        first = min(start - 1, len(text))
        last = end - 1 if end_line == line else len(text)
        for i in range(first, min(max(last, first + 1), len(under))):
            under[i] = mark
    left, right = 0, len(under)
    if len(text) > _WIDEST or sum(_cell(char)[1] for char in text) > _WIDEST:
        left = max(0, first - _BEFORE)
        right = min(right, left + _WIDEST)
    head, tail = "…" * (left > 0), "…" * (right < len(under))
    cells = [_cell(char) for char in (text + " ")[left:right]]
    shown = "".join(char for char, _ in cells)
    carets = "".join(mark * width for mark, (_, width) in zip(under[left:right], cells, strict=True))
    return (head + shown + tail).rstrip(), (" " * len(head) + carets).rstrip()


def _cell(char: str) -> tuple[str, int]:
    """What is shown for a character, and how many cells it takes."""
    if char == "\t":
        return " " * _TAB, _TAB
    category = unicodedata.category(char)
    if category in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(char) in _BIDI:
        return "\ufffd", 1  # it would move the cursor or turn the line round
    if category in ("Mn", "Me", "Cf"):
        return char, 0
    return char, 2 if unicodedata.east_asian_width(char) in "WF" else 1


_BIDI = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})


def _safe(text: str) -> str:
    return "".join(_cell(char)[0] for char in text)
