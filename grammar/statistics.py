"""Counts of a check run: findings by code, and error rates by annotator and batch."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from grammar.rules import RULES

GROUPS = ("annotator", "batch")
"""Columns that rates are given for where they exist."""


class Statistics:
    """Counts trees and findings; memory grows with the number of codes and annotators, not with the run."""

    def __init__(self) -> None:
        self.trees = 0
        self.wrong = 0
        self.codes: Counter[str] = Counter()
        self.groups: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0, 0]))

    def clean(self, number: int, columns: Mapping[str, Mapping[str, int]] = {}) -> None:
        """Trees without findings; `columns` is how many of them each value of each column has."""
        self.trees += number
        for column, values in columns.items():
            for value, count in values.items():
                self.groups[column][value][0] += count

    def row(self, found: Iterable[str], columns: Mapping[str, str] = {}) -> None:
        """One tree with the codes of its findings, and the values of the row's columns."""
        given = list(found)
        self.trees += 1
        self.wrong += bool(given)
        self.codes.update(given)
        for column, value in columns.items():
            counts = self.groups[column][value]
            counts[0] += 1
            counts[1] += bool(given)
            counts[2] += len(given)

    def more(self, code: str, columns: Mapping[str, str] = {}) -> None:
        """One more finding in a tree that was counted before."""
        self.codes[code] += 1
        for column, value in columns.items():
            self.groups[column][value][2] += 1

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
                        "rate": wrong / trees,
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
            width = max(len(column), *(len(value) for value in values))
            lines += [""] * bool(lines) + [f"{column:{width}}  {'trees':>9}  {'findings':>9}  {'trees with findings':>19}"]
            for value, (trees, wrong, findings) in sorted(values.items(), key=lambda item: (-item[1][1] / item[1][0], item[0])):
                lines.append(f"{value:{width}}  {trees:>9,}  {findings:>9,}  {wrong:>11,} ({100 * wrong / trees:4.1f}%)")
        return "\n".join(lines)


def _most(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]
