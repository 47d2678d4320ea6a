"""Findings as JSON; the keys are those of `grammar.finding.to_json`."""

from __future__ import annotations

import json
from collections.abc import Sequence

from grammar.finding import Finding, Place, to_json
from grammar.outputs import Output


class JsonLines(Output):
    """One object a line."""

    def add(self, finding: Finding, place: Place) -> None:
        self.write(dumps(to_json(finding, place)) + "\n")


class Json(Output):
    """One array."""

    first = True

    def begin(self) -> None:
        self.write("[")

    def add(self, finding: Finding, place: Place) -> None:
        self.write(("\n  " if self.first else ",\n  ") + dumps(to_json(finding, place)))
        self.first = False

    def end(self, files: Sequence[str]) -> None:
        self.write("]\n" if self.first else "\n]\n")


def dumps(value: object) -> str:
    """JSON as it reads; lone surrogates, which no UTF-8 can hold, stay escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return text if text.isascii() or not _has_surrogates(text) else json.dumps(value)


def _has_surrogates(text: str) -> bool:
    return any("\ud800" <= char <= "\udfff" for char in text)
