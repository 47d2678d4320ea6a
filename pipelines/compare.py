"""Two published forms of one corpus, utterance by utterance: what differs, and why.

Utterances are paired by intent and text after the fewest `STEPS` that make two texts equal, each step on top of the
ones before. SNIPS is the case it was made for: 14,484 utterances as JSON in their own case and with punctuation,
and the same as three parallel files without either.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import NamedTuple

from pipelines.record import Utterance

_PUNCTUATION = re.compile(r"[^\w\s]|_")


def _blanks(text: str) -> str:
    return " ".join(text.split())


STEPS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("as it stands", _blanks),
    ("letter case", lambda text: _blanks(text.lower())),
    ("punctuation", lambda text: _blanks(_PUNCTUATION.sub(" ", text.lower()))),
    ("blanks", lambda text: "".join(_PUNCTUATION.sub(" ", text.lower()).split())),
)
"""Cause of a difference -> the normaliser that takes it away, with all causes before it; runs of blanks never count."""


def normalise(text: str) -> str:
    """What the two forms share: letters and digits, lower-case.

    >>> normalise("Play the BPM-Mix, please!")
    'playthebpmmixplease'
    """
    return STEPS[-1][1](text)


class Comparison(NamedTuple):
    """How two forms differ.

    Attributes:
        texts: pairs, by the last cause that had to be taken away.
        slots: pairs, by `same`, `borders` (equal labels over other characters) or `labels`.
        splits: pairs, by (split on the left, split on the right).
        left, right: utterances without a partner.
    """

    texts: Counter[str]
    slots: Counter[str]
    splits: Counter[tuple[str, str]]
    left: list[Utterance]
    right: list[Utterance]


def compare(left: Iterable[Utterance], right: Iterable[Utterance]) -> Comparison:
    """Pair the utterances of two forms; equal utterances pair off one by one, those with equal slots first."""
    rest_left, rest_right = list(left), list(right)
    result = Comparison(Counter(), Counter(), Counter(), [], [])
    for cause, step in STEPS:
        for same_slots in (True, False):
            waiting: defaultdict[tuple, list[Utterance]] = defaultdict(list)
            for other in rest_right:
                waiting[_key(other, step, same_slots)].append(other)
            unpaired = []
            for one in rest_left:
                partners = waiting[_key(one, step, same_slots)]
                if partners:
                    _count(result, cause, one, partners.pop(0))
                else:
                    unpaired.append(one)
            rest_left, rest_right = unpaired, [other for others in waiting.values() for other in others]
    result.left.extend(rest_left)
    result.right.extend(rest_right)
    return result


def slots(utterance: Utterance) -> tuple[tuple[str, str], ...]:
    """(label, normalised text) of each slot, left to right."""
    return tuple((span.label, normalise("".join(utterance.words[span.start : span.end]))) for span in utterance.spans)


def _key(utterance: Utterance, step: Callable[[str], str], same_slots: bool) -> tuple:
    return tuple(utterance.intents), step(utterance.text), slots(utterance) if same_slots else ()


def _count(result: Comparison, cause: str, one: Utterance, other: Utterance) -> None:
    result.texts[cause] += 1
    result.splits[one.split, other.split] += 1
    if slots(one) == slots(other):
        result.slots["same"] += 1
    elif [span.label for span in one.spans] == [span.label for span in other.spans]:
        result.slots["borders"] += 1
    else:
        result.slots["labels"] += 1
