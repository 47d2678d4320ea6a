"""Places in the text of a tree, and places in the line that holds it: they differ in tables and in JSON."""

from __future__ import annotations

from grammar.finding import Finding
from grammar.json_text import places as json_places
from grammar.rows import Row
from grammar.tree import Span


def in_line(row: Row, span: Span, finding: Finding | None = None) -> tuple[int, int]:
    """Where a span stands in `row.raw`, half-open.

    Args:
        row: a row of a file.
        span: in characters of the tree, or of what `finding` counts in.
        finding: says which text the span counts in; without it the tree.
    """
    field = finding.field if finding else "tree"
    if row.form == "jsonl" and not row.problem and field != "line":
        places = json_places(row.raw, row.column if field == "tree" else row.spoken[0])
        return places[min(span.start, len(places) - 1)], places[min(span.end, len(places) - 1)]
    offset = (row.place_of(finding) if finding else row.place).offset
    return offset + span.start, offset + span.end


def written(row: Row, at: int) -> int:
    """The character of the tree that stands at place `at` of the line; the other way round."""
    if row.form != "jsonl":
        return at - row.place.offset
    places = json_places(row.raw, row.column)
    return next((i for i, place in enumerate(places) if place >= at), len(places))
