"""`python -m grammar explain`."""

from __future__ import annotations

from typing import Annotated

import typer

from grammar import rules
from grammar.commands import door


def explain(
    code: Annotated[str | None, typer.Argument(help="Such as E101; without it, all are listed.")] = None,
) -> None:
    """Say what a code means, with a wrong and a right example.

    \b
    python -m grammar explain E208
    """
    if code is None:
        typer.echo("\n".join(f"{rule.code}  {rule.title}" for rule in rules.RULES.values()))
        return
    if code.upper() not in rules.RULES:
        door.fail(f"unknown code `{code}`; `python -m grammar explain` lists them")
    typer.echo(rules.explain(code.upper()))
