"""`python -m parser parse`."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from parser.commands import door
from parser.commands.door import Device, Threads


def parse(
    utterances: Annotated[
        list[str] | None, typer.Argument(help="Utterances; none or `-` reads lines of stdin.")
    ] = None,
    model: Annotated[
        list[Path] | None, typer.Option(help="A model or ensemble (runs/model). Several parse together.")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="Parse the lines of a file.")] = None,
    form: Annotated[str, typer.Option("--format", help="brackets, picture or json.")] = "brackets",
    beam: Annotated[
        int, typer.Option(min=1, help="How many trees grow at once; 1 takes the best action at every step.")
    ] = 1,
    nbest: Annotated[
        int, typer.Option(help="Print so many trees for each utterance, best first, with scores; at most --beam.")
    ] = 1,
    domain: Annotated[str, typer.Option(help="The domain of the utterances, for a model over several.")] = "",
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Parse utterances into trees.

    Examples:

        python -m parser parse --model runs/music "play jazz"

        python -m parser parse --model runs/music --file requests.txt --format json > trees.jsonl

        python -m parser parse --model runs/music --beam 5 --nbest 3 "play jazz"
    """
    with door.failures():
        from parser import load
        from parser.config import ConfigError

        if form not in ("brackets", "picture", "json"):
            raise ConfigError(f"--format must be brackets, picture or json, not `{form}`")
        if not 1 <= nbest <= beam:
            raise ConfigError(f"--nbest must lie between 1 and --beam, which is {beam}; give --beam {max(1, nbest)}")
        ready = load(model or [Path("runs/model")], door.device(device, threads), domain or None)
        size = 1 if sys.stdin.isatty() and not utterances and file is None else 1024
        lines = door.lines(utterances or [], file)
        unsure = parsed = 0
        while block := list(islice(lines, size)):
            quiet, some = door.print_parses(ready, block, form, beam, nbest)
            unsure, parsed = unsure + quiet, parsed + some
        if unsure and ready.confidence is not None and form != "json":
            typer.echo(
                f"note: {unsure:,} of {parsed:,} requests look unlike what the model was trained on (confidence below "
                f"{ready.confidence.threshold:.2g}); --format json marks them",
                err=True,
            )
