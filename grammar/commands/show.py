"""`python -m grammar show`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grammar.commands import door
from grammar.commands.door import Column, Form

_LAYOUTS = ("auto", "down", "right")


def show(
    tree: Annotated[str, typer.Argument(metavar="TREE", help="A tree in brackets, a file, or `-`.")],
    svg: Annotated[Path | None, typer.Option(help="Draw one tree as SVG into this file, in place of text.")] = None,
    html: Annotated[Path | None, typer.Option(help="Draw all trees into one HTML page, in place of text.")] = None,
    layout: Annotated[
        str, typer.Option(help="Of drawings: down, right (an outline), or auto: right where down is too wide.")
    ] = "auto",
    ontology: Annotated[
        Path | None, typer.Option(help="Says what is an intent, function or slot; else as for `check`, or guessed.")
    ] = None,
    column: Column = None,
    form: Form = None,
) -> None:
    """Draw trees: as text, as SVG, or as a page.

    \b
    python -m grammar show '(PlayMusicIntent(MediaType(music)))'
    python -m grammar show '(PlayMusicIntent(MediaType(music)))' --svg music.svg
    python -m grammar show batch.tsv --html batch.html
    """
    from grammar.picture import picture

    door.one_of("--layout", layout, _LAYOUTS)
    if svg and html:
        door.fail("give `--svg` or `--html`, not both")
    for option, output in (("--svg", svg), ("--html", html)):
        door.spare(option, output, () if tree.lstrip().startswith("(") else (tree, ontology))
    known = door.ontology(ontology or (None if tree.lstrip().startswith("(") else tree))
    status = 0
    drawn: list[str] = []
    for number, one in enumerate(door.trees_of(tree, form, door.names_of(column))):
        if one.tree is None:
            status = 1
        elif svg or html:
            from grammar.svg import svg as draw

            if svg and drawn:
                door.fail(f"{tree} holds more than one tree; draw them all with `--html FILE`")
            drawing = draw(one.tree, known, layout, style=bool(svg))
            drawn.append(drawing if svg else _figure(one.spoken, one.row.place.line, drawing))
        else:
            typer.echo("\n" * bool(number) + (f"{one.spoken}\n" if one.spoken else "") + picture(one.tree))
    if drawn and (target := svg or html):
        door.write(str(target), drawn[0] if svg else _page(tree, drawn))
        door.note(f"{target}: {door.count(len(drawn), 'tree')} drawn")
    raise typer.Exit(status)


def _figure(spoken: str | None, line: int, drawing: str) -> str:
    from grammar.page import text

    return f'<h3 dir="auto">{text(spoken or f"line {line}")}</h3>\n<div class="picture">{drawing}</div>'


def _page(title: str, figures: list[str]) -> str:
    from grammar.page import page
    from grammar.svg import STYLE

    return page(title, "\n".join(figures), STYLE)
