"""`python -m pipelines sample`."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.commands import door
from pipelines.commands.door import DataSet, Json


def sample(
    directory: DataSet,
    output: Annotated[str, typer.Option(help="The data set to make. It appears whole at the end, or not at all.")],
    per_label: Annotated[int, typer.Option(help="Rows for each intent and slot, where there are as many.")],
    seed: Annotated[int, typer.Option(help="Another seed draws other rows.")] = 0,
    split: Annotated[
        list[str] | None, typer.Option(help="A split to sample, the others stay whole; may be given again. [train]")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a data set that stands there.")] = False,
    as_json: Json = False,
) -> None:
    """Draw a low-resource sample: N rows per intent and slot (SPIS, as in TOPv2).

    Example: `python -m pipelines sample shards/top --per-label 25 --output shards/top-25`

    Rows come in the order of a hash of seed and id; one is kept while an intent or slot of it has fewer than N.
    """
    from pipelines.low_resource import draw

    try:
        manifest = draw(str(directory), output, per_label, seed, split or ("train",), overwrite)
    except (ValueError, OSError) as error:
        door.stop(door.why(error))
    if as_json:
        print(manifest.dumps(), end="")
        return
    splits = ", ".join(f"{name} {rows:,}" for name, rows in manifest.splits.items())
    print(f"{output}: {manifest.rows_out:,} rows ({splits})")
