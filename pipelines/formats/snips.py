r"""SNIPS: utterances as lists of chunks, a chunk with an `entity` being a slot.

    {"PlayMusic": [{"data": [{"text": "play "}, {"text": "jazz", "entity": "genre"}, {"text": "!"}]}]}
    -> Utterance(text="play jazz!", words=["play", "jazz", "!"], intents=["PlayMusic"],
                 spans=[SlotSpan(1, 2, "genre")])

The data sets of Snips NLU, `{"language": "en", "intents": {"PlayMusic": {"utterances": [...]}}}`, are read as well;
their label is `slot_name`. So is their YAML, in which a slot is `[slot:entity](value)`, the reverse order of Rasa's:

    type: intent
    name: PlayMusic
    utterances:
    - play [genre:style](jazz)

A file is one JSON object, so it is one range, and `line` counts its utterances from 1.

What the published files hold, and what becomes of it: blanks at the edges of a slot are outside it; a slot that ends
inside a word, or touches another one, cuts the word; a chunk without text is passed over; a newline inside the text
is a blank; a character written as two surrogates (CESU-8, in `train_PlayMusic_full.json`) is mended.
`train_X.json` is left out beside `train_X_full.json`, of which it is a part; `validate_X.json` is the test split. The
form of three parallel files takes its `valid` from `validate_X.json` and its `test` from `train_X_full.json`, so never
test on the one form what was trained on the other.

Refused: R101 bytes, R102 no words, R103 another JSON, R104 field missing or of the wrong type, R109 a
mark that is no slot, R113 a slot of blanks.
Source: Coucke et al. 2018, arXiv 1805.10190 (github sonos/nlu-benchmark, `2017-06-custom-intent-engines/`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from pipelines import storage
from pipelines.formats import files, yamls
from pipelines.formats.features import Unwritable
from pipelines.formats.format import Format, Writer
from pipelines.formats.head import Guess, Head
from pipelines.formats.jsons import whole_object
from pipelines.formats.lines import Range, Source, plan_whole
from pipelines.formats.save import create, write_list
from pipelines.formats.text import LOSES, UNPRINTED, chunks, from_text, joined, to_text, unmark
from pipelines.record import Example, Rejection, Utterance

plan = plan_whole

_SLOT = re.compile(r"\[\s*([^\[\]:\s]+)\s*(?::[^\[\]]*)?\]\(([^()]*)\)")
_LEFT = re.compile(r"\]\(")
_YAML = re.compile(r"(?m)^type:\s*(intent|entity)")


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
    if storage.plain(source.path).endswith((".yaml", ".yml")):
        yield from _yaml(source)
        return
    body = whole_object(source)
    if isinstance(body, Rejection):
        yield body
        return
    found = _utterances(body)
    if found is None:
        raw = json.dumps(body, ensure_ascii=False)
        yield source.reject(1, "R103", raw, "no list of utterances for each intent")
        return
    language = body.get("language")
    locale = language if isinstance(language, str) and isinstance(body.get("intents"), dict) else ""
    nested = isinstance(body.get("intents"), dict)
    for number, (intent, item) in enumerate(found, 1):
        # All that is needed to read it again: an object with this utterance alone.
        alone = {"language": locale, "intents": {intent: {"utterances": [item]}}} if nested else {intent: [item]}
        yield _record(source, number, intent, item, locale, json.dumps(alone, ensure_ascii=False))


def _yaml(source: Source) -> Iterator[Utterance | Rejection]:
    number = 0
    for body in yamls.documents(source):
        if isinstance(body, Rejection):
            yield body
            continue
        if isinstance(body, dict) and body.get("type") == "entity":
            continue
        items = body.get("utterances") or [] if isinstance(body, dict) else None
        if not isinstance(items, list) or not isinstance(body.get("name"), str):
            yield source.reject(number + 1, "R103", str(body), "no intent with a name and utterances")
            continue
        for item in items:
            number += 1
            raw = yaml_of(body["name"], [item])
            if not isinstance(item, str):
                yield source.reject(number, "R104", raw, "an utterance is no text; quote one that begins with `[`")
                continue
            text, slots = unmark(item, _SLOT, lambda match: (match[2], match[1]))
            if _LEFT.search(text):
                yield source.reject(number, "R109", raw)
            else:
                yield from_text(source, number, text, slots, body["name"], raw)


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


def _record(source: Source, number: int, intent: str, item: Any, locale: str, raw: str) -> Utterance | Rejection:
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
    return from_text(source, number, *joined(pieces), intent, raw, locale=locale)


def record(row: Example, variant: str) -> tuple[str, Any]:
    """The intent and an utterance: in chunks, or as a text with marks."""
    text, intent, slots = to_text(row)
    pieces = chunks(text, slots)
    if variant == "yaml":
        marked = "".join(f"[{label}]({piece})" if label else piece for piece, label in pieces)
        again = unmark(marked, _SLOT, lambda match: (match[2], match[1]))
        if again != (text, slots) or _LEFT.search(again[0]) or UNPRINTED.search(text) or text != text.strip():
            raise Unwritable("marks in text", repr(text))
        if any(":" in slot.label for slot in slots):
            raise Unwritable("odd labels", intent)
        return intent, marked
    keys = ("entity", "slot_name") if variant == "nlu" else ("entity",)
    return intent, {
        "data": [{"text": piece} | (dict.fromkeys(keys, label) if label else {}) for piece, label in pieces]
    }


def save(records: Iterable[tuple[str, Any]], folder: Path, split: str, variant: str) -> Path:
    """One object with a list for each intent, or one YAML document for each."""
    path = folder / f"{split}.{'yaml' if variant == 'yaml' else 'json'}"
    groups = groupby(records, key=lambda item: item[0])
    with create(path) as file:
        if variant == "yaml":
            for intent, group in groups:
                file.write(f"---\n{yaml_of(intent, (text for _, text in group))}")
            return path
        nlu = variant == "nlu"
        file.write('{"language": "", "entities": {}, "intents": {' if nlu else "{")
        for number, (intent, group) in enumerate(groups):
            file.write(",\n" if number else "\n")
            file.write(f"{json.dumps(intent, ensure_ascii=False)}: ")
            file.write('{"utterances": ' if nlu else "")
            write_list(file, (item for _, item in group))
            file.write("}" if nlu else "")
        file.write("}}\n" if nlu else "}\n")
    return path


def yaml_of(intent: str, items: Iterable[Any]) -> str:
    """A YAML document of an intent; JSON's form of a value is YAML's, too."""
    lines = [f"- {json.dumps(item, ensure_ascii=False, default=str)}\n" for item in items]
    return f"type: intent\nname: {json.dumps(intent, ensure_ascii=False)}\nutterances:\n{''.join(lines)}"


def recognise(head: Head) -> Guess | None:
    """An object of lists of `data`, or one with `intents` that hold `utterances`."""
    if head.name.endswith((".yaml", ".yml")):
        found = _YAML.search(head.text) and re.search(r"(?m)^utterances:|^type:\s*entity", head.text)
        return Guess(3, "YAML with `type: intent` and `utterances:`") if found else None
    intents = head.object.get("intents", head.object)
    if not isinstance(intents, dict) or not intents or "userSays" in intents:  # the phrases of Dialogflow look alike
        return None
    first = next(iter(intents.values()))
    items = first.get("utterances") if isinstance(first, dict) else first
    if isinstance(items, list) and (not items or (isinstance(items[0], dict) and "data" in items[0])):
        return Guess(3, "an object with lists of utterances in chunks, `data`")
    return None


FORMAT = Format(
    name="snips",
    summary="JSON chunks with entities, or `[slot:type](value)` in YAML: SNIPS 2017, Snips NLU",
    patterns=("*.json", "*.yaml", "*.yml"),
    plan=plan,
    read=read,
    example='{"PlayMusic": [{"data": [{"text": "play "}, {"text": "jazz", "entity": "genre"}]}]}',
    recognise=recognise,
    tokeniser="words-1",
    split_of=split_of,
    leave_out=leave_out,
    writer=Writer(record, save, ("json", "nlu", "yaml"), grouped=True),
    loses=LOSES
    | {
        "marks in text": "refused in YAML where the text reads as a mark, or cannot be printed",
        "odd labels": "refused in YAML where a slot has a colon in its name",
    },
)
