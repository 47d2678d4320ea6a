"""Trees in files: four forms, read a line at a time, with the place of each tree.

    .trees   one tree a line; lines that begin with `#` and blank lines are skipped
    .tree    one tree for the whole file, over as many lines as it likes
    .tsv     utterance<TAB>tree, cut at the first tab; a first line `utterance<TAB>tree` is skipped
    .jsonl   {"id": ..., "utterance": ..., "tree": ...} a line; `words` (a list) wins over `utterance`

Lines end at `\\n` only: other line ends of Unicode are characters of words.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from grammar.finding import Finding, Place
from grammar.ontology import Ontology, load
from grammar.rules import finding
from grammar.tree import Span

FORMS = ("trees", "tree", "tsv", "jsonl")
_HEADER = "utterance\ttree"


class FileError(ValueError):
    """A file that cannot be read; the message names it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a file, or the whole of a `.tree` file.

    Attributes:
        place: where the tree stands, for findings.
        form: one of `FORMS`.
        raw: the line as it was, without its line end.
        text: the tree's text; None where the line holds none (a comment, a header) or is unreadable.
        utterance: as text or as words, where the file has it.
        problem: why the line is unreadable.
    """

    place: Place
    form: str
    raw: str
    text: str | None = None
    utterance: str | list[str] | None = None
    problem: Finding | None = None

    def with_tree(self, tree: str) -> str:
        """The line with another tree in it."""
        if self.form == "tsv":
            return self.raw[: self.place.offset] + tree
        if self.form == "jsonl":
            return json.dumps({**json.loads(self.raw), "tree": tree}, ensure_ascii=False)
        return tree


def read(path: str, form: str | None = None) -> Iterator[Row]:
    """Every line of a file (`-` is stdin), in order, comments and blank lines included.

    Args:
        path: a file, or `-`.
        form: one of `FORMS`; without it the name decides, and on stdin the first line.

    Raises:
        FileError: the file cannot be opened, or is not UTF-8.
    """
    name = "<stdin>" if path == "-" else path
    form = form or (None if path == "-" else _form_of(path))
    with _opened(path) as file:
        if form == "tree":
            text = _decode(file.read(), name, 1)
            yield Row(Place(name, 1, text), "tree", text, text)
            return
        for number, line in enumerate(file, 1):
            text = _decode(line.removesuffix(b"\n"), name, number)
            form = form or _guess(text)
            yield _row(name, number, text, form)


def ontology_beside(path: str) -> Ontology | None:
    """The `ontology.toml` in the same folder, if there is one; none for stdin."""
    beside = Path(path).parent / "ontology.toml"
    return load(beside) if path != "-" and beside.is_file() else None


def _form_of(path: str) -> str:
    suffix = Path(path).suffix.lower().removeprefix(".")
    return {"tsv": "tsv", "tree": "tree", "jsonl": "jsonl", "ndjson": "jsonl"}.get(suffix, "trees")


def _guess(line: str) -> str | None:
    """The form of a stream by its first line that is not blank."""
    start = line.lstrip()[:1]
    if not start:
        return None
    return "jsonl" if start == "{" else "tsv" if start not in "(#" and "\t" in line else "trees"


def _row(name: str, number: int, raw: str, form: str | None) -> Row:
    place = Place(name, number, raw)
    if form is None or not raw.strip(" \t\r"):
        return Row(place, form or "trees", raw)
    if form == "tsv":
        return _tsv(place, raw)
    if form == "jsonl":
        return _jsonl(place, raw)
    return Row(place, form, raw, None if raw.startswith("#") else raw)


def _tsv(place: Place, raw: str) -> Row:
    utterance, tab, tree = raw.partition("\t")
    if not tab:
        return _unreadable(place, "tsv", "no tab in this row", "write the utterance, a tab, and the tree")
    if place.line == 1 and raw.rstrip("\r") == _HEADER:
        return Row(place, "tsv", raw)
    return Row(Place(place.path, place.line, raw, len(utterance) + 1), "tsv", raw, tree, utterance)


def _jsonl(place: Place, raw: str) -> Row:
    try:
        row = json.loads(raw)
    except (ValueError, RecursionError) as error:
        return _unreadable(place, "jsonl", f"not JSON: {error}", "write one object a line")
    if not isinstance(row, dict) or not isinstance(row.get("tree"), str):
        return _unreadable(place, "jsonl", "an object with a string `tree` is needed", 'add `"tree": "(...)"`')
    utterance = row.get("words") or row.get("utterance")
    listed = isinstance(utterance, list) and all(isinstance(word, str) for word in utterance)
    if not (utterance is None or isinstance(utterance, str) or listed):
        help_ = "write `utterance` as a string, or `words` as a list of strings"
        return _unreadable(place, "jsonl", "the utterance is not text", help_)
    # The tree is shown as it reads, not as JSON writes it.
    return Row(Place(place.path, place.line, row["tree"]), "jsonl", raw, row["tree"], utterance)


def _unreadable(place: Place, form: str, reason: str, help_: str) -> Row:
    span = Span(0, len(place.source.rstrip("\r")))
    return Row(place, form, place.source, problem=finding("E114", span, reason=reason, help=help_))


def _decode(data: bytes, name: str, line: int) -> str:
    try:
        return data.decode("utf-8-sig" if line == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise FileError(
            f"{name}:{line + data[: error.start].count(10)}: not UTF-8 (byte 0x{data[error.start]:02x}); "
            "convert the file, such as with `iconv -f latin1 -t utf-8`"
        ) from error


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    if path == "-":
        yield sys.stdin.buffer
        return
    try:
        file = open(path, "rb")  # noqa: SIM115  (closed below; an error while reading is not one of opening)
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror}") from error
    with file:
        yield file
