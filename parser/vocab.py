"""Names to ids and back. Ids are born here; shards hold words and names only.

The symbols of one decision share one number line, `S` long, followed by the utterance's positions:

    0            RED
    1 .. L       NT(label)
    L+1 .. S-1   TER(word of the lexicon)
    S + p        TER(copy of word p)
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grammar.actions import GENERATED, Kind
from grammar.ontology import Ontology
from parser.config import ModelConfig
from parser.pretrained import Pieces, Shape, read_pieces

PAD, UNK = 0, 1
PLACES = ("<pad>", "<unk>")
"""What padding and unknown words and characters are called; a word that is written so is an unknown one."""
RED_SYMBOL = 0
_DIGIT = re.compile(r"\d")
MAX_CHARS = 16
"""Longer words are read by their first characters."""


@dataclass(slots=True)
class Vocab:
    """The inventories of a model; `words` and `chars` start with two places for padding and unknown.

    `singles` says which words are rare in training, `digits` that unknown numbers are read by their form, `ascending`
    that its trees copy words in their order. `domains` are those of a model that is given the domain, and `symbols_of`
    the labels and lexicon words that the training rows of each hold, as symbols. `pieces` and `transformer`: word
    pieces and sizes of a pretrained model. With static vectors beside the learned embeddings the first `learned` words
    have one of these, all others are known by their static vector only.
    """

    words: list[str]
    chars: list[str]
    labels: list[str]
    lexicon: list[str]
    singles: list[bool]
    lowercase: bool = True
    digits: bool = False
    max_open: int = 32
    tokeniser: str = "words-1"
    ascending: bool = False
    domains: list[str] = field(default_factory=list)
    symbols_of: list[list[int]] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    transformer: dict[str, float] = field(default_factory=dict)
    learned: int = 0
    _word: dict[str, int] = field(init=False, repr=False)
    _char: dict[str, int] = field(init=False, repr=False)
    _label: dict[str, int] = field(init=False, repr=False)
    _lexical: dict[str, int] = field(init=False, repr=False)
    splitter: Pieces | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        self._word = {word: i for i, word in enumerate(self.words)}
        self._char = {char: i for i, char in enumerate(self.chars)}
        self._label = {label: i + 1 for i, label in enumerate(self.labels)}
        self._lexical = {word: i + 1 + len(self.labels) for i, word in enumerate(self.lexicon)}
        self.splitter = Pieces(self.pieces) if self.pieces else None

    @property
    def embedded(self) -> list[str]:
        """The words that have a learned embedding."""
        return self.words[: self.learned or None]

    @property
    def symbols(self) -> int:
        """S: how many symbols come before the positions."""
        return 1 + len(self.labels) + len(self.lexicon)

    def word(self, word: str) -> int:
        """The id of an input word; of `unknown` when it is not known."""
        word = word.lower() if self.lowercase else word
        return self._word[word] if word in self._word else self.unknown(word)

    def unknown(self, word: str) -> int:
        """The id that a word has without an embedding of its own: UNK, or that of its form."""
        if not self.digits:
            return UNK
        found = self._word.get(_form(word.lower() if self.lowercase else word), UNK)
        return found if found < (self.learned or len(self.words)) else UNK

    def spelling(self, word: str) -> list[int]:
        """The ids of a word's first characters, at most MAX_CHARS; never empty."""
        return [self._char.get(char, UNK) for char in word[:MAX_CHARS]] or [UNK]

    def label(self, label: str) -> int:
        """The symbol of NT(label); raises KeyError for an unknown label."""
        return self._label[label]

    def lexical(self, word: str) -> int:
        """The symbol of TER(word) from the lexicon, or -1."""
        return self._lexical.get(word, -1)

    def domain(self, name: str) -> int:
        """The number of a domain.

        Raises:
            KeyError: the model was not trained on it; the message names those it knows.
        """
        try:
            return self.domains.index(name)
        except ValueError:
            raise KeyError(f"the model knows no domain `{name}`; give one of {', '.join(self.domains)}") from None

    def symbol_name(self, symbol: int) -> str:
        """The label or word of a symbol below S; empty for RED."""
        if symbol == RED_SYMBOL:
            return ""
        return self.labels[symbol - 1] if symbol <= len(self.labels) else self.lexicon[symbol - 1 - len(self.labels)]

    def to_json(self) -> dict[str, Any]:
        """Plain lists, for the model directory."""
        inventories = ("words", "chars", "labels", "lexicon", "singles")
        names = (*inventories, "lowercase", "digits", "max_open", "tokeniser", "ascending")
        of_domains = ("domains", "symbols_of") if self.domains else ()
        of_pieces = ("pieces", "transformer") if self.pieces else ()
        of_vectors = ("learned",) if self.learned else ()
        return {name: getattr(self, name) for name in (*names, *of_domains, *of_pieces, *of_vectors)}


