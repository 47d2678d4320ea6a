"""Raw text with slots over its characters <-> words with slots over words: what most annotation tools need.

    text "Zoë, play jazz!", slot (10, 14, "genre")  ->  words Zoë | , | play | jazz | !   slot (3, 4, "genre")

Words are cut as `words-1` does, and at the ends of slots, so a slot may end inside a word. Blanks at the edges of a
slot are outside it. `marked` and `unmark` are for formats that mark slots inside the text, such as `[genre : jazz]`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from grammar import words as tokenisers
from pipelines.formats.features import Unwritable, single, text_and_places
from pipelines.formats.lines import Source
from pipelines.record import Example, Rejection, SlotSpan, Utterance

LOSES = {
    "domain": "not written",
    "locale": "not written",
    "other text": "the words are written, with one blank between them",
    "given words": "the text is cut into words again, by `words-1` and at the ends of slots",
    "blanks in words": "the text is cut into words again",
    "clauses": "refused: an utterance has one intent",
    "nested slots": "refused: slots do not nest",
    "coordinated values": "written side by side; `--coordinate` finds those with a joining word between",
    "functions": "refused",
    "generated words": "refused: every slot is a part of the text",
    "empty slots": "refused",
    "scattered slots": "refused",
    "words of intents": "refused",
}
"""What formats of raw text with flat slots cannot say."""

BRACKETED = re.compile(r"\[\s*([^\[\]:\s]+)\s*:\s*([^\[\]]*?)\s*\]")
"""A slot as MASSIVE and HWU64 mark it: `[label : value]`."""

UNPRINTED = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\ufeff]")
"""Characters that formats of lines and YAML read as ends of lines, or refuse."""

_BREAK = re.compile(r"[\t\r\n]")


class CharSlot(NamedTuple):
    """A slot over the characters `[start, end)`, 0-based, in code points."""

    start: int
    end: int
    label: str


def from_text(
    source: Source,
    number: int,
    text: str,
    slots: Sequence[CharSlot],
    intent: str,
    raw: str,
    *,
    split: str = "",
    domain: str = "",
    locale: str = "",
    tokeniser: str = "words-1",
) -> Utterance | Rejection:
    """The utterance of a text, or R102 no words, R108 no intent, R113 a slot of blanks, R115 a slot outside it."""
    text = _BREAK.sub(" ", text)
    inner: list[CharSlot] = []
    for slot in slots:
        if not 0 <= slot.start <= slot.end <= len(text):
            detail = f"`{slot.label}` is [{slot.start}, {slot.end}) of {len(text)} characters"
            return source.reject(number, "R115", raw, detail, split)
        piece = text[slot.start : slot.end]
        if not piece.strip():
            return source.reject(number, "R113", raw, f"`{slot.label}`", split)
        start = slot.start + len(piece) - len(piece.lstrip())
        inner.append(CharSlot(start, start + len(piece.strip()), slot.label))
    places = tokenisers.spans(text, tokeniser, {border for slot in inner for border in slot[:2]})
    if not places:
        return source.reject(number, "R102", raw, split=split)
    if not intent:
        return source.reject(number, "R108", raw, split=split)
    at_start = {place.start: index for index, place in enumerate(places)}
    at_end = {place.end: index + 1 for index, place in enumerate(places)}
    return Utterance(
        corpus=source.corpus,
        file=source.file,
        line=number,
        split=split or source.split,
        text=text.strip(),
        words=[text[place.start : place.end] for place in places],
        intents=[intent],
        spans=[SlotSpan(at_start[start], at_end[end], label) for start, end, label in inner],
        domain=domain,
        locale=locale,
        raw=raw,
        tokeniser=tokeniser,
    )


def to_text(row: Example, nested: bool = False) -> tuple[str, str, list[CharSlot]]:
    """Text, intent and slots of a row, in the order of the text, outer before inner.

    Raises:
        features.Unwritable: the tree is more than one intent with slots, `nested` in each other or not.
    """
    intent, spans = single(row, nested)
    text, places = text_and_places(row)
    ordered = sorted(spans, key=lambda span: (span.start, -span.end))
    return text, intent, [CharSlot(places[s.start][0], places[s.end - 1][1], s.label) for s in ordered]


def chunks(text: str, slots: Iterable[CharSlot]) -> list[tuple[str, str]]:
    """The text in pieces with their labels, which are empty outside slots.

    >>> chunks("play jazz now", [CharSlot(5, 9, "genre")])
    [('play ', ''), ('jazz', 'genre'), (' now', '')]
    """
    found: list[tuple[str, str]] = []
    last = 0
    for start, end, label in [*slots, CharSlot(len(text), len(text), "")]:
        found += [piece for piece in ((text[last:start], ""), (text[start:end], label)) if piece[0]]
        last = end
    return found


def joined(pieces: Iterable[tuple[str, str]]) -> tuple[str, list[CharSlot]]:
    """The inverse of `chunks`: text and slots."""
    text, slots = "", list[CharSlot]()
    for piece, label in pieces:
        if label and piece:
            slots.append(CharSlot(len(text), len(text) + len(piece), label))
        text += piece
    return text, slots


def unmark(
    annotated: str, pattern: re.Pattern[str], slot: Callable[[re.Match[str]], tuple[str, str]]
) -> tuple[str, list[CharSlot]]:
    """Text and slots of a text in which `pattern` matches a marked slot, of which `slot` gives value and label."""
    text, slots, last = "", list[CharSlot](), 0
    for match in pattern.finditer(annotated):
        value, label = slot(match)
        text += annotated[last : match.start()]
        slots.append(CharSlot(len(text), len(text) + len(value), label))
        text += value
        last = match.end()
    return text + annotated[last:], slots


def unbracketed(annotated: str) -> tuple[str, list[CharSlot]] | None:
    """Text and slots of a text with `[label : value]` in it; None where a bracket is left over.

    >>> unbracketed("play [genre : jazz] now")
    ('play jazz now', [CharSlot(start=5, end=9, label='genre')])
    """
    text, slots = unmark(annotated, BRACKETED, lambda match: (match[2], match[1]))
    return None if "[" in text or "]" in text else (text, slots)


def bracketed(text: str, slots: Sequence[CharSlot]) -> str:
    """The inverse of `unbracketed`.

    Raises:
        Unwritable: the text has a square bracket, or a label a colon.
    """
    if "[" in text or "]" in text:
        raise Unwritable("marks in text", "a square bracket")
    for slot in slots:
        if ":" in slot.label:
            raise Unwritable("odd labels", f"`{slot.label}`")
    return "".join(f"[{label} : {piece}]" if label else piece for piece, label in chunks(text, slots))
