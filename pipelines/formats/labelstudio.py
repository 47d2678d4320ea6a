r"""Label Studio: a JSON list of tasks, each with what its annotators marked.

    [{"id": 7, "data": {"text": "play jazz"}, "annotations": [{"completed_by": 3, "result": [
       {"type": "labels", "value": {"start": 5, "end": 9, "text": "jazz", "labels": ["genre"]}},
       {"type": "choices", "value": {"choices": ["PlayMusic"]}}]}]}]
    -> Utterance(text="play jazz", words=["play", "jazz"], intents=["PlayMusic"], spans=[SlotSpan(1, 2, "genre")])

Offsets count UTF-16 units, as browsers do; `text` of a value, where it is there, is checked against them, blanks
apart. The choice is the intent. Slots may nest. Cancelled annotations do not count. Of several annotators the ground
truth is read, else the first; `--annotator agreed` wants all to say the same, `--annotator 3` reads that person's
(`completed_by`, an id or an e-mail address), `--annotator prediction` the first of `predictions`. Exports from
before 2021 call annotations `completions`. Relations and other results are passed over.

Refused: R101 bytes, R102 no words, R103 not a JSON object, R104 field missing or of the wrong type, R108 no choice,
R110 a task without annotations (of that person), R113 a slot of blanks, R115 an offset that does not fit, R116
annotators who disagree.
Source: labelstud.io/guide/export and github HumanSignal/label-studio.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipelines.formats.format import Format, Writer
from pipelines.formats.head import Guess, Head
from pipelines.formats.jsons import items, plan
from pipelines.formats.lines import Range, Source
from pipelines.formats.offsets import from_code_points, located
from pipelines.formats.save import save_list
from pipelines.formats.text import LOSES, CharSlot, from_text, to_text
from pipelines.record import Example, Rejection, Utterance


def read(range_: Range) -> Iterator[Utterance | Rejection]:
    """One row for each task."""
    for number, raw, row in items(range_):
        yield row if isinstance(row, Rejection) else _record(range_.source, number, raw, row)


def _record(source: Source, number: int, raw: str, task: dict[str, Any]) -> Utterance | Rejection:
    data = task.get("data")
    texts = [value for value in data.values() if isinstance(value, str)] if isinstance(data, dict) else []
    text = data["text"] if isinstance(data, dict) and isinstance(data.get("text"), str) else "".join(texts[:1])
    if not text and len(texts) != 1:
        return source.reject(number, "R104", raw, "`data` has no `text`")
    try:
        chosen = [
            _said(source, text, annotation["result"]) for annotation in _annotations(task, source.reading.annotator)
        ]
    except (KeyError, TypeError) as error:
        return source.reject(number, "R104", raw, f"an annotation: {error}")
    except ValueError as error:
        return source.reject(number, "R115", raw, str(error))
    if not chosen:
        return source.reject(number, "R110", raw, "no annotation to read")
    intent, slots = chosen[0]
    if any((other, set(spans)) != (intent, set(slots)) for other, spans in chosen[1:]):
        return source.reject(number, "R116", raw)
    return from_text(source, number, text, slots, intent, raw)


def _annotations(task: dict[str, Any], wanted: str) -> list[dict[str, Any]]:
    """The annotations to read: more than one only where all must agree."""
    if wanted == "prediction":
        return list(task.get("predictions") or [])[:1]
    every = task.get("annotations", task.get("completions")) or []
    valid = [one for one in every if not one.get("was_cancelled") and not one.get("skipped")]
    if wanted == "agreed":
        return valid
    if wanted != "first":
        return [one for one in valid if wanted in _names(one.get("completed_by"))][:1]
    return sorted(valid, key=lambda one: not one.get("ground_truth"))[:1]


def _names(person: Any) -> set[str]:
    return {str(person.get("id")), str(person.get("email"))} if isinstance(person, dict) else {str(person)}


def _said(source: Source, text: str, results: list[dict[str, Any]]) -> tuple[str, list[CharSlot]]:
    """Intent and slots of one annotation.

    Raises:
        KeyError, TypeError: a result is not what it should be.
        ValueError: its offsets do not fit.
    """
    unit = source.reading.offsets or "utf-16"
    intent, slots = "", list[CharSlot]()
    for result in results:
        value = result.get("value", {})
        if result.get("type") == "choices":
            intent = intent or str(value["choices"][0])
        elif result.get("type") in ("labels", "hypertextlabels"):
            start, end = int(value.get("start")), int(value.get("end"))
            place = located(text, start, end, unit, value.get("text"))
            slots += [CharSlot(*place, str(label)) for label in value[result["type"]]]
    return intent, slots


def record(row: Example, variant: str) -> dict[str, Any]:
    """A task with one annotation."""
    text, intent, slots = to_text(row, nested=True)
    results: list[dict[str, Any]] = []
    for number, slot in enumerate(slots):
        start, end = from_code_points(text, slot.start, slot.end, "utf-16")
        value = {"start": start, "end": end, "text": text[slot.start : slot.end], "labels": [slot.label]}
        results.append({"id": f"s{number}", "type": "labels", "from_name": "slot", "to_name": "text", "value": value})
    choice = {"choices": [intent]}
    results.append({"id": "intent", "type": "choices", "from_name": "intent", "to_name": "text", "value": choice})
    annotation = {"was_cancelled": False, "ground_truth": True, "result": results}
    return {"data": {"text": text}, "meta": {"id": row.id}, "annotations": [annotation], "predictions": []}


def recognise(head: Head) -> Guess | None:
    """Objects with `data` and `annotations`, `completions` or `predictions`."""
    row = head.first
    if isinstance(row.get("data"), dict) and row.keys() & {"annotations", "completions", "predictions"}:
        return Guess(3, "tasks with `data` and `annotations`")
    return None


FORMAT = Format(
    name="label-studio",
    summary="a JSON list of tasks with annotations: Label Studio",
    patterns=("*.json", "*.jsonl"),
    plan=plan,
    read=read,
    example='{"data": {"text": "jazz"}, "annotations": [{"result": [{"type": "labels", "value": {"start": 0, ...}}]}]}',
    recognise=recognise,
    tokeniser="words-1",
    offsets="utf-16",
    writer=Writer(record, save_list()),
    loses={key: said for key, said in LOSES.items() if key != "nested slots"},
    alone=lambda raw: f"[{raw}]",
)
