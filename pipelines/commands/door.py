"""What the commands share: options, messages, exit codes."""

from __future__ import annotations

import logging
import sys
from typing import Annotated, Any, NoReturn

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DataSet = Annotated[
    str, typer.Argument(metavar="DIR", help="A data set: a directory with `manifest.json`, on any Beam filesystem.")
]


def show(what: Any) -> None:
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 160).print(what)


def notes() -> None:
    """Show what our modules log as notes on stderr, and nothing of other loggers but errors."""
    logging.getLogger().setLevel(logging.ERROR)  # Beam tells of optional packages while it is imported
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("note: %(message)s"))
    ours = logging.getLogger("pipelines")
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)
    ours.propagate = False


def stop(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    raise typer.Exit(2)
