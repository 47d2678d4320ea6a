"""Which findings of a run are reported: not those that are ignored beside the tree, nor those of the baseline."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from grammar.files import FileError, opened
from grammar.finding import Finding, Place
from grammar.rows import Row
from grammar.run import Checked
from grammar.suppress import Baseline, Marks, UnknownCode, codes

_PIECE = 1 << 20


class Sieve:
    """Takes rows with findings, gives what is left of them.

    Args:
        baseline: findings that were there before.
        note: told once of each mark that names no rule.
        stdin: where a copy of stdin lies, if that is one of the files.
        record: takes in whatever is not ignored, those of the baseline included.
    """

    def __init__(
        self,
        baseline: Baseline | None,
        note: Callable[[str], object],
        stdin: Path | None = None,
        record: Baseline | None = None,
    ) -> None:
        self.baseline, self.note, self.stdin, self.record = baseline, note, stdin, record
        self.ignored = self.known = 0
        self._marks: dict[str, Marks] = {}

    def __call__(self, checked: Checked) -> Iterator[tuple[Finding, Place]]:
        """What is reported of a row."""
        ignored = self.ignores(checked.row)
        for finding in checked.findings:
            place = checked.row.place_of(finding)
            if finding.code in ignored:
                self.ignored += 1
                if checked.row.form == "trees":
                    self._of(checked.row.place.path).use(checked.row.place.line, finding.code)
                continue
            if self.record is not None:
                self.record.add(finding, place)
            if self.baseline is not None and self.baseline.takes(finding, place):
                self.known += 1
            else:
                yield finding, place

    def look(self, paths: Iterable[str]) -> None:
        """Tell of the marks in these files that name no rule, whether anything was found there or not."""
        for path in paths:
            self._of(path)

    def unused(self, paths: Iterable[str], codes: Collection[str]) -> None:
        """Tell of the marks in these files that left nothing out, when all rows were seen.

        Args:
            paths: files with marks, as findings name them.
            codes: what was looked for.
        """
        for path in paths:
            for line in self._of(path).unused(codes):
                self.note(f"{path}:{line}: this mark leaves out nothing; remove it")

    def ignores(self, row: Row) -> frozenset[str]:
        """The codes that are ignored in a row, by comments or by its column."""
        if row.form == "trees":
            return self._of(row.place.path)(row.place.line)
        try:
            return codes(row.ignore)
        except UnknownCode as error:
            self.note(f"{row.place.path}:{row.place.line}: {error}")
            return frozenset()

    def _of(self, path: str) -> Marks:
        """The marks of a file. Only one with findings or marks is looked through, and cut up only if it has marks."""
        if path not in self._marks:
            source = str(self.stdin) if path == "<stdin>" else path
            self._marks[path] = Marks()
            # A damaged file is told of where it is checked; marks in it do not count.
            with suppress(FileError):
                if _holds(source, b"treewright:"):
                    with opened(source) as file:
                        self._marks[path] = Marks(file)
            for line, problem in self._marks[path].problems:
                self.note(f"{path}:{line}: {problem}")
        return self._marks[path]


def _holds(path: str, what: bytes) -> bool:
    """Whether a file (unpacked) holds some bytes; by pieces, since lines take ten times as long."""
    rest = b""
    with opened(path) as file:
        while piece := file.read(_PIECE):
            if what in (rest := rest + piece):
                return True
            rest = rest[-len(what) :]
    return False
