"""`python -m parser experiment`."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from parser.commands import door
from parser.commands.door import Device


def experiment(
    name: Annotated[str, typer.Argument(help="One of `parser/experiments/`, or the path of a TOML file.")],
    shards: Annotated[Path, typer.Option(help="The folder of the data sets.")] = Path("shards"),
    runs: Annotated[Path, typer.Option(help="Where models are kept; may be deleted.")] = Path("runs/experiments"),
    results: Annotated[Path, typer.Option(help="The folder of the lines of results.")] = Path("parser/results"),
    page: Annotated[Path | None, typer.Option(help="Write the table between its marks in this file.")] = None,
    corpus: Annotated[list[str] | None, typer.Option(help="Run this corpus only. Repeatable.")] = None,
    variant: Annotated[
        list[str] | None, typer.Option(help="Run this variant only, or those it chooses among. Repeatable.")
    ] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Run this seed only. Repeatable.")] = None,
    jobs: Annotated[int, typer.Option(min=0, help="Processes; 0: one a core, or one where there is a GPU.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Write to --page even a table with fewer figures.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Run nothing: print the table of what is there.")] = False,
    device: Device = "auto",
) -> None:
    """Run corpora x variants x seeds, keep one line of figures for each run, and print the table.

    Runs that have a line already are skipped, and a run that was killed is taken up where it was. Ctrl-C and SIGTERM
    leave a checkpoint of every run that is training, and end with code 143.

    Example: python -m parser experiment overnight --shards shards --page parser/README.md
    """
    with door.failures():
        from parser.experiment import comparable, load
        from parser.running import keys_of, lines_of, run_all
        from parser.tables import newest, put, strangers, table
        from parser.train import Stopped

        plan = load(name)
        wanted = plan.select(corpus or (), variant or (), seed or ())
        file = results / f"{plan.name}.jsonl"
        keys = keys_of(plan, shards)  # reads all data sets, so one that is missing is told before anything runs
        have = {line["key"] for line in lines_of(file)}
        asked = [] if dry_run else wanted
        comparable([run for run in plan.runs if run in asked or keys[run.corpus, run.variant, run.seed] in have])
        if not dry_run:
            where = door.device(device, 0)
            many = jobs or (1 if where.startswith("cuda") else os.cpu_count() or 1)
            say = partial(typer.echo, err=True)
            try:
                run_all(plan, shards, file, runs, device=where, jobs=many, wanted=wanted, report=say)
            except Stopped as stopped:
                say(str(stopped))
                raise typer.Exit(128 + signal.SIGTERM) from stopped
        lines = lines_of(file)
        if others := strangers(lines, keys):
            typer.echo(
                f"{others} of the {len(lines)} lines of {file.name} belong to other settings, rows or seeds", err=True
            )
        text = table(plan, newest(lines, keys))
        typer.echo(text, nl=False)
        if page is not None:
            put(page, plan.name, text, force)
