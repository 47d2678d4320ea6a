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
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from grammar import words as tokenisers
from pipelines.formats import files
from pipelines.formats.lines import Range, Source, decode, plan_whole, shown, whole
from pipelines.record import Rejection, SlotSpan, Utterance

plan = plan_whole

_BREAK = re.compile(r"[\t\r\n]")


def split_of(file: str) -> str:
    """`validate_X.json` is what the papers call the test set."""
    return "test" if Path(file).name.startswith("validate_") else files.split_of(file)


def leave_out(path: Path) -> bool:
    """`train_X.json` when `train_X_full.json`, of which it is a part, stands beside it."""
    return not path.stem.endswith("_full") and path.with_name(f"{path.stem}_full.json").is_file()


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
    if not body or not all(isinstance(items, list) for items in body.values()):
        return None
    return [(intent, item) for intent, items in body.items() for item in items]


def _record(source: Source, number: int, intent: str, item: Any) -> Utterance | Rejection:
    raw = json.dumps(item, ensure_ascii=False)
    chunks = item.get("data") if isinstance(item, dict) else None
    if not isinstance(chunks, list):
        return source.reject(number, "R104", raw, "`data`")
    text, slots = "", list[tuple[int, int, str]]()
    for chunk in chunks:
        if not isinstance(chunk, dict) or not isinstance(chunk.get("text"), str):
            return source.reject(number, "R104", raw, "`text`")
        piece = _BREAK.sub(" ", chunk["text"])
        label = chunk.get("slot_name", chunk.get("entity"))
        if label is not None and piece:
            if not isinstance(label, str):
                return source.reject(number, "R104", raw, "`entity`")
            if not piece.strip():
                return source.reject(number, "R113", raw, f"`{label}`")
            start = len(text) + len(piece) - len(piece.lstrip())
            slots.append((start, start + len(piece.strip()), label))
        text += piece
    borders = {border for start, end, _ in slots for border in (start, end)}
    places = tokenisers.spans(text, "words-1", borders)
    if not places:
        return source.reject(number, "R102", raw)
    at_start = {place.start: index for index, place in enumerate(places)}
    at_end = {place.end: index + 1 for index, place in enumerate(places)}
    spans = [SlotSpan(at_start[start], at_end[end], label) for start, end, label in slots]
    found = [text[place.start : place.end] for place in places]
    return Utterance(source.corpus, source.file, number, source.split, text.strip(), found, [intent], spans, raw=raw)
