"""`python -m grammar ontology diff | docs | grammar`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from grammar.commands import door
from grammar.constrain import EXACT, NOTATIONS, export
from grammar.describe import FORMATS, html, markdown, schema

app = typer.Typer(
    help="Compare ontologies, document them, and export them.\n\n"
    "\b\npython -m grammar ontology diff old.toml new.toml\npython -m grammar ontology docs music.toml > labels.md\n"
    "python -m grammar ontology grammar music.toml --to gbnf",
    no_args_is_help=True,
)

Toml = Annotated[Path, typer.Argument(help="An ontology, such as `ontology.toml`.")]
Output = Annotated[Path | None, typer.Option(help="Where to write; else stdout.")]


@app.command()
def diff(
    before: Toml,
    after: Toml,
    as_json: Annotated[bool, typer.Option("--json", help="One object, with the list of changes.")] = False,
) -> None:
    """Say what changed between two ontologies; exit 1 if anything did.

    Changes after which good trees may have findings are marked with `!`. Counts are not compared.

    \b
    python -m grammar ontology diff old.toml new.toml
    """
    from grammar.changes import changes

    old, new = door.ontology(before), door.ontology(after)
    assert old is not None and new is not None
    found = changes(old, new)
    if as_json:
        typer.echo(json.dumps({"changes": [change.to_dict() for change in found]}, ensure_ascii=False))
    else:
        colours = {"+": "green", "-": "red", "~": "yellow"}
        for change in found:
            typer.secho(f"{'!' if change.breaks else ' '} {change}", fg=colours[str(change)[0]])
    breaking = sum(change.breaks for change in found)
    door.note(f"{door.count(len(found), 'change')}, {breaking} of which may break good trees")
    raise typer.Exit(1 if found else 0)


@app.command()
def docs(
    ontology: Toml,
    to: Annotated[str, typer.Option(help=f"{', '.join(FORMATS)}: the last is a JSON Schema of trees.")] = FORMATS[0],
    title: Annotated[str, typer.Option(help="The heading.")] = "Labels",
    output: Output = None,
) -> None:
    """Write a guide for annotators: every label, its description and examples, what it holds, where it stands.

    \b
    python -m grammar ontology docs music.toml > labels.md
    python -m grammar ontology docs music.toml --to html --output labels.html
    python -m grammar ontology docs music.toml --to schema
    """
    door.one_of("--to", to, FORMATS)
    door.spare("--output", output, (ontology,))
    known = door.ontology(ontology)
    assert known is not None
    if to == "schema":
        text = json.dumps(schema(known), ensure_ascii=False, indent=2) + "\n"
    else:
        text = html(known, title) if to == "html" else markdown(known, title)
    _put(output, text)


@app.command("grammar")
def grammar_(
    ontology: Toml,
    to: Annotated[str, typer.Option(help="lark (also llguidance) or gbnf (llama.cpp, XGrammar).")] = NOTATIONS[0],
    exact: Annotated[
        int, typer.Option(min=0, max=12, help="Children of one label that are counted exactly; each doubles its rules.")
    ] = EXACT,
    output: Output = None,
) -> None:
    """Write a grammar with which a language model can decode only trees that the ontology allows.

    Where a label has more children to count than `--exact`, the grammar accepts more than the ontology,
    and a comment in it says what.

    \b
    python -m grammar ontology grammar music.toml --to gbnf --output music.gbnf
    """
    door.one_of("--to", to, NOTATIONS)
    door.spare("--output", output, (ontology,))
    known = door.ontology(ontology)
    assert known is not None
    try:
        _put(output, export(known, to, exact))
    except ValueError as error:
        door.fail(f"{ontology}: {error}")


def _put(output: Path | None, text: str) -> None:
    if output:
        door.write(str(output), text)
    else:
        typer.echo(text, nl=False)
