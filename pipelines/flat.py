"""The fast way from intents and slots to transitions, for rows that need no thought.

    words ["play", "calm", "jazz"], [("PlayMusic", [SlotSpan(2, 3, "genre")])]
    -> ("(PlayMusic(genre(jazz)))", b"\\0\\0\\1\\2\\2", ["PlayMusic", "genre", "jazz", "", ""], [-1, -1, 2, -1, -1])

Most rows hold slots that stand beside each other, from left to right, over words without brackets: their text and
their actions can be written down without a tree. For every other row `flat` answers None, and `pipelines.trees`
decides; it is the definition, and a test holds the two equal. Neither is trusted: `pipelines.replay` rebuilds the
text of every row from its actions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from grammar.actions import GENERATED, Kind
from pipelines.record import SlotSpan

Clause = tuple[str, Sequence[SlotSpan]]
"""An intent and its slots."""

Transitions = tuple[str, bytes, list[str], list[int]]
"""Canonical text, kinds of the actions, their symbols, their copy positions."""

MOST_CHARACTERS = 100_000
"""Of the words of a row, and of its tree: the limit of a tree in bytes is far above, so no byte is counted here."""

_LABEL = re.compile(r"[A-Za-z0-9_.:/\-!@#<>=+*?'$%]+")
_SPECIAL = re.compile("[ ()\\\\\t\r\n\ud800-\udfff]")  # to be escaped, or refused
_OPEN, _CLOSE = bytes([Kind.NT]), bytes([Kind.RED])
_WORD = bytes([Kind.TER])


@lru_cache(maxsize=65_536)
def is_label(text: str) -> bool:
    """Whether the tree language can write this label."""
    return _LABEL.fullmatch(text) is not None


@lru_cache(maxsize=1_024)
def _slot(words: int) -> bytes:
    return _OPEN + _WORD * words + _CLOSE


def flat(words: Sequence[str], clauses: Sequence[Clause], coordinate: bool = False) -> Transitions | None:
    """The tree of one clause, or of several under `and`; None where the general way must decide.

    Args:
        words: the utterance.
        clauses: intents with their slots.
        coordinate: whether neighbours of one label may go under `add`, which is not decided here.
    """
    spoken = "".join(words)
    if "" in words or len(spoken) > MOST_CHARACTERS or _SPECIAL.search(spoken):
        return None
    total = len(words)
    several = len(clauses) > 1
    text, kinds = (["(and"], [_OPEN]) if several else ([], [])
    symbols, copy = (["and"], [GENERATED]) if several else ([], [])
    before = ""
    for intent, slots in clauses:
        if not is_label(intent) or (coordinate and intent == before):
            return None
        before = intent
        text.append(f"({intent}" if slots else f"({intent}()")
        kinds.append(_OPEN)
        symbols.append(intent)
        copy.append(GENERATED)
        at, last = 0, ""
        for start, end, label in slots:
            if not at <= start < end <= total or not is_label(label) or (coordinate and label == last):
                return None
            at, last = end, label
            values = words[start:end]
            text.append(f"({label}({')('.join(values)}))")
            kinds.append(_slot(end - start))
            symbols.append(label)
            symbols += values
            symbols.append("")
            copy.append(GENERATED)
            copy += range(start, end)
            copy.append(GENERATED)
        text.append(")")
        kinds.append(_CLOSE)
        symbols.append("")
        copy.append(GENERATED)
    if several:
        text.append(")")
        kinds.append(_CLOSE)
        symbols.append("")
        copy.append(GENERATED)
    tree = "".join(text)
    return (tree, b"".join(kinds), symbols, copy) if len(tree) <= MOST_CHARACTERS else None
