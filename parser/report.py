"""An evaluation as one HTML page: figures, slices, confusions, and errors by kind with examples to look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from grammar import page
from grammar.ontology import Ontology
from grammar.svg import STYLE, svg
from grammar.treediff import diff
from parser.decode import Parse
from parser.errors import KINDS, analyse
from parser.evaluate import Gold

EXAMPLES = 5
CONFUSIONS = 20
_STYLE = """
.pair { display: flex; flex-wrap: wrap; gap: 1.5rem; } .pair > div { overflow-x: auto; }
pre .minus { color: var(--bad); } pre .plus { color: var(--slot); }
"""


def report(
    figures: Mapping[str, Any], wrong: Sequence[tuple[Gold, Parse]], ontology: Ontology, title: str = "Evaluation"
) -> str:
    """The page.

    Args:
        figures: of `evaluate`.
        wrong: its wrong parses.
        ontology: of the model.
        title: the heading.
    """
    analysis = analyse(wrong, ontology)
    n = figures["n"]
    parts = [
        f"<h1>{page.text(title)}</h1>",
        _table(
            ["exact match", "with copy positions", "intent accuracy", "bracket F1", "utterances"],
            [[*(_share(figures[name]) for name in _FIGURES), f"{n:,}"]],
        ),
        "<h2>Slices</h2>",
        _table(
            ["slice", "exact match", "", "bracket F1", "utterances"],
            [
                [
                    page.text(name),
                    _share(part["exact_match"]),
                    _bar(1 - part["exact_match"]),
                    _share(part["bracket_f1"]),
                    f"{part['n']:,}",
                ]
                for name, part in figures["slices"].items()
            ],
        ),
        "<h2>Kinds of errors</h2>",
        f'<p class="dim">{len(wrong):,} wrong parses; one may have errors of several kinds.</p>',
        _table(
            ["kind", "what it is", "parses", ""],
            [
                [f'<a href="#{kind.replace(" ", "-")}">{kind}</a>', KINDS[kind], f"{count:,}", _bar(count / len(wrong))]
                for kind, count in analysis.kinds.most_common()
            ],
        ),
    ]
    for name, confusion in (("Intents", analysis.intents), ("Slots", analysis.slots)):
        if confusion:
            parts += [f"<h2>{name} taken for others</h2>", _confusion(confusion)]
    for kind, _ in analysis.kinds.most_common():
        parts.append(f'<h2 id="{kind.replace(" ", "-")}">{kind}</h2>')
        parts += [_example(*wrong[number], ontology) for number in analysis.examples[kind][:EXAMPLES]]
    return page.page(title, "\n".join(parts), STYLE + _STYLE)


_FIGURES = ("exact_match", "exact_match_positions", "intent_accuracy", "bracket_f1")


def _example(gold: Gold, parse: Parse, ontology: Ontology) -> str:
    lines = []
    for line in diff(gold.tree, parse.tree):
        sign = {"-": "minus", "+": "plus"}.get(line.sign)
        text = page.text(line)
        lines.append(f'<span class="{sign}">{text}</span>' if sign else text)
    drawings = "".join(
        f'<div><p class="dim">{name}</p>{svg(tree, ontology, style=False)}</div>'
        for name, tree in (("gold", gold.tree), ("predicted", parse.tree))
    )
    words = page.text(" ".join(gold.words))
    return (
        f'<p><span class="dim"><code>{page.text(gold.id)}</code></span> <bdi>{words}</bdi></p>\n'
        f"<pre>{chr(10).join(lines)}</pre>\n"
        f'<div class="pair">{drawings}</div>'
    )


def _confusion(confusion: Counter[tuple[str, str]]) -> str:
    rows = [
        [f"<code>{page.text(gold)}</code>", f"<code>{page.text(predicted)}</code>", f"{count:,}"]
        for (gold, predicted), count in confusion.most_common(CONFUSIONS)
    ]
    return _table(["gold", "predicted", "times"], rows)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def cells(tag: str, row: Sequence[str]) -> str:
        return "".join(f"<{tag}>{cell}</{tag}>" for cell in row)

    body = "\n".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table>\n<tr>{cells('th', heads)}</tr>\n{body}\n</table>"


def _bar(share: float) -> str:
    return f'<span class="bar" style="width:{round(200 * share)}px"></span>'


def _share(value: float) -> str:
    return f"{value:.1%}"
