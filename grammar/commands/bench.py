"""`python -m grammar bench`."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from grammar.commands import door


def bench(
    as_json: Annotated[bool, typer.Option("--json", help="Print one flat JSON object.")] = False,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; the best counts.")] = 3,
    agree: Annotated[
        int, typer.Option(metavar="N", help="In place of measuring: hold columns, Lark and scan equal on N strings.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="Of the strings for `--agree` and the trees for `--write-trees`.")] = 1,
    write_trees: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="In place of measuring: write trees (at most 200,000 different ones), and their ontology beside.",
        ),
    ] = None,
    mb: Annotated[int, typer.Option(min=1, help="Size of that file.")] = 1_000,
    bad: Annotated[float, typer.Option(min=0, max=1, help="Share of its trees that have a mistake.")] = 0.001,
) -> None:
    """Measure the checker and the reader beside Lark and nltk, on the same trees in one run.

    \b
    python -m grammar bench --json
    python -m grammar bench --agree 100000
    python -m grammar bench --write-trees big/all.trees --mb 1000 --bad 0.001
    """
    if write_trees:
        _write(write_trees, mb, bad, seed)
        return
    try:
        from grammar.bench import agree as disagreements
        from grammar.bench import bench as measure
    except ImportError as error:
        door.fail(f"{error}; install treewright[grammar]")
    if agree:
        differ = disagreements(agree, seed)
        for text in differ[:20]:
            typer.echo(json.dumps(text))
        door.note(f"{agree:,} strings: {len(differ):,} on which columns, Lark and scan differ")
        raise typer.Exit(1 if differ else 0)
    figures = measure(rounds)
    if "nltk_trees_s_short_valid" not in figures:
        door.note("nltk is not installed, so nothing is compared with it; install treewright[test]")
    if as_json:
        typer.echo(json.dumps({name: round(value, 3) for name, value in figures.items()}))
        return
    for name, value in figures.items():
        typer.echo(f"{name:48} {value:14,.1f}")


def _write(file: Path, mb: int, bad: float, seed: int) -> None:
    from grammar.invented import endless, ontology

    rows = endless(100, bad, seed)
    # Making trees takes longer than checking them, so after some they come again.
    piece = "".join(f"{text}\n" for text in islice(rows, min(mb * 10_000, 200_000))).encode()
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as out:
        for _ in range(-(-mb * 1_000_000 // len(piece))):
            out.write(piece)
    door.write(str(file.with_name("ontology.toml")), ontology().dumps())
