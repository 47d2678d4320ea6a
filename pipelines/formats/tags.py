"""Tags of words -> slots. One reading for IOB1, IOB2, IOBES and BILUO, also where a file mixes them.

B-city I-city O       one slot of two words
I-city I-city O       the same in IOB1
B-city E-city O       the same in IOBES (`L-` in BILUO); `S-` and `U-` are slots of one word
B-city B-city         two slots that touch
B-city I-date         an orphan `I-` begins a slot of its own
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NoReturn

from pipelines.record import SlotSpan

_BEGIN = frozenset("BSU")
_CLOSE = frozenset("ELSU")
_ALL = frozenset("BIELSU")


class TagError(ValueError):
    """A tag that is neither `O` nor a prefix, `-` and a label."""


def decode_tags(tags: Sequence[str]) -> list[SlotSpan]:
    """The slots of one utterance, left to right.

    >>> decode_tags(["O", "B-fromloc.city_name", "I-fromloc.city_name"])
    [SlotSpan(start=1, end=3, label='fromloc.city_name')]

    Raises:
        TagError: a tag is malformed.
    """
    spans: list[SlotSpan] = []
    start, label = 0, ""  # the slot that was begun last, and whether the next word may continue it
    for number, tag in enumerate(tags):
        if tag == "O":
            if label:
                spans.append(SlotSpan(start, number, label))
                label = ""
            continue
        begins, closes, name = parts(tag) or _malformed(tag, number)
        if label and (begins or name != label):
            spans.append(SlotSpan(start, number, label))
            label = ""
        if not label:
            start, label = number, name
        if closes:
            spans.append(SlotSpan(start, number + 1, label))
            label = ""
    if label:
        spans.append(SlotSpan(start, len(tags), label))
    return spans


SCHEMES = ("iob2", "iob1", "iobes", "bilou")
"""Ways to write tags, the commonest first. All are read without being told which."""

_ENDS = {"iobes": ("E", "S"), "bilou": ("L", "U")}


def encode_tags(spans: Sequence[SlotSpan], words: int, scheme: str = "iob2") -> list[str]:
    """The tag of each word.

    >>> encode_tags([SlotSpan(0, 2, "a"), SlotSpan(2, 3, "a")], 4, "iobes")
    ['B-a', 'E-a', 'S-a', 'O']

    Args:
        spans: slots that do not overlap, in any order.
        words: of the utterance.
        scheme: one of `SCHEMES`.
    """
    tags = ["O"] * words
    last, single = _ENDS.get(scheme, ("I", "B"))
    before = SlotSpan(-1, -1, "")
    for span in sorted(spans):
        inside = [f"I-{span.label}"] * (span.end - span.start)
        touches = before.end == span.start and before.label == span.label
        if scheme != "iob1" or touches:
            inside[0] = f"B-{span.label}"
        if len(inside) > 1:
            inside[-1] = f"{last}-{span.label}"
        elif scheme in _ENDS:
            inside[0] = f"{single}-{span.label}"
        tags[span.start : span.end] = inside
        before = span
    return tags


@lru_cache(maxsize=16_384)
def parts(tag: str) -> tuple[bool, bool, str] | None:
    """Whether a tag begins a slot, whether it closes it, and its label."""
    prefix, dash, name = tag.partition("-")
    if prefix not in _ALL or not dash or not name:
        return None
    return prefix in _BEGIN, prefix in _CLOSE, name


def _malformed(tag: str, number: int) -> NoReturn:
    raise TagError(f"`{tag}` of word {number + 1}")
