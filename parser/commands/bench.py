"""`python -m parser bench`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from parser.commands import door
from parser.commands.door import Threads


def bench(
    shards: Annotated[Path, typer.Option(help="A data set with the split train.")],
    config: Annotated[str, typer.Option(help="A config, as for train.")] = "base",
    set_: Annotated[list[str] | None, typer.Option("--set", help="Change a setting: section.key=value.")] = None,
    seconds: Annotated[float, typer.Option(help="CPU-seconds for each line.")] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    threads: Threads = 1,
) -> None:
    """Speed of training and parsing on the CPU, beside the naive definition in the same run.

    Example: python -m parser bench --shards shards/snips --config published
    """
    with door.failures():
        from parser import config as configs
        from parser.bench import bench as run

        settings = configs.load(config, set_ or [])
        door.device("cpu", threads)
        figures = run(shards, settings, seconds)
    if as_json:
        typer.echo(json.dumps(figures))
    else:
        for name, value in figures.items():
            typer.echo(f"{name:28} {value:12,.1f}")
