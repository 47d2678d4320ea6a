r"""Rasa NLU: examples under their intent, `[value](entity)` in the text; YAML, the Markdown before 3.0, and JSON.

    version: "3.1"                                       ## intent:book_trip
    nlu:                                                 - to [Oslo](city)
    - intent: book_trip
      examples: |                                        {"rasa_nlu_data": {"common_examples": [
        - to [Oslo](city)                                  {"text": "to Oslo", "intent": "book_trip",
        - [LA]{"entity": "city", "role": "to"}              "entities": [{"start": 3, "end": 7, "entity": "city"}]}]}}
    -> Utterance(text="to Oslo", words=["to", "Oslo"], intents=["book_trip"], spans=[SlotSpan(1, 2, "city")])

The order is the reverse of Snips: the value stands in the square brackets, the entity behind them. `[LA](city:Los
Angeles)` and `"value"` give the synonym that the entity stands for: the words of the utterance are kept. A role makes
the label `city.to`, a group `city#1`. Intents of retrieval keep their slash (`faq/ask_name`). Synonyms, regexes,
lookups, stories and responses hold no utterances and are passed over. `yes`, `no` and numbers are text in every place.
A file is one range, and `line` counts its examples from 1. Offsets of the JSON form count code points.

Refused: R101 bytes, R102 no words, R103 another YAML or JSON, R104 a field of the wrong type, R108 no intent, R109 a
mark that is no entity, R113 an entity without words, R115 an offset that does not fit.
Source: rasa.com/docs/rasa/training-data-format and rasa.com/docs/rasa/1.x/nlu/training-data-format.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from pipelines import storage
from pipelines.formats import yamls
from pipelines.formats.features import Unwritable
from pipelines.formats.format import Format, Writer
from pipelines.formats.head import Guess, Head
from pipelines.formats.jsons import whole_object
from pipelines.formats.lines import Range, Source, decode, numbered, plan_whole, shown
from pipelines.formats.offsets import located
from pipelines.formats.save import create, write_list
from pipelines.formats.text import LOSES, UNPRINTED, CharSlot, chunks, from_text, to_text, unmark
from pipelines.record import Example, Rejection, Utterance

plan = plan_whole

_ENTITY = re.compile(r"\[(?P<value>[^\]]+?)\](?:\((?P<name>[^:)]+?)(?::(?P<synonym>[^)]+))?\)|(?P<fields>\{[^}]+?\}))")
_LEFT = re.compile(r"\]\(|\]\{")  # the middle of a mark that is no whole one
_ITEM = re.compile(r"^\s*[-*+]\s?(.*)$")
_YAML = re.compile(r"(?m)^nlu:\s*$")
_ENTRY = re.compile(r"(?m)^\s*-?\s*(intent|synonym|regex|lookup):")
_MD_INTENT = re.compile(r"##\s*intent:\s*(\S.*?)\s*$")


def read(range_: Range) -> Iterator[Utterance | Rejection]:
    """One row for each example."""
    source = range_.source
    path = storage.plain(source.path)
    found = _json(source) if path.endswith(".json") else _markdown(range_) if path.endswith(".md") else _yaml(source)
    for number, item in enumerate(found, 1):
        if isinstance(item, Rejection):
            yield item._replace(line=number)
        else:
            intent, text, entities = item
            yield _example(source, number, intent, text, entities)


Found = tuple[Any, Any, list[Any] | None]
"""Intent, text, and the entities where they do not stand in the text."""


def _yaml(source: Source) -> Iterator[Found | Rejection]:
    for body in yamls.documents(source):
        if isinstance(body, Rejection):
            yield body
            continue
        if body is None or (isinstance(body, dict) and not body.get("nlu")):
            continue  # a domain, stories, rules: training data without utterances
        blocks = body.get("nlu") if isinstance(body, dict) else None
        if not isinstance(blocks, list):
            yield source.reject(1, "R103", str(body), "`nlu` is no list")
            continue
        for block in blocks:
            if not isinstance(block, dict):
                yield source.reject(1, "R104", str(block), "an entry of `nlu` is no mapping")
            elif "intent" in block:
                yield from _block(source, block)


def _block(source: Source, block: dict[str, Any]) -> Iterator[Found | Rejection]:
    intent, examples = block["intent"], block.get("examples")
    if isinstance(examples, str):
        for line in examples.splitlines():
            item = _ITEM.match(line)
            if item:
                yield intent, item[1], None
            elif line.strip():
                yield source.reject(1, "R104", line, "an example begins with `-`")
    elif isinstance(examples, list):  # with metadata: - text: | - to [Oslo](city)
        for example in examples:
            text = example.get("text") if isinstance(example, dict) else example
            match = _ITEM.match(text.strip("\n")) if isinstance(text, str) else None
            yield intent, match[1] if match and isinstance(example, dict) else text, None
    elif examples is not None:
        yield source.reject(1, "R104", str(block), "`examples`")


def _markdown(range_: Range) -> Iterator[Found | Rejection]:
    source, intent = range_.source, ""
    comment = False
    for _, line in numbered(range_):
        text = decode(line)
        if text is None:
            yield source.reject(1, "R101", shown(line))
            continue
        if comment or text.lstrip().startswith("<!--"):
            comment = "-->" not in text
        elif text.startswith("##"):
            head = _MD_INTENT.match(text)
            intent = head[1] if head else ""
        elif intent and (item := _ITEM.match(text)):
            yield intent, item[1], None


def _json(source: Source) -> Iterator[Found | Rejection]:
    body = whole_object(source)
    if isinstance(body, Rejection):
        yield body
        return
    data = body.get("rasa_nlu_data")
    if not isinstance(data, dict):
        yield source.reject(1, "R103", json.dumps(body, ensure_ascii=False), "no `rasa_nlu_data`")
        return
    for key in ("common_examples", "intent_examples", "entity_examples"):
        for row in data.get(key) or ():
            if isinstance(row, dict):
                yield row.get("intent", ""), row.get("text"), row.get("entities") or []
            else:
                yield source.reject(1, "R104", str(row), f"an element of `{key}`")


def _example(source: Source, number: int, intent: Any, text: Any, entities: list[Any] | None) -> Utterance | Rejection:
    raw = (
        text if isinstance(text, str) and entities is None else json.dumps([intent, text, entities], ensure_ascii=False)
    )
    if not isinstance(text, str) or not isinstance(intent, str):
        return source.reject(number, "R104", raw, "`text`" if isinstance(intent, str) else "`intent`")
    try:
        text, slots = _marked(text.strip()) if entities is None else (text, _spans(source, text, entities))
    except ValueError as error:
        return source.reject(number, "R109" if entities is None else "R115", raw, str(error))
    except (KeyError, TypeError) as error:
        return source.reject(number, "R104", raw, f"an entity: {error}")
    return from_text(source, number, text, slots, intent.strip(), raw)


def _marked(text: str) -> tuple[str, list[CharSlot]]:
    def slot(match: re.Match[str]) -> tuple[str, str]:
        if match["name"]:
            return match["value"], match["name"].strip()
        return match["value"], _label(json.loads(match["fields"]))

    try:
        plain, slots = unmark(text, _ENTITY, slot)
    except KeyError as error:
        raise ValueError(f"an entity without {error}") from error
    if _LEFT.search(plain):
        raise ValueError("`](` or `]{` that belongs to no entity")
    return plain, slots


def _label(fields: dict[str, Any]) -> str:
    label = str(fields["entity"])
    return (
        label
        + (f".{fields['role']}" if fields.get("role") else "")
        + (f"#{fields['group']}" if fields.get("group") else "")
    )


def _spans(source: Source, text: str, entities: list[Any]) -> list[CharSlot]:
    unit = source.reading.offsets or "code point"
    return [
        CharSlot(*located(text, int(found["start"]), int(found["end"]), unit, None), _label(found))
        for found in entities
    ]


def record(row: Example, variant: str) -> tuple[str, Any]:
    """The intent and an example: a text with marks, or an object of the JSON form."""
    text, intent, slots = to_text(row)
    if variant == "json":
        entities = [
            {"start": start, "end": end, "value": text[start:end], "entity": label} for start, end, label in slots
        ]
        return intent, {"text": text, "intent": intent, "entities": entities}
    marked = "".join(_mark(piece, label) if label else piece for piece, label in chunks(text, slots))
    try:
        same = _marked(marked.strip()) == (text.strip(), [CharSlot(a, b, c) for a, b, c in slots])
    except ValueError:
        same = False
    if not same or text != text.strip() or UNPRINTED.search(text):
        raise Unwritable("marks in text", repr(text))
    return intent, marked


def _mark(value: str, label: str) -> str:
    return f"[{value}]({label})" if ":" not in label else f"[{value}]{json.dumps({'entity': label})}"


def save(records: Iterable[tuple[str, Any]], folder: Path, split: str, variant: str) -> Path:
    """One file for a split, the examples of an intent together."""
    path = folder / f"{split}.{_SUFFIX[variant]}"
    with create(path) as file:
        if variant == "json":
            file.write('{"rasa_nlu_data": {"common_examples": ')
            write_list(file, (example for _, example in records))
            file.write("}}\n")
            return path
        if variant == "yaml":
            file.write('version: "3.1"\nnlu:\n')
        for intent, group in groupby(records, key=lambda item: item[0]):
            quoted = json.dumps(intent, ensure_ascii=False)
            file.write(f"- intent: {quoted}\n  examples: |\n" if variant == "yaml" else f"## intent:{intent}\n")
            file.writelines(f"{'    ' if variant == 'yaml' else ''}- {example}\n" for _, example in group)
            file.write("" if variant == "yaml" else "\n")
    return path


_SUFFIX = {"yaml": "yml", "md": "md", "json": "json"}


def recognise(head: Head) -> Guess | None:
    """`nlu:` at the start of a line with `intent` entries, `## intent:`, or `rasa_nlu_data`."""
    if "rasa_nlu_data" in head.object:
        return Guess(3, "an object with `rasa_nlu_data`")
    name = head.name
    if name.endswith((".yml", ".yaml")) and _YAML.search(head.text) and _ENTRY.search(head.text):
        return Guess(3, "YAML with `nlu:` and entries of `intent:` and `examples:`")
    if name.endswith(".md") and re.search(r"(?m)^##\s*intent:", head.text):
        return Guess(3, "Markdown with headings `## intent:`")
    return None


FORMAT = Format(
    name="rasa",
    summary="examples under their intent, `[value](entity)` in the text: Rasa YAML, Markdown and JSON",
    patterns=("*.yml", "*.yaml", "*.md", "*.json"),
    plan=plan,
    read=read,
    example="- intent: book_trip / examples: | / - to [Oslo](city)",
    recognise=recognise,
    tokeniser="words-1",
    offsets="code point",
    writer=Writer(record, save, ("yaml", "md", "json"), grouped=True),
    loses=LOSES | {"marks in text": "refused where the text reads as a mark; in JSON kept"},
    alone=None,
)
