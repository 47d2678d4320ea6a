"""python -m parser train | evaluate | ensemble | calibrate | parse | inspect | experiment | serve | load-test | bench

Results go to stdout, progress and log to stderr. Exit codes: 0 done, 2 could not run."""

from __future__ import annotations

import typer

from parser.commands.bench import bench
from parser.commands.calibrate import calibrate
from parser.commands.door import Once
from parser.commands.ensemble import ensemble
from parser.commands.evaluate import evaluate
from parser.commands.experiment import experiment
from parser.commands.inspect import inspect
from parser.commands.load_test import load_test
from parser.commands.parse import parse
from parser.commands.serve import serve
from parser.commands.train import train

app = typer.Typer(
    help="Learn semantic trees from shards, and parse new utterances.",
    epilog="Start: python -m pipelines samples --output demo --shards, then python -m parser train --help",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.command(cls=Once)(train)
app.command(cls=Once)(evaluate)
app.command(cls=Once)(ensemble)
app.command(cls=Once)(calibrate)
app.command(cls=Once)(parse)
app.command(cls=Once)(inspect)
app.command(cls=Once)(experiment)
app.command(cls=Once)(serve)
app.command(cls=Once)(load_test)
app.command(cls=Once)(bench)

if __name__ == "__main__":
    app()
