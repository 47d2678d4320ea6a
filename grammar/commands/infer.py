"""`python -m grammar infer`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grammar.commands import door
from grammar.commands.door import Files, Form
from grammar.infer import FUNCTIONS, Counts


def infer(
    files: Files,
    output: Annotated[Path | None, typer.Option(help="Where to write; else stdout.")] = None,
    function: Annotated[
        list[str] | None, typer.Option(help=f"A label that joins others, besides {', '.join(sorted(FUNCTIONS))}.")
    ] = None,
    form: Form = None,
) -> None:
    """Draft an ontology from trees, with counts; rare links are doubtful, and a person reviews it.

    \b
    python -m grammar infer batch.trees --output ontology.toml
    """
    counts = Counts()
    status = trees = 0
    for path in files:
        for row in door.rows(path, form):
            tree = door.parse(row)
            if tree is None:
                status = 1
            else:
                trees += 1
                counts.add(tree)
    if not trees:
        door.fail("no tree could be read, so there is nothing to infer from")
    text = counts.ontology(FUNCTIONS | set(function or ())).dumps()
    if output:
        door.write(str(output), text)
    else:
        typer.echo(text, nl=False)
    door.note(f"inferred from {door.count(trees, 'tree')}" + (", leaving out those with findings" if status else ""))
    raise typer.Exit(status)
