"""A check run as one HTML page: counts by code, by annotator and batch, the worst files, examples with pictures.

The page needs no network and runs no script; all that comes from the files is escaped. Memory grows by two numbers a
file and one a tree with findings; of each code a few examples are kept.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grammar import page
from grammar.finding import Finding, Place
from grammar.ontology import Ontology
from grammar.recover import scan
from grammar.rows import Row
from grammar.rules import RULES
from grammar.svg import STYLE, svg

if TYPE_CHECKING:
    from grammar.run import Block, Checked

_EXAMPLES = 3
"""Of each code."""
_FILES = 20
_LONGEST = 4_000
"""Characters of a tree that is drawn."""
_AROUND = 60
"""Characters shown before and after a mistake."""


@dataclass(frozen=True, slots=True)
class _Example:
    finding: Finding
    place: Place
    tree: str | None


class Report:
    """Takes the findings of a run, tree by tree; `html` writes the page.

    It is a watcher of `grammar.run.Run`, since shares need the clean rows too.
    """

    def __init__(self, ontology: Ontology | None = None) -> None:
        self.ontology = ontology
        self.trees: Counter[str] = Counter()  # of each file
        self.files: dict[str, list[int]] = {}  # path -> trees with findings, findings
        self.examples: dict[str, list[_Example]] = {}
        self._wrong: set[int] = set()

    def see(self, block: Block) -> Mapping[int, list[Finding]]:
        """Count the trees of a block."""
        self.trees["<stdin>" if block.path == "-" else block.path] += sum(tree is not None for tree in block.trees)
        return {}

    def finish(self) -> Iterable[Checked]:
        """Nothing more to say."""
        return ()

    def add(self, row: Row, found: Iterable[tuple[Finding, Place]]) -> None:
        """What is reported of one row, and where the text that each finding counts in was read."""
        name = hash((row.place.path, row.place.line))
        seen: set[str] = set()
        for finding, place in found:
            counts = self.files.setdefault(place.path, [0, 0])
            counts[0] += name not in self._wrong
            counts[1] += 1
            self._wrong.add(name)
            kept = self.examples.setdefault(finding.code, [])
            if finding.code not in seen and len(kept) < _EXAMPLES:
                kept.append(_Example(finding, place, row.text))
            seen.add(finding.code)

    def html(self, statistics: Mapping[str, Any], title: str = "Check report") -> str:
        """The page.

        Args:
            statistics: counts of the run: `trees`, `trees_with_findings`, `findings`, `codes` {code: n}, and `by`
                {column: [{column: value, `trees`, `trees_with_findings`, `findings`}]}.
            title: the heading.
        """
        total, wrong = statistics["trees"], statistics["trees_with_findings"]
        parts = [
            f"<h1>{page.text(title)}</h1>",
            f"<p>{_count(statistics['findings'], 'finding')} in {wrong:,} of {_count(total, 'tree')} "
            f"({_share(wrong, total)}), {_count(len(self.trees), 'file')}.</p>",
        ]
        codes = Counter(statistics["codes"])
        if codes:
            parts += ["<h2>By code</h2>", _codes(codes)]
        for column, rows in statistics.get("by", {}).items():
            parts += [f"<h2>By {page.text(column)}</h2>", _rates(column, rows)]
        if self.files:
            parts += ["<h2>Worst files</h2>", self._worst()]
        if self.examples:
            parts.append("<h2>Examples</h2>")
        for code, _ in sorted(codes.items(), key=lambda item: (-item[1], item[0])):
            if code in self.examples:
                rule = RULES[code]
                parts.append(f'<h3 id="{code}">{code} {page.text(rule.title)}</h3>\n<p>{_code_spans(rule.why)}</p>')
                parts += [_example(example, self.ontology) for example in self.examples[code]]
        return page.page(title, "\n".join(parts), STYLE)

    def _worst(self) -> str:
        order = sorted(self.files, key=lambda path: (-self.files[path][1], path))
        rows = []
        for path in order[:_FILES]:
            wrong, findings = self.files[path]
            share = _share(wrong, self.trees[path])
            rows.append([f"<code>{page.text(path)}</code>", f"{findings:,}", f"{wrong:,}", share])
        more = f'<p class="dim">{_count(len(order) - _FILES, "more file")}</p>' if len(order) > _FILES else ""
        return _table(["file", "findings", "trees with findings", "share"], rows, first=1) + more


def _codes(codes: Counter[str]) -> str:
    most = max(codes.values())
    rows = [
        [
            f'<a href="#{code}">{code}</a>',
            page.text(RULES[code].title),
            f'<span class="bar" style="width:{max(1, round(200 * number / most))}px"></span>',
            f"{number:,}",
        ]
        for code, number in sorted(codes.items(), key=lambda item: (-item[1], item[0]))
    ]
    return _table(["code", "title", "", "findings"], rows, first=3)


def _rates(column: str, rows: Iterable[Mapping[str, Any]]) -> str:
    cells = [
        [
            page.text(row[column]),
            f"{row['trees']:,}",
            f"{row['findings']:,}",
            f"{row['trees_with_findings']:,}",
            _share(row["trees_with_findings"], row["trees"]),
        ]
        for row in sorted(rows, key=lambda row: -row["trees_with_findings"] / max(1, row["trees"]))
    ]
    return _table([page.text(column), "trees", "findings", "trees with findings", "share"], cells, first=1)


def _table(heads: Sequence[str], rows: Iterable[Collection[str]], first: int) -> str:
    """A table; columns from number `first` on hold numbers."""

    def cells(tag: str, row: Collection[str]) -> str:
        return "".join(
            f'<{tag} class="number">{cell}</{tag}>' if i >= first else f"<{tag}>{cell}</{tag}>"
            for i, cell in enumerate(row)
        )

    body = "\n".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table>\n<tr>{cells('th', heads)}</tr>\n{body}\n</table>"


def _example(example: _Example, ontology: Ontology | None) -> str:
    finding, place = example.finding, example.place
    line, column = place.position(finding.span.start)
    where = f"{page.text(place.path)}:{line}:{column}"
    parts = [
        f'<p><span class="dim"><code>{where}</code></span> {_code_spans(finding.message)}</p>',
        f"<pre>{_marked(finding, place)}</pre>",
        f'<p class="dim">{_code_spans(finding.help)}</p>',
    ]
    if example.tree is not None and len(example.tree) <= _LONGEST:
        tree = scan(example.tree).tree
        if tree is not None:
            parts.append(f'<div class="picture">{svg(tree, ontology, style=False)}</div>')
    return "\n".join(parts)


def _marked(finding: Finding, place: Place) -> str:
    """The text around a mistake, the mistake marked."""
    start, end = finding.span.start + place.offset, finding.span.end + place.offset
    source = place.source
    end = min(max(end, start + 1), start + 4 * _AROUND)
    left, right = max(0, start - _AROUND), min(len(source), end + _AROUND)
    bad = source[start:end] or " "
    before, after = "…" * (left > 0) + source[left:start], source[end:right] + "…" * (right < len(source))
    return f"{_isolated(before)}<mark>{_isolated(bad)}</mark>{_isolated(after)}"


def _isolated(text: str) -> str:
    """Text as HTML in which words that run to the left do not carry the brackets around them along."""
    return "".join(
        f"<bdi>{page.text(piece)}</bdi>" if not piece.isascii() else page.text(piece)
        for piece in re.split(r"([()\t]+)", text)
    )


def _code_spans(text: str) -> str:
    """Text in which backquotes mean code, as HTML."""
    pieces = page.text(text).split("`")
    if len(pieces) % 2 == 0:  # a backquote of the data: none of them can be trusted
        return page.text(text)
    return "".join(f"<code>{piece}</code>" if i % 2 else piece for i, piece in enumerate(pieces))


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "-"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
