"""`python -m parser train`."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Annotated

import typer

from parser.commands import door
from parser.commands.door import Device, Threads


def train(
    shards: Annotated[
        list[str],
        typer.Option(help="A data set with train and dev: a directory or a URI. Repeatable: several are read as one."),
    ],
    output: Annotated[Path, typer.Option(help="The model directory to write.")],
    config: Annotated[
        str, typer.Option(help="best, base, published, multitask, finetune or tiny, or a TOML file.")
    ] = "base",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change a setting: section.key=value. Repeatable.")
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(
            help="A model directory to start from: labels and words are matched by name. Its settings in [model] count "
            "where --config and --set say nothing."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in --output where it was stopped.")
    ] = False,
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Train a parser; the best weights by exact match on dev are kept.

    Example: python -m parser train --shards shards/snips --output runs/snips --set train.epochs=40

    A run that was killed continues with --resume, with the settings it was started with, and gives the
    same losses as one that was not; --set may then change the learning rate, the epochs and when checkpoints
    are written. SIGTERM leaves a checkpoint and a file `stopped`, and ends with code 143. Under torchrun each
    process takes its share of every step.
    """
    first = os.environ.get("RANK", "0") == "0"
    with door.failures():
        from parser import config as configs
        from parser.checkpoint import Setup
        from parser.train import Stopped
        from parser.train import train as run

        if resume and (config != "base" or init):
            raise configs.ConfigError("--resume keeps the settings of the run; leave --config and --init out")
        settings = configs.load(config, (not resume and set_) or [], Setup.load(init).config.model if init else None)
        with door.progress("train") as report:
            where = door.device(device, threads)
            try:
                best = run(
                    shards,
                    output,
                    settings,
                    device=where,
                    resume=resume,
                    report=report,
                    init=init,
                    changes=set_ or [],
                )
            except Stopped as stopped:
                if first:
                    typer.echo(str(stopped), err=True)
                raise typer.Exit(128 + signal.SIGTERM) from stopped
    if first:
        typer.echo(f"best on dev: exact match {best['exact_match']:.1%} after epoch {best['epoch']}; model in {output}")
