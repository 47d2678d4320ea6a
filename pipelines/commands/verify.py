"""`python -m pipelines verify`."""

from __future__ import annotations

import json

import typer

from pipelines.commands import door
from pipelines.commands.door import DataSet, Json


def verify(directory: DataSet, as_json: Json = False) -> None:
    """Check a data set: hashes, columns, counts, and every row's actions against its tree.

    Exits with 1 if anything is wrong.
    """
    from pipelines.verify import verify as examine

    try:
        rows, findings = examine(directory)
    except (ValueError, OSError) as error:
        door.stop(door.why(error))
    if as_json:
        print(json.dumps({"rows": rows, "findings": findings}, indent=2, ensure_ascii=False))
    else:
        print("\n".join([*findings, f"{directory}: {rows:,} rows, {len(findings)} findings"]))
    if findings:
        raise typer.Exit(1)
