"""`python -m pipelines merge`."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.commands import door
from pipelines.commands.door import Json


def merge(
    directories: Annotated[list[str], typer.Argument(metavar="DIR...", help="Two data sets or more.")],
    output: Annotated[str, typer.Option(help="The data set to make. It appears whole at the end, or not at all.")],
    corpus: Annotated[str, typer.Option(help="Its name; default: the name of the output.")] = "",
    shards: Annotated[
        int | None, typer.Option(help="Shards of each split; default: as many as the old ones have.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a data set that stands there.")] = False,
    as_json: Json = False,
) -> None:
    """Make one data set of several: every row keeps its id and its split.

    Example: `python -m pipelines merge shards/snips shards/atis --output shards/both`

    Two rows with one id are an error, and so are words that were cut in different ways. The rows come out as one
    conversion of all the inputs would write them.
    """
    from pipelines.merge import merge as run

    door.positive(shards=shards)
    try:
        manifest = run(directories, output, corpus, shards or 0, overwrite)
    except (ValueError, OSError) as error:
        door.stop(door.why(error))
    if as_json:
        print(manifest.dumps(), end="")
        return
    splits = ", ".join(f"{name} {rows:,}" for name, rows in manifest.splits.items())
    print(f"{output}: {manifest.rows_out:,} rows ({splits}), {manifest.rows_rejected:,} rejected")
