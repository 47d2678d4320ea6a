"""`python -m pipelines retry`."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from pipelines.commands import door
from pipelines.commands.door import DataSet, Json


def retry(
    directory: DataSet,
    write_out: Annotated[
        str, typer.Option(metavar="FILE.jsonl", help="Write the dead letters, one JSON object a line; `-` is stdout.")
    ] = "",
    mended: Annotated[
        str, typer.Option(metavar="FILE.jsonl", help="Read them again after they were mended; `-` is stdin.")
    ] = "",
    output: Annotated[str, typer.Option(help="The data set to make. It appears whole at the end, or not at all.")] = "",
    code: Annotated[
        list[str] | None, typer.Option(help="With `--write-out`: letters of this code only; may be given again.")
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace what stands there; without `--output` the data set itself."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Write dead letters out to be mended by hand, and read the mended ones into the data set.

    Example: `python -m pipelines retry shards/massive --write-out letters.jsonl`, mend `raw` in an editor, then
    `python -m pipelines retry shards/massive --mended letters.jsonl --overwrite`

    Mend `raw`, which is the record as it stood. A line that is deleted, or whose `raw` is as it was, stays a dead
    letter; `"drop": true` gives it up for good (R211). Format, options, map and ontology are those of the data set;
    ids stay, and so does the number of rows in. Exit 1 if a mended letter is refused again.
    """
    from pipelines import retry as run

    if bool(write_out) == bool(mended):
        door.stop("give either `--write-out FILE` or `--mended FILE`")
    try:
        if write_out:
            lines = (f"{line}\n" for line in run.write_out(str(directory), code or ()))
            if write_out == "-":
                sys.stdout.writelines(lines)
                return
            count = door.write(write_out, lines, overwrite)
            print(json.dumps({"letters": count}) if as_json else f"{write_out}: {count:,} letters")
            return
        if code:
            door.stop("`--code` goes with `--write-out`")
        if not output and not overwrite:
            door.stop("give `--output DIR`, or `--overwrite` to put the rows into the data set itself")
        source = sys.stdin if mended == "-" else open(mended, encoding="utf-8")  # noqa: SIM115
        with source:
            name = "<stdin>" if mended == "-" else mended
            outcome = run.mend(str(directory), source, name, output or str(directory), overwrite)
    except (ValueError, OSError) as error:
        door.stop(door.why(error))
    manifest, again = outcome.manifest, sum(outcome.rejected.values())
    if as_json:
        said = outcome._asdict() | {"manifest": json.loads(manifest.dumps())}
        print(json.dumps(said, indent=2, ensure_ascii=False))
    else:
        codes = ", ".join(f"{name} {rows:,}" for name, rows in outcome.rejected.items())
        print(
            f"{output or directory}: {outcome.mended:,} letters became rows, {again:,} were refused again"
            f"{f' ({codes})' if codes else ''}, {outcome.given_up:,} given up"
        )
        print(f"{manifest.rows_in:,} rows in, {manifest.rows_out:,} out, {manifest.rows_rejected:,} rejected")
    if again:
        raise typer.Exit(1)
