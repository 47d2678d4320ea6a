"""Findings that people have agreed to live with: marks beside a tree, and a baseline of what was there before.

In a `.trees` file a comment stands above its tree, or holds from its line to the end of the file:

    # treewright: ignore[E303, E5] the client wants it in this order
    # treewright: ignore-file[E508]

A table has a column `ignore` with codes in it, divided by blanks or commas; in JSONL it may be a list. A
code may be a prefix, such as `E3`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path

from grammar.finding import Finding, Place, fingerprint
from grammar.rules import UnknownCode, expand

_MARK = re.compile(r"#\s*treewright:\s*(ignore(?:-file)?)\s*\[([^\]]*)\]")
_BREAK = re.compile(r"[\s,]+")
_VERSION = 1


class BaselineError(ValueError):
    """A baseline that cannot be read; the message names it."""


def mark(comment: str) -> tuple[bool, frozenset[str]] | None:
    """(holds for the rest of the file, codes) of a comment line; None for a comment that is none of ours.

    >>> mark("# treewright: ignore[E30, E101] why")[1] >= {"E101", "E301"}
    True

    Raises:
        UnknownCode: a code in it that no rule has.
    """
    found = _MARK.match(comment)
    return (found[1] == "ignore-file", codes(found[2])) if found else None


def codes(cell: object) -> frozenset[str]:
    """The codes of an `ignore` column: of its text, or of a list; none of an empty cell.

    Raises:
        UnknownCode: a code in it that no rule has.
    """
    if not cell:
        return frozenset()
    given = [str(code) for code in cell] if isinstance(cell, (list, tuple)) else _BREAK.split(str(cell))
    return expand(code for code in given if code)


class Marks:
    """The marks in one `.trees` file, found in one quick look for the word.

    Attributes:
        problems: (line, why) of marks that name no rule.
    """

    def __init__(self, lines: Iterable[bytes] = ()) -> None:
        self.problems: list[tuple[int, str]] = []
        self._lines: dict[int, list[tuple[int, frozenset[str]]]] = {}  # of a tree -> marks above it, and their lines
        self._rest: list[tuple[int, frozenset[str]]] = []
        self._used: set[int] = set()
        waiting: list[tuple[int, frozenset[str]]] = []
        for number, line in enumerate(lines, 1):
            if line.startswith((b"#", b"\xef\xbb\xbf#")):
                try:
                    found = mark(line.decode("utf-8-sig", "replace")) if b"treewright:" in line else None
                except UnknownCode as error:
                    self.problems.append((number, str(error)))
                    continue
                if found and found[0]:
                    self._rest.append((number, found[1]))
                elif found:
                    waiting.append((number, found[1]))
            elif waiting and line.strip():
                self._lines[number] = waiting
                waiting = []
        self._idle = waiting  # above no tree

    def __call__(self, line: int) -> frozenset[str]:
        """The codes that are ignored in a line."""
        return frozenset().union(*(some for _, some in self._over(line)))

    def use(self, line: int, code: str) -> None:
        """Note that a finding of this code in this line was left out."""
        self._used.update(number for number, some in self._over(line) if code in some)

    def unused(self, codes: Collection[str]) -> list[int]:
        """The lines of marks that left out nothing, though all of their codes are among `codes`, those looked for."""
        every = [*self._rest, *self._idle, *(one for marks in self._lines.values() for one in marks)]
        return sorted(number for number, some in every if number not in self._used and some <= set(codes))

    def _over(self, line: int) -> list[tuple[int, frozenset[str]]]:
        """(line, codes) of the marks that hold in a line."""
        return [*self._lines.get(line, ()), *(one for one in self._rest if one[0] <= line)]


class Baseline:
    """How often each finding may still occur; see `grammar.finding.fingerprint` for what counts as the same."""

    def __init__(self, counts: Iterable[tuple[str, int]] = ()) -> None:
        self.counts = Counter(dict(counts))

    def takes(self, finding: Finding, place: Place) -> bool:
        """Whether a finding was there before; each entry is used up once."""
        name = fingerprint(finding, place)
        if self.counts[name] <= 0:
            return False
        self.counts[name] -= 1
        return True

    def add(self, finding: Finding, place: Place) -> None:
        """Put a finding in."""
        self.counts[fingerprint(finding, place)] += 1

    @property
    def unused(self) -> int:
        """Entries that nothing has used up: what has been mended since."""
        return sum(count for count in self.counts.values() if count > 0)

    def dumps(self) -> str:
        """As JSON, sorted, so that versions can be compared line by line."""
        return json.dumps({"version": _VERSION, "findings": dict(sorted(self.counts.items()))}, indent=1) + "\n"


def load_baseline(path: Path) -> Baseline:
    """Read what `Baseline.dumps` wrote.

    Raises:
        BaselineError: it cannot be read, or is something else.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BaselineError(f"cannot read the baseline {path}: {error}") from error
    findings = data.get("findings") if isinstance(data, dict) and data.get("version") == _VERSION else None
    if not isinstance(findings, dict) or not all(isinstance(count, int) for count in findings.values()):
        raise BaselineError(f"{path} is no baseline; make one with `--write-baseline {path}`")
    return Baseline(findings.items())
