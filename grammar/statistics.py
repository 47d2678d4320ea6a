"""Counts of a check run: findings by code, and error rates by annotator and batch."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from grammar.finding import Finding
from grammar.rows import Row
from grammar.rules import RULES

if TYPE_CHECKING:
    from grammar.run import Block, Checked


class Statistics:
    """Counts trees and findings; a watcher of `grammar.run.Run`, since rates need the clean rows too.

    Memory grows with codes, annotators, batches and rows that have findings, by a number each.
    """

    def __init__(self) -> None:
        self.trees = 0
        self.codes: Counter[str] = Counter()
        self._wrong: set[int] = set()
        # column -> value -> [trees, trees with findings, findings]
        self.groups: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0, 0]))

    def see(self, block: Block) -> Mapping[int, list[Finding]]:
        """Count the rows of a block."""
        self.trees += sum(tree is not None for tree in block.trees)
        for column, values in (("annotator", block.annotators), ("batch", block.batches)):
            for value, number in Counter(values).items():
                if value is not None:
                    self.groups[column][value][0] += number
        return {}

    def finish(self) -> Iterable[Checked]:
        """Nothing more to say."""
        return ()

    @property
    def wrong(self) -> int:
        """Trees with findings."""
        return len(self._wrong)

    def add(self, row: Row, found: Iterable[str]) -> None:
        """The codes that are reported of a row. What is said of rows together may come later than the rest."""
        given = list(found)
        if not given:
            return
        name = hash((row.place.path, row.place.line))
        again = name in self._wrong
        self._wrong.add(name)
        self.codes.update(given)
        for column, value in (("annotator", row.annotator), ("batch", row.batch)):
            if value is not None:
                counts = self.groups[column][value]
                counts[1] += not again
                counts[2] += len(given)

    def to_json(self) -> dict[str, Any]:
        """All counts as plain values; `rate` is trees with findings over trees."""
        return {
            "trees": self.trees,
            "trees_with_findings": self.wrong,
            "findings": self.codes.total(),
            "codes": dict(sorted(self.codes.items(), key=_most)),
            "by": {
                column: [
                    {
                        column: value,
                        "trees": trees,
                        "trees_with_findings": wrong,
                        "findings": findings,
                        "rate": wrong / trees if trees else 0.0,
                    }
                    for value, (trees, wrong, findings) in sorted(values.items())
                ]
                for column, values in self.groups.items()
            },
        }

    def to_text(self) -> str:
        """The same for people: a table of codes, then one of each column."""
        lines = []
        for code, number in sorted(self.codes.items(), key=_most):
            lines.append(f"{number:>9,}  {code}  {RULES[code].title}")
        for column, values in self.groups.items():
            width = max(len(column), *map(len, values))
            lines += [""] * bool(lines)
            lines.append(f"{column:{width}}  {'trees':>9}  {'findings':>9}  {'trees with findings':>19}")
            for value, (trees, wrong, findings) in sorted(values.items(), key=_worst):
                rate = 100 * wrong / trees if trees else 0.0
                lines.append(f"{value:{width}}  {trees:>9,}  {findings:>9,}  {wrong:>10,} ({rate:5.1f} %)")
        return "\n".join(lines)


def _most(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def _worst(item: tuple[str, list[int]]) -> tuple[float, str]:
    value, (trees, wrong, _) = item
    return -wrong / max(trees, 1), value
