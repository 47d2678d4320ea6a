"""Findings as SARIF 2.1.0, which code scanning and its viewers read.

Form: OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0 Plus Errata 01".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from grammar.finding import Finding, Place, fingerprint, shown
from grammar.outputs import Output
from grammar.outputs.objects import dumps
from grammar.rules import DEFAULT, RULES, Rule
from grammar.tree import Span

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_INDEX = {code: number for number, code in enumerate(RULES)}


class Sarif(Output):
    """One run of one tool; the whole table of rules goes with it."""

    first = True

    def begin(self) -> None:
        from grammar import __version__

        driver = {"name": "Treewright", "semanticVersion": __version__, "rules": [_rule(r) for r in RULES.values()]}
        head = dumps({"tool": {"driver": driver}, "columnKind": "unicodeCodePoints"})
        self.write(f'{{"$schema": "{SCHEMA}", "version": "2.1.0", "runs": [{head[:-1]}, "results": [')

    def add(self, finding: Finding, place: Place) -> None:
        self.write(("\n" if self.first else ",\n") + dumps(_result(finding, place)))
        self.first = False

    def end(self, files: Sequence[str]) -> None:
        self.write("\n]}]}\n")


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.code,
        "name": "".join(word.capitalize() for word in rule.title.replace("-", " ").replace(",", "").split()),
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "help": {"text": f"{rule.why}\nFix: {rule.fix or 'by hand'}"},
        "defaultConfiguration": {"level": rule.severity, "enabled": rule.code in DEFAULT},
    }


def _result(finding: Finding, place: Place) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": finding.code,
        "ruleIndex": _INDEX[finding.code],
        "level": finding.severity,
        "message": {"text": f"{shown(finding.message)}\nhelp: {shown(finding.help)}"},
        "locations": [{"physicalLocation": _physical(finding.span, place)}],
        "partialFingerprints": {"treewright/v1": fingerprint(finding, place)},
    }
    if finding.related:
        related = {"physicalLocation": _physical(finding.related.span, place)}
        result["relatedLocations"] = [{**related, "message": {"text": finding.related.message}}]
    if finding.fix and (place.literal or place.json):
        edit = {
            "deletedRegion": _region(finding.fix.span, place),
            "insertedContent": {"text": place.as_written(finding.fix.text)},
        }
        change = {"artifactLocation": {"uri": _uri(place.path)}, "replacements": [edit]}
        safety = "safe" if finding.fix.safe else "unsafe"
        result["fixes"] = [{"description": {"text": f"{safety} fix"}, "artifactChanges": [change]}]
    return result


def _physical(span: Span, place: Place) -> dict[str, Any]:
    return {"artifactLocation": {"uri": _uri(place.path)}, "region": _region(span, place)}


def _region(span: Span, place: Place) -> dict[str, int]:
    line, column = place.in_file(span.start)
    end_line, end_column = place.in_file(span.end)
    return {"startLine": line, "startColumn": column, "endLine": end_line, "endColumn": end_column}


def _uri(path: str) -> str:
    return quote("stdin" if path == "<stdin>" else path.replace("\\", "/"), errors="surrogateescape")
