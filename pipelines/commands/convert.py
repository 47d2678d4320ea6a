"""`python -m pipelines convert`."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer

from pipelines.commands import door
from pipelines.commands.door import Json


def convert(
    context: typer.Context,
    format_: Annotated[str, typer.Option("--format", help="How to read it; `formats` lists the names, `auto` looks.")],
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
        str,
        typer.Option(
            help="`corpus` keeps the corpus's splits; `utterance`, `template`, `shape`, `domain` and `value` deal rows "
            "so that none of these stands on both sides."
        ),
    ] = "corpus",
    dev_share: Annotated[
        float | None,
        typer.Option(
            help="Share of dev, with `--split-by corpus` out of train (default: 0, logical forms 0.2); else 0.1."
        ),
    ] = None,
    test_share: Annotated[float, typer.Option(help="Share of test, where splits are dealt.")] = 0.1,
    dev_domain: Annotated[
        list[str] | None, typer.Option(help="With `--split-by domain`: a domain for dev; may be given again.")
    ] = None,
    test_domain: Annotated[
        list[str] | None, typer.Option(help="With `--split-by domain`: a domain for test; may be given again.")
    ] = None,
    min_judgment: Annotated[
        float, typer.Option(help="MASSIVE: refuse rows that a smaller share of their judges accept, 0 to 1.")
    ] = 0.0,
    annotator: Annotated[
        str,
        typer.Option(help="Label Studio: `first`, `agreed` (all say the same), `prediction`, or the id of a person."),
    ] = "first",
    offsets: Annotated[
        str,
        typer.Option(help="What offsets count, if not what the format says: `code-point`, `utf-16` or `byte`."),
    ] = "",
    seed: Annotated[int, typer.Option(help="Alexa: seed of the values in templates.")] = 0,
    fill: Annotated[int, typer.Option(help="Alexa: utterances made of each template, at most.")] = 5,
    ontology: Annotated[
        str,
        typer.Option(
            help="TOML file to hold every tree against; default: `ontology.toml` beside the input, else inferred."
        ),
    ] = "",
    shards: Annotated[
        int | None, typer.Option(help="Shards of each split; default: one per 32 MiB of input.", show_default=False)
    ] = None,
    map_: Annotated[
        str, typer.Option("--map", metavar="FILE.toml", help="New names for intents and slots; false drops one.")
    ] = "",
    notation: Annotated[
        str, typer.Option(help="Trees of logical forms: `compact` or `plain`; both can be turned back by `export`.")
    ] = "compact",
    max_rejected: Annotated[float, typer.Option(help="Publish nothing if a larger share of rows is rejected.")] = 0.01,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a data set that stands there.")] = False,
    range_bytes: Annotated[
        int | None, typer.Option(help="Size of the pieces that workers take; default: 16 MiB.", show_default=False)
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write nothing: print files, ranges, shards and estimated sizes.")
    ] = False,
    runner: Annotated[str, typer.Option(help="Beam runner.")] = "FnApiRunner",
    workers: Annotated[int, typer.Option(help="Processes of the local runner.")] = 1,
    as_json: Json = False,
) -> None:
    """Convert a corpus into Parquet shards of trees, with Apache Beam.

    Example: `python -m pipelines convert --format massive --input 'data/*.jsonl' --output shards/massive`

    Every record becomes a row of a shard or of `rejected/`, with file, line and reason. The bytes are the same for
    any number of workers and any size of range. A job that died goes on where it was when the same command is given
    again. Paths may be of any Beam filesystem (`gs://`, `s3://`, `hdfs://`), inputs `.gz` or in a `.zip`. Options that
    are not listed go to Beam (`--flink_master=...`).
    """
    if multi_intent not in ("clauses", "label"):
        door.stop(f"`--multi-intent {multi_intent}`: the choices are `clauses` and `label`")
    if split_by not in ("corpus", "utterance", "template", "shape", "domain", "value"):
        door.stop(
            f"`--split-by {split_by}`: the choices are `corpus`, `utterance`, `template`, `shape`, `domain` and `value`"
        )
    if (dev_domain or test_domain) and split_by != "domain":
        door.stop("`--dev-domain` and `--test-domain` need `--split-by domain`")
    dev = dev_share if dev_share is not None else 0.0 if split_by == "corpus" else 0.1
    test = 0.0 if split_by == "corpus" else test_share
    if not (dev >= 0 and test >= 0 and dev + test < 1):
        door.stop(f"the shares of dev ({dev:g}) and test ({test:g}) must leave something for train")
    if offsets not in ("", "code-point", "utf-16", "byte"):
        door.stop(f"`--offsets {offsets}`: the choices are `code-point`, `utf-16` and `byte`")
    if notation not in ("compact", "plain"):
        door.stop(f"`--notation {notation}`: the choices are `compact` and `plain`")
    if not 0 <= min_judgment <= 1 or fill < 1:
        door.stop("`--min-judgment` is a share between 0 and 1, `--fill` at least 1")
    door.positive(shards=shards, workers=workers, range_bytes=range_bytes)
    door.share(max_rejected=max_rejected)

    door.notes()
    from pipelines import dry
    from pipelines.convert import Options, describe, prepare, run
    from pipelines.formats import Reading
    from pipelines.splits import Dealing

    began = time.perf_counter()
    try:
        options = Options(
            inputs=input_,
            format=format_,
            output=output,
            corpus=corpus,
            licence=licence,
            map=map_,
            reading=Reading(min_judgment, annotator, offsets.replace("code-point", "code point"), seed, fill, notation),
            multi_intent=multi_intent,
            coordinate=coordinate,
            dealing=None
            if split_by == "corpus" and dev_share is None
            else Dealing(split_by, dev, test, tuple(dev_domain or ()), tuple(test_domain or ())),
            ontology=ontology,
            shards=shards or 0,
            max_rejected=max_rejected,
            overwrite=overwrite,
            range_bytes=range_bytes or 0,
            runner=runner,
            workers=workers,
            beam=context.args,
        )
        if dry_run:
            plan = describe(prepare(options))
            head = f"format {plan['format']}, corpus `{plan['corpus']}`"
            dry.show(plan, as_json, head, f"{plan['shards_per_split']:,} shards for each split", splits=True)
            return
        manifest = run(options)
    except (ValueError, OSError, RuntimeError) as error:
        door.stop(door.why(error))
    if as_json:
        print(manifest.dumps(), end="")
        return
    splits = ", ".join(f"{name} {rows:,}" for name, rows in manifest.splits.items())
    codes = ", ".join(f"{code} {rows:,}" for code, rows in manifest.rejected.items()) or "none"
    print(f"{output}: {manifest.rows_in:,} rows in, {manifest.rows_out:,} out ({splits})")
    print(f"rejected: {manifest.rows_rejected:,} ({codes})")
    print(f"took {time.perf_counter() - began:.1f} s", file=sys.stderr)
