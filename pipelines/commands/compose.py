"""`python -m pipelines compose`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from pipelines.commands import door
from pipelines.commands.door import DataSet, Json


def compose(
    directory: DataSet,
    output: Annotated[str, typer.Option(help="The data set to make. It appears whole at the end, or not at all.")],
    rate: Annotated[float, typer.Option(help="Compound requests made of each single one, on average.")] = 0.5,
    values: Annotated[
        float, typer.Option(help="How often a request gets a second value in a slot, under `add`; 0 to 1.")
    ] = 0.05,
    shared: Annotated[
        float, typer.Option(help="How often a later clause takes over a value of an earlier one; 0 to 1.")
    ] = 0.1,
    clauses: Annotated[str, typer.Option(metavar="N..M", help="Clauses of a compound request.")] = "2..3",
    slot: Annotated[
        list[str] | None, typer.Option(help="Only this slot gets second values; may be given again.")
    ] = None,
    glue: Annotated[
        str,
        typer.Option(help="What joins clauses: `general`, `mix` (the strings of MixSNIPS), or a TOML file of yours."),
    ] = "general",
    split: Annotated[list[str] | None, typer.Option(help="Only this split gets them; may be given again.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same requests.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes; the bytes are the same for any number.")] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a data set that stands there.")] = False,
    as_json: Json = False,
) -> None:
    """Make compound requests from single ones: two or three clauses under `and`, two values under `add`.

    Example: `python -m pipelines compose shards/snips --output shards/compound --rate 1 --glue general`

    Parts come from one split only. Composed rows are marked in the column `composed` and counted in `rows_composed`;
    the rows of the corpus stay as they are. The built-in glue is English: for another language give a TOML file with
    `joins`, and if you like `values`, `openers`, `fillers`, `closers` and `filled`.
    """
    from pipelines import glue as inventories
    from pipelines.compose import Recipe
    from pipelines.composing import compose as run

    least, _, most = clauses.partition("..")
    if not least.isdecimal() or not (most or least).isdecimal():
        door.stop(f"`--clauses {clauses}`: two numbers, such as `2..3`, or one")
    door.positive(workers=workers)
    try:
        recipe = Recipe(
            rate=rate,
            values=values,
            shared=shared,
            least=int(least),
            most=int(most or least),
            slots=tuple(slot or ()),
            seed=seed,
            glue=inventories.load(glue),
        )
        manifest = run(directory, output, recipe, split or (), overwrite, workers)
    except (ValueError, OSError) as error:
        door.stop(door.why(error))
    if as_json:
        print(json.dumps({"rows_composed": manifest.rows_composed, "splits": manifest.splits}))
        return
    splits = ", ".join(f"{name} {rows:,}" for name, rows in manifest.splits.items())
    print(f"{output}: {manifest.rows_out:,} rows and {manifest.rows_composed:,} composed ({splits})")
