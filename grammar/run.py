"""Check files of any size: blocks of rows in, the rows with findings out.

    run = Run(["train.tsv", "more/"], ontology=music)
    for checked in run:                       # in order; only rows with findings
        checked.row.place, checked.row.annotator, checked.findings
    run.rows, run.bytes, run.files            # totals, right at any moment

A file is read in blocks; most rows of a block are seen to be clean all at once (`columns.py`), and only the rest go
through `grammar.check`. Where numpy and pyarrow are not installed every row does, with the same findings.

What looks at rows against each other is a `Watcher`: it sees every block, clean rows included.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from grammar.checker import check
from grammar.files import FileError, Names, Row, form_of, inputs, ontology_beside, read, size_of
from grammar.finding import Finding, Fix
from grammar.ontology import Ontology
from grammar.rules import DEFAULT, finding
from grammar.tree import Span

if TYPE_CHECKING:
    from grammar.columns import Clean

MOST = 100
"""Findings that are handed out for one tree; a row of a thousand mistakes is one mistake of another kind."""
_SMALL = 1 << 17
"""Bytes of a file that is checked row by row before numpy and pyarrow are loaded."""
_THREADS = 2
"""Of the quick look: each holds a block and arrays of ten times its size."""
_ROWS = 4_096
"""Rows of a block where they are read one by one."""


class Block:
    """Some rows of one file, in order; rows without a tree (comments, headers) are among them.

    Attributes:
        path: the file.
        size: how many rows.
        bytes: how much of the file (unpacked) they are.
        crlf: the first row that ends in CRLF, where that is known without looking at the rows; else -1.
    """

    crlf = -1

    def __init__(self, path: str, rows: Sequence[Row], nbytes: int) -> None:
        self.path, self.size, self.bytes = path, len(rows), nbytes
        self._rows = rows

    def suspects(self, clean: Clean | None) -> Collection[int]:
        """The rows that are not certainly clean; all, where nothing is known of them."""
        return range(self.size)

    def row(self, i: int) -> Row:
        """The row `i`, from 0, of this block."""
        return self._rows[i]

    @cached_property
    def trees(self) -> list[str | None]:
        """The text of each row's tree; None where it has none."""
        return [row.text for row in self._rows]

    @cached_property
    def utterances(self) -> list[str | list[str] | None]:
        """The utterance of each row, as text or as words, where the file has it."""
        return [row.utterance for row in self._rows]

    @cached_property
    def splits(self) -> list[str | None]:
        """The column `split` of each row, where the file has it."""
        return [row.split for row in self._rows]

    @cached_property
    def annotators(self) -> list[str | None]:
        return [row.annotator for row in self._rows]

    @cached_property
    def batches(self) -> list[str | None]:
        return [row.batch for row in self._rows]


@dataclass(frozen=True, slots=True)
class Checked:
    """A row with findings, in order of place. `more` is how many were left out after the first `MOST`."""

    row: Row
    findings: list[Finding]
    more: int = 0


class Watcher(Protocol):
    """Looks at rows against each other. It should keep hashes, not rows."""

    def see(self, block: Block) -> Mapping[int, list[Finding]]:
        """Called once a block, in order: findings by number of the row in the block."""

    def finish(self) -> Iterable[Checked]:
        """What can only be said at the end."""


