r"""HWU64 and the CSV of SLURP's predecessor: `;` between fields, slots marked inside the text.

    answerid;scenario;intent;answer_annotation;answer_from_anno;answer_from_user
    7;alarm;set;wake me at [time : five am];wake me at five am;Wake me at 5am!
    -> Utterance(text="wake me at five am", intents=["alarm_set"], spans=[SlotSpan(3, 5, "time")], domain="alarm")

The columns are found by the header; the full file has `status` too, and rows whose status begins with `IRR` are
irrelevant and refused. Fields may be quoted and then hold `;` and line ends. The intent is scenario and intent
together. The text is the annotated one: what the user typed differs from it in half of the rows.
A row's line is its last; a file is one range, since only its header says what the columns are.

Refused: R101 bytes, R102 no words, R104 columns missing, R109 a bracket that is no slot, R110 status `IRR_*`, R112 a
row with another number of columns, R113 a slot without words.
Source: Liu et al., IWSDS 2019, arXiv 1903.05566 (github xliuhw/NLU-Evaluation-Data).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipelines.formats.features import Unwritable
from pipelines.formats.format import Format, Writer
from pipelines.formats.head import Guess, Head
from pipelines.formats.lines import Range, Source, decode, plan_whole, shown, whole
from pipelines.formats.save import create
from pipelines.formats.text import LOSES, bracketed, from_text, to_text, unbracketed
from pipelines.record import Example, Rejection, Utterance

plan = plan_whole

_NEEDED = ("scenario", "intent", "answer_annotation")
_HEADER = ("answerid", "scenario", "intent", "answer_annotation", "answer_from_anno", "answer_from_user")


def read(range_: Range) -> Iterator[Utterance | Rejection]:
    """One row for each row below the header."""
    source = range_.source
    data = whole(source.path)
    text = decode(data)
    if text is None:
        # One bad byte must not cost the file: the lines around it are read.
        text = "\n".join(line if (line := decode(piece)) is not None else shown(piece) for piece in data.split(b"\n"))
        bad = {number for number, piece in enumerate(data.split(b"\n"), 1) if decode(piece) is None}
    else:
        bad = set()
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=";")
    header = [name.strip() for name in next(rows, [])]
    if not set(_NEEDED) <= set(header):
        lacks = ", ".join(f"`{name}`" for name in _NEEDED if name not in header)
        yield source.reject(1, "R104", ";".join(header), f"the header lacks {lacks}; `;` stands between columns")
        return
    before = rows.line_num
    for columns in rows:
        raw = f"{_line(header)}\n{_line(columns)}"
        if bad & set(range(before + 1, rows.line_num + 1)):
            yield source.reject(rows.line_num, "R101", raw)
        elif columns and len(columns) != len(header):
            yield source.reject(rows.line_num, "R112", raw, f"{len(columns)} columns")
        elif columns:
            yield _record(source, rows.line_num, raw, dict(zip(header, columns, strict=True)))
        before = rows.line_num


def _line(columns: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=";", lineterminator="").writerow(columns)
    return text.getvalue()


def _record(source: Source, number: int, raw: str, row: dict[str, str]) -> Utterance | Rejection:
    if row.get("status", "").startswith("IRR"):
        return source.reject(number, "R110", raw, f"status `{row['status']}`")
    found = unbracketed(row["answer_annotation"])
    if found is None:
        return source.reject(number, "R109", raw)
    text, slots = found
    scenario, intent = row["scenario"].strip(), row["intent"].strip()
    return from_text(source, number, text, slots, "_".join(filter(None, (scenario, intent))), raw, domain=scenario)


def record(row: Example, variant: str) -> tuple[str, ...]:
    """The fields of a row. The domain is the scenario, where the intent begins with it.

    Raises:
        Unwritable: also where an intent cannot be divided into scenario and intent.
    """
    text, intent, slots = to_text(row)
    scenario, name = "", intent
    if row.domain:
        if not intent.removeprefix(f"{row.domain}_") or not intent.startswith(f"{row.domain}_"):
            raise Unwritable("domain", f"`{intent}` does not begin with `{row.domain}_`")
        scenario, name = row.domain, intent[len(row.domain) + 1 :]
    return row.id, scenario, name, bracketed(text, slots), text, row.utterance


def save(records: Iterable[tuple[str, ...]], folder: Path, split: str, variant: str) -> Path:
    """A CSV with the header of the cross-validation files."""
    path = folder / f"{split}.csv"
    with create(path) as file:
        writer = csv.writer(file, delimiter=";", lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerow(_HEADER)
        writer.writerows(records)
    return path


def recognise(head: Head) -> Guess | None:
    """A header with `scenario`, `intent` and `answer_annotation` between semicolons."""
    names = {name.strip('" ') for name in head.lines[0].split(";")} if head.lines else set()
    return Guess(3, "a header with `scenario;intent;answer_annotation`") if names >= set(_NEEDED) else None


FORMAT = Format(
    name="hwu64",
    summary="`;`-separated CSV with `[slot : value]` inside the text: HWU64",
    patterns=("*.csv",),
    plan=plan,
    read=read,
    example="alarm;set;wake me at [time : five am]",
    recognise=recognise,
    tokeniser="words-1",
    writer=Writer(record, save),
    loses=LOSES
    | {
        "domain": "refused where the intent does not begin with the domain",
        "marks in text": "refused where the text has a square bracket",
        "odd labels": "refused where a slot has a colon in its name",
    },
)
