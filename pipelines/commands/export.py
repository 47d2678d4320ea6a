"""`python -m pipelines export`."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.commands import door
from pipelines.commands.door import Json


def export(
    format_: Annotated[str, typer.Option("--format", help="How to write it; `formats` lists the names.")],
    shards: Annotated[str, typer.Option(metavar="DIR", help="A data set, on any Beam filesystem.")],
    output: Annotated[
        str, typer.Option(help="The folder to make, on this machine. It appears whole at the end, or not at all.")
    ],
    variant: Annotated[
        str, typer.Option(help="A form of the format, such as `iobes` of bio; `formats NAME` lists them.")
    ] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an export that stands there.")] = False,
    as_json: Json = False,
) -> None:
    """Write a data set as a corpus in another format, and report what that format cannot keep.

    Example: `python -m pipelines export --format rasa --shards shards/massive --output massive-rasa`

    Everything that is written is read back and compared. Rows that the format cannot hold are in `refused.jsonl`,
    each with its reason. Exit 1 if a row comes back changed for a reason that the format does not declare.
    """
    from pipelines.export import export as write
    from pipelines.export import lines_of

    try:
        report = write(shards, format_, output, variant, overwrite)
    except (ValueError, OSError) as error:
        door.stop(door.why(error))
    if as_json:
        print(report.dumps())
    else:
        for line in lines_of(report, output):
            print(line)
        for name in report.unexplained[:10]:
            print(f"changed without a declared reason: {name}")
    if report.unexplained:
        raise typer.Exit(1)
