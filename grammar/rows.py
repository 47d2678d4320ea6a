"""One line of a file -> `Row`: which of its columns is the tree, which the utterance, and where the tree stands.

    .trees   one tree a line; lines that begin with `#` and blank lines are skipped
    .tree    one tree for the whole file, over as many lines as it likes
    .tsv     columns named by a first line that has a column `tree`; without one, utterance<TAB>tree
    .jsonl   {"id": ..., "utterance": ..., "tree": ...} a line; `words` (a list) wins over `utterance`

A row of a table is cut at as many tabs as its first line has, so that the last column may hold tabs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from grammar.finding import Finding, Place
from grammar.json_text import replaced
from grammar.rules import finding
from grammar.tree import Span

FORMS = ("trees", "tree", "tsv", "jsonl", "parquet")
PLAIN_TSV = ("utterance", "tree")
"""The columns of a table without a first line that names them."""
_TREES = frozenset({"tree", "trees", "parse", "brackets", "annotation"})
"""What the column of the trees is called elsewhere."""
_BRACKET = re.compile(r"[()]")


class FileError(ValueError):
    """A file that cannot be read; the message names it."""


@dataclass(frozen=True, slots=True)
class Names:
    """What the columns are called.

    Attributes:
        tree: the column of the trees.
        utterances: the columns of the utterance; the first that a row has is taken.
        annotator, batch, split, id: columns that are passed on.
        ignore: the column of codes that are not to be reported; see `suppress.py`.
    """

    tree: str = "tree"
    utterances: tuple[str, ...] = ("words", "utterance")
    annotator: str = "annotator"
    batch: str = "batch"
    split: str = "split"
    ignore: str = "ignore"
    id: str = "id"

    def all(self) -> tuple[str, ...]:
        """Every name."""
        return (self.tree, *self.utterances, self.annotator, self.batch, self.split, self.ignore, self.id)


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
        spoken: what the column of the utterance is called, and where it begins in the line of a TSV file.
        ignore: the column `ignore`, where the file has it.
        id: the column `id`, where the file has it.
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
    spoken: tuple[str, int] = ("utterance", 0)
    ignore: object = None
    id: str | None = None

    def with_tree(self, tree: str, utterance: str | None = None) -> str:
        """The line with another tree in it, and (where it is given, and is text here) another utterance."""
        name, start = self.spoken
        said = utterance if isinstance(self.utterance, str) else None
        if self.form == "tsv":
            edits = [(self.place.offset, self.text or "", tree)]
            edits += [(start, str(self.utterance), said)] if said is not None else []
            line = self.raw
            for at, old, new in sorted(edits, reverse=True):
                line = line[:at] + new + line[at + len(old) :]
            return line
        if self.form == "jsonl":
            new_values = {self.column: tree} | ({name: said} if said is not None else {})
            line = self.raw
            for key, value in new_values.items():
                line = replaced(line, key, value)
            return line
        return tree

    def place_of(self, found: Finding) -> Place:
        """Where the text that a finding counts in was read: the tree's, the utterance's, or the line's."""
        if found.field == "tree":
            return self.place
        path, line = self.place.path, self.place.line
        if found.code == "E501":
            return Place(path, line, "\ufeff" + self.raw)
        if found.field == "line" or self.form == "tsv":
            return Place(path, line, self.raw, self.spoken[1] if found.field == "utterance" else 0)
        json_ = (self.raw, self.spoken[0]) if self.form == "jsonl" else None
        return Place(path, line, str(self.utterance), literal=False, json=json_)


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
        """The row of line `number` (from 1), its text decoded with `surrogateescape`.

        Raises:
            FileError: the first line lacks the column of the trees, or has one twice.
        """
        self.form = self.form or _guess(raw)
        if self.form == "tsv" and self.columns is None:
            self.columns = PLAIN_TSV
            cells = tuple(raw.rstrip("\r").split("\t"))
            if self.names.tree in cells:
                self.columns = cells
                if twice := [name for name in self.names.all() if cells.count(name) > 1]:
                    raise FileError(f"{self.path}:{number}: two columns are called `{twice[0]}`; rename one of them")
                return Row(Place(self.path, number, raw), "tsv", raw, marked=marked)
            if self.names.tree != Names().tree:
                has = ", ".join(cells)
                raise FileError(f"{self.path}:{number}: no column `{self.names.tree}`; the first line has {has}")
            if len(cells) > 1 and all(cells) and not _BRACKET.search(raw):
                near = next((cell for cell in cells if cell.strip().lower() in _TREES), "NAME")
                help_ = f"if this line names the columns, tell which one holds the trees: `--column tree={near}`"
                reason = f"no column is called `{self.names.tree}`, and no tree stands here"
                return unreadable(Place(self.path, number, raw), "tsv", reason, help_)
        place = Place(self.path, number, raw)
        if self.form is None or not raw.strip(" \t\r"):
            return Row(place, self.form or "trees", raw, marked=marked)
        if self.form == "tsv":
            return self._tsv(place, raw, marked)
        if self.form == "jsonl":
            return self._jsonl(place, raw, marked)
        return Row(place, self.form, raw, None if raw.startswith("#") else raw, marked=marked)

    def tree_column(self) -> int:
        """Which column of a table holds the trees, from 0."""
        return 1 if self.columns in (None, PLAIN_TSV) else self.columns.index(self.names.tree)

    def _tsv(self, place: Place, raw: str, marked: bool) -> Row:
        columns = self.columns or PLAIN_TSV
        cells = raw.split("\t", len(columns) - 1)
        if len(cells) < len(columns):
            if len(columns) == 2:
                return unreadable(place, "tsv", "no tab in this row", "write the utterance, a tab, and the tree")
            reason = f"{len(cells)} columns, and the first line has {len(columns)}"
            return unreadable(place, "tsv", reason, f"write {', '.join(columns)}, with tabs between them")
        at = self.tree_column()
        offset = sum(map(len, cells[:at])) + at
        cell = dict(zip(columns, cells, strict=True))
        name = next((name for name in self.names.utterances if name in cell), None)
        place = Place(place.path, place.line, raw, offset)
        if name is None:
            return self._row(place, "tsv", raw, cells[at], None, cell, marked)
        said = columns.index(name)
        spoken = (name, sum(map(len, cells[:said])) + said)
        return self._row(place, "tsv", raw, cells[at], cell[name], cell, marked, spoken)

    def _jsonl(self, place: Place, raw: str, marked: bool) -> Row:
        try:
            row = json.loads(raw)
        except (ValueError, RecursionError) as error:
            return unreadable(place, "jsonl", f"not JSON: {error}", "write one object a line")
        name = self.names.tree
        if not isinstance(row, dict) or not isinstance(row.get(name), str):
            return unreadable(place, "jsonl", f"an object with a string `{name}` is needed", f'add `"{name}": "(...)"`')
        key = next((key for key in self.names.utterances if row.get(key)), self.names.utterances[-1])
        utterance = row.get(key)
        if not is_utterance(utterance):
            help_ = "write `utterance` as a string, or `words` as a list of strings"
            return unreadable(place, "jsonl", "the utterance is not text", help_)
        # The tree is shown as it reads, not as JSON writes it.
        place = Place(place.path, place.line, row[name], literal=False, json=(raw, name))
        return self._row(place, "jsonl", raw, row[name], utterance, row, marked, (key, 0))

    def _row(
        self,
        place: Place,
        form: str,
        raw: str,
        text: str,
        utterance: str | list[str] | None,
        cell: Mapping[str, object],
        marked: bool,
        spoken: tuple[str, int] = ("utterance", 0),
    ) -> Row:
        names = self.names
        annotator, batch, split = (as_text(cell.get(name)) for name in (names.annotator, names.batch, names.split))
        ignore, id_ = cell.get(names.ignore), as_text(cell.get(names.id))
        said = (annotator, batch, split)
        return Row(place, form, raw, text, utterance, None, *said, names.tree, marked, spoken, ignore, id_)


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
