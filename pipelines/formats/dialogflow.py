r"""Dialogflow ES and CX: training phrases in parts, a part with an alias being a slot.

    intents/Play_usersays_en.json   [{"data": [{"text": "play "}, {"text": "jazz", "alias": "genre"}]}]
    intents/Play.json               {"name": "Play", "userSays": [...]}                      older exports of ES
    intents/Play/trainingPhrases/en.json   {"trainingPhrases": [{"parts": [{"text": "jazz", "parameterId": "genre"}]}]}
    intents.json                    {"intents": [{"displayName": "Play", "trainingPhrases": [...]}]}      the API of CX
    -> Utterance(text="play jazz", words=["play", "jazz"], intents=["Play"], spans=[SlotSpan(1, 2, "genre")],
                 locale="en")

The intent is `name` or `displayName`, else it is read off the path. `@sys.ignore` is no slot. Other files of an agent
(entities, flows) are left out of a folder. A file is one range, and `line` counts its phrases from 1.

Refused: R101 bytes, R102 no words, R103 another JSON, R104 field missing or of the wrong type, R108 no intent, R113 a
slot of blanks, R118 a template (`isTemplate`, of agents from before 2018), which is no utterance.
Source: cloud.google.com/dialogflow/es/docs/reference/rest/v2/projects.agent.intents and
cloud.google.com/dialogflow/cx/docs/reference/json-export.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any

from pipelines.formats.format import Format, Writer
from pipelines.formats.head import Guess, Head
from pipelines.formats.jsons import parsed
from pipelines.formats.lines import Range, Source, decode, plan_whole, shown, whole
from pipelines.formats.save import create, write_list
from pipelines.formats.text import LOSES, chunks, from_text, joined, to_text
from pipelines.record import Example, Rejection, Utterance
from pipelines.storage import plain

plan = plan_whole

_USERSAYS = re.compile(r"(.+)_usersays_([\w-]+)\.json")


def leave_out(path: str) -> bool:
    """A file of an agent that holds no phrases."""
    if _USERSAYS.fullmatch(plain(path.rpartition("/")[2])):
        return False
    data = whole(path)
    return b'"userSays"' not in data and b'"trainingPhrases"' not in data


def read(range_: Range) -> Iterator[Utterance | Rejection]:
    """One row for each phrase; one Rejection for a file that is not what it should be."""
    source = range_.source
    data = whole(source.path)
    text = decode(data)
    if text is None:
        yield source.reject(1, "R101", shown(data))
        return
    body = parsed(source, 1, text)
    if isinstance(body, Rejection):
        yield body
        return
    found = _phrases(source, body)
    if found is None:
        yield source.reject(1, "R103", text, "no phrases")
        return
    for number, (intent, locale, phrase) in enumerate(found, 1):
        yield _record(source, number, intent, locale, phrase)


def _phrases(source: Source, body: Any) -> list[tuple[str, str, Any]] | None:
    """(intent, locale, phrase) of each phrase; None where there is no list of them."""
    path = PurePosixPath(plain(source.path))
    named = _USERSAYS.fullmatch(path.name)
    if isinstance(body, list):
        return [(named[1] if named else path.stem, named[2] if named else "", phrase) for phrase in body]
    if not isinstance(body, dict):
        return None
    if isinstance(body.get("intents"), list):
        parts = [_phrases(source, intent) for intent in body["intents"] if isinstance(intent, dict)]
        return [phrase for part in parts for phrase in part or ()]
    inside = path.parent.name == "trainingPhrases"  # intents/<name>/trainingPhrases/<language>.json
    name = body.get("displayName", body.get("name", path.parent.parent.name if inside else path.stem))
    rows = body.get("userSays", body.get("trainingPhrases", [] if "displayName" in body else None))
    if not isinstance(rows, list):
        return None
    locale = path.stem if inside else ""
    return [(name if isinstance(name, str) else "", locale, phrase) for phrase in rows]


def _record(source: Source, number: int, intent: str, locale: str, phrase: Any) -> Utterance | Rejection:
    raw = json.dumps(phrase, ensure_ascii=False)
    parts = phrase.get("data", phrase.get("parts")) if isinstance(phrase, dict) else None
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        return source.reject(number, "R104", raw, "`data` or `parts`")
    if phrase.get("isTemplate"):
        return source.reject(number, "R118", raw)
    pieces: list[tuple[str, str]] = []
    for part in parts:
        label = part.get("alias", part.get("parameterId")) or ""
        text = part.get("text")
        if not isinstance(text, str) or not isinstance(label, str):
            return source.reject(number, "R104", raw, "`text`" if isinstance(label, str) else "`alias`")
        pieces.append((text, "" if part.get("meta") == "@sys.ignore" else label))
    language = phrase.get("languageCode", phrase.get("lang"))
    locale = language if isinstance(language, str) else locale
    return from_text(source, number, *joined(pieces), intent, raw, locale=locale)


def record(row: Example, variant: str) -> tuple[str, dict[str, Any]]:
    """The intent and a phrase of CX."""
    text, intent, slots = to_text(row)
    parts = [{"text": piece} | ({"parameterId": label} if label else {}) for piece, label in chunks(text, slots)]
    return intent, {"parts": parts, "repeatCount": 1} | ({"languageCode": row.locale} if row.locale else {})


def save(records: Iterable[tuple[str, dict[str, Any]]], folder: Path, split: str, variant: str) -> Path:
    """One object with all intents, as the API of CX lists them."""
    path = folder / f"{split}.json"
    with create(path) as file:
        file.write('{"intents": [')
        for number, (intent, group) in enumerate(groupby(records, key=lambda item: item[0])):
            name = json.dumps(intent, ensure_ascii=False)
            file.write(f'{"," if number else ""}\n{{"displayName": {name}, "trainingPhrases": ')
            write_list(file, (phrase for _, phrase in group))
            file.write("}")
        file.write("]}\n")
    return path


def recognise(head: Head) -> Guess | None:
    """A name with `_usersays_`, or phrases under `userSays` or `trainingPhrases`."""
    if _USERSAYS.fullmatch(head.name) and "data" in head.first:
        return Guess(3, "a name with `_usersays_` and phrases in parts, `data`")
    intents = head.object.get("intents")
    one = intents[0] if isinstance(intents, list) and intents and isinstance(intents[0], dict) else head.object
    for key in ("userSays", "trainingPhrases"):
        if isinstance(one.get(key), list):
            return Guess(3, f"an intent with `{key}`")
    return None


FORMAT = Format(
    name="dialogflow",
    summary="training phrases in parts with aliases: Dialogflow ES and CX",
    patterns=("*.json",),
    plan=plan,
    read=read,
    example='{"displayName": "Play", "trainingPhrases": [{"parts": [{"text": "jazz", "parameterId": "genre"}]}]}',
    recognise=recognise,
    tokeniser="words-1",
    leave_out=leave_out,
    writer=Writer(record, save, ("cx",), grouped=True),
    loses={key: said for key, said in LOSES.items() if key != "locale"},
    alone=None,
)
