"""One line of a file -> `Row`: which of its columns is the tree, which the utterance, and where the tree stands.

    .trees   one tree a line; lines that begin with `#` and blank lines are skipped
    .tree    one tree for the whole file, over as many lines as it likes
    .tsv     columns named by a first line that has a column `tree`; without one, utterance<TAB>tree
    .jsonl   {"id": ..., "utterance": ..., "tree": ...} a line; `words` (a list) wins over `utterance`

A row of a table is cut at as many tabs as its first line has, so that the last column may hold tabs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from grammar.finding import Finding, Place
from grammar.rules import finding
from grammar.tree import Span

FORMS = ("trees", "tree", "tsv", "jsonl", "parquet")
PLAIN_TSV = ("utterance", "tree")
"""The columns of a table without a first line that names them."""


@dataclass(frozen=True, slots=True)
class Names:
    """What the columns are called.

    Attributes:
        tree: the column of the trees.
        utterances: the columns of the utterance; the first that a row has is taken.
        annotator, batch, split: columns that are passed on.
    """

    tree: str = "tree"
    utterances: tuple[str, ...] = ("words", "utterance")
    annotator: str = "annotator"
    batch: str = "batch"
    split: str = "split"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a file, the whole of a `.tree` file, or a row of a Parquet file.

    Attributes:
        place: where the tree stands, for findings.
        form: one of `FORMS`.
        raw: the line as it was, without its line end and byte-order mark.
        text: the tree's text; None where the line holds none (a comment, a header) or is unreadable.
        utterance: as text or as words, where the file has it.
        problem: why the line is unreadable.
        annotator, batch, split: the columns of these names, where the file has them.
        column: what the column of the tree is called.
        marked: the line begins with a byte-order mark.
    """

    place: Place
    form: str
    raw: str
    text: str | None = None
    utterance: str | list[str] | None = None
    problem: Finding | None = None
    annotator: str | None = None
    batch: str | None = None
    split: str | None = None
    column: str = "tree"
    marked: bool = False

    def with_tree(self, tree: str) -> str:
        """The line with another tree in it."""
        if self.form == "tsv":
            at = self.place.offset
            return self.raw[:at] + tree + self.raw[at + len(self.text or "") :]
        if self.form == "jsonl":
            return json.dumps({**json.loads(self.raw), self.column: tree}, ensure_ascii=False)
        return tree

    def place_of(self, found: Finding) -> Place:
        """Where the text that a finding counts in was read: the tree's, the utterance's, or the line's."""
        if found.field == "tree":
            return self.place
        source = self.raw if self.form == "tsv" or found.field == "line" else str(self.utterance)
        return Place(self.place.path, self.place.line, source)


class LineReader:
    """Lines of one file -> rows. It remembers what the first line said of the columns.

    Attributes:
        form: one of `FORMS`; None until the first line of a stream decides it.
        columns: the columns of a table, from its first line.
    """

    def __init__(self, path: str, form: str | None, names: Names | None = None) -> None:
        self.path, self.form, self.names = path, form, names or Names()
        self.columns: tuple[str, ...] | None = None

    def row(self, number: int, raw: str, marked: bool = False) -> Row:
        """The row of line `number` (from 1), its text decoded with `surrogateescape`."""
        self.form = self.form or _guess(raw)
        if self.form == "tsv" and self.columns is None:
            self.columns = PLAIN_TSV
            cells = tuple(raw.rstrip("\r").split("\t"))
            if self.names.tree in cells:
                self.columns = cells
                return Row(Place(self.path, number, raw), "tsv", raw, marked=marked)
            if self.names.tree != Names().tree:
                raise ValueError(f"no column `{self.names.tree}`; the first line has {', '.join(cells)}")
        place = Place(self.path, number, raw)
        if self.form is None or not raw.strip(" \t\r"):
            return Row(place, self.form or "trees", raw, marked=marked)
        if self.form == "tsv":
            return self._tsv(place, raw, marked)
        if self.form == "jsonl":
            return self._jsonl(place, raw, marked)
        return Row(place, self.form, raw, None if raw.startswith("#") else raw, marked=marked)

    def _tsv(self, place: Place, raw: str, marked: bool) -> Row:
        columns = self.columns or PLAIN_TSV
        cells = raw.split("\t", len(columns) - 1)
        if len(cells) < len(columns):
            if len(columns) == 2:
                return unreadable(place, "tsv", "no tab in this row", "write the utterance, a tab, and the tree")
            reason = f"{len(cells)} columns, and the first line has {len(columns)}"
            return unreadable(place, "tsv", reason, f"write {', '.join(columns)}, with tabs between them")
        at = columns.index(self.names.tree) if self.columns != PLAIN_TSV else 1
        offset = sum(map(len, cells[:at])) + at
        cell = dict(zip(columns, cells, strict=True))
        utterance = next((cell[name] for name in self.names.utterances if name in cell), None)
        place = Place(place.path, place.line, raw, offset)
        return self._row(place, "tsv", raw, cells[at], utterance, cell, marked)

    def _jsonl(self, place: Place, raw: str, marked: bool) -> Row:
        try:
            row = json.loads(raw)
        except (ValueError, RecursionError) as error:
            return unreadable(place, "jsonl", f"not JSON: {error}", "write one object a line")
        name = self.names.tree
        if not isinstance(row, dict) or not isinstance(row.get(name), str):
            return unreadable(place, "jsonl", f"an object with a string `{name}` is needed", f'add `"{name}": "(...)"`')
        utterance = next(
            (row[key] for key in self.names.utterances if row.get(key)), row.get(self.names.utterances[-1])
        )
        if not is_utterance(utterance):
            help_ = "write `utterance` as a string, or `words` as a list of strings"
            return unreadable(place, "jsonl", "the utterance is not text", help_)
        # The tree is shown as it reads, not as JSON writes it.
        return self._row(Place(place.path, place.line, row[name]), "jsonl", raw, row[name], utterance, row, marked)

    def _row(
        self,
        place: Place,
        form: str,
        raw: str,
        text: str,
        utterance: str | list[str] | None,
        cell: Mapping[str, object],
        marked: bool,
    ) -> Row:
        names = self.names
        annotator, batch, split = (as_text(cell.get(name)) for name in (names.annotator, names.batch, names.split))
        return Row(place, form, raw, text, utterance, None, annotator, batch, split, names.tree, marked)


def is_utterance(value: Any) -> bool:
    """Whether a value is text, words, or nothing."""
    listed = isinstance(value, list) and all(isinstance(word, str) for word in value)
    return value is None or isinstance(value, str) or listed


def as_text(value: object) -> str | None:
    return None if value is None else str(value)


def unreadable(place: Place, form: str, reason: str, help_: str) -> Row:
    span = Span(0, len(place.source.rstrip("\r")))
    return Row(place, form, place.source, problem=finding("E114", span, reason=reason, help=help_))


def _guess(line: str) -> str | None:
    """The form of a stream by its first line that is not blank."""
    start = line.lstrip()[:1]
    if not start:
        return None
    return "jsonl" if start == "{" else "tsv" if start not in "(#" and "\t" in line else "trees"
