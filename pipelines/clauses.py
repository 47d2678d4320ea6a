"""Several intents in one utterance: where one clause ends and the next begins.

    words    play jazz and then book a table for two
    intents  PlayMusic, BookRestaurant              slots  genre, party_size
    -> [[genre], [party_size]]                      (and(PlayMusic(genre(jazz)))(BookRestaurant(party_size(two))))

Such corpora (MixSNIPS, MixATIS) join single clauses by glue words and name the intents in the order of the clauses,
but do not mark the borders. A border is a run of glue outside all slots. Two choices that give every clause the same
slots make the same tree and count as one. Where several remain, the slots that each intent takes in single-intent
rows of the train split decide; where that leaves several, or none, the row is refused: nothing is guessed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from pipelines.record import SlotSpan, Utterance

GLUE = (
    ("and",),
    (",",),
    (",", "and"),
    ("and", "then"),
    (",", "and", "then"),
    ("and", "also"),
    (",", "and", "also"),
)
"""What joins two clauses."""

MOST_CHOICES = 10_000
"""Partial choices of borders looked at in one row; beyond it the row is refused as ambiguous."""

Clauses = list[list[SlotSpan]]
"""The slots of each clause, in the order of the intents."""


class ClauseError(ValueError):
    """No division, or more than one. `code` is R301 or R302."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class SlotCounts:
    """How often each intent takes each slot in single-intent rows of the train split.

    Counts of parts of a corpus merge into the counts of the whole, in any order.
    """

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        self.slots: dict[str, Counter[str]] = {}

    def add(self, utterance: Utterance) -> None:
        """Count a row; rows of other splits or of several intents are passed over."""
        if utterance.split == "train" and len(utterance.intents) == 1:
            intent = utterance.intents[0]
            self.rows[intent] += 1
            self.slots.setdefault(intent, Counter()).update({span.label for span in utterance.spans})

    def merge(self, other: SlotCounts) -> None:
        """Add the counts of another part."""
        self.rows.update(other.rows)
        for intent, slots in other.slots.items():
            self.slots.setdefault(intent, Counter()).update(slots)

    def takes(self, intent: str, slots: Iterable[SlotSpan]) -> bool:
        """Whether the intent was seen with each of the slots; an intent that never stood alone may take any."""
        return intent not in self.slots or all(span.label in self.slots[intent] for span in slots)

    def to_json(self) -> dict[str, dict[str, dict[str, int]]]:
        """Counts as plain dicts, in a fixed order."""
        return {
            "rows": {"": dict(sorted(self.rows.items()))},
            "slots": {intent: dict(sorted(slots.items())) for intent, slots in sorted(self.slots.items())},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Mapping[str, Mapping[str, int]]]) -> SlotCounts:
        """The inverse of `to_json`."""
        counts = cls()
        counts.rows.update(data["rows"][""])
        counts.slots = {intent: Counter(slots) for intent, slots in data["slots"].items()}
        return counts

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SlotCounts) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]


def divide(utterance: Utterance, counts: SlotCounts | None = None) -> Clauses:
    """The slots of each clause of an utterance, one clause for each intent.

    Raises:
        ClauseError: R301 no division fits, R302 several do.
    """
    if len(utterance.intents) == 1:
        return [utterance.spans]
    spans = sorted(utterance.spans)
    choices = _choices(borders(utterance.words, spans), spans, len(utterance.words), len(utterance.intents))
    if not choices:
        raise ClauseError("R301", f"{len(utterance.intents)} intents, but too few glue words between slots")
    clauses = [_cut(spans, choice) for choice in choices]
    if len(clauses) > 1:
        counts = counts or SlotCounts()
        clauses = [option for option in clauses if all(map(counts.takes, utterance.intents, option))]
    if len(clauses) != 1:
        code, which = ("R302", f"{len(clauses)} of") if clauses else ("R301", "none of")
        raise ClauseError(code, f"{which} {len(choices)} divisions by the slots that the intents take")
    return clauses[0]


def borders(words: Sequence[str], spans: Iterable[SlotSpan]) -> list[tuple[int, int]]:
    """Every run of glue `[start, end)` that no slot touches and that has words before and after it."""
    inside = {position for span in spans for position in range(span.start, span.end)}
    return [
        (start, start + len(glue))
        for start in range(1, len(words))
        for glue in GLUE
        if start + len(glue) < len(words)
        and tuple(words[start : start + len(glue)]) == glue
        and inside.isdisjoint(range(start, start + len(glue)))
    ]


def _choices(
    glue: list[tuple[int, int]], spans: Sequence[SlotSpan], length: int, clauses: int
) -> list[tuple[int, ...]]:
    """The different ways to divide the slots: for each border, how many slots stand before it."""
    # A partial choice is (slots before each border so far, end of the last glue). Of equal ones the earliest end
    # leaves the most room, so the others add nothing.
    partial: dict[tuple[int, ...], int] = {(): 0}
    for _ in range(clauses - 1):
        longer: dict[tuple[int, ...], int] = {}
        for chosen, free in partial.items():
            for start, end in glue:
                if start > free:
                    key = (*chosen, sum(span.end <= start for span in spans))
                    longer[key] = min(end, longer.get(key, length))
        if len(longer) > MOST_CHOICES:
            raise ClauseError("R302", f"over {MOST_CHOICES} divisions")
        partial = longer
    return sorted(partial)


def _cut(spans: Sequence[SlotSpan], choice: Sequence[int]) -> Clauses:
    edges = [0, *choice, len(spans)]
    return [list(spans[a:b]) for a, b in pairwise(edges)]
