r"""SNIPS: utterances as lists of chunks, a chunk with an `entity` being a slot.

    {"PlayMusic": [{"data": [{"text": "play "}, {"text": "jazz", "entity": "genre"}, {"text": "!"}]}]}
    -> Utterance(text="play jazz!", words=["play", "jazz", "!"], intents=["PlayMusic"],
                 spans=[SlotSpan(1, 2, "genre")])

The data sets of Snips NLU, `{"language": "en", "intents": {"PlayMusic": {"utterances": [...]}}}`, are read as well;
their label is `slot_name`. A file is one JSON object, so it is one range, and `line` counts its utterances from 1.

What the published files hold, and what becomes of it: blanks at the edges of a slot are outside it; a slot that ends
inside a word, or touches another one, cuts the word; a chunk without text is passed over; a newline inside the text
is a blank; a character written as two surrogates (CESU-8, in `train_PlayMusic_full.json`) is mended.
`train_X.json` is left out beside `train_X_full.json`, of which it is a part; `validate_X.json` is the test split. The
form of three parallel files takes its `valid` from `validate_X.json` and its `test` from `train_X_full.json`, so never
test on the one form what was trained on the other.

Refused: R101 bytes, R102 no words, R103 another JSON, R104 field missing or of the wrong type, R113 a slot of blanks.
Source: Coucke et al. 2018, arXiv 1805.10190 (github sonos/nlu-benchmark, `2017-06-custom-intent-engines/`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from pipelines import storage
from pipelines.formats import files
from pipelines.formats.format import Format, Writer
from pipelines.formats.head import Guess, Head
from pipelines.formats.lines import Range, Source, decode, plan_whole, shown, whole
from pipelines.formats.save import create, write_list
from pipelines.formats.text import LOSES, chunks, from_text, joined, to_text
from pipelines.record import Example, Rejection, Utterance

plan = plan_whole


def split_of(file: str) -> str:
    """`validate_X.json` is what the papers call the test set."""
    return "test" if Path(file).name.startswith("validate_") else files.split_of(file)


def leave_out(path: str) -> bool:
    """`train_X.json` when `train_X_full.json`, of which it is a part, stands beside it."""
    stem = storage.plain(path).removesuffix(".json")
    return not stem.endswith("_full") and storage.exists(storage.beside(path, f"{stem.rpartition('/')[2]}_full.json"))


def read(range_: Range) -> Iterator[Utterance | Rejection]:
    """One row for each utterance; one Rejection for a file that is not what it should be."""
    source = range_.source
    data = whole(source.path)
    text = decode(data)
    if text is None:
        yield source.reject(1, "R101", shown(data))
        return
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        yield source.reject(1, "R103", text, str(error))
        return
    found = _utterances(body)
    if found is None:
        yield source.reject(1, "R103", text, "no list of utterances for each intent")
        return
    language = body.get("language")
    for number, (intent, item) in enumerate(found, 1):
        row = _record(source, number, intent, item)
        named = isinstance(row, Utterance) and isinstance(language, str)
        yield row._replace(locale=language) if named else row  # type: ignore[call-arg]


def _utterances(body: Any) -> list[tuple[str, Any]] | None:
    """(intent, utterance) for each utterance, or None when this is no SNIPS object."""
    if not isinstance(body, dict):
        return None
    if isinstance(body.get("intents"), dict):
        body = {
            name: intent.get("utterances") if isinstance(intent, dict) else None
            for name, intent in body["intents"].items()
        }
    if not all(isinstance(items, list) for items in body.values()):
        return None
    return [(intent, item) for intent, items in body.items() for item in items]


def _record(source: Source, number: int, intent: str, item: Any) -> Utterance | Rejection:
    raw = json.dumps(item, ensure_ascii=False)
    data = item.get("data") if isinstance(item, dict) else None
    if not isinstance(data, list):
        return source.reject(number, "R104", raw, "`data`")
    pieces: list[tuple[str, str]] = []
    for chunk in data:
        if not isinstance(chunk, dict) or not isinstance(chunk.get("text"), str):
            return source.reject(number, "R104", raw, "`text`")
        label = chunk.get("slot_name", chunk.get("entity"))
        if not isinstance(label, str | None):
            return source.reject(number, "R104", raw, "`entity`")
        pieces.append((chunk["text"], label or ""))
    return from_text(source, number, *joined(pieces), intent, raw)


def record(row: Example, variant: str) -> tuple[str, dict[str, Any]]:
    """The intent and an utterance in chunks."""
    text, intent, slots = to_text(row)
    data = [{"text": piece} | ({"entity": label} if label else {}) for piece, label in chunks(text, slots)]
    return intent, {"data": data}


def save(records: Iterable[tuple[str, dict[str, Any]]], folder: Path, split: str, variant: str) -> Path:
    """One object with a list for each intent."""
    path = folder / f"{split}.json"
    with create(path) as file:
        file.write("{")
        for number, (intent, group) in enumerate(groupby(records, key=lambda item: item[0])):
            file.write(",\n" if number else "\n")
            file.write(f"{json.dumps(intent, ensure_ascii=False)}: ")
            write_list(file, (item for _, item in group))
        file.write("}\n")
    return path


def recognise(head: Head) -> Guess | None:
    """An object of lists of `data`, or one with `intents` that hold `utterances`."""
    intents = head.object.get("intents", head.object)
    if not isinstance(intents, dict) or not intents:
        return None
    first = next(iter(intents.values()))
    items = first.get("utterances") if isinstance(first, dict) else first
    if isinstance(items, list) and (not items or (isinstance(items[0], dict) and "data" in items[0])):
        return Guess(3, "an object with lists of utterances in chunks, `data`")
    return None


FORMAT = Format(
    name="snips",
    summary="JSON chunks with entities: SNIPS 2017, data sets of Snips NLU",
    patterns=("*.json",),
    plan=plan,
    read=read,
    example='{"PlayMusic": [{"data": [{"text": "play "}, {"text": "jazz", "entity": "genre"}]}]}',
    recognise=recognise,
    tokeniser="words-1",
    split_of=split_of,
    leave_out=leave_out,
    writer=Writer(record, save, grouped=True),
    loses=LOSES,
)
