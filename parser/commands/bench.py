"""`python -m parser bench`."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from parser.commands import door
from parser.commands.door import Threads


def bench(
    shards: Annotated[
        str, typer.Option(help="A data set: a directory or a URI; without it the sample corpus is written and used.")
    ] = "",
    config: Annotated[str, typer.Option(help="A config, as for train.")] = "base",
    set_: Annotated[list[str] | None, typer.Option("--set", help="Change a setting: section.key=value.")] = None,
    model: Annotated[
        str, typer.Option(help="A model or ensemble to time parsing with; without it, what the timed training made.")
    ] = "",
    peer: Annotated[
        str,
        typer.Option(
            metavar="COMMAND",
            help="Run this too, in turns with training; it must print `per CPU-s N utt` (utterances per CPU-second).",
        ),
    ] = "",
    device: Annotated[str, typer.Option(help="`cpu` or `cuda`.")] = "cpu",
    seconds: Annotated[float, typer.Option(min=0.01, help="Time for each line: CPU-seconds, on a GPU seconds.")] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one flat JSON object.")] = False,
    threads: Threads = 1,
) -> None:
    """Speed of training and parsing, beside what the machine's arithmetic allows and beside a peer.

    Measured in one run: training by batch size, loading alone, the share of each part of a step, parsing by
    batch size, the wait for one utterance, and the machine's rates of a 2048-square product and of a copy.
    `train_share_of_ceiling` is the matrix products of the unpadded training step over the former.

    Example: python -m parser bench --shards shards/snips --config published --json
    """
    with door.failures():
        from parser import config as configs
        from parser.bench import bench as run

        settings = configs.load(config, set_ or [])
        where = door.device(device, threads)

        def say(line: str) -> None:
            print(line, file=sys.stderr, flush=True)

        figures = run(shards, settings, where, seconds, peer, say, model)
    if as_json:
        typer.echo(json.dumps(figures))
    else:
        for name, value in figures.items():
            typer.echo(f"{name:28} {value:14,.3f}" if abs(value) < 100 else f"{name:28} {value:14,.0f}")
