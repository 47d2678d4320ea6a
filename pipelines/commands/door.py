"""What the commands share: options, messages, exit codes."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable
from typing import Annotated, Any, NoReturn

import typer

from pipelines import storage

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DataSet = Annotated[
    str, typer.Argument(metavar="DIR", help="A data set: a directory with `manifest.json`, on any Beam filesystem.")
]
_STEP = re.compile(r" \[while running '[^']*'\]")
_RAISED = re.compile(r"^[A-Za-z_][\w.]*: ", re.MULTILINE)
"""How the last line of a traceback begins."""
_NUMBERED = re.compile(r"\[Errno -?\d+\] ([^:]*): '(.*)'")


def show(what: Any) -> None:
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 160).print(what)


def notes() -> None:
    """Show what our modules log as notes on stderr, and nothing of other loggers but errors."""
    logging.getLogger().setLevel(logging.ERROR)  # Beam tells of optional packages while it is imported
    logging.getLogger("apache_beam.runners.common").setLevel(logging.CRITICAL)  # it logs what is raised as well
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("note: %(message)s"))
    ours = logging.getLogger("pipelines")
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)
    ours.propagate = False


def positive(**given: int | None) -> None:
    """Stop unless these options, where they are given, are 1 or more."""
    for name, value in given.items():
        if value is not None and value < 1:
            stop(f"`--{name.replace('_', '-')} {value}`: it must be positive")


def share(**given: float) -> None:
    """Stop unless these options are between 0 and 1."""
    for name, value in given.items():
        if not 0 <= value <= 1:
            stop(f"`--{name.replace('_', '-')} {value:g}`: it is a share, between 0 and 1")


def why(error: BaseException) -> str:
    """What went wrong, without the traceback and the step that Beam puts around an error of a worker.

    >>> why(OSError("[Errno 2] No such file or directory: 'a.toml' [while running 'convert/plan']"))
    'a.toml: No such file or directory'
    """
    text = _STEP.sub("", str(error)).strip()
    if "Traceback (most recent call last)" in text:
        text = _RAISED.split(text)[-1].strip()
    found = _NUMBERED.fullmatch(text)
    return f"{found[2]}: {found[1]}" if found else text


def may_write(path: str, overwrite: bool) -> None:
    """See that a file which a person edits may be written.

    Raises:
        FileExistsError: it is there, and is not to be overwritten.
    """
    if storage.exists(storage.local(path)) and not overwrite:
        raise FileExistsError(f"{path} exists, and may have been edited; give `--overwrite` to replace it")


def write(path: str, texts: Iterable[str], overwrite: bool) -> int:
    """Write such a file, whole or not at all; how many texts it is made of.

    Raises:
        FileExistsError: as `may_write`.
    """
    may_write(path, overwrite)
    count = 0
    with storage.writing(storage.local(path)) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        for text in texts:
            file.write(text)
            count += 1
    return count


def stop(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    raise typer.Exit(2)
