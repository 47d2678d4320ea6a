"""Tags of words -> slots. One reading for IOB1, IOB2, IOBES and BILUO, also where a file mixes them.

B-city I-city O       one slot of two words
I-city I-city O       the same in IOB1
B-city E-city O       the same in IOBES (`L-` in BILUO); `S-` and `U-` are slots of one word
B-city B-city         two slots that touch
B-city I-date         an orphan `I-` begins a slot of its own
"""

from __future__ import annotations

from collections.abc import Sequence

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
    label = ""  # of the slot that the next word may continue
    for number, tag in enumerate(tags):
        if tag == "O":
            label = ""
            continue
        prefix, dash, name = tag.partition("-")
        if prefix not in _ALL or not dash or not name:
            raise TagError(f"`{tag}` of word {number + 1}")
        if prefix in _BEGIN or name != label:
            spans.append(SlotSpan(number, number + 1, name))
        else:
            spans[-1] = spans[-1]._replace(end=number + 1)
        label = "" if prefix in _CLOSE else name
    return spans
