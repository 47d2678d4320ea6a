"""Two published forms of one corpus, utterance by utterance: what differs, and why.

Utterances are paired by intent and text after the fewest `STEPS` that make two texts equal, each step on top of the
ones before. SNIPS is the case it was made for: 14,484 utterances as JSON in their own case and with punctuation,
and the same as three parallel files without either.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from grammar.actions import GENERATED, Kind
from pipelines.record import SlotSpan, Utterance

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

    def to_json(self) -> dict[str, Any]:
        """Counts alone, causes in the order of `STEPS`; splits as {"train-test": pairs}."""
        return {
            "texts": {cause: self.texts[cause] for cause, _ in STEPS},
            "slots": {kind: self.slots[kind] for kind in ("same", "borders", "labels")},
            "splits": {"-".join(pair): self.splits[pair] for pair in sorted(self.splits)},
            "unpaired": {"left": len(self.left), "right": len(self.right)},
        }


def utterances(directory: str | Path) -> Iterator[Utterance]:
    """The rows of a data set: the root is the intent, every other label a slot over the words that it copies.

    Raises:
        ShardError: not a data set.
    """
    from pipelines import dataset

    manifest = dataset.manifest(directory)
    for split in manifest.splits:
        for batch in dataset.batches(directory, manifest, split):
            for row in batch.to_pylist():
                (_, _, intent), *spans = _labels(row)
                yield Utterance(
                    row["corpus"], row["file"], row["line"], split, row["utterance"], row["words"], [intent], spans
                )


def _labels(row: dict[str, Any]) -> list[SlotSpan]:
    """Every node of a row's tree with the words from its first copied leaf to its last, root first."""
    found: list[SlotSpan] = []
    open_: list[int] = []
    for kind, symbol, copy in zip(row["actions"], row["symbols"], row["copy"], strict=True):
        if kind == Kind.NT:
            open_.append(len(found))
            found.append(SlotSpan(0, 0, symbol))
        elif kind == Kind.RED:
            open_.pop()
        elif copy != GENERATED:
            for index in open_:
                start, end, label = found[index]
                found[index] = SlotSpan(start if end else copy, copy + 1, label)
    return found


def compare(left: Iterable[Utterance], right: Iterable[Utterance]) -> Comparison:
    """Pair the utterances of two forms; equal utterances pair off one by one, those with equal slots first."""
    # Sorted, so that the order of rows does not show; `train` first, so that copies of a text keep to their splits.
    rest_left, rest_right = (sorted(rows, key=lambda row: row.split, reverse=True) for rows in (left, right))
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
