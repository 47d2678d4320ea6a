"""The beginning of a file, as far as it takes to say which format it is."""

from __future__ import annotations

import json
import re
from functools import cached_property
from typing import Any, NamedTuple

from pipelines.formats.lines import decode

SIZE = 1 << 16
"""Bytes that are looked at."""

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+', re.S)


class Guess(NamedTuple):
    """How sure a format is that a file is its own.

    Attributes:
        sure: 3 for a mark that only this format has, 2 for its structure, 1 for what others may look like too.
        reason: what was seen, as the end of the sentence "X is FORMAT: ...".
    """

    sure: int
    reason: str


class Head:
    """A file's name, its first bytes and the names beside it, all without the ending of a packing."""

    def __init__(self, name: str, data: bytes, siblings: frozenset[str] = frozenset(), whole: bool = True) -> None:
        self.name, self.data, self.siblings, self.is_whole = name, data.removeprefix(b"\xef\xbb\xbf"), siblings, whole

    @cached_property
    def text(self) -> str:
        """The bytes as text; what is not UTF-8 is replaced."""
        return decode(self.data) or self.data.decode("utf-8", "replace")

    @cached_property
    def lines(self) -> list[str]:
        """Its lines that are not blank; the last one only if it is whole."""
        found = self.text.split("\n")
        if not self.is_whole and len(found) > 1:
            found.pop()
        return [line.rstrip("\r") for line in found if line.strip()]

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The objects of a file of JSON lines: up to 20, empty where most lines are no object."""
        found = []
        for line in self.lines[:20]:
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(row, dict):
                found.append(row)
        return found if len(found) * 2 > len(self.lines[:20]) else []

    @cached_property
    def json(self) -> Any:
        """The JSON value that begins here, as far as it goes where the file is cut off; None for no JSON."""
        text = self.text.strip()
        if not text.startswith(("{", "[")):
            return None
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return _closed(text)

    @property
    def first(self) -> dict[str, Any]:
        """The first object of a JSON list, or of JSON lines; empty for anything else."""
        if isinstance(self.json, list):
            return next((item for item in self.json if isinstance(item, dict)), {})
        return self.rows[0] if self.rows else {}

    @property
    def object(self) -> dict[str, Any]:
        """The one JSON object of the file; empty for anything else."""
        return self.json if isinstance(self.json, dict) else {}


def _closed(text: str) -> Any:
    """A JSON text that stops in the middle, cut after its last whole value and closed.

    >>> _closed('{"a": [{"b": 1}, {"b": 2')
    {'a': [{'b': 1}]}
    """
    stack: list[str] = []
    best = ""
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in "[{":
            stack.append("]" if token == "[" else "}")
        elif token in "]}":
            if not stack or stack.pop() != token:
                return None
            best = text[: match.end()] + "".join(reversed(stack))
    try:
        return json.loads(best) if best else None
    except (ValueError, RecursionError):
        return None
