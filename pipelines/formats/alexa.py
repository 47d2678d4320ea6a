r"""Alexa interaction models: templates with slots, which are filled with values of the slots' types.

    {"interactionModel": {"languageModel": {"invocationName": "band", "intents": [
       {"name": "PlayIntent", "slots": [{"name": "Song", "type": "SONG"}], "samples": ["play {Song}"]}],
      "types": [{"name": "SONG", "values": [{"name": {"value": "Dust", "synonyms": ["the dust"]}}]}]}}}
    -> Utterance(text="play Dust", intents=["PlayIntent"], spans=[SlotSpan(1, 2, "Song")]), and another one

A template without slots is an utterance. Any other becomes `--fill` utterances (5) of different values, or as many as
its values allow, drawn with `--seed`: the same seed gives the same utterances, whatever else stands in the file.
`{jazz|Genre}`, of the first models, brings its value along. Intents without samples (`AMAZON.StopIntent`) give nothing.
A file is one range, and `line` counts the utterances from 1. Models are only read: a template is not its utterances.

Refused: R101 bytes, R102 no words, R103 not such an object, R104 field missing or of the wrong type, R109 braces that
are no slot, R118 a template whose slot has a type without values (`AMAZON.DATE` and its like).
Source: developer.amazon.com/docs/alexa/smapi/interaction-model-schema.html.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from functools import partial
from math import prod
from typing import Any

from pipelines.formats.format import Format
from pipelines.formats.head import Guess, Head
from pipelines.formats.jsons import whole_object
from pipelines.formats.lines import Range, Source, plan_whole
from pipelines.formats.text import from_text, unmark
from pipelines.record import Rejection, Utterance

plan = plan_whole

_SLOT = re.compile(r"\{\s*(?:([^{}|]*)\|)?\s*([^{}|]+?)\s*\}")


def read(range_: Range) -> Iterator[Utterance | Rejection]:
    """Some rows for each template; one Rejection for a file that is not what it should be."""
    source = range_.source
    body = whole_object(source)
    if isinstance(body, Rejection):
        yield body
        return
    try:
        model = body.get("interactionModel", body)["languageModel"]
        types = {one["name"]: _values(one) for one in model.get("types") or ()}
        intents = [
            (
                one["name"],
                {slot["name"]: slot["type"] for slot in one.get("slots") or ()},
                list(one.get("samples") or ()),
            )
            for one in model["intents"]
        ]
    except (KeyError, TypeError, AttributeError) as error:
        yield source.reject(1, "R103", json.dumps(body, ensure_ascii=False), f"no interaction model: {error}")
        return
    number = 0
    for intent, slots, samples in intents:
        for sample in samples:
            for row in _filled(source, intent, slots, sample, types):
                number += 1
                yield row._replace(line=number)


def _values(one: dict[str, Any]) -> list[str]:
    """The values of a type and their synonyms, each once."""
    found = dict[str, None]()
    for value in one.get("values") or ():
        name = value["name"]
        found.update(dict.fromkeys([str(name["value"]), *map(str, name.get("synonyms") or ())]))
    return [value for value in found if value.strip()]


def _filled(
    source: Source, intent: str, slots: dict[str, str], sample: Any, types: dict[str, list[str]]
) -> Iterator[Utterance | Rejection]:
    """The utterances of one template."""
    if not isinstance(sample, str) or not isinstance(intent, str):
        yield source.reject(1, "R104", json.dumps(sample, ensure_ascii=False), "a sample")
        return
    if set("{}") & set(_SLOT.sub("", sample)):
        yield source.reject(1, "R109", sample)
        return
    choices: list[list[str]] = []
    for given, name in _SLOT.findall(sample):
        values = [given] if given.strip() else types.get(slots.get(name, ""), [])
        if not values:
            why = (
                f"`{name}` is of type `{slots[name]}`, which has no values here"
                if name in slots
                else f"no slot `{name}`"
            )
            yield source.reject(1, "R118", sample, why)
            return
        choices.append(values)
    for chosen in draw(choices, source.reading.rows, f"{source.reading.seed} {intent} {sample}"):
        text, spans = unmark(sample, _SLOT, partial(_named, list(reversed(chosen))))
        yield from_text(source, 1, text, spans, intent, sample)


def _named(left: list[str], match: re.Match[str]) -> tuple[str, str]:
    """The next of the values, and the slot that it fills."""
    return left.pop(), match[2]


def draw(choices: list[list[str]], most: int, seed: str) -> list[tuple[str, ...]]:
    """Different combinations of one value from each list: all of them, or `most` drawn with a seed.

    >>> draw([["a", "b"], ["c"]], 5, "")
    [('a', 'c'), ('b', 'c')]
    """
    every = prod(map(len, choices))
    picked = sorted(random.Random(seed).sample(range(every), most)) if every > most else range(every)
    found: list[tuple[str, ...]] = []
    for number in picked:
        values: list[str] = []
        for choice in reversed(choices):
            number, place = divmod(number, len(choice))
            values.append(choice[place])
        found.append(tuple(reversed(values)))
    return found


def recognise(head: Head) -> Guess | None:
    """An object with `interactionModel`, or with `languageModel` and its intents."""
    if "interactionModel" in head.object or "languageModel" in head.object:
        return Guess(3, "an object with `interactionModel` or `languageModel`")
    return None


FORMAT = Format(
    name="alexa",
    summary="templates filled with values from a seed: Alexa interaction models",
    patterns=("*.json",),
    plan=plan,
    read=read,
    example='{"interactionModel": {"languageModel": {"intents": [{"name": "Play", "samples": ["play {Song}"]}], ...}}}',
    recognise=recognise,
    tokeniser="words-1",
    alone=None,
)
