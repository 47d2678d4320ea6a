"""MASSIVE: one JSON object a line, slots marked inside the text.

    {"id": "7", "locale": "en-US", "partition": "dev", "scenario": "music", "intent": "play_music",
     "utt": "play calm jazz", "annot_utt": "play [mood : calm] [genre : jazz]"}
    -> Utterance(text="play calm jazz", words=["play", "calm", "jazz"], intents=["play_music"], split="dev",
                 spans=[SlotSpan(1, 2, "mood"), SlotSpan(2, 3, "genre")], domain="music", locale="en-US")

The split is each row's `partition`. Words are cut as `words-1` does, and at the ends of slots; Japanese, Chinese and
Thai by character. Slots of one label that touch stay two.

Refused: R101 bytes, R102 no words, R103 not a JSON object, R104 field missing or of the wrong type, R109 a bracket
that is no slot, R110 rows of the partition `MMNLU-22`, which has no labels, R111 the text without marks is not `utt`
(white space apart), R113 a slot without words.
Source: FitzGerald et al., ACL 2023, arXiv 2204.08582 (github alexa/massive).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from grammar import words as tokenisers
from pipelines.formats.files import SPLITS
from pipelines.formats.lines import Range, Source, decode, numbered, plan_lines, shown
from pipelines.record import Rejection, SlotSpan, Utterance

plan = plan_lines

_SLOT = re.compile(r"\[\s*([^\[\]:\s]+)\s*:\s*([^\[\]]*?)\s*\]")
_TEXTS = ("utt", "annot_utt", "intent", "partition")
_BY_CHARACTER = ("ja", "zh", "th")


def read(range_: Range) -> Iterator[Utterance | Rejection]:
    """One row for each line that is not blank."""
    for number, line in numbered(range_):
        if line.strip():
            yield _record(range_.source, number, line)


def _record(source: Source, number: int, line: bytes) -> Utterance | Rejection:
    raw = decode(line)
    if raw is None:
        return source.reject(number, "R101", shown(line))
    try:
        row = json.loads(raw)
    except (ValueError, RecursionError) as error:
        return source.reject(number, "R103", raw, str(error))
    if not isinstance(row, dict):
        return source.reject(number, "R103", raw, "not an object")
    if str(row.get("partition", "")).startswith("MMNLU"):
        return source.reject(number, "R110", raw, split="test")
    split = SPLITS.get(str(row.get("partition", "")), "")
    for key in _TEXTS:
        if not isinstance(row.get(key), str) or (key == "partition" and not split):
            return source.reject(number, "R104", raw, f"`{key}`", split)
    if not row["intent"]:
        return source.reject(number, "R108", raw, split=split)
    text, slots = _unmark(row["annot_utt"])
    if "[" in text or "]" in text:
        return source.reject(number, "R109", raw, split=split)
    if text.split() != row["utt"].split():
        return source.reject(number, "R111", raw, split=split)
    locale = row.get("locale")
    locale = locale if isinstance(locale, str) else ""
    tokeniser = "chars-1" if locale.lower().startswith(_BY_CHARACTER) else "words-1"
    borders = {border for start, end, _ in slots for border in (start, end)}
    places = tokenisers.spans(text, tokeniser, borders)
    if not places:
        return source.reject(number, "R102", raw, split=split)
    spans: list[SlotSpan] = []
    for start, end, label in slots:
        inside = [index for index, place in enumerate(places) if start <= place.start and place.end <= end]
        if not inside:
            return source.reject(number, "R113", raw, f"`{label}`", split)
        spans.append(SlotSpan(inside[0], inside[-1] + 1, label))
    scenario = row.get("scenario")
    return Utterance(
        corpus=source.corpus,
        file=source.file,
        line=number,
        split=split,
        text=text.strip(),
        words=[text[place.start : place.end] for place in places],
        intents=[row["intent"]],
        spans=spans,
        domain=scenario if isinstance(scenario, str) else "",
        locale=locale,
        raw=raw,
        tokeniser=tokeniser,
    )


def _unmark(annotated: str) -> tuple[str, list[tuple[int, int, str]]]:
    """The text without marks, and (start, end, label) of each slot in its characters.

    >>> _unmark("play [genre : jazz] now")
    ('play jazz now', [(5, 9, 'genre')])
    """
    pieces, slots, length, last = list[str](), list[tuple[int, int, str]](), 0, 0
    for match in _SLOT.finditer(annotated):
        before, value = annotated[last : match.start()], match[2]
        start = length + len(before)
        slots.append((start, start + len(value), match[1]))
        pieces += [before, value]
        length, last = start + len(value), match.end()
    return "".join([*pieces, annotated[last:]]), slots
