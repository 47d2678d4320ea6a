"""`python -m grammar diff`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from grammar.commands import door
from grammar.commands.door import Column, Form


def diff(
    before: Annotated[str, typer.Argument(help="A tree in brackets, a file, or `-`.")],
    after: Annotated[str, typer.Argument(help="The same kind of thing.")],
    by: Annotated[
        str | None, typer.Option(help="Match rows by id, utterance or line; else by the first that all rows have.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One object a pair of trees that differ: distance and lines.")
    ] = False,
    column: Column = None,
    form: Form = None,
) -> None:
    """Show how two trees differ, or the trees of two files; exit 1 if they do.

    The lines are those of a shortest edit: nodes and words that were deleted (`-`), inserted (`+`) or kept.

    \b
    python -m grammar diff '(Play(Title(Jolene)))' '(Play(Artist(Jolene)))'
    python -m grammar diff old.tsv new.tsv
    """
    from grammar.items import BY, match
    from grammar.treediff import diff as diff_trees

    if by is not None:
        door.one_of("--by", by, BY)
    names = door.names_of(column)
    sides = [list(door.trees_of(source, form, names)) for source in (before, after)]
    if any(one.tree is None for side in sides for one in side):
        door.fail(
            "a tree cannot be read, so there is nothing to compare; mend it first (see `python -m grammar check`)"
        )
    try:
        items = match(sides, by)
    except ValueError as error:
        door.fail(str(error))
    apart = [item for item in items if not item.agreed()]
    for number, item in enumerate(apart):
        old, new = item.trees
        if as_json:
            lines = diff_trees(old, new) if old and new else []
            row = {
                "item": item.key,
                "before": old and str(old),
                "after": new and str(new),
                "edits": [f"{line.sign}{line.text}" for line in lines if line.sign != " "],
            }
            typer.echo(json.dumps(row, ensure_ascii=False))
            continue
        if len(items) > 1:
            typer.echo("\n" * bool(number) + (" ".join(item.words) if item.words else f"line {item.key}"))
        if old and new:
            door.show_diff(old, new, before if len(items) > 1 else None, after if len(items) > 1 else None)
        else:
            typer.echo(f"only in {before if old else after}: {old or new}")
    if len(items) > 1 or not apart:
        door.note(f"{door.count(len(items), 'tree')}, {len(apart):,} of them differ")
    raise typer.Exit(1 if apart else 0)
