"""Places in the text of a tree, and places in the line that holds it: they differ in tables and in JSON."""

from __future__ import annotations

import json
import re

from grammar.finding import Finding
from grammar.rows import Row
from grammar.tree import Span

_KEY = re.compile(r'[{,\s]*("(?:[^"\\]|\\.)*")\s*:\s*')
_CHAR = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|[^\"\\]", re.S)


def in_line(row: Row, span: Span, finding: Finding | None = None) -> tuple[int, int]:
    """Where a span stands in `row.raw`, half-open.

    Args:
        row: a row of a file.
        span: in characters of the tree, or of what `finding` counts in.
        finding: says which text the span counts in; without it the tree.
    """
    field = finding.field if finding else "tree"
    if row.form == "jsonl" and not row.problem and field != "line":
        places = _json_places(row.raw, row.column if field == "tree" else "utterance")
        return places[min(span.start, len(places) - 1)], places[min(span.end, len(places) - 1)]
    offset = (row.place_of(finding) if finding else row.place).offset
    return offset + span.start, offset + span.end


def written(row: Row, at: int) -> int:
    """The character of the tree that stands at place `at` of the line; the other way round."""
    if row.form != "jsonl":
        return at - row.place.offset
    places = _json_places(row.raw, row.column)
    return next((i for i, place in enumerate(places) if place >= at), len(places))


def _json_places(raw: str, key: str) -> list[int]:
    """Where each character of a top-level string value stands in the JSON text, and where it ends."""
    decoder = json.JSONDecoder()
    at, found = raw.index("{"), None
    while match := _KEY.match(raw, at):
        if json.loads(match[1]) == key:
            found = match.end()  # of two equal keys the last one counts
        at = decoder.raw_decode(raw, match.end())[1]
    if found is None or raw[found] != '"':
        return [0]
    places, at = [], found + 1
    while match := _CHAR.match(raw, at):
        places.append(at)
        at = match.end()
    return [*places, at]
