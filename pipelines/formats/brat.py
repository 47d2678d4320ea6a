r"""brat standoff: a text, and beside it a file of what was marked in it.

    band.txt   play jazz
    band.ann   T1\tPlayMusic 0 9\tplay jazz
               T2\tgenre 5 9\tjazz
    -> Utterance(text="play jazz", words=["play", "jazz"], intents=["PlayMusic"], spans=[SlotSpan(1, 2, "genre")])

An utterance is a line of the text. The mark that covers the whole line is its intent (the first of several), marks
inside are slots, which may nest. Offsets count code points of the file, carriage returns too, and `end` is exclusive;
the text behind a mark is checked against them. Relations, events, attributes and notes are passed over. A document is
one range; `line` is the line of the text; marks that belong to no line are counted behind the last one.

Refused: R101 bytes, R108 a line without an intent, R113 a mark of blanks, R115 an offset that does not fit, R105 a
document without its `.ann`, R107 a malformed `T` line, R119 a mark in several pieces, or over several lines.
Source: brat.nlplab.org/standoff.html.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipelines.formats.features import Unwritable
from pipelines.formats.format import Format, Writer
from pipelines.formats.head import Guess, Head
from pipelines.formats.lines import Range, Source, decode, plan_whole, shown, whole
from pipelines.formats.offsets import located
from pipelines.formats.save import create
from pipelines.formats.text import LOSES, CharSlot, from_text, to_text
from pipelines.record import Example, Rejection, Utterance
from pipelines.storage import beside, plain

plan = plan_whole

_MARK = re.compile(r"T\S+\t(\S+) (\d+) (\d+)(?:\t(.*))?")
_PIECES = re.compile(r"T\S+\t\S+ \d+ \d+;")


def read(range_: Range) -> Iterator[Utterance | Rejection]:
    """One row for each line of the text that is not blank, and one Rejection for each mark that fits none."""
    source = range_.source
    try:
        document = whole(beside(source.path, f"{plain(source.path.rpartition('/')[2]).removesuffix('.ann')}.txt"))
    except OSError:
        yield source.reject(1, "R105", "", "no `.txt` beside the `.ann`")
        return
    text, marks = decode(document), decode(whole(source.path))
    if text is None or marks is None:
        yield source.reject(1, "R101", shown(document if text is None else whole(source.path)))
        return
    lines = _lines(text)
    inside: dict[int, list[CharSlot | Rejection]] = {number: [] for number, *_ in lines}
    unit, last = source.reading.offsets or "code point", text.count("\n") + 1
    for mark in marks.split("\n"):
        mark = mark.rstrip("\r")
        if mark.startswith("T"):
            found = _mark(source, mark, text, unit)
            at = found.start if isinstance(found, CharSlot) else _guess(mark)
            number, stop = next(((number, end) for number, start, end in reversed(lines) if start <= at), (0, 0))
            if not number:
                last += 1
                yield found._replace(line=last) if isinstance(found, Rejection) else source.reject(last, "R115", mark)
                continue
            if isinstance(found, CharSlot) and found.end > stop:
                found = source.reject(number, "R119", mark, "it goes over the end of a line")
            inside[number].append(found)
    for number, start, end in lines:
        yield _record(source, number, text[start:end], start, inside[number])


def _lines(text: str) -> list[tuple[int, int, int]]:
    """(number, start, end) of each line that is not blank, without its end."""
    found, at = [], 0
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            found.append((number, at, at + len(line.removesuffix("\r"))))
        at += len(line) + 1
    return found


def _mark(source: Source, mark: str, text: str, unit: str) -> CharSlot | Rejection:
    if _PIECES.match(mark):
        return source.reject(1, "R119", mark)
    match = _MARK.fullmatch(mark)
    if match is None:
        return source.reject(1, "R107", mark)
    try:
        return CharSlot(*located(text, int(match[2]), int(match[3]), unit, match[4]), match[1])
    except ValueError as error:
        return source.reject(1, "R115", mark, str(error))


def _guess(mark: str) -> int:
    """Where a mark that cannot be used would begin."""
    numbers = re.search(r" (\d+) \d+", mark)
    return int(numbers[1]) if numbers else -1


def _record(
    source: Source, number: int, line: str, start: int, marks: list[CharSlot | Rejection]
) -> Utterance | Rejection:
    slots: list[CharSlot] = []
    for mark in marks:
        if isinstance(mark, Rejection):  # the utterance cannot be trusted without it
            return mark._replace(line=number, raw=f"{line}\n{mark.raw}")
        slots.append(CharSlot(mark.start - start, mark.end - start, mark.label))
    whole_line = next((slot for slot in slots if line[: slot.start].strip() + line[slot.end :].strip() == ""), None)
    if whole_line is None:
        return source.reject(number, "R108", line)
    slots.remove(whole_line)
    return from_text(source, number, line, slots, whole_line.label, line)


def record(row: Example, variant: str) -> tuple[str, list[CharSlot]]:
    """A line, and its marks: the intent over all of it first."""
    text, intent, slots = to_text(row, nested=True)
    if not text.strip():  # a blank line is nobody's: its marks would be taken for those of the line above
        raise Unwritable("given words", "an utterance of blanks")
    return text, [CharSlot(len(text) - len(text.lstrip()), len(text.rstrip()), intent), *slots]


def save(records: Iterable[tuple[str, list[CharSlot]]], folder: Path, split: str, variant: str) -> Path:
    """One document for a split."""
    path = folder / f"{split}.ann"
    at = number = 0
    with create(path) as marks, create(path.with_suffix(".txt")) as file:
        for text, slots in records:
            for slot in slots:
                number += 1
                surface = text[slot.start : slot.end]
                marks.write(f"T{number}\t{slot.label} {at + slot.start} {at + slot.end}\t{surface}\n")
            file.write(f"{text}\n")
            at += len(text) + 1
    return path


def recognise(head: Head) -> Guess | None:
    """A `.ann` of `T1<TAB>label start end` lines, its `.txt` beside it."""
    paired = head.name.removesuffix(".ann") + ".txt" in head.siblings
    if head.name.endswith(".ann") and paired and (not head.lines or any(map(_MARK.fullmatch, head.lines))):
        return Guess(3, "a `.ann` of marks beside its `.txt`")
    return None


FORMAT = Format(
    name="brat",
    summary="a text and its marks beside it, a line being an utterance: brat standoff",
    patterns=("*.ann",),
    plan=plan,
    read=read,
    example="T1<TAB>PlayMusic 0 9<TAB>play jazz, T2<TAB>genre 5 9<TAB>jazz",
    recognise=recognise,
    tokeniser="words-1",
    offsets="code point",
    writer=Writer(record, save),
    loses={key: said for key, said in LOSES.items() if key != "nested slots"},
    alone=None,
)
