"""Several intents in one utterance: where one clause ends and the next begins.

    words    play jazz and then book a table for two
    intents  PlayMusic, BookRestaurant              slots  genre, party_size
    -> [[genre], [party_size]]                      (and(PlayMusic(genre(jazz)))(BookRestaurant(party_size(two))))

Such corpora (MixSNIPS, MixATIS) join single clauses by glue words and name the intents in the order of the clauses,
but do not mark the borders. A border is a run of glue outside all slots. Two choices that give every clause the same
slots make the same tree and count as one. Where several remain, single-intent rows of the train split decide: the slots
that each intent takes there, and the words that its requests begin with. One division must fit both; where one of the
two fits no division, the other decides alone. Where that leaves several, or none, the row is refused.
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
    """How often each intent takes each slot, and each first word, in single-intent rows of the train split.

    Counts of parts of a corpus merge into the counts of the whole, in any order.
    """

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        self.slots: dict[str, Counter[str]] = {}
        self.first: dict[str, Counter[str]] = {}

    def add(self, utterance: Utterance) -> None:
        """Count a row; rows of other splits or of several intents are passed over."""
        if utterance.split == "train" and len(utterance.intents) == 1:
            self.count(utterance.intents[0], {span.label for span in utterance.spans}, utterance.words[0])

    def count(self, intent: str, slots: set[str], word: str) -> None:
        """Count a single-intent row of train by its intent, its slots and its first word."""
        self.rows[intent] += 1
        self.slots.setdefault(intent, Counter()).update(slots)
        self.first.setdefault(intent, Counter())[word.lower()] += 1

    def merge(self, other: SlotCounts) -> None:
        """Add the counts of another part."""
        self.rows.update(other.rows)
        for mine, theirs in ((self.slots, other.slots), (self.first, other.first)):
            for intent, counts in theirs.items():
                mine.setdefault(intent, Counter()).update(counts)

    def takes(self, intent: str, slots: Iterable[SlotSpan]) -> bool:
        """Whether the intent was seen with each of the slots; an intent that never stood alone may take any."""
        return intent not in self.slots or all(span.label in self.slots[intent] for span in slots)

    def begins(self, intent: str, word: str) -> bool:
        """Whether a request of the intent was seen to begin with the word; of one that never stood alone any may."""
        return intent not in self.first or word.lower() in self.first[intent]

    def to_json(self) -> dict[str, dict[str, dict[str, int]]]:
        """Counts as plain dicts, in a fixed order."""
        return {
            "rows": {"": dict(sorted(self.rows.items()))},
            "slots": {intent: dict(sorted(slots.items())) for intent, slots in sorted(self.slots.items())},
            "first": {intent: dict(sorted(words.items())) for intent, words in sorted(self.first.items())},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Mapping[str, Mapping[str, int]]]) -> SlotCounts:
        """The inverse of `to_json`."""
        counts = cls()
        counts.rows.update(data["rows"][""])
        counts.slots = {intent: Counter(slots) for intent, slots in data["slots"].items()}
        counts.first = {intent: Counter(words) for intent, words in data["first"].items()}
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
    words, intents, spans = utterance.words, utterance.intents, sorted(utterance.spans)
    glue = borders(words, spans)
    choices = _choices([glue] * (len(intents) - 1), spans, len(words))
    if not choices:
        raise ClauseError("R301", f"{len(intents)} intents, but too few glue words between slots")
    if len(choices) > 1:
        left = _fitting(choices, glue, words, intents, spans, counts or SlotCounts())
        if len(left) != 1:
            code, which = ("R302", f"{len(left)} of") if left else ("R301", "none of")
            by = "the slots that the intents take and the words that they begin with"
            raise ClauseError(code, f"{which} {len(choices)} divisions by {by}")
        choices = left
    return _cut(spans, choices[0])


def _fitting(
    choices: list[tuple[int, ...]],
    glue: list[tuple[int, int]],
    words: Sequence[str],
    intents: Sequence[str],
    spans: Sequence[SlotSpan],
    counts: SlotCounts,
) -> list[tuple[int, ...]]:
    """The divisions that the single-intent rows allow."""
    by_slots = [choice for choice in choices if all(map(counts.takes, intents, _cut(spans, choice)))]
    starts = [[place for place in glue if counts.begins(intent, words[place[1]])] for intent in intents[1:]]
    by_words = _choices(starts, spans, len(words))
    if by_slots and by_words:
        return sorted({*by_slots} & {*by_words})
    return by_slots or by_words


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


def _choices(glue: Sequence[list[tuple[int, int]]], spans: Sequence[SlotSpan], length: int) -> list[tuple[int, ...]]:
    """The different ways to divide the slots: for each border, how many slots stand before it.

    Args:
        glue: what may be the border before the second clause, the third, and so on.
        length: words of the utterance.
    """
    # A partial choice is (slots before each border so far, end of the last glue). Of equal ones the earliest end
    # leaves the most room, so the others add nothing.
    partial: dict[tuple[int, ...], int] = {(): 0}
    for places in glue:
        longer: dict[tuple[int, ...], int] = {}
        for chosen, free in partial.items():
            for start, end in places:
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
