r"""Overnight: questions about eight small worlds, with logical forms of SEMPRE; two published spellings.

    (example                                                               calendar.paraphrases.train.examples
      (utterance "meetings after 10am")
      (original "meeting whose start time is larger than 10am")
      (targetFormula (call edu.stanford.nlp.sempre.overnight.SimpleWorld.listValue ...))
    )
    meetings after 10am<TAB>meeting whose ...<TAB>( call SW.listValue ... )        calendar_train.tsv
    -> Utterance(words=["meetings", "after", "10am"], domain="calendar", tree="(filter>(type:en.meeting)...)")

The domain is the file name up to `_` or `.`. No leaf is copied: all are symbols of the world. The canonical question is
passed over. `--notation plain` or `compact`, see `pipelines/forms/overnight.py`. A record of `.examples` ends where its
brackets close, or where a line begins with `(example`.

Refused: R101 bytes, R102 no words, R112 not three columns, R120 no such example, or no such form.
Source: Wang, Berant, Liang, ACL 2015 (CodaLab bundle of the paper; the TSV of Damonte and of later releases).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from grammar.words import words
from pipelines.formats import formed
from pipelines.formats.format import Format
from pipelines.formats.head import Guess, Head
from pipelines.formats.lines import Range, Source, decode, numbered, plan_lines, shown
from pipelines.formats.save import save_lines
from pipelines.forms import FormError, lisp
from pipelines.forms.overnight import WORLD, to_form, to_tree
from pipelines.record import Example, Rejection, Utterance

EXAMPLES = ".examples"

_START = b"(example"
_STRING = r'"((?:[^"\\]|\\.)*)"'
_EXAMPLE = re.compile(
    rf"\(example\s+\(utterance\s+{_STRING}\s*\)\s*(?:\(original\s+{_STRING}\s*\)\s*)?\(targetFormula\s+(.*)\)\s*\)",
    re.DOTALL,
)
_QUOTED = re.compile(rb'"(?:[^"\\]|\\.)*"')
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def plan(source: Source, size: int) -> list[Range]:
    """Ranges of whole lines, or of whole examples."""
    return plan_lines(source, size, _ends if _lisp(source) else None)


def read(range_: Range) -> Iterator[Utterance | Rejection]:
    """One row for each line that is not blank, or for each example."""
    if not _lisp(range_.source):
        for number, line in numbered(range_):
            if line.strip():
                yield _tabbed(range_.source, number, line)
        return
    first, held = 0, list[bytes]()
    for number, line in numbered(range_):
        if held and line.startswith(_START):
            yield _example(range_.source, first, b"\n".join(held))
            held = []
        if held or line.strip():
            first = first if held else number
            held.append(line)
        if held and _ends(line):
            yield _example(range_.source, first, b"\n".join(held))
            held = []
    if held:
        yield _example(range_.source, first, b"\n".join(held))


def _lisp(source: Source) -> bool:
    return EXAMPLES in Path(source.path).suffixes


def _ends(line: bytes) -> bool:
    """Whether an example ends with this line: at the edge of the page, or the whole of it on one line."""
    if line.startswith(b")"):
        return True
    bare = _QUOTED.sub(b"", line)
    return line.startswith(_START) and bare.count(b"(") == bare.count(b")")


def domain_of(file: str) -> str:
    """The domain that a file is about.

    >>> domain_of("paraphrase/calendar.paraphrases.train.examples")
    'calendar'
    """
    return re.split(r"[._]", Path(file).name)[0]


def _tabbed(source: Source, number: int, line: bytes) -> Utterance | Rejection:
    raw = decode(line)
    if raw is None:
        return source.reject(number, "R101", shown(line))
    columns = raw.split("\t")
    if len(columns) != 3:
        return source.reject(number, "R112", raw, f"{len(columns)} columns")
    return _row(source, number, raw, columns[0], columns[2].strip())


def _example(source: Source, number: int, record: bytes) -> Utterance | Rejection:
    raw = decode(record)
    if raw is None:
        return source.reject(number, "R101", shown(record))
    found = _EXAMPLE.fullmatch(raw.strip())
    if not found:
        return source.reject(number, "R120", raw, "not `(example (utterance ..) (original ..) (targetFormula ..))`")
    try:
        form = lisp.write(lisp.read(found[3].replace(WORLD, "SW.")))
    except FormError as error:
        return source.reject(number, "R120", raw, str(error))
    return _row(source, number, raw, _ESCAPE.sub(r"\1", found[1]), form)


def _row(source: Source, number: int, raw: str, text: str, form: str) -> Utterance | Rejection:
    text = text.strip()
    domain = domain_of(source.file)
    return formed.utterance(source, number, raw, text, words(text, "given"), form, to_tree, copied=False, domain=domain)


def record(row: Example, variant: str, notation: str) -> str:
    """A line of TSV, its second column empty, or an example."""
    form, text = formed.form_of(row, to_form, notation), formed.line_of(row)
    if variant == "tsv":
        return f"{text}\t\t{form}"
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    form = form.replace("SW.", WORLD)
    return f'(example\n  (utterance "{quoted}")\n  (original "")\n  (targetFormula\n    {form}\n  )\n)'


def _save(records: Iterable[Any], folder: Path, split: str, variant: str) -> Path:
    return save_lines(f".{variant}")(records, folder, split, variant)


def recognise(head: Head) -> Guess | None:
    """`(example` at the start of a line, or a third column of calls."""
    if any(line.startswith("(example") for line in head.lines[:3]):
        return Guess(3, "`(example` with a `targetFormula`")
    columns = [line.split("\t") for line in head.lines[:20]]
    if columns and sum(len(row) == 3 and row[2].startswith("( call ") for row in columns) * 2 > len(columns):
        return Guess(3, "three columns, the last one `( call ... )`")
    return None


FORMAT = Format(
    name="overnight",
    summary="questions and SEMPRE's logical forms, as Lisp or in a TSV: Overnight",
    patterns=("*.examples", "*.tsv"),
    plan=plan,
    read=read,
    example="meetings<TAB>meeting<TAB>( call SW.listValue ( call SW.getProperty ( ... ) ) )",
    recognise=recognise,
    dev_share=0.2,
    forms=formed.writer(record, _save, ("tsv", "examples")),
    loses=formed.LOSES | {"domain": "the file's name says it, and all domains share a file", "locale": "not written"},
)
