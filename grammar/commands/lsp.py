"""`python -m grammar lsp`."""

from __future__ import annotations

from typing import Annotated

import typer

from grammar.commands import door


def lsp(
    tcp: Annotated[
        int | None, typer.Option(metavar="PORT", help="Listen on this port of localhost, not stdin.")
    ] = None,
) -> None:
    """Run a language server for editors, over stdin and stdout.

    Findings while one types, fixes, what a label means, which labels may come, formatting; for `.trees`,
    `.tree`, `.tsv` and `.jsonl`, with the `ontology.toml` beside each file.

    \b
    python -m grammar lsp
    """
    try:
        from grammar.lsp import server
    except ModuleNotFoundError as error:
        door.fail(f"the language server needs {error.name}; run `pip install 'treewright[lsp]'`")
    if tcp is None:
        server().start_io()
    else:
        server().start_tcp("127.0.0.1", tcp)