class Run:
    """One check of some files; iterate over it once.

    Attributes:
        files: the files, folders searched and patterns expanded.
        rows: rows with a tree, or that should have one, so far.
        bytes: bytes so far (of packed files, unpacked).
        without_ontology: files that were checked without one.
        marked: files with comments that leave findings out, as findings name them.
        damaged: files that could not be read to their end, and why; only where `go_on` was given.
    """

    def __init__(
        self,
        paths: Iterable[str],
        ontology: Ontology | None = None,
        tokeniser: str = "words-1",
        codes: Collection[str] = DEFAULT,
        form: str | None = None,
        names: Names | None = None,
        watchers: Sequence[Watcher] = (),
        progress: Callable[[Block], None] | None = None,
        fast: bool | None = None,
        go_on: Callable[[str], object] | None = None,
    ) -> None:
        """
        Args:
            paths: files, folders, patterns; `-` is stdin.
            ontology: for all files; without it the `ontology.toml` beside each.
            tokeniser: how utterances given as text are cut.
            codes: the rules to hold rows against.
            form: read as this form, whatever the name.
            names: what the columns are called.
            watchers: see every block.
            progress: called after each block.
            fast: pass over rows that are certainly clean without `grammar.check`, where numpy and pyarrow are there.
                If None, for files that are big enough to pay for loading these.
            go_on: told of each file that cannot be read; then the others are checked. Without it the run ends there.

        Raises:
            FileError: a path names no file.
        """
        self.files = inputs(paths)
        self.ontology, self.tokeniser, self.codes = ontology, tokeniser, frozenset(codes)
        self.form, self.names = form, names or Names()
        self.watchers, self.progress, self.fast, self.go_on = watchers, progress, fast, go_on
        self.rows = self.bytes = 0
        self.without_ontology: list[str] = []
        self.marked: dict[str, None] = {}
        self.damaged: dict[str, str] = {}
        self._prepared: tuple[Ontology | None, Clean] | None = None

    def __iter__(self) -> Iterator[Checked]:
        """Rows with findings.

        Raises:
            FileError: a file cannot be read, and nobody said to go on.
            OntologyError: an `ontology.toml` beside a file cannot be used.
        """
        for path in self.files:
            try:
                yield from self._file(path)
            except FileError as error:
                if self.go_on is None:
                    raise
                self.damaged[path] = str(error)
                self.go_on(str(error))
        for watcher in self.watchers:
            yield from watcher.finish()

    def _file(self, path: str) -> Iterator[Checked]:
        ontology = self.ontology or ontology_beside(path)
        if ontology is None:
            self.without_ontology.append(path)
        crlf = "E502" not in self.codes  # said once a file
        clean = self._clean(path, ontology)
        for block, suspects in _looked_at(self._blocks(path, clean is not None), clean):
            seen = [watcher.see(block) for watcher in self.watchers]
            if not crlf and block.crlf >= 0:
                suspects = {*suspects, block.crlf}
            self.rows += block.size - len(suspects)  # the certain ones all hold a tree
            for i in sorted(set(suspects).union(*seen)) if any(seen) else sorted(suspects):
                row = block.row(i)
                self.rows += i in suspects and (row.text is not None or row.problem is not None)
                if row.text is None and "treewright:" in row.raw and row.form == "trees":
                    self.marked[row.place.path] = None
                found = self._check(row, ontology)
                if not crlf and (at := _carriage_return(row)) >= 0:
                    crlf = True
                    found.append(finding("E502", Span(at, at + 1), Fix(Span(at, at + 1), "", safe=True), field="line"))
                found += [one for findings in seen for one in findings.get(i, ())]
                if found:
                    yield Checked(row, found[:MOST], max(0, len(found) - MOST))
            self.bytes += block.bytes
            if self.progress:
                self.progress(block)

    def _clean(self, path: str, ontology: Ontology | None) -> Clean | None:
        """The quick look, where it can be had and pays."""
        if self.fast is False or (self.fast is None and size_of(path) < _SMALL):
            return None
        try:
            from grammar.columns import Clean
        except ImportError:
            return None
        if self._prepared is None or self._prepared[0] is not ontology:
            self._prepared = ontology, Clean(ontology, self.tokeniser, aligned_once="E306" in self.codes)
        return self._prepared[1]

    def _blocks(self, path: str, columns: bool) -> Iterator[Block]:
        if columns and (self.form or form_of(path)) != "tree":
            from grammar.blocks import blocks

            yield from blocks(path, self.form, self.names)
            return
        rows = read(path, self.form, self.names, cut=True)
        while some := list(islice(rows, _ROWS)):
            yield Block(path, some, sum(len(row.raw) + 1 for row in some))

    def _check(self, row: Row, ontology: Ontology | None) -> list[Finding]:
        found = []
        if row.marked and "E501" in self.codes:
            found.append(finding("E501", Span(0, 1), Fix(Span(0, 1), "", safe=True), field="line"))
        if row.problem is not None:
            found += [row.problem] if row.problem.code in self.codes else []
        elif row.text is not None:
            found += check(row.text, ontology, row.utterance, self.tokeniser, self.codes)
        return found


def _looked_at(blocks: Iterator[Block], clean: Clean | None) -> Iterator[tuple[Block, Collection[int]]]:
    """Blocks with their suspects, in order. The quick look is at blocks ahead, on the other cores."""
    threads = min(_THREADS, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    if clean is None or threads < 2:
        for block in blocks:
            yield block, block.suspects(clean)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[tuple[Block, Future[Collection[int]]]] = deque()
        problem = None
        try:
            while problem is None or waiting:
                try:
                    while problem is None and len(waiting) <= threads:
                        block = next(blocks)
                        waiting.append((block, pool.submit(block.suspects, clean)))
                except (StopIteration, FileError) as end:
                    problem = end  # that the file cannot be read any further is said behind what was read
                    continue
                first, suspects = waiting.popleft()
                yield first, suspects.result()
        finally:
            pool.shutdown(cancel_futures=True)
        if isinstance(problem, FileError):
            raise problem


def _carriage_return(row: Row) -> int:
    """Where a line end is CRLF, in a row's line or lines; -1 where none is."""
    if row.form == "tree":
        return row.raw.find("\r\n")
    return len(row.raw) - 1 if row.raw.endswith("\r") else -1
