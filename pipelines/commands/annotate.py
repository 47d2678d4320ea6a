"""`python -m pipelines annotate`."""

from __future__ import annotations

import json
import sys
import time
from typing import Annotated

import typer

from pipelines.commands import door
from pipelines.commands.door import Json


def annotate(
    context: typer.Context,
    model: Annotated[str, typer.Option(help="A directory that `python -m parser train` or `ensemble` wrote.")],
    input_: Annotated[
        list[str],
        typer.Option("--input", help="Text, TSV, JSON lines or Parquet: a file, folder or glob; may be given again."),
    ],
    output: Annotated[str, typer.Option(help="The directory to make. It appears whole at the end, or not at all.")],
    corpus: Annotated[str, typer.Option(help="First part of every row's id; default: the name of the output.")] = "",
    column: Annotated[
        str,
        typer.Option(help="The column of TSV, JSON lines and Parquet; a number from 1 for a TSV file without a head."),
    ] = "utterance",
    domain: Annotated[str, typer.Option(help="The domain of the text, for a model that has several.")] = "",
    for_annotators: Annotated[
        str, typer.Option(help="Write the rows that a person should look at to this TSV, most useful first.")
    ] = "",
    budget: Annotated[int, typer.Option(help="How many rows that file gets.")] = 200,
    batch_size: Annotated[int, typer.Option(help="Utterances that go through the network together.")] = 128,
    threads: Annotated[int, typer.Option(help="Threads of each worker.")] = 1,
    range_bytes: Annotated[
        int | None,
        typer.Option(help="Size of the pieces that workers take, a shard each; default 1 MiB, more for large inputs."),
    ] = None,
    max_rejected: Annotated[
        float, typer.Option(help="Publish nothing if a larger share of the lines is no utterance.")
    ] = 0.01,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace annotations, and a file for annotators, that stand there.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write nothing: print files, ranges, and an estimate from a sample.")
    ] = False,
    runner: Annotated[str, typer.Option(help="Beam runner.")] = "FnApiRunner",
    workers: Annotated[int, typer.Option(help="Processes of the local runner.")] = 1,
    as_json: Json = False,
) -> None:
    """Annotate a corpus without trees with a trained parser, with Apache Beam.

    Example: `python -m pipelines annotate --model runs/demo --input requests.txt --output annotated`

    Every line becomes a row with tree and score, or a dead letter in `rejected/`. A run that died goes on where it was.
    Model, input and output may be on any Beam filesystem (`gs://`, `s3://`, `hdfs://`). Check the shards with
    `python -m grammar check annotated/*.parquet`. Options that are not listed go to Beam.
    """
    door.positive(batch_size=batch_size, threads=threads, range_bytes=range_bytes, workers=workers, budget=budget)
    door.share(max_rejected=max_rejected)
    door.notes()
    from pipelines import dry
    from pipelines.annotate import Options, describe, prepare, run
    from pipelines.uncertainty import choose, tsv

    began = time.perf_counter()
    try:
        options = Options(
            model=model,
            inputs=input_,
            output=output,
            corpus=corpus,
            domain=domain,
            column=column,
            batch_size=batch_size,
            threads=threads,
            range_bytes=range_bytes or 0,
            max_rejected=max_rejected,
            overwrite=overwrite,
            runner=runner,
            workers=workers,
            beam=context.args,
        )
        if dry_run:
            plan = describe(prepare(options))
            dry.show(plan, as_json, f"model {plan['model'][:16]}", "a shard each")
            return
        if for_annotators:
            door.may_write(for_annotators, overwrite)
        done = run(options)
        if for_annotators:
            rows = choose(output, budget)
            door.write(for_annotators, [tsv(rows)], overwrite)
            print(f"{for_annotators}: {len(rows):,} rows for annotators", file=sys.stderr)
    except (ValueError, OSError, RuntimeError) as error:
        door.stop(door.why(error))
    if as_json:
        print(json.dumps(done, indent=2, ensure_ascii=False))
        return
    codes = ", ".join(f"{code} {rows:,}" for code, rows in done["rejected"].items()) or "none"
    print(f"{output}: {done['rows_in']:,} lines in, {done['rows_out']:,} annotated")
    print(f"rejected: {done['rows_rejected']:,} ({codes})")
    print(f"took {time.perf_counter() - began:.1f} s", file=sys.stderr)
