"""`python -m grammar show`."""

from __future__ import annotations

from typing import Annotated

import typer

from grammar.commands import door
from grammar.commands.door import Form
from grammar.files import Row


def show(
    tree: Annotated[str, typer.Argument(metavar="TREE", help="A tree in brackets, a file, or `-`.")], form: Form = None
) -> None:
    """Draw trees as text.

    \b
    python -m grammar show '(PlayMusicIntent(MediaType(music)))'
    python -m grammar show batch.tsv
    """
    from grammar.picture import picture

    if tree.lstrip().startswith("("):
        from grammar.finding import Place

        rows = iter([Row(Place("<argument>", 1, tree), "tree", tree, tree)])
    else:
        rows = door.rows(tree, form)
    status = 0
    for number, row in enumerate(rows):
        read_tree = door.parse(row)
        if read_tree is None:
            status = 1
            continue
        spoken = row.utterance if isinstance(row.utterance, str) else " ".join(row.utterance or ())
        typer.echo("\n" * bool(number) + (f"{spoken}\n" if spoken else "") + picture(read_tree))
    raise typer.Exit(status)
