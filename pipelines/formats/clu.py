r"""CLU (Azure Conversational Language Understanding): one JSON object of assets.

    {"projectFileVersion": "2022-10-01-preview", "stringIndexType": "Utf16CodeUnit", "assets": {"utterances": [
      {"text": "play jazz", "intent": "PlayMusic", "language": "en-us", "dataset": "Train",
       "entities": [{"category": "genre", "offset": 5, "length": 4}]}]}}
    -> Utterance(text="play jazz", words=["play", "jazz"], intents=["PlayMusic"], spans=[SlotSpan(1, 2, "genre")],
                 locale="en-us")

Offsets count what `stringIndexType` says: UTF-16 units, or `UnicodeCodePoint`. `dataset` Test is the test split; Train
is what the file's name says. A file is one range, and `line` counts its utterances from 1.

Refused: R101 bytes, R102 no words, R103 not such an object, R104 field missing or of the wrong type, R108 no intent,
R113 an entity of blanks, R115 an offset outside the text, or a `stringIndexType` that is not known.
Source: learn.microsoft.com, Azure language service, conversational language understanding, data formats.
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

_UNITS = {"Utf16CodeUnit": "utf-16", "UnicodeCodePoint": "code point"}


def read(range_: Range) -> Iterator[Utterance | Rejection]:
    """One row for each utterance; one Rejection for a file that is not what it should be."""
    source = range_.source
    body = whole_object(source)
    if isinstance(body, Rejection):
        yield body
        return
    assets = body.get("assets")
    rows = assets.get("utterances") if isinstance(assets, dict) else None
    if not isinstance(rows, list):
        yield source.reject(1, "R103", json.dumps(body, ensure_ascii=False), "no list `utterances` in `assets`")
        return
    index = body.get("stringIndexType", "Utf16CodeUnit")
    unit = source.reading.offsets or _UNITS.get(index, "")
    for number, row in enumerate(rows, 1):
        yield _record(source, number, row, unit, index)


def _record(source: Source, number: int, row: Any, unit: str, index: str) -> Utterance | Rejection:
    raw = json.dumps({"stringIndexType": index, "assets": {"utterances": [row]}}, ensure_ascii=False)
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        return source.reject(number, "R104", raw, "`text`")
    split = "test" if str(row.get("dataset", "")).lower() == "test" else source.split
    slots: list[CharSlot] = []
    try:
        for found in row.get("entities") or ():
            start, length = int(found["offset"]), int(found["length"])
            if not unit:
                return source.reject(number, "R115", raw, f"`stringIndexType` is `{index}`; give `--offsets`", split)
            slots.append(CharSlot(*located(row["text"], start, start + length, unit, None), str(found["category"])))
    except (KeyError, TypeError) as error:
        return source.reject(number, "R104", raw, f"an entity: {error}", split)
    except ValueError as error:
        return source.reject(number, "R115", raw, str(error), split)
    intent, language = (value if isinstance(value := row.get(key), str) else "" for key in ("intent", "language"))
    return from_text(source, number, row["text"], slots, intent, raw, split=split, locale=language)


def record(row: Example, variant: str) -> dict[str, Any]:
    """An utterance; entities may lie in each other."""
    text, intent, slots = to_text(row, nested=True)
    entities = []
    for slot in slots:
        start, end = from_code_points(text, slot.start, slot.end, "utf-16")
        entities.append({"category": slot.label, "offset": start, "length": end - start})
    said = {"text": text, "intent": intent, "dataset": "Test" if row.split == "test" else "Train", "entities": entities}
    return said | ({"language": row.locale} if row.locale else {})


def save(records: Iterable[dict[str, Any]], folder: Path, split: str, variant: str) -> Path:
    """A project, its utterances one a line; intents and entities are listed behind them."""
    intents, entities = dict[str, None](), dict[str, None]()

    def listed() -> Iterator[dict[str, Any]]:
        for row in records:
            intents[row["intent"]] = None
            entities.update(dict.fromkeys(found["category"] for found in row["entities"]))
            yield row

    path = folder / f"{split}.json"
    with create(path) as file:
        file.write('{"projectFileVersion": "2022-10-01-preview", "stringIndexType": "Utf16CodeUnit", "metadata": ')
        file.write('{"projectKind": "Conversation", "projectName": "treewright", "multilingual": true}, "assets": ')
        file.write('{"projectKind": "Conversation", "utterances": ')
        write_list(file, listed())
        names = {"intents": [{"category": name} for name in intents]}
        names["entities"] = [{"category": name} for name in entities]
        file.write(f", {json.dumps(names, ensure_ascii=False)[1:-1]}}}}}\n")
    return path


def recognise(head: Head) -> Guess | None:
    """An object with `assets` and `projectFileVersion` or `stringIndexType`."""
    if isinstance(head.object.get("assets"), dict) and head.object.keys() & {"projectFileVersion", "stringIndexType"}:
        return Guess(3, "an object with `assets` and `projectFileVersion`")
    return None


FORMAT = Format(
    name="clu",
    summary="one JSON object of assets with utterances: Azure CLU",
    patterns=("*.json",),
    plan=plan,
    read=read,
    example='{"text": "play jazz", "intent": "Play", "entities": [{"category": "genre", "offset": 5, "length": 4}]}',
    recognise=recognise,
    tokeniser="words-1",
    offsets="utf-16",
    writer=Writer(record, save),
    loses={key: said for key, said in LOSES.items() if key not in ("nested slots", "locale")},
)
