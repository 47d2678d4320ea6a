"""`python -m parser inspect`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from parser.commands import door


def inspect(
    utterance: Annotated[str, typer.Argument(help="What to parse.")],
    model: Annotated[Path, typer.Option(help="A model directory, not an ensemble.")] = Path("runs/model"),
    domain: Annotated[str, typer.Option(help="The domain of the utterance, for a model over several.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, with all weights.")] = False,
) -> None:
    """Show how a parse came to be: each action's probability, copy against lexicon, and the words attended to.

    Example: python -m parser inspect --model runs/snips "play jazz"
    """
    with door.failures():
        from parser import load
        from parser.checkpoint import CheckpointError, members_of
        from parser.config import ConfigError
        from parser.inspection import as_dicts, as_text
        from parser.inspection import inspect as look

        if (first := members_of(model)[0]) != model:
            raise CheckpointError(f"{model} is an ensemble; look at one of its models, such as {first}")
        ready = load(model, "cpu", domain or None)
        try:
            parse = ready.parse(utterance)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        moments = look(ready.model, ready.setup.vocab, ready.setup.ontology, parse)
    if as_json:
        row = {"words": parse.words, "tree": str(parse.tree), "score": round(parse.score, 6)}
        typer.echo(json.dumps(row | {"actions": as_dicts(moments)}, ensure_ascii=False))
    else:
        typer.echo(f"{parse.tree}\n{as_text(moments, parse.words)}")
