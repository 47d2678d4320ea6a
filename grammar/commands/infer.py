"""`python -m grammar infer`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grammar.commands import door
from grammar.commands.door import Column, Files, Form, Overwrite
from grammar.infer import FUNCTIONS, Counts, doubts


def infer(
    files: Files,
    output: Annotated[Path | None, typer.Option(help="Where to write; else stdout.")] = None,
    overwrite: Overwrite = False,
    function: Annotated[
        list[str] | None, typer.Option(help=f"A label that joins others, besides {', '.join(sorted(FUNCTIONS))}.")
    ] = None,
    rare: Annotated[
        float, typer.Option(min=0, max=1, help="Links below this share of a label's uses are marked as doubtful.")
    ] = 0.01,
    column: Column = None,
    form: Form = None,
) -> None:
    """Draft an ontology from trees, with counts; a person reviews it.

    Comments in the draft say what to look at: rare links, labels seen once, children that are always there.

    \b
    python -m grammar infer batch.trees --output ontology.toml
    python -m grammar infer batch.trees --rare 0.001 --function both
    """
    door.keep("--output", output, files, overwrite)
    counts, names = Counts(), door.names_of(column)
    status = trees = 0
    for path in files:
        for row in door.rows(path, form, names):
            tree = door.parse(row)
            if tree is None:
                status = 1
            else:
                trees += 1
                counts.add(tree)
    if not trees:
        door.fail("no tree could be read, so there is nothing to infer from")
    draft = counts.ontology(FUNCTIONS | set(function or ()))
    remarks = doubts(draft, rare)
    text = draft.dumps(remarks)
    if output:
        door.write(str(output), text)
    else:
        typer.echo(text, nl=False)
    door.note(f"inferred from {door.count(trees, 'tree')}" + (", leaving out those with findings" if status else ""))
    if remarks:
        door.note(f"{door.count(sum(map(len, remarks.values())), 'remark')} to look at, as comments in the draft")
    raise typer.Exit(status)
