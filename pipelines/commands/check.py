"""`python -m pipelines check`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from pipelines.commands import door
from pipelines.commands.door import Json


def check(
    context: typer.Context,
    input_: Annotated[
        list[str], typer.Option("--input", help="A file, a folder, or a glob in quotes; may be given again.")
    ],
    output: Annotated[str, typer.Option(help="Directory for `findings/` and `counts.json`.")],
    ontology: Annotated[
        str, typer.Option(help="TOML file to hold trees against; default: `ontology.toml` beside the input.")
    ] = "",
    tokeniser: Annotated[
        str, typer.Option(help="How utterances that are text are cut, as for `python -m grammar check`.")
    ] = "words-1",
    max_rejected: Annotated[
        float, typer.Option(help="Publish nothing, and exit with 2, if a larger share of rows has findings.")
    ] = 1.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace findings that stand there.")] = False,
    range_bytes: Annotated[
        int | None, typer.Option(help="Size of the pieces that workers take; default 16 MiB, more for large inputs.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write nothing: print files, ranges, and an estimate from a sample.")
    ] = False,
    runner: Annotated[str, typer.Option(help="Beam runner.")] = "FnApiRunner",
    workers: Annotated[int, typer.Option(help="Processes of the local runner.")] = 1,
    as_json: Json = False,
) -> None:
    """Check trees in .trees, .tsv, .jsonl and shards, with Apache Beam: for what is too much for one machine.

    Example: `python -m pipelines check --input 'gs://corpus/*.tsv' --output gs://corpus/out --runner FlinkRunner`

    Each row is checked as `python -m grammar check` does it, and what is ignored beside a tree (comments, a column
    `ignore`) is left out. Findings and rates appear at once or not at all, and a run that died goes on where it was.
    Exits with 1 if anything is found. Options that are not listed go to Beam.
    """
    door.positive(workers=workers, range_bytes=range_bytes)
    door.share(max_rejected=max_rejected)
    door.notes()
    from pipelines import dry
    from pipelines.checking import check as run
    from pipelines.checking import describe, prepare
    from pipelines.runner import flags

    try:
        given = flags(runner, workers, context.args)
        if dry_run:
            plan = describe(prepare(input_, output, ontology, range_bytes or 0, tokeniser))
            dry.show(plan, as_json)
            return
        counts = run(input_, output, ontology, range_bytes or 0, overwrite, given, max_rejected, tokeniser)
    except (ValueError, OSError, RuntimeError) as error:
        door.stop(door.why(error))
    if as_json:
        print(json.dumps(counts, indent=2, ensure_ascii=False))
    else:
        codes = ", ".join(f"{code} {number:,}" for code, number in counts["codes"].items()) or "none"
        print(f"{output}: {counts['rows']:,} rows checked; findings: {counts['findings']:,} ({codes})")
        print(f"rows with findings: {counts['rows_with_findings']:,} ({counts['rate']:.2%})")
        if counts["ignored"]:
            print(f"left out: {counts['ignored']:,} ignored")
    if counts["findings"]:
        raise typer.Exit(1)
