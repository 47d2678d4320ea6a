"""`python -m parser load-test`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from parser.commands import door


def load_test(
    url: Annotated[str, typer.Option(help="A running server.")] = "http://127.0.0.1:8000",
    file: Annotated[Path | None, typer.Option(help="Utterances, one a line; none or `-` reads stdin.")] = None,
    rate: Annotated[float, typer.Option(help="Requests a second, one utterance each, whatever the answers do.")] = 300,
    seconds: Annotated[float, typer.Option(help="How long.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Send a server requests at a fixed rate and report waits, refusals and failures.

    Example: python -m parser load-test --file requests.txt --rate 300 --seconds 10

    Exit code 1 where a request got no answer, or one that is neither a parse nor a refusal.
    """
    import asyncio

    with door.failures():
        from parser.config import ConfigError
        from parser.memory import settled
        from parser.traffic import send

        if rate <= 0 or seconds <= 0:
            raise ConfigError("--rate and --seconds must be above 0")
        utterances = [line for line in door.lines([], file) if line.strip()]
        if not utterances:
            raise ConfigError("there is no utterance to send; give --file")
        try:
            with settled():  # or a pause of ours would be taken for one of the server's
                figures = asyncio.run(send(url, utterances, rate, seconds)).figures()
        except ValueError as error:
            raise ConfigError(str(error)) from error
    if as_json:
        typer.echo(json.dumps(figures))
    else:
        for name, value in figures.items():
            typer.echo(f"{name:20} " + ("none answered" if value is None else f"{value:12,.1f}"))
    raise typer.Exit(1 if figures["failed"] else 0)
