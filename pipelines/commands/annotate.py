"""`python -m pipelines annotate`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from pipelines.commands import door
from pipelines.commands.door import Json


def annotate(
    context: typer.Context,
    model: Annotated[Path, typer.Option(help="A directory that `python -m parser train` wrote.")],
    input_: Annotated[
        list[str],
        typer.Option("--input", help="Text, an utterance a line: a file, folder or glob; may be given again."),
    ],
    output: Annotated[str, typer.Option(help="The directory to make. It appears whole at the end, or not at all.")],
    corpus: Annotated[str, typer.Option(help="First part of every row's id; default: the name of the output.")] = "",
    for_annotators: Annotated[
        Path | None, typer.Option(help="Write the rows that a person should look at to this TSV, most useful first.")
    ] = None,
    budget: Annotated[int, typer.Option(help="How many rows that file gets.")] = 200,
    batch_size: Annotated[int, typer.Option(help="Utterances that go through the network together.")] = 128,
    threads: Annotated[int, typer.Option(help="Threads of each worker.")] = 1,
    range_bytes: Annotated[int, typer.Option(help="Size of the pieces that workers take; one shard each.")] = 4 << 20,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace annotations that stand there.")] = False,
    runner: Annotated[str, typer.Option(help="Beam runner.")] = "FnApiRunner",
    workers: Annotated[int, typer.Option(help="Processes of the local runner.")] = 1,
    as_json: Json = False,
) -> None:
    """Annotate plain text with a trained parser, with Apache Beam.

    Example: `python -m pipelines annotate --model runs/demo --input requests.txt --output annotated`

    Every line becomes a row with tree and score, or a dead letter in `rejected/`. A run that died goes on where it was.
    Check the shards with `python -m grammar check annotated/*.parquet`. Options that are not listed go to Beam.
    """
    if min(batch_size, threads, range_bytes, workers, budget) < 1:
        door.stop("`--batch-size`, `--threads`, `--range-bytes`, `--workers` and `--budget` must be positive")

    import logging

    logging.getLogger().setLevel(logging.ERROR)  # Beam tells of optional packages while it is imported
    from pipelines.annotate import Options, run
    from pipelines.uncertainty import choose, tsv

    began = time.perf_counter()
    try:
        done = run(
            Options(
                model=str(model),
                inputs=input_,
                output=output,
                corpus=corpus,
                batch_size=batch_size,
                threads=threads,
                range_bytes=range_bytes,
                overwrite=overwrite,
                runner=runner,
                workers=workers,
                beam=context.args,
            )
        )
        if for_annotators is not None:
            from grammar.shard import write_text

            rows = choose(output, budget)
            write_text(for_annotators, tsv(rows))
            print(f"{for_annotators}: {len(rows):,} rows for annotators", file=sys.stderr)
    except (ValueError, OSError, RuntimeError) as error:
        door.stop(str(error))
    if as_json:
        print(json.dumps(done, indent=2, ensure_ascii=False))
        return
    codes = ", ".join(f"{code} {rows:,}" for code, rows in done["rejected"].items()) or "none"
    print(f"{output}: {done['rows_in']:,} lines in, {done['rows_out']:,} annotated")
    print(f"rejected: {done['rows_rejected']:,} ({codes})")
    print(f"took {time.perf_counter() - began:.1f} s", file=sys.stderr)
