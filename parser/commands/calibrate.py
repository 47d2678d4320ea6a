"""`python -m parser calibrate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from parser.commands import door
from parser.commands.door import Device, Threads


def calibrate(
    model: Annotated[Path, typer.Option(help="A model or ensemble; `confidence.json` is written into its directory.")],
    shards: Annotated[str, typer.Option(help="A data set: a directory or a URI.")],
    abstain: Annotated[float, typer.Option(help="The share of dev that is to be abstained on.")] = 0.05,
    test: Annotated[bool, typer.Option("--test", help="Also report on the test split.")] = False,
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Fit on dev how sure a parse is, and below what confidence the parser should say nothing.

    Prints one JSON object a split. Domains that `data.without` left out of training count as outside the ontology:
    they are not fitted on, and are what abstaining is measured by.

    Example: python -m parser calibrate --model runs/snips --shards shards/snips --test
    """
    with door.failures():
        from parser.checkpoint import load_model, members_of
        from parser.confidence import calibrated
        from parser.config import ConfigError

        if not 0 <= abstain < 1:
            raise ConfigError("--abstain must be at least 0 and below 1")
        where = door.device(device, threads)
        models = [load_model(member, where)[:2] for member in members_of(model)]
        confidence, figures = calibrated(models, shards, abstain, ("dev", "test") if test else ("dev",))
        confidence.save(model)
    for split, found in figures.items():
        typer.echo(json.dumps({"split": split, **found}))