class Counts:
    """What the training rows hold, added up a block at a time; grows with the distinct words only.

    Attributes:
        words: how often each word stands in an utterance.
        leaves: how often each word is a leaf; `generated`: those that were not copied.
        deepest: the most open nodes.
        ascending: whether every row copies words in their order, each once.
        values: (label, words in lower case) of every node that holds words directly.
        labels_of, leaves_of: the labels and the leaves of each domain.
    """

    def __init__(self) -> None:
        self.words: Counter[str] = Counter()
        self.leaves: Counter[str] = Counter()
        self.generated: set[str] = set()
        self.deepest = 1
        self.ascending = True
        self.values: set[tuple[str, str]] = set()
        self.labels_of: dict[str, set[str]] = {}
        self.leaves_of: dict[str, set[str]] = {}

    def add(self, table: pa.Table) -> None:
        """Count the rows of a table with `columns.ROW_COLUMNS`."""
        self.words.update(_tally(table["words"].combine_chunks().flatten()))
        actions = table["actions"].combine_chunks()
        kind_N = actions.flatten().to_numpy(zero_copy_only=False)
        copy_N = table["copy"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        symbol_N = table["symbols"].combine_chunks().flatten()
        is_word = kind_N == Kind.TER
        self.leaves.update(_tally(symbol_N.filter(pa.array(is_word))))
        self.generated.update(_tally(symbol_N.filter(pa.array(is_word & (copy_N == GENERATED)))))
        # Every row opens as many nodes as it closes, so depth needs no border between rows.
        depth_N = np.cumsum((kind_N == Kind.NT).astype(np.int64) - (kind_N == Kind.RED))
        self.deepest = max(self.deepest, int(depth_N.max(initial=0)))
        row_N = np.repeat(np.arange(len(table)), np.diff(actions.offsets.to_numpy()))
        copying = copy_N != GENERATED
        later, same = np.diff(copy_N[copying]) > 0, np.diff(row_N[copying]) == 0
        self.ascending &= bool((later | ~same).all())
        self.values |= _values(kind_N, depth_N, row_N, symbol_N)
        domains = table["domain"].combine_chunks().dictionary_encode()
        domain_N = domains.indices.to_numpy(zero_copy_only=False)[row_N]
        for number, domain in enumerate(domains.dictionary.to_pylist()):
            for kind, of in ((Kind.NT, self.labels_of), (Kind.TER, self.leaves_of)):
                found = symbol_N.filter(pa.array((domain_N == number) & (kind_N == kind)))
                of.setdefault(domain, set()).update(pc.unique(found).to_pylist())


def _tally(words: pa.Array) -> dict[str, int]:
    counted = pc.value_counts(words)
    return dict(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True))


