"""Columns: a word and its tag on a line, a blank line after each utterance (CoNLL 2003, MixATIS of AGIF, xSID).

    play  O            # intent: PlayMusic
    calm  B-mood       1  play  PlayMusic  O
    jazz  B-genre      2  jazz  PlayMusic  B-genre
    PlayMusic
    -> Utterance(words=["play", "calm", "jazz"], intents=["PlayMusic"],
                 spans=[SlotSpan(1, 2, "mood"), SlotSpan(2, 3, "genre")])

The tag is the last column. The word is the first, or the second where the first numbers the words from 1. Columns
stand between tabs where a line has one (words may then hold blanks), else between blanks. The intent is the last
line, alone in its column, or a comment `# intent: X`; several are joined by `#`. Other comments, and `-DOCSTART-`
lines, are passed over. A record's line is its first.

Refused: R101 bytes, R102 no words, R106 a line without a tag, R107 malformed tag, R108 no intent (plain CoNLL files).
Source: Sang and De Meulder, CoNLL 2003; Qin et al., Findings of EMNLP 2020 (github LooperXX/AGIF); van der Goot et
al., NAACL 2021 (xSID).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipelines.formats.lines import Range, Source, decode, numbered, plan_lines, shown
from pipelines.formats.tags import TagError, decode_tags
from pipelines.record import Rejection, Utterance

_COMMENT = re.compile(r"#\s*([\w-]+)\s*[:=]\s*(.*)")


def plan(source: Source, size: int) -> list[Range]:
    """Ranges that end at a blank line."""
    return plan_lines(source, size, lambda line: not line.strip())


def read(range_: Range) -> Iterator[Utterance | Rejection]:
    """One row for each block of lines."""
    first, block = 0, list[bytes]()
    for number, line in numbered(range_):
        if line.strip():
            first = first if block else number
            block.append(line)
        elif block:
            yield from _block(range_.source, first, block)
            block = []
    if block:
        yield from _block(range_.source, first, block)


def _block(source: Source, first: int, block: list[bytes]) -> Iterator[Utterance | Rejection]:
    if not all(line.startswith(b"-DOCSTART-") for line in block):
        yield _record(source, first, block)


def _record(source: Source, first: int, block: list[bytes]) -> Utterance | Rejection:
    raw = "\n".join(map(shown, block))
    texts = [decode(line) for line in block]
    if any(text is None for text in texts):
        return source.reject(first, "R101", raw)
    intent, rows = "", list[list[str]]()
    for text in texts:
        assert text is not None
        columns = _columns(text)
        comment = _COMMENT.fullmatch(text.strip())
        if comment and (len(columns) == 1 or columns[-1] != "O"):
            intent = comment[2] if comment[1].lower() == "intent" else intent
        elif not text.startswith("-DOCSTART-"):
            rows.append(columns)
    if rows and len(rows[-1]) == 1:
        intent = rows.pop()[0]
    if not rows:
        return source.reject(first, "R102", raw)
    for number, columns in enumerate(rows):
        if len(columns) == 1:
            return source.reject(first, "R106", raw, f"line {first + number} holds only `{columns[0]}`")
    intents = intent.split("#")
    if not all(intents):
        return source.reject(first, "R108", raw)
    counted = all(len(columns) > 2 and columns[0] == str(number) for number, columns in enumerate(rows, 1))
    found = [columns[1 if counted else 0] for columns in rows]
    try:
        spans = decode_tags([columns[-1] for columns in rows])
    except TagError as error:
        return source.reject(first, "R107", raw, str(error))
    return Utterance(source.corpus, source.file, first, source.split, " ".join(found), found, intents, spans, raw=raw)


def _columns(text: str) -> list[str]:
    """The columns of a line.

    >>> _columns("New York\\tB-city")
    ['New York', 'B-city']
    """
    if "\t" in text.strip():
        return [column.strip() for column in text.strip().split("\t")]
    return text.split()
