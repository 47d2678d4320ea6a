"""`python -m parser ensemble`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from parser.commands import door


def ensemble(
    model: Annotated[list[Path], typer.Option(help="A finished model directory; give two or more.")],
    output: Annotated[Path, typer.Option(help="The directory to make.")],
) -> None:
    """Put several models into one directory, which parses as one model does: the mean of their probabilities.

    The models may differ in their settings and seeds, but must have the same labels, lexicon, domains, tokeniser and
    way of copying. `parse`, `evaluate`, `calibrate`, `serve`, `bench` and `pipelines annotate` take this directory as
    they take a model's; it holds copies of the models.

    Example: python -m parser ensemble --model runs/one --model runs/two --output runs/together
    """
    with door.failures():
        from parser.checkpoint import load_model, members_of, save_ensemble
        from parser.config import ConfigError
        from parser.ensemble import Ensemble

        members = [member for directory in model for member in members_of(directory)]
        if len(members) < 2:
            raise ConfigError("an ensemble has two models or more; give --model again")
        loaded = [load_model(member) for member in members]
        Ensemble([(network, setup.vocab) for setup, network, _ in loaded])
        save_ensemble(members, output)
    typer.echo(f"{len(members)} models in {output}")
