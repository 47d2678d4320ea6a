"""`python -m pipelines diff`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from pipelines.commands import door
from pipelines.commands.door import DataSet, Json


def diff(
    old: DataSet,
    new: DataSet,
    examples: Annotated[int, typer.Option(help="Rows to show of each kind.")] = 5,
    as_json: Json = False,
) -> None:
    """Compare two data sets: rows added, removed, changed or moved to another split, by id; requests; labels.

    Exits with 1 if they differ.
    """
    from pipelines.diff import diff as compare
    from pipelines.diff import differ

    try:
        found = compare(old, new, examples)
    except (ValueError, OSError) as error:
        door.stop(door.why(error))
    if as_json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        print("rows: " + ", ".join(f"{kind} {rows:,}" for kind, rows in found["rows"].items()))
        print("utterances: " + ", ".join(f"{kind} {rows:,}" for kind, rows in found["utterances"].items()))
        for move, rows in found["moves"].items():
            print(f"moved {move}: {rows:,}")
        for label, (before, after) in found["labels"].items():
            print(f"label {label}: {before:,} -> {after:,}")
        for kind, rows in found["examples"].items():
            for row in rows:
                print(f"{kind} {row['id']}")
                for side, sign in (("old", "-"), ("new", "+")):
                    if f"{side}_tree" in row:
                        print(
                            "  "
                            + "\t".join([sign, *(row[f"{side}_{name}"] for name in ("split", "utterance", "tree"))])
                        )
    if differ(found):
        raise typer.Exit(1)
