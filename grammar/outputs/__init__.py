"""How findings leave: one class a form, all of them written while the check runs.

    full, concise        for people
    json, json-lines     for programs
    github, gitlab       for reviews of changes
    junit                for dashboards of tests
    sarif                for code scanning (SARIF 2.1.0)

An output is told of every finding in order, then that the run is over. None holds the findings of a run in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from grammar.finding import Finding, Place

FORMATS = ("full", "concise", "json", "json-lines", "github", "gitlab", "junit", "sarif")


class Output:
    """Takes findings and writes text."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self.write = write

    def begin(self) -> None:
        """Before the first finding."""

    def add(self, finding: Finding, place: Place) -> None:
        """One finding, and where its text was read."""
        raise NotImplementedError

    def end(self, files: Sequence[str]) -> None:
        """After the last finding; `files` are those that were read."""


def make(name: str, write: Callable[[str], object]) -> Output:
    """The output of a name in `FORMATS`; its module is loaded now and not before."""
    if name in ("full", "concise"):
        from grammar.outputs import text

        return {"full": text.Full, "concise": text.Concise}[name](write)
    if name in ("json", "json-lines"):
        from grammar.outputs import objects

        return {"json": objects.Json, "json-lines": objects.JsonLines}[name](write)
    if name == "sarif":
        from grammar.outputs import sarif

        return sarif.Sarif(write)
    from grammar.outputs import ci

    return {"github": ci.GitHub, "gitlab": ci.GitLab, "junit": ci.JUnit}[name](write)
