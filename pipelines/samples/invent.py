"""Words that no dictionary holds: a parser that wants them must copy them.

>>> import random
>>> word(random.Random(1)) == word(random.Random(1))
True
"""

from __future__ import annotations

import random

# Onset, vowel and coda of a syllable; most syllables have no coda.
_ONSETS, _VOWELS, _CODAS = (
    sounds.split(" ")
    for sounds in (
        "b bl br c ch cl d dr f fl g gl gr h j k kl l m n p pl pr qu r s sh sk sl st t tr v w y z",
        "a e i o u ai ea oo ou",
        "   l m n r s t x nd rk st sh",
    )
)


def word(rng: random.Random) -> str:
    """Two or three syllables."""
    return "".join(rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(rng.choice((2, 2, 3))))


def phrase(rng: random.Random) -> str:
    """One word, sometimes two or three."""
    return " ".join(word(rng) for _ in range(rng.choice((1, 1, 1, 1, 2, 2, 3))))
