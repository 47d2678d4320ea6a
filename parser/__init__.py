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
    from parser.confidence import Confidence
    from parser.decode import Parse
    from parser.ensemble import Together
    from parser.model import Model

__all__ = ["Parser", "load"]


class Parser:
    """A trained model, ready to parse.

    `confidence` is None until `python -m parser calibrate` has fitted it; then `confidence.of(parse)` is the chance
    that a parse is right, and `confidence.abstains(parse)` says whether to use it.
    """

    def __init__(
        self, setup: Setup, model: Model, confidence: Confidence | None = None, search: Together | None = None
    ) -> None:
        from parser.evaluate import searcher

        self.setup, self.model, self.confidence = setup, model.eval(), confidence
        self.search = search or searcher(self.model, setup.vocab)

    def parse(self, utterance: str | Sequence[str], beam: int = 1) -> Parse:
        """Parse one utterance: text, which is split as in training, or a list of words.

        Args:
            utterance: what to parse.
            beam: how many trees grow at once; above 1 the next best are in `Parse.others`.

        Raises:
            ValueError: there is no word in it.
        """
        return self.search.parse([self.words(utterance)], beam)[0]

    def parse_many(
        self, utterances: Sequence[str | Sequence[str]], batch_size: int = 128, beam: int = 1
    ) -> list[Parse]:
        """Parse many utterances in batches; the result is in the given order."""
        from parser.evaluate import parse_all

        split = [self.words(utterance, number) for number, utterance in enumerate(utterances, 1)]
        return parse_all(self.search, split, batch_size, beam=beam)

    def forget(self) -> None:
        """Keep nothing of earlier calls: what follows is the same to the last bit, whatever was parsed before."""
        from parser.quick import Quick

        if isinstance(self.search, Quick):
            self.search.forget()

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


def load(directory: str | Path | Sequence[str | Path], device: str = "cpu", domain: str | None = None) -> Parser:
    """Load a model directory that `python -m parser train` wrote.

    Args:
        directory: the model, or an ensemble of `python -m parser ensemble`, or several that parse together.
        device: `cpu` or `cuda`.
        domain: of all utterances that it will parse, for a model over several domains.

    Raises:
        parser.checkpoint.CheckpointError: it is not one, was written by another version, the domain is not one
            of its own or it has none, or several do not fit together.
    """
    from parser.checkpoint import CheckpointError, load_model, members_of
    from parser.confidence import Confidence
    from parser.domains import of_domain
    from parser.ensemble import Ensemble

    given = [directory] if isinstance(directory, str | Path) else list(directory)
    directories = [member for each in given for member in members_of(each)]
    loaded = [load_model(each, device) for each in directories]
    setup, model, _ = loaded[0]
    if setup.vocab.domains and domain not in setup.vocab.domains:
        raise CheckpointError(f"{directories[0]}: give the domain, one of {', '.join(setup.vocab.domains)}")
    if domain and not setup.vocab.domains:
        raise CheckpointError(f"{directories[0]}: the model has no domains, so give none (here `{domain}`)")
    one = of_domain(model, setup.vocab, domain or "")
    together = Ensemble([(m, s.vocab) for s, m, _ in loaded]).of(domain or "") if len(loaded) > 1 else None
    return Parser(setup, one, Confidence.load(Path(given[0])) if len(given) == 1 else None, together)
