"""The door for annotators: `python -m grammar COMMAND`; every command has its file in `commands/`."""

from __future__ import annotations

import typer

from grammar.commands.agree import agree
from grammar.commands.bench import bench
from grammar.commands.check import check
from grammar.commands.diff import diff
from grammar.commands.explain import explain
from grammar.commands.format import format_
from grammar.commands.infer import infer
from grammar.commands.lsp import lsp
from grammar.commands.ontology import app as ontology
from grammar.commands.show import show

app = typer.Typer(
    help="Check, format and draw annotated trees.\n\n"
    "Results go to stdout, all else to stderr. Exit: 0 clean, 1 findings, 2 could not run.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.command()(check)
app.command("format")(format_)
app.command()(show)
app.command()(diff)
app.command()(agree)
app.command()(infer)
app.add_typer(ontology, name="ontology")
app.command()(explain)
app.command()(lsp)
app.command()(bench)

if __name__ == "__main__":
    app(prog_name="python -m grammar")
