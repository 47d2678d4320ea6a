"""`python -m grammar agree`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grammar.commands import door
from grammar.commands.door import Column, Form, Overwrite
from grammar.infer import FUNCTIONS
from grammar.words import TOKENISERS

if TYPE_CHECKING:
    from grammar.agreement import Item

_MEASURES = {
    "exact_match": "exact match",
    "bracket_f1": "bracket F1",
    "intent_kappa": "kappa, intents",
    "slot_kappa": "kappa, slots",
}


def agree(
    files: Annotated[
        list[str], typer.Argument(metavar="FILES...", help="One file an annotator; or one with a column `annotator`.")
    ],
    by: Annotated[
        str | None, typer.Option(help="Match rows by id, utterance or line; else by the first that all rows have.")
    ] = None,
    show: Annotated[int, typer.Option(min=0, help="Disagreements to print with their diffs, the worst first.")] = 20,
    adjudicate: Annotated[
        Path | None, typer.Option(help="Write a file to settle them in: `.jsonl`, `.tsv`, or `.trees` with comments.")
    ] = None,
    overwrite: Overwrite = False,
    function: Annotated[
        list[str] | None, typer.Option(help=f"A label that joins clauses, besides {', '.join(sorted(FUNCTIONS))}.")
    ] = None,
    unordered: Annotated[
        list[str] | None, typer.Option(help="A label below which the order of children means nothing.")
    ] = None,
    tokeniser: Annotated[str, typer.Option(help=f"How utterances are cut: {', '.join(TOKENISERS)}.")] = "words-1",
    as_json: Annotated[bool, typer.Option("--json", help="One object: measures, pairs, disagreements.")] = False,
    column: Column = None,
    form: Form = None,
) -> None:
    """Measure how far annotators agree, and show where they do not; exit 1 if they differ anywhere.

    Exact match, labelled bracket F1, and chance-corrected agreement: Cohen's kappa of every pair and
    Krippendorff's alpha of all, on intents (a unit is an utterance) and slots (a unit is a word).

    \b
    python -m grammar agree anna.tsv ben.tsv
    python -m grammar agree batch.tsv --json
    python -m grammar agree anna.jsonl ben.jsonl cleo.jsonl --adjudicate settle.trees
    """
    from grammar import agreement
    from grammar.items import BY, by_annotator, match, settle

    if by is not None:
        door.one_of("--by", by, BY)
    door.one_of("--tokeniser", tokeniser, TOKENISERS)
    if adjudicate and adjudicate.suffix not in (".jsonl", ".tsv", ".trees"):
        door.fail(f"--adjudicate: {adjudicate} must end in .jsonl, .tsv or .trees")
    door.keep("--adjudicate", adjudicate, files, overwrite)
    columns = door.names_of(column)
    names, rows = _names(files), [list(door.trees_of(path, form, columns)) for path in files]
    try:
        if len(files) == 1:
            groups = by_annotator(rows[0])
            names, rows = list(groups), list(groups.values())
        if len(rows) < 2:
            door.fail("agreement needs two annotators or more")
        items = match(rows, by, tokeniser)
    except ValueError as error:
        door.fail(str(error))
    functions = FUNCTIONS | set(function or ())
    found = agreement.agree(items, len(names), functions, unordered or ())
    apart = [item for item in items if not item.agreed(unordered or ())]
    if adjudicate:
        door.write(str(adjudicate), settle(items, names, adjudicate.suffix[1:]))
        door.note(f"{adjudicate}: {door.count(len(apart), 'item')} to settle, {len(items) - len(apart):,} agreed")
    pairs = [{"annotators": [names[a], names[b]], **pair.to_dict()} for (a, b), pair in found.pairs.items()]
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "annotators": names,
                    "items": found.items,
                    "complete": found.complete,
                    "agreed": found.agreed,
                    "bracket_f1": found.bracket_f1(),
                    "intent_alpha": found.intent_alpha,
                    "slot_alpha": found.slot_alpha,
                    "pairs": pairs,
                    "disagreements": [
                        {"item": item.key, "words": item.words, "trees": [tree and str(tree) for tree in item.trees]}
                        for item in apart
                    ],
                },
                ensure_ascii=False,
            )
        )
        raise typer.Exit(1 if apart else 0)
    typer.echo(f"items                 {found.items:,}, {found.complete:,} of them annotated by all")
    typer.echo(f"all agree             {_share(found.agreed / found.complete if found.complete else None)}")
    typer.echo(f"bracket F1            {_share(found.bracket_f1())}")
    typer.echo(f"alpha, intents        {_number(found.intent_alpha)}")
    typer.echo(f"alpha, slots          {_number(found.slot_alpha)}")
    for key, title in _MEASURES.items():
        shown = _number if "kappa" in key else _share
        typer.echo("\n" + _matrix(title, names, [shown(pair[key]) for pair in pairs]))
    together = sorted((i for i in apart if len({str(tree) for tree in i.trees if tree}) > 1), key=_likeness)
    for item in together[:show]:
        typer.echo(f"\n{' '.join(item.words) if item.words else item.key}")
        _show_item(item.trees, names)
    if len(together) > show:
        door.note(f"{len(together) - show:,} more disagreements; see them with `--show {len(together)}` or `--json`")
    raise typer.Exit(1 if apart else 0)


def _likeness(item: Item) -> float:
    """Bracket F1 of an item."""
    from grammar.agreement import agree

    return agree([item], len(item.trees)).bracket_f1() or 0.0


def _show_item(trees: Sequence, names: Sequence[str]) -> None:
    """The first annotator's tree, and how each other one differs from it; equal ones together."""
    groups: dict[str, list[int]] = {}
    for i, tree in enumerate(trees):
        if tree is not None:
            groups.setdefault(str(tree), []).append(i)
    (base, *others) = [(", ".join(names[i] for i in group), trees[group[0]]) for group in groups.values()]
    for who, tree in others:
        door.show_diff(base[1], tree, base[0], who)


def _names(files: Sequence[str]) -> list[str]:
    """File names, with as much of their folders as tells them apart."""
    stems = [Path(path).stem if path != "-" else "<stdin>" for path in files]
    return stems if len(set(stems)) == len(stems) else list(files)


def _matrix(title: str, names: Sequence[str], values: Sequence[str]) -> str:
    """Values of pairs as a table: a row an annotator, a column each earlier one."""
    column = max(9, *(len(name) for name in names))
    rows = [f"{title:<20}  " + "  ".join(f"{name:>{column}}" for name in names[:-1])]
    of_pair = dict(zip(((a, b) for a in range(len(names)) for b in range(a + 1, len(names))), values, strict=True))
    for b in range(1, len(names)):
        rows.append(f"{names[b]:<20}  " + "  ".join(f"{of_pair[a, b]:>{column}}" for a in range(b)))
    return "\n".join(rows)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}%"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
