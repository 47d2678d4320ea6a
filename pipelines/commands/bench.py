"""`python -m pipelines bench`."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from pipelines.commands import door
from pipelines.commands.door import Json


def bench(
    records: Annotated[
        int,
        typer.Option(
            help="Records of the comparison, for a quick run; default: 1,000,000, with all ways at 0.1, 0.3, 1 and 3 "
            "times as many.",
            show_default=False,
        ),
    ] = 0,
    corpus: Annotated[
        str, typer.Option(help="Folder with `seq.in`, `seq.out` and `label`, to be repeated; else one is invented.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Measure a conversion of invented requests against a plain loop and against the usual Beam pipeline.

    Example: `python -m pipelines bench --records 100000`

    CPU-seconds are of all processes, their start included. Memory is the peak of the whole process tree, at 0.3 and at
    3 times as many records. Ends with 1 if ways that must write the same bytes do not.
    """
    if records and records < 1_000:
        door.stop("`--records` must be at least 1,000")
    from pipelines.bench import RECORDS, Differs
    from pipelines.bench import bench as run

    try:
        result = run(records or RECORDS, not records, lambda line: print(line, file=sys.stderr, flush=True), corpus)
    except Differs as error:
        print(error)
        raise typer.Exit(1) from error
    except (OSError, RuntimeError) as error:
        door.stop(door.why(error))
    if as_json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:<32} {value}")
