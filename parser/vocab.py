"""Names to ids and back. Ids are born here; shards hold words and names only.

The symbols of one decision share one number line, `S` long, followed by the utterance's positions:

    0            RED
    1 .. L       NT(label)
    L+1 .. S-1   TER(word of the lexicon)
    S + p        TER(copy of word p)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from grammar.actions import GENERATED, Kind
from grammar.ontology import Ontology
from parser.config import ModelConfig

PAD, UNK = 0, 1
RED_SYMBOL = 0
MAX_CHARS = 16
"""Longer words are read by their first characters."""


@dataclass(slots=True)
class Vocab:
    """The inventories of a model; `words` and `chars` start with two places for padding and unknown."""

    words: list[str]
    chars: list[str]
    labels: list[str]
    lexicon: list[str]
    singles: list[bool]
    lowercase: bool = True
    max_open: int = 32
    tokeniser: str = "words-1"
    _word: dict[str, int] = field(init=False, repr=False)
    _char: dict[str, int] = field(init=False, repr=False)
    _label: dict[str, int] = field(init=False, repr=False)
    _lexical: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._word = {word: i for i, word in enumerate(self.words)}
        self._char = {char: i for i, char in enumerate(self.chars)}
        self._label = {label: i + 1 for i, label in enumerate(self.labels)}
        self._lexical = {word: i + 1 + len(self.labels) for i, word in enumerate(self.lexicon)}

    @property
    def symbols(self) -> int:
        """S: how many symbols come before the positions."""
        return 1 + len(self.labels) + len(self.lexicon)

    def word(self, word: str) -> int:
        """The id of an input word; UNK when it is not known."""
        return self._word.get(word.lower() if self.lowercase else word, UNK)

    def spelling(self, word: str) -> list[int]:
        """The ids of a word's first characters, at most MAX_CHARS; never empty."""
        return [self._char.get(char, UNK) for char in word[:MAX_CHARS]] or [UNK]

    def label(self, label: str) -> int:
        """The symbol of NT(label); raises KeyError for an unknown label."""
        return self._label[label]

    def lexical(self, word: str) -> int:
        """The symbol of TER(word) from the lexicon, or -1."""
        return self._lexical.get(word, -1)

    def symbol_name(self, symbol: int) -> str:
        """The label or word of a symbol below S; empty for RED."""
        if symbol == RED_SYMBOL:
            return ""
        return self.labels[symbol - 1] if symbol <= len(self.labels) else self.lexicon[symbol - 1 - len(self.labels)]

    def to_json(self) -> dict[str, Any]:
        """Plain lists, for the model directory."""
        names = ("words", "chars", "labels", "lexicon", "singles", "lowercase", "max_open", "tokeniser")
        return {name: getattr(self, name) for name in names}


def build_vocab(
    rows: Iterable[dict[str, Any]], ontology: Ontology, config: ModelConfig, tokeniser: str = "words-1"
) -> Vocab:
    """Count the training rows.

    Args:
        rows: rows of the train split, as dicts of shard columns.
        ontology: its labels, and how deep its smallest trees are.
        config: says what may be generated.
        tokeniser: how `parse` will split text.
    """
    words: Counter[str] = Counter()
    chars: Counter[str] = Counter()
    leaves: Counter[str] = Counter()
    generated: set[str] = set()
    deepest = max(map(ontology.height, ontology.labels()), default=1)
    for row in rows:
        for word in row["words"]:
            words[word.lower() if config.lowercase else word] += 1
            chars.update(word)
        depth = 0
        for kind, symbol, copy in zip(row["actions"], row["symbols"], row["copy"], strict=True):
            depth += (kind == Kind.NT) - (kind == Kind.RED)
            deepest = max(deepest, depth)
            if kind == Kind.TER:
                leaves[symbol] += 1
                if copy == GENERATED or not config.copy:
                    generated.add(symbol)
    if config.lexicon_min:
        generated |= {word for word, count in leaves.items() if count >= config.lexicon_min}
    known = sorted(words, key=lambda word: (-words[word], word))
    return Vocab(
        words=["<pad>", "<unk>", *known],
        chars=["<pad>", "<unk>", *sorted(chars)],
        labels=ontology.labels(),
        lexicon=sorted(generated),
        singles=[False, False, *(words[word] == 1 for word in known)],
        lowercase=config.lowercase,
        max_open=deepest + 1,
        tokeniser=tokeniser,
    )
