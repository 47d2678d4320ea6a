r"""doccano: JSON lines (or a list) with labels over characters.

    {"id": 1, "text": "play jazz", "label": [[5, 9, "genre"]], "cats": ["PlayMusic"]}
    -> Utterance(text="play jazz", words=["play", "jazz"], intents=["PlayMusic"], spans=[SlotSpan(1, 2, "genre")])

Spans stand under `label` or `labels` as `[start, end, name]`, or under `entities` as
`{"label", "start_offset", "end_offset"}` (with `relations` and `Comments` beside them, which are passed over).
Offsets count code points, `end` is exclusive. The order of spans is the order of clicks and means nothing.
The intent is `cats` (projects for intent detection and slot filling), else `intent` or `category`, else a `label`
that is plain text. Exports of old versions have `annotations` with numbers for labels and no names: refused.

Refused: R101 bytes, R102 no words, R103 not a JSON object, R104 field missing or of the wrong type, R108 no intent,
R113 a slot of blanks, R115 an offset outside the text.
Source: github doccano/doccano, `backend/data_export/pipeline/`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pipelines.formats.format import Format, Writer
from pipelines.formats.head import Guess, Head
from pipelines.formats.jsons import items, plan
from pipelines.formats.lines import Range, Source
from pipelines.formats.offsets import located
from pipelines.formats.save import save_lines
from pipelines.formats.text import LOSES, CharSlot, from_text, to_text
from pipelines.record import Example, Rejection, Utterance

_SPANS = ("label", "labels", "entities")
_INTENTS = ("cats", "intent", "category", "label", "labels")


def read(range_: Range) -> Iterator[Utterance | Rejection]:
    """One row for each object."""
    for number, raw, row in items(range_):
        yield row if isinstance(row, Rejection) else _record(range_.source, number, raw, row)


def _record(source: Source, number: int, raw: str, row: dict[str, Any]) -> Utterance | Rejection:
    text = row.get("text", row.get("data"))
    if not isinstance(text, str):
        return source.reject(number, "R104", raw, "`text`")
    if "annotations" in row and not any(key in row for key in _SPANS):
        return source.reject(number, "R104", raw, "`annotations` numbers its labels; export with their names")
    unit = source.reading.offsets or "code point"
    slots: list[CharSlot] = []
    for span in _spans(row):
        try:
            start, end, label = (
                (span["start_offset"], span["end_offset"], span["label"]) if isinstance(span, dict) else span
            )
        except (KeyError, TypeError, ValueError):
            return source.reject(number, "R104", raw, f"a span is {json.dumps(span, ensure_ascii=False)}")
        if type(start) is not int or type(end) is not int or not isinstance(label, str):
            return source.reject(number, "R104", raw, f"a span is {json.dumps(span, ensure_ascii=False)}")
        try:
            slots.append(CharSlot(*located(text, start, end, unit, None), label))
        except ValueError as error:
            return source.reject(number, "R115", raw, str(error))
    return from_text(source, number, text, slots, _intent(row), raw)


def _spans(row: dict[str, Any]) -> list[Any]:
    for key in _SPANS:
        found = row.get(key)
        if found and isinstance(found, list) and all(isinstance(span, list | dict) for span in found):
            return found
    return []


def _intent(row: dict[str, Any]) -> str:
    for key in _INTENTS:
        found = row.get(key)
        if isinstance(found, list) and len(found) == 1:
            (found,) = found
        if isinstance(found, str) and found:
            return found
    return ""


def record(row: Example, variant: str) -> str:
    """A line in one of the three spellings."""
    text, intent, slots = to_text(row)
    said: dict[str, Any] = {"id": row.id, "text": text, "cats": [intent]}
    if variant == "entities":
        spans = [
            {"id": number, "label": slot.label, "start_offset": slot.start, "end_offset": slot.end}
            for number, slot in enumerate(slots)
        ]
        return json.dumps(said | {"entities": spans, "relations": [], "Comments": []}, ensure_ascii=False)
    return json.dumps(said | {variant: [list(slot) for slot in slots]}, ensure_ascii=False)


def recognise(head: Head) -> Guess | None:
    """Objects with `text` and spans that are triples, or `entities` with `start_offset`."""
    row = head.first
    if not isinstance(row.get("text"), str):
        return None
    for key in _SPANS:
        spans = row.get(key)
        if not isinstance(spans, list):
            continue
        if key == "entities" and ("Comments" in row or any("start_offset" in s for s in spans if isinstance(s, dict))):
            return Guess(3, "objects with `text` and `entities` that have a `start_offset`")
        if key != "entities" and all(isinstance(span, list) and len(span) == 3 for span in spans):
            return Guess(2, f"objects with `text` and `{key}` of triples")
    if isinstance(row.get("annotations"), list) and "meta" in row:
        return Guess(2, "objects with `text`, `annotations` and `meta`")
    return None


FORMAT = Format(
    name="doccano",
    summary="JSON lines with spans over characters: doccano",
    patterns=("*.jsonl", "*.json"),
    plan=plan,
    read=read,
    example='{"text": "play jazz", "label": [[5, 9, "genre"]], "cats": ["PlayMusic"]}',
    recognise=recognise,
    tokeniser="words-1",
    offsets="code point",
    writer=Writer(record, save_lines(".jsonl"), ("label", "labels", "entities")),
    loses=LOSES,
)
