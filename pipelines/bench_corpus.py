"""An invented corpus as varied as a collected one, of any size: what `bench` converts.

A pool of requests that is drawn from again and again flatters every cache, so nothing here is drawn from a pool. Each
row draws its slots, the lengths of their values and of the words between them, and each word from a long-tailed
vocabulary. The distributions are those of SNIPS; what follows from them, measured over the first rows:

    rows     distinct lines of tags             distinct words
             here    SNIPS   ATIS               here    SNIPS   ATIS
    1,000    848     841     750                1,619   2,028   536
    3,000    2,236   2,130   1,917              3,617   4,394   769
    10,000   6,431   5,562                      9,793   9,638
    90,000   40,988                             60,710

One row in 1,000 is bad: it has a tag too few.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import ExitStack
from functools import lru_cache
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

PASTED = "pasted.tsv"
_NAMES = ("seq.in", "seq.out", "label")
_SHARE_OF_HELD = 20
_BAD = 1_000

_INTENTS = 7
_SLOTS = 39
_SLOTS_OF_INTENT = 12
_SLOTS_OF_ROW = (150, 390, 310, 110, 35, 5)  # of 1, 2, ... slots, in thousands
_WORDS_OF_VALUE = (591, 219, 93, 53, 22, 12, 5, 2, 1)  # of 1, 2, ... words
_FIRST_GAP = (10, 60, 100, 45, 15, 5)  # of 0, 1, ... words outside slots
_GAP = (110, 85, 30, 10, 3)
_PHRASES = 1_000_000
"""Ways to ask for one intent: slots and the number of words between them. The rank of one is `_PHRASES` to the power of
a number in [0, 1), to the power of `_TAIL`."""
_TAIL = 2.2
_COMMON = 630
"""Words that stand outside slots; about as many as in SNIPS."""
_DRAWS = 4_096
_RARE = 1_000_000
_SHARE_OF_RARE = 0.4
"""Of the words of values: names and titles, of which a larger corpus always has new ones."""
_SYLLABLES = [first + vowel + last for last in ("n", "r", "s", "") for vowel in "aeiou" for first in "tnsrldkmpbgvf"]


class Row(NamedTuple):
    """One line of each of the three files."""

    words: list[str]
    tags: list[str]
    intent: str


def write_corpus(folder: Path, records: int, seed: int = 1) -> None:
    """So many rows in train, valid and test, the same for the same seed; and the three columns pasted into one file."""
    _write(folder, records, _Maker(seed).row)


def repeat_corpus(folder: Path, corpus: Path, records: int) -> None:
    """The same of the rows of a corpus, over and over.

    Args:
        corpus: folder with `seq.in`, `seq.out` and `label`.
    """
    files = [(corpus / name).read_text("utf-8").split("\n")[:-1] for name in _NAMES]
    rows = cycle([Row(words.split(), tags.split(), label.strip()) for words, tags, label in zip(*files, strict=True)])
    _write(folder, records, lambda: next(rows))


def _write(folder: Path, records: int, draw: Callable[[], Row]) -> None:
    held = records // _SHARE_OF_HELD
    with open(folder / PASTED, "w", encoding="utf-8") as pasted:
        for split, count in (("train", records - 2 * held), ("valid", held), ("test", held)):
            (folder / "corpus" / split).mkdir(parents=True)
            with ExitStack() as stack:
                files = [
                    stack.enter_context(open(folder / "corpus" / split / name, "w", encoding="utf-8"))
                    for name in _NAMES
                ]
                for number in range(count):
                    row = draw()
                    tags = row.tags[number % _BAD == _BAD - 1 :]
                    line = (" ".join(row.words), " ".join(tags), row.intent)
                    for file, text in zip(files, line, strict=True):
                        file.write(text + "\n")
                    pasted.write("\t".join(line) + "\n")


class _Maker:
    """Draws rows."""

    def __init__(self, seed: int) -> None:
        self.seed, self.rng = seed, random.Random(seed)
        labels = [f"{word(51 * number + 651)}_{word(number)}".lower() for number in range(_SLOTS)]
        self.intents = [
            (number, f"Do{word(102 * number + 6_001).title()}", self.rng.sample(labels, _SLOTS_OF_INTENT))
            for number in range(_INTENTS)
        ]
        self.said = [word(int(_COMMON ** (place / _DRAWS)) - 1) for place in range(_DRAWS)]
        self.phrase = lru_cache(maxsize=1 << 14)(self._phrase)

    def row(self) -> Row:
        draw, said = self.rng.random, self.said
        number, intent, slots = self.intents[int(draw() * _INTENTS)]
        words: list[str] = []
        tags: list[str] = []
        for outside, slot in self.phrase(number, int(_PHRASES ** (draw() ** _TAIL))):
            words += [said[int(draw() * _DRAWS)] for _ in range(outside)]
            tags += ["O"] * outside
            if slot >= 0:
                inside = _LONG[int(draw() * len(_LONG))]
                if draw() < _SHARE_OF_RARE:
                    words += [word(int(_RARE ** draw()) - 1) for _ in range(inside)]
                else:
                    words += [said[int(draw() * _DRAWS)] for _ in range(inside)]
                tags.append(f"B-{slots[slot]}")
                tags += [f"I-{slots[slot]}"] * (inside - 1)
        return Row(words, tags, intent)

    def _phrase(self, intent: int, rank: int) -> list[tuple[int, int]]:
        """(words before it, slot) of each slot of a way to ask for something; the last one is -1, the words behind."""
        draw = random.Random(f"{self.seed}/{intent}/{rank}").random
        slots = [int(_SLOTS_OF_INTENT ** draw()) - 1 for _ in range(_MANY[int(draw() * len(_MANY))])]
        gaps = [_FIRST[int(draw() * len(_FIRST))], *(_BETWEEN[int(draw() * len(_BETWEEN))] for _ in slots)]
        return list(zip(gaps, [*slots, -1], strict=True))


def _table(weights: tuple[int, ...], first: int) -> list[int]:
    """Numbers from `first` on, each as often as it weighs: drawing is one look-up."""
    return [number for number, weight in enumerate(weights, first) for _ in range(weight)]


_MANY, _LONG = _table(_SLOTS_OF_ROW, 1), _table(_WORDS_OF_VALUE, 1)
_FIRST, _BETWEEN = _table(_FIRST_GAP, 0), _table(_GAP, 0)


@lru_cache(maxsize=1 << 17)
def word(rank: int) -> str:
    """The word of a rank, short ones first; one in 50 of the rarer ones has an accent, one in 25 a capital.

    >>> word(3), word(71), word(5000)
    ('to', 'nata', 'zanata')
    """
    text, left = _SYLLABLES[rank % len(_SYLLABLES)], rank // len(_SYLLABLES)
    while left:
        text, left = text + _SYLLABLES[(left - 1) % len(_SYLLABLES)], (left - 1) // len(_SYLLABLES)
    if rank >= _COMMON and rank % 50 == 0:
        return text.replace("e", "\u00e9").replace("o", "\u00f6")
    return text.title() if rank >= _COMMON and rank % 25 == 0 else text
