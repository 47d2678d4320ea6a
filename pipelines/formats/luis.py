r"""LUIS: one JSON object with utterances, whose entities may have children (version 7), so they are trees.

    {"luis_schema_version": "7.0.0", "culture": "en-us", "utterances": [
      {"text": "two big pies", "intent": "Order", "entities": [
        {"entity": "item", "startPos": 0, "endPos": 11, "children": [
          {"entity": "size", "startPos": 4, "endPos": 6}]}]}]}
    -> Utterance(text="two big pies", intents=["Order"], spans=[SlotSpan(0, 3, "item"), SlotSpan(1, 2, "size")])

**`endPos` is inclusive**, unlike the ends of every other format here. Offsets count UTF-16 units. A role makes the
label `city.to`. Names such as `Place::city` are kept. A file is one range, and `line` counts its utterances from 1.
The service ends on 2026-03-31; CLU is its successor.

Refused: R101 bytes, R102 no words, R103 not such an object, R104 field missing or of the wrong type, R108 no intent,
R113 an entity of blanks, R115 an offset outside the text.
Source: learn.microsoft.com/azure/ai-services/luis/app-schema-definition.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pipelines.formats.format import Format, Writer
from pipelines.formats.head import Guess, Head
from pipelines.formats.jsons import whole_object
from pipelines.formats.lines import Range, Source, plan_whole
from pipelines.formats.offsets import from_code_points, located
from pipelines.formats.save import create, write_list
from pipelines.formats.text import LOSES, CharSlot, from_text, to_text
from pipelines.record import Example, Rejection, Utterance

plan = plan_whole


def read(range_: Range) -> Iterator[Utterance | Rejection]:
    """One row for each utterance; one Rejection for a file that is not what it should be."""
    source = range_.source
    body = whole_object(source)
    if isinstance(body, Rejection):
        yield body
        return
    rows = body.get("utterances")
    if not isinstance(rows, list):
        yield source.reject(1, "R103", json.dumps(body, ensure_ascii=False), "no list `utterances`")
        return
    culture = body.get("culture")
    for number, row in enumerate(rows, 1):
        yield _record(source, number, row, culture if isinstance(culture, str) else "")


def _record(source: Source, number: int, row: Any, locale: str) -> Utterance | Rejection:
    raw = json.dumps({"culture": locale, "utterances": [row]}, ensure_ascii=False)
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        return source.reject(number, "R104", raw, "`text`")
    slots: list[CharSlot] = []
    unit = source.reading.offsets or "utf-16"
    try:
        stack = list(reversed(row.get("entities") or []))
        while stack:  # parents before children, so that of two equal spans the outer comes first
            found = stack.pop()
            place = located(row["text"], int(found["startPos"]), int(found["endPos"]) + 1, unit, None)
            role = found.get("role")
            slots.append(CharSlot(*place, f"{found['entity']}.{role}" if role else str(found["entity"])))
            stack.extend(reversed(found.get("children") or []))
    except (KeyError, TypeError, AttributeError) as error:
        return source.reject(number, "R104", raw, f"an entity: {error}")
    except ValueError as error:
        return source.reject(number, "R115", raw, str(error))
    intent = row.get("intent")
    return from_text(source, number, row["text"], slots, intent if isinstance(intent, str) else "", raw, locale=locale)


def record(row: Example, variant: str) -> dict[str, Any]:
    """An utterance; slots inside slots are children."""
    text, intent, slots = to_text(row, nested=True)
    roots: list[dict[str, Any]] = []
    open_: list[tuple[int, dict[str, Any]]] = []
    for slot in slots:
        start, end = from_code_points(text, slot.start, slot.end, "utf-16")
        node: dict[str, Any] = {"entity": slot.label, "startPos": start, "endPos": end - 1, "children": []}
        while open_ and open_[-1][0] <= slot.start:
            open_.pop()
        (open_[-1][1]["children"] if open_ else roots).append(node)
        open_.append((slot.end, node))
    return {"text": text, "intent": intent, "entities": roots}


def save(records: Iterable[dict[str, Any]], folder: Path, split: str, variant: str) -> Path:
    """An app, its utterances one a line; the intents are listed behind them."""
    intents = dict[str, None]()

    def listed() -> Iterator[dict[str, Any]]:
        for row in records:
            intents[row["intent"]] = None
            yield row

    path = folder / f"{split}.json"
    with create(path) as file:
        file.write('{"luis_schema_version": "7.0.0", "versionId": "0.1", "name": "treewright", "utterances": ')
        write_list(file, listed())
        file.write(f', "intents": {json.dumps([{"name": name} for name in intents], ensure_ascii=False)}}}\n')
    return path


def recognise(head: Head) -> Guess | None:
    """An object with `luis_schema_version`, or with `utterances` whose entities have a `startPos`."""
    if "luis_schema_version" in head.object:
        return Guess(3, "an object with `luis_schema_version`")
    rows = head.object.get("utterances")
    if isinstance(rows, list) and any('"startPos"' in json.dumps(row) for row in rows[:20]):
        return Guess(2, "an object with `utterances` whose entities have a `startPos`")
    return None


FORMAT = Format(
    name="luis",
    summary="one JSON object with utterances and nested entities, `endPos` inclusive: LUIS",
    patterns=("*.json",),
    plan=plan,
    read=read,
    example='{"text": "play jazz", "intent": "Play", "entities": [{"entity": "genre", "startPos": 5, "endPos": 8}]}',
    recognise=recognise,
    tokeniser="words-1",
    offsets="utf-16",
    writer=Writer(record, save),
    loses={key: said for key, said in LOSES.items() if key != "nested slots"},
)
