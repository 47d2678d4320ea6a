"""Findings for the machines that review changes: GitHub, GitLab, and all that read JUnit's XML."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from xml.sax.saxutils import escape, quoteattr

from grammar.finding import Finding, Place, concise, fingerprint, render, shown
from grammar.outputs import Output
from grammar.outputs.objects import dumps
from grammar.rules import RULES


class GitHub(Output):
    """Workflow commands, which GitHub Actions shows beside the changed line.

    Form: docs.github.com, "Workflow commands for GitHub Actions".
    """

    def add(self, finding: Finding, place: Place) -> None:
        line, column = place.in_file(finding.span.start)
        end_line, end_column = place.in_file(finding.span.end)
        level = {"note": "notice"}.get(finding.severity, finding.severity)
        where = f"file={_property(shown(place.path))},line={line},col={column}"
        if end_line == line:  # a range over lines has no columns there
            where += f",endColumn={end_column}"
        title = _property(f"{finding.code} ({RULES[finding.code].title})")
        text = _data(f"{shown(finding.message)} (help: {shown(finding.help)})")
        self.write(f"::{level} {where},title={title}::{text}\n")


class GitLab(Output):
    """A code-quality report: one JSON array.

    Form: docs.gitlab.com, "Code Quality", "Code Quality report format".
    """

    def __init__(self, write: Callable[[str], object]) -> None:
        super().__init__(write)
        self.seen: Counter[str] = Counter()

    def begin(self) -> None:
        self.write("[")

    def add(self, finding: Finding, place: Place) -> None:
        line, column = place.in_file(finding.span.start)
        end_line, end_column = place.in_file(finding.span.end)
        # A report must not hold one fingerprint twice, and equal rows have equal ones.
        mark = fingerprint(finding, place)
        self.seen[mark] += 1
        issue = {
            "description": f"{finding.code}: {shown(finding.message)}",
            "check_name": finding.code,
            "fingerprint": mark if self.seen[mark] == 1 else f"{mark}-{self.seen[mark]}",
            "severity": {"error": "major", "warning": "minor", "note": "info"}[finding.severity],
            "location": {
                "path": place.path,
                "lines": {"begin": line, "end": end_line},
                "positions": {
                    "begin": {"line": line, "column": column},
                    "end": {"line": end_line, "column": end_column},
                },
            },
        }
        self.write(("," if self.seen.total() > 1 else "") + "\n  " + dumps(issue))

    def end(self, files: Sequence[str]) -> None:
        self.write("\n]\n" if self.seen else "]\n")


class JUnit(Output):
    """One test suite a file, one failed test a finding, one passed test for a file without any.

    A suite begins with its counts, so the tests wait in a temporary file. Form: `junit-10.xsd` of Jenkins' plugin.
    """

    def __init__(self, write: Callable[[str], object]) -> None:
        super().__init__(write)
        self.cases = tempfile.SpooledTemporaryFile(max_size=1 << 20)  # noqa: SIM115  (`end` closes it)
        self.failures: dict[str, int] = {}
        self.starts: dict[str, list[tuple[int, int]]] = {}  # pieces of the temporary file

    def add(self, finding: Finding, place: Place) -> None:
        line, column = place.in_file(finding.span.start)
        file, name = _attribute(place.path), _attribute(f"{finding.code} at {line}:{column}")
        kind, message = _attribute(finding.severity), _attribute(concise(finding, place))
        text = _xml(escape(render(finding, place)))
        start = self.cases.tell()
        case = (
            f'    <testcase classname={file} name={name} file={file} line="{line}">\n'
            f"      <failure type={kind} message={message}>{text}</failure>\n"
            "    </testcase>\n"
        )
        self.cases.write(case.encode("utf-8"))
        pieces = self.starts.setdefault(place.path, [])
        if pieces and pieces[-1][1] == start:
            pieces[-1] = (pieces[-1][0], self.cases.tell())
        else:
            pieces.append((start, self.cases.tell()))
        self.failures[place.path] = self.failures.get(place.path, 0) + 1

    def end(self, files: Sequence[str]) -> None:
        paths = list(dict.fromkeys([*files, *self.failures]))
        tests = sum(self.failures.get(path, 1) for path in paths)
        failures = sum(self.failures.values())
        self.write('<?xml version="1.0" encoding="UTF-8"?>\n')
        self.write(f'<testsuites name="treewright" tests="{tests}" failures="{failures}" errors="0">\n')
        for path in paths:
            failed = self.failures.get(path, 0)
            name = _attribute(path)
            self.write(f'  <testsuite name={name} tests="{failed or 1}" failures="{failed}" errors="0" skipped="0">\n')
            for start, stop in self.starts.get(path, []):
                self.cases.seek(start)
                while self.cases.tell() < stop:
                    self.write(self.cases.readline().decode("utf-8"))
            if not failed:
                self.write(f'    <testcase classname={name} name="no findings" file={name}/>\n')
            self.write("  </testsuite>\n")
        self.write("</testsuites>\n")
        self.cases.close()


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)


def _attribute(text: str) -> str:
    return quoteattr(_xml(text))
