"""`python -m grammar format`."""

from __future__ import annotations

from typing import Annotated

import typer

from grammar.commands import door
from grammar.commands.door import Files, Form


def format_(
    files: Files,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; name what would change, exit 1.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Change the files in place.")] = False,
    indent: Annotated[
        int | None, typer.Option(min=0, max=16, help="Trees over several lines, for reading; not with `--write`.")
    ] = None,
    form: Form = None,
) -> None:
    """Write trees in their canonical form: no white space, one leaf a word, only needed escapes.

    Comments, utterances and trees that cannot be read stay as they are.

    \b
    python -m grammar format batch.trees > tidy.trees
    python -m grammar format --check batch.trees
    echo '(PlayMusicIntent(Title(Star Wars)))' | python -m grammar format --indent 2 -
    """
    from grammar.picture import pretty

    if write and (check or indent is not None or "-" in files):
        door.fail("`--write` goes with neither `--check` nor `--indent` nor `-`")
    status = 0
    for path in files:
        lines: list[str] = []
        changed = False
        for row in door.lines(path, form):
            tree = door.parse(row)
            if tree is None:
                status = 1 if row.text is not None or row.problem else status
                lines += [] if indent is not None else [row.raw]
            elif indent is not None:
                lines.append(pretty(tree, indent) + "\n")
            else:
                tidy = str(tree)
                # The line end of a `.tree` file is no part of its tree.
                same = tidy == (row.text or "").removesuffix("\n")
                lines.append(row.raw.removesuffix("\n") if same else row.with_tree(tidy))
                if not same:
                    changed = True
                    if check:
                        status = 1
                        typer.echo(f"{row.place.path}:{row.place.line}: not in canonical form")
        if write and changed:
            door.write(path, "\n".join(lines) + "\n")
            door.note(f"{path}: changed")
        elif not write and not check and lines:
            typer.echo("\n".join(lines).removesuffix("\n"))
    raise typer.Exit(status)
