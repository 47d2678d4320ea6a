"""python -m pipelines convert | annotate | export | verify | stats | diff | merge | sample | ..., see `--help`."""

from __future__ import annotations

import typer

from pipelines.commands.annotate import annotate
from pipelines.commands.bench import bench
from pipelines.commands.check import check
from pipelines.commands.compare import compare
from pipelines.commands.compose import compose
from pipelines.commands.convert import convert
from pipelines.commands.diff import diff
from pipelines.commands.export import export
from pipelines.commands.formats import formats
from pipelines.commands.merge import merge
from pipelines.commands.retry import retry
from pipelines.commands.sample import sample
from pipelines.commands.samples import samples
from pipelines.commands.stats import stats
from pipelines.commands.verify import verify

app = typer.Typer(
    help="Make shards of trees from corpora of intents and slots.\n\n"
    "convert a corpus, verify and describe what came out, or write sample requests to try it on.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)

app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(convert)
app.command()(export)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(annotate)
app.command()(verify)
app.command()(stats)
app.command()(diff)
app.command()(merge)
app.command()(retry)
app.command()(sample)
app.command()(compare)
app.command()(compose)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(check)
app.command()(bench)
app.command()(samples)
app.command()(formats)

if __name__ == "__main__":
    app(prog_name="python -m pipelines")
