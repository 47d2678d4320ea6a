"""python -m pipelines convert | verify | stats | compare | samples | formats"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

app = typer.Typer(
    help="Make shards of trees from corpora of intents and slots.\n\n"
    "convert a corpus, verify and describe what came out, or write sample requests to try it on.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DataSet = Annotated[Path, typer.Argument(metavar="DIR", help="A data set: a directory with `manifest.json`.")]


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def convert(
    context: typer.Context,
    format_: Annotated[str, typer.Option("--format", help="How to read it; `formats` lists the names.")],
    input_: Annotated[
        list[str], typer.Option("--input", help="A file, a folder, or a glob in quotes; may be given again.")
    ],
    output: Annotated[str, typer.Option(help="The data set to make. It appears whole at the end, or not at all.")],
    corpus: Annotated[str, typer.Option(help="First part of every row's id; default: the name of the output.")] = "",
    licence: Annotated[str, typer.Option(metavar="TEXT", help="Licence of the corpus, for that column.")] = "",
    multi_intent: Annotated[
        str,
        typer.Option(help="`clauses`: intents joined by `#` become one tree each under `and`. `label`: one tree."),
    ] = "clauses",
    coordinate: Annotated[
        bool, typer.Option("--coordinate", help="Put slot values joined by `and`, `or` or commas under `add`.")
    ] = False,
    split_by: Annotated[
        str, typer.Option(help="`corpus` keeps the corpus's splits, `hash` deals rows by their utterance.")
    ] = "corpus",
    dev_share: Annotated[
        float | None,
        typer.Option(help="Share of dev, out of train with `--split-by corpus`; default: 0, by hash 0.1."),
    ] = None,
    test_share: Annotated[float, typer.Option(help="Share of test with `--split-by hash`.")] = 0.1,
    ontology: Annotated[
        str,
        typer.Option(
            help="TOML file to hold every tree against; default: `ontology.toml` beside the input, else inferred."
        ),
    ] = "",
    shards: Annotated[
        int, typer.Option(help="Shards of each split; default: one per 64 MiB of input.", show_default=False)
    ] = 0,
    max_rejected: Annotated[float, typer.Option(help="Publish nothing if a larger share of rows is rejected.")] = 0.01,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a data set that stands there.")] = False,
    range_bytes: Annotated[int, typer.Option(help="Size of the pieces that workers take.")] = 16 << 20,
    runner: Annotated[str, typer.Option(help="Beam runner.")] = "FnApiRunner",
    workers: Annotated[int, typer.Option(help="Processes of the local runner.")] = 1,
    as_json: Json = False,
) -> None:
    """Convert a corpus into Parquet shards of trees, with Apache Beam.

    Example: `python -m pipelines convert --format massive --input 'data/*.jsonl' --output shards/massive`

    Every record becomes a row of a shard or of `rejected/`, with file, line and reason. The bytes are the same for
    any number of workers and any size of range. Options that are not listed go to Beam (`--flink_master=...`).
    """
    if multi_intent not in ("clauses", "label"):
        _stop(f"`--multi-intent {multi_intent}`: the choices are `clauses` and `label`")
    if split_by not in ("corpus", "hash"):
        _stop(f"`--split-by {split_by}`: the choices are `corpus` and `hash`")
    dev = dev_share if dev_share is not None else 0.1 if split_by == "hash" else 0.0
    test = test_share if split_by == "hash" else 0.0
    if not (dev >= 0 and test >= 0 and dev + test < 1):
        _stop(f"the shares of dev ({dev:g}) and test ({test:g}) must leave something for train")
    if shards < 0 or workers < 1 or range_bytes < 1:
        _stop("`--shards`, `--workers` and `--range-bytes` must be positive")

    import logging

    logging.getLogger().setLevel(logging.ERROR)  # Beam tells of optional packages while it is imported
    notes = logging.StreamHandler()
    notes.setFormatter(logging.Formatter("note: %(message)s"))
    ours = logging.getLogger("pipelines")
    ours.addHandler(notes)
    ours.setLevel(logging.INFO)
    ours.propagate = False
    from pipelines.convert import Options, run
    from pipelines.splits import Dealing

    began = time.perf_counter()
    try:
        manifest = run(
            Options(
                inputs=input_,
                format=format_,
                output=output,
                corpus=corpus,
                licence=licence,
                multi_intent=multi_intent,
                coordinate=coordinate,
                dealing=Dealing(split_by, dev, test),
                ontology=ontology,
                shards=shards,
                max_rejected=max_rejected,
                overwrite=overwrite,
                range_bytes=range_bytes,
                runner=runner,
                workers=workers,
                beam=context.args,
            )
        )
    except (ValueError, OSError, RuntimeError) as error:
        _stop(str(error))
    if as_json:
        print(manifest.dumps(), end="")
        return
    splits = ", ".join(f"{name} {rows:,}" for name, rows in manifest.splits.items())
    codes = ", ".join(f"{code} {rows:,}" for code, rows in manifest.rejected.items()) or "none"
    print(f"{output}: {manifest.rows_in:,} rows in, {manifest.rows_out:,} out ({splits})")
    print(f"rejected: {manifest.rows_rejected:,} ({codes})")
    print(f"took {time.perf_counter() - began:.1f} s", file=sys.stderr)


@app.command()
def verify(directory: DataSet, as_json: Json = False) -> None:
    """Check a data set: hashes, columns, counts, and every row's actions against its tree.

    Exits with 1 if anything is wrong.
    """
    from grammar.shard import ShardError
    from pipelines.verify import verify as examine

    try:
        rows, findings = examine(directory)
    except ShardError as error:
        _stop(str(error))
    if as_json:
        print(json.dumps({"rows": rows, "findings": findings}, indent=2, ensure_ascii=False))
    else:
        print("\n".join([*findings, f"{directory}: {rows:,} rows, {len(findings)} findings"]))
    if findings:
        raise typer.Exit(1)


@app.command()
def stats(directory: DataSet, as_json: Json = False) -> None:
    """Count what a data set holds: rows, intents, slots, words, depth and actions of each split."""
    from grammar.shard import ShardError
    from pipelines.stats import describe, table

    try:
        counts = describe(directory)
    except ShardError as error:
        _stop(str(error))
    if as_json:
        print(json.dumps(counts, indent=2, ensure_ascii=False))
    else:
        for drawn in table(counts):
            _print(drawn)


@app.command()
def compare(left: DataSet, right: DataSet, as_json: Json = False) -> None:
    """Pair the utterances of two data sets, two forms of one corpus, and count what had to be ignored for it.

    Example: `python -m pipelines compare shards/snips shards/snips-json`
    """
    from grammar.shard import ShardError
    from pipelines.compare import compare as pair
    from pipelines.compare import utterances

    try:
        counts = pair(utterances(left), utterances(right)).to_json()
    except ShardError as error:
        _stop(str(error))
    if as_json:
        print(json.dumps(counts, indent=2, ensure_ascii=False))
        return
    for what, rows in counts.items():
        print(f"{what}: " + ", ".join(f"{name} {number:,}" for name, number in rows.items()))


@app.command()
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
        from grammar.shard import ShardError
        from pipelines.samples.compare import against_gold

        try:
            same, total, differing = against_gold(output / "gold", compare)
        except (ShardError, OSError) as error:
            _stop(str(error))
        for line in differing[:10]:
            print(line)
        print(f"converted = gold: {same:,} of {total:,}")
        raise typer.Exit(0 if same == total else 1)
    if rows < 1:
        _stop("`--rows` must be positive")
    try:
        written = write(generate(rows, seed), output, shards)
    except (ValueError, OSError) as error:
        _stop(str(error))
    print(f"{output}: " + ", ".join(f"{split} {n:,}" for split, n in written.items()))


@app.command()
def formats(as_json: Json = False) -> None:
    """List the formats that `convert` reads."""
    from pipelines.formats import FORMATS

    if as_json:
        print(json.dumps({name: format_.summary for name, format_ in FORMATS.items()}, indent=2))
        return
    from rich.markup import escape
    from rich.table import Table

    listing = Table("format", "holds", "files in a folder", "words", box=None)
    for name, format_ in FORMATS.items():
        listing.add_row(
            name, escape(format_.summary), " ".join((*format_.patterns, *format_.companions)), format_.tokeniser
        )
    _print(listing)


def _print(what: Any) -> None:
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 160).print(what)


def _stop(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    raise typer.Exit(2)


if __name__ == "__main__":
    app(prog_name="python -m pipelines")
