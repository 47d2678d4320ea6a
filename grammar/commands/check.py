"""`python -m grammar check`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from grammar.checker import check as check_tree
from grammar.commands import door
from grammar.commands.door import Files, Form
from grammar.files import Row
from grammar.finding import Finding, Place, render, to_json
from grammar.words import TOKENISERS


def check(
    files: Files,
    ontology: Annotated[
        Path | None, typer.Option(help="What the labels are held against; else `ontology.toml` beside each file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a finding, one a line.")] = False,
    tokeniser: Annotated[str, typer.Option(help=f"How utterances are cut: {', '.join(TOKENISERS)}.")] = "words-1",
    form: Form = None,
) -> None:
    """Find what is wrong with trees: syntax (E1), labels (E2), words (E3), characters (E5).

    \b
    python -m grammar check batch.trees
    python -m grammar check batch.tsv --ontology music.toml
    echo '(PlayMusicIntent' | python -m grammar check -
    """
    door.one_of("--tokeniser", tokeniser, TOKENISERS)
    given = door.ontology(ontology)
    console = Console(highlight=False, soft_wrap=True)
    trees = bad = total = 0
    for path in files:
        known = given or door.ontology(path)
        for row in door.rows(path, form):
            found = [row.problem] if row.problem else check_tree(row.text or "", known, row.utterance, tokeniser)
            trees, bad, total = trees + 1, bad + bool(found), total + len(found)
            for finding in found:
                place = place_of(row, finding)
                if as_json:
                    typer.echo(json.dumps(to_json(finding, place), ensure_ascii=False))
                else:
                    door.show(console, render(finding, place) + "\n")
        if known is None:
            door.note(f"{path}: no ontology, so labels were not checked; give one with `--ontology`")
    read = f"{door.count(trees, 'tree')} in {door.count(len(files), 'file')}"
    door.note(f"{read}: {door.count(total, 'finding')} in {door.count(bad, 'tree')}")
    raise typer.Exit(1 if total else 0)


def place_of(row: Row, finding: Finding) -> Place:
    """Where the text that a finding counts in was read: the tree's, or the utterance's."""
    if finding.field == "tree":
        return row.place
    source = row.raw if row.form == "tsv" else str(row.utterance)
    return Place(row.place.path, row.place.line, source)
