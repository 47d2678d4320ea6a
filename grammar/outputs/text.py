"""Findings for people: with the source and carets, or one line each."""

from __future__ import annotations

from grammar.finding import Finding, Place, concise, render
from grammar.outputs import Output


class Full(Output):
    """In the manner of rustc; see `grammar.finding.render`."""

    def add(self, finding: Finding, place: Place) -> None:
        self.write(render(finding, place) + "\n\n")


class Concise(Output):
    """`file:line:column: error[E201]: unknown label`, as editors and grep like it."""

    def add(self, finding: Finding, place: Place) -> None:
        self.write(concise(finding, place) + "\n")
