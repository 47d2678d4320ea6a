"""`python -m pipelines samples`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.commands import door


def samples(
    output: Annotated[Path, typer.Option(help="Directory for `flat/`, `gold/` and `shards/`.")],
    rows: Annotated[int, typer.Option(help="Rows of train; dev and test get a fifteenth as many each.")] = 6000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same requests.")] = 1,
    shards: Annotated[
        bool, typer.Option("--shards", help="Also write the gold trees as a data set, without Beam.")
    ] = False,
    compare: Annotated[
        str, typer.Option(metavar="DATASET", help="Write nothing: compare a data set made from `flat/` with `gold/`.")
    ] = "",
) -> None:
    """Write invented requests, flat and as gold trees, to try a conversion on.

    Example:
    `python -m pipelines samples --output build/samples`, then
    `python -m pipelines convert --format seq --coordinate --input build/samples/flat --output build/shards`, then
    `python -m pipelines samples --output build/samples --compare build/shards`
    """
    from pipelines.samples.generate import generate
    from pipelines.samples.write import write

    if compare:
        from pipelines.samples.compare import against_gold

        try:
            same, total, differing = against_gold(output / "gold", compare)
        except (ValueError, OSError) as error:
            door.stop(door.why(error))
        for line in differing[:10]:
            print(line)
        print(f"converted = gold: {same:,} of {total:,}")
        raise typer.Exit(0 if same == total else 1)
    door.positive(rows=rows)
    try:
        written = write(generate(rows, seed), output, shards)
    except (ValueError, OSError) as error:
        door.stop(door.why(error))
    print(f"{output}: " + ", ".join(f"{split} {n:,}" for split, n in written.items()))