def _values(kind_N: np.ndarray, depth_N: np.ndarray, row_N: np.ndarray, symbol_N: pa.Array) -> set[tuple[str, str]]:
    """(label, leaves directly below it) of every node with leaves; see `metrics.slot_values`."""
    coded = symbol_N.dictionary_encode()
    names, name_N = coded.dictionary.to_pylist(), coded.indices.to_numpy(zero_copy_only=False)
    # In the order of row, depth and time, a node's leaves follow its opening.
    order = np.lexsort((depth_N, row_N))
    order = order[kind_N[order] != Kind.RED]
    opening = np.where(kind_N[order] == Kind.NT, np.arange(len(order)), 0)
    node = np.maximum.accumulate(opening) if len(order) else opening
    leaf = np.flatnonzero(kind_N[order] == Kind.TER)
    if not len(leaf):
        return set()
    starts = np.concatenate([[0], np.flatnonzero(np.diff(node[leaf])) + 1, [len(leaf)]])
    lower = pa.array([name.lower() for name in names]).take(pa.array(name_N[order[leaf]]))
    texts = pc.binary_join(pa.ListArray.from_arrays(pa.array(starts, pa.int32()), lower), " ")
    labels = pa.array(names).take(pa.array(name_N[order[node[leaf[starts[:-1]]]]]))
    distinct = pa.table({"label": labels, "text": texts}).group_by(["label", "text"]).aggregate([])
    return set(zip(distinct["label"].to_pylist(), distinct["text"].to_pylist(), strict=True))


def _form(word: str) -> str:
    """The word with all its digits alike; empty for a word without any."""
    return _DIGIT.sub("0", word) if _DIGIT.search(word) else ""


def build_vocab(
    counts: Counts,
    ontology: Ontology,
    config: ModelConfig,
    tokeniser: str = "words-1",
    before: Vocab | None = None,
    extra: Sequence[str] = (),
    rare: int = 1,
    frozen: bool = False,
) -> Vocab:
    """The inventories of a model.

    Args:
        counts: of the train split.
        ontology: its labels, and how deep its smallest trees are.
        config: says what may be generated.
        tokeniser: how `parse` will split text.
        before: of a model to start from, whose input words and characters stay known.
        extra: further input words, of which there are vectors.
        rare: words seen so often at most are read as unknown now and then.
        frozen: the encoder will not learn, so words and characters new to `before` are read as unknown, which it knows.
    """
    words: Counter[str] = Counter()
    for word, count in counts.words.items():
        words[word.lower() if config.lowercase else word] += count
    generated = set(counts.generated if config.copy else counts.leaves)
    if config.lexicon_min:
        generated |= {word for word, count in counts.leaves.items() if count >= config.lexicon_min}
    known = sorted(words.keys() - PLACES, key=lambda word: (-words[word], word))[: config.words_max or None]
    characters = {char for word in counts.words for char in word}
    if config.digits:
        # A form is learned from numbers that are read as unknown: rare ones and those that are cut.
        cut = words.keys() - set(known)
        forms = {_form(word) for word in words if words[word] <= rare or word in cut}
        known += sorted(forms - {"", *known})
    if before is not None:
        embedded = before.embedded[2:]
        known = embedded if frozen else list(dict.fromkeys([*known, *embedded]))
        extra = [*extra, *before.words[len(before.embedded) :]]
        characters = set(before.chars[2:]) | (set() if frozen else characters)
    learned = len(known) + 2 if config.static_dim else 0
    known = list(dict.fromkeys([*known, *extra]))
    deepest = max([counts.deepest, *map(ontology.height, ontology.labels())])
    vocab = Vocab(
        words=[*PLACES, *known],
        chars=[*PLACES, *sorted(characters)],
        labels=ontology.labels(),
        lexicon=sorted(generated),
        singles=[False, False, *(0 < words[word] <= rare for word in known)],
        lowercase=config.lowercase,
        digits=config.digits,
        max_open=deepest + 1,
        tokeniser=tokeniser,
        ascending=counts.ascending and config.ascending,
        learned=learned,
    )
    if config.pretrained:
        folder = Path(config.pretrained)
        vocab = replace(vocab, pieces=read_pieces(folder), transformer=asdict(Shape.read(folder)))
    if config.domains != "none":
        vocab.domains = sorted(counts.labels_of)
        for domain in vocab.domains:
            labels = {vocab.label(label) for label in counts.labels_of[domain]}
            words_of = {vocab.lexical(word) for word in counts.leaves_of[domain]} - {-1}
            vocab.symbols_of.append(sorted(labels | words_of))
    return vocab
