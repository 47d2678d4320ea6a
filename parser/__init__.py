"""Learn trees from shards, and parse new utterances.

    >>> import parser
    >>> model = parser.load("runs/demo")                        # doctest: +SKIP
    >>> str(model.parse("play jazz").tree)                      # doctest: +SKIP
    '(PlayMusicIntent(MediaType(jazz)))'

Torch is loaded by `load`, not by the import.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from parser.checkpoint import Setup
    from parser.decode import Parse
    from parser.model import Model

__all__ = ["Parser", "load"]


class Parser:
    """A trained model, ready to parse."""

    def __init__(self, setup: Setup, model: Model) -> None:
        self.setup, self.model = setup, model

    def parse(self, utterance: str | Sequence[str]) -> Parse:
        """Parse one utterance: text, which is split as in training, or a list of words.

        Raises:
            ValueError: there is no word in it.
        """
        return self.parse_many([utterance])[0]

    def parse_many(self, utterances: Sequence[str | Sequence[str]], batch_size: int = 128) -> list[Parse]:
        """Parse many utterances in batches; the result is in the given order."""
        from grammar.words import words
        from parser.evaluate import parse_all

        tokeniser = self.setup.vocab.tokeniser
        split = [words(text, tokeniser) if isinstance(text, str) else list(text) for text in utterances]
        for number, tokens in enumerate(split, 1):
            if not tokens:
                raise ValueError(f"utterance {number} has no words")
        return parse_all(self.model, self.setup.vocab, split, batch_size)


def load(directory: str | Path, device: str = "cpu") -> Parser:
    """Load a model directory that `python -m parser train` wrote.

    Raises:
        parser.checkpoint.CheckpointError: it is not one, or was written by another version.
    """
    from parser.checkpoint import load_model

    setup, model, _ = load_model(directory, device)
    return Parser(setup, model)
