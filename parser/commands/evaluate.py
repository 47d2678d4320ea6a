"""`python -m parser evaluate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from parser.commands import door
from parser.commands.door import Device, Threads


def evaluate(
    model: Annotated[list[Path], typer.Option(help="A model or ensemble. Several parse together.")],
    shards: Annotated[str, typer.Option(help="A data set: a directory or a URI.")],
    split: Annotated[str, typer.Option(help="train, dev or test.")] = "test",
    without: Annotated[str, typer.Option(help="Leave out rows with a label like this, as in 'IN:UNSUPPORTED*'.")] = "",
    beam: Annotated[int, typer.Option(min=1, help="How many trees grow at once.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    errors: Annotated[int, typer.Option(min=0, help="Also print so many wrong parses, gold above predicted.")] = 0,
    report: Annotated[Path | None, typer.Option(help="Also write figures and errors as an HTML page.")] = None,
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Exact match, intent accuracy and bracket F1, the first and the last by slice too.

    Rows of the split that conversion rejected count as wrong. The page of --report has more slices, the labels that are
    taken for others, and the kinds of errors with examples as tree diffs and drawings. Wrong parses are shown from all
    over the split.

    Example: python -m parser evaluate --model runs/snips --shards shards/snips --split test --json
    """
    with door.failures():
        from grammar.shard import write_text
        from parser.checkpoint import load_model, members_of
        from parser.ensemble import Ensemble
        from parser.errors import spread
        from parser.evaluate import evaluate as run
        from parser.evaluate import gold_of, template_of
        from parser.report import report as html
        from parser.selection import source_of

        where = door.device(device, threads)
        loaded = [load_model(member, where) for directory in model for member in members_of(directory)]
        setup, network, _ = loaded[0]
        source = source_of(shards, setup.config.data)
        wrong: list[Any] = []
        figures = run(
            network,
            setup.vocab,
            setup.ontology,
            setup.values,
            source.rows(split),
            rejected=source.manifest.rejected_splits.get(split, 0),
            without=without,
            errors=wrong,
            beam=beam,
            search=Ensemble([(other, about.vocab) for about, other, _ in loaded]) if len(loaded) > 1 else None,
            templates={template_of(gold_of(row)) for row in source.rows("train")} if report else None,
        )
        if report:
            title = f"{', '.join(directory.name for directory in model)} on {Path(shards).name}, {split}"
            write_text(report, html(figures, wrong, setup.ontology, title))
    if as_json:
        typer.echo(json.dumps(figures, ensure_ascii=False))
    else:
        door.table(figures)
    door.note_unknown_labels(figures)
    for gold, parse in (wrong[i] for i in sorted(spread(range(len(wrong)))[:errors])):
        typer.echo(
            f"\n{gold.id}  {' '.join(gold.words)}\n  gold       {gold.tree}\n  predicted  {parse.tree}", err=as_json
        )
