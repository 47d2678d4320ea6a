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

FEW = 10
"""So many are parsed sooner one after the other, at 2 to 3 ms each, than in lock-step, at 25 ms for any small batch."""


class Parser:
    """A trained model, ready to parse."""

    def __init__(self, setup: Setup, model: Model) -> None:
        from parser.decode import Search
        from parser.single import Single

        self.setup, self.model = setup, model.eval()
        self.search = Search(self.model, setup.vocab)
        on_cpu = self.search.folded.bias_F.device.type == "cpu"
        self.single = Single(self.search) if on_cpu else None

    def parse(self, utterance: str | Sequence[str], beam: int = 1) -> Parse:
        """Parse one utterance as fast as it can be answered: text, which is split as in training, or a list of words.

        Args:
            utterance: what to parse.
            beam: how many trees grow at once; above 1 the next best are in `Parse.others`.

        Raises:
            ValueError: there is no word in it.
        """
        if self.single is None or beam > 1:
            return self.parse_many([utterance], beam=beam)[0]
        return self.single.parse(self.words(utterance, 1))

    def parse_many(
        self, utterances: Sequence[str | Sequence[str]], batch_size: int = 128, beam: int = 1
    ) -> list[Parse]:
        """Parse many utterances in batches; the result is in the given order."""
        from parser.evaluate import parse_all

        split = [self.words(utterance, number) for number, utterance in enumerate(utterances, 1)]
        if self.single is not None and beam == 1 and min(len(split), batch_size) <= FEW:
            return [self.single.parse(tokens) for tokens in split]
        return parse_all(self.search, split, batch_size, beam=beam)

    def words(self, utterance: str | Sequence[str], number: int = 1) -> list[str]:
        """An utterance as the model reads it; `number` is for the message.

        Raises:
            ValueError: there is no word in it.
        """
        from grammar.words import words

        tokens = words(utterance, self.setup.vocab.tokeniser) if isinstance(utterance, str) else list(utterance)
        if not tokens:
            raise ValueError(f"utterance {number} has no words")
        return tokens


def load(directory: str | Path, device: str = "cpu") -> Parser:
    """Load a model directory that `python -m parser train` wrote.

    Raises:
        parser.checkpoint.CheckpointError: it is not one, or was written by another version.
    """
    from parser.checkpoint import load_model

    setup, model, _ = load_model(directory, device)
    return Parser(setup, model)
