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

from pipelines.formats.columns import LOSES, tagged
from pipelines.formats.features import Unwritable
from pipelines.formats.format import Format, Writer
from pipelines.formats.head import Guess, Head
from pipelines.formats.lines import Range, Source, decode, numbered, plan_lines, shown
from pipelines.formats.save import save_lines
from pipelines.formats.tags import SCHEMES, TagError, decode_tags
from pipelines.record import Example, Rejection, Utterance

_TAG = re.compile(r"O|[BIELSU]-\S+")
_BREAK = re.compile(r"[\t\r\n\ufeff]")
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


def record(row: Example, variant: str) -> str:
    """A block: words and tags between tabs, then the line of intents."""
    intents, tags = tagged(row, variant)
    for word in row.words:
        if word != word.strip() or _BREAK.search(word):
            raise Unwritable("blanks in words", repr(word))
    lines = [f"{word}\t{tag}" for word, tag in zip(row.words, tags, strict=True)]
    for line, tag in zip(lines, tags, strict=True):
        if line.startswith("-DOCSTART-") or (tag != "O" and _COMMENT.fullmatch(line)):
            raise Unwritable("marks in text", repr(line))
    return "\n".join([*lines, intents, ""])


def recognise(head: Head) -> Guess | None:
    """Most lines are columns of which the last is a tag; comments and lines of intents may stand between."""
    tags = other = 0
    for line in head.lines[:200]:
        columns = _columns(line)
        if len(columns) > 1 and _TAG.fullmatch(columns[-1]):
            tags += 1
        elif len(columns) > 1 and not line.startswith("#"):
            other += 1
    if not tags or other * 10 > tags:
        return None
    return Guess(2, "columns that end in `O` or a tag such as `B-x`")


FORMAT = Format(
    name="bio",
    summary="a word and its tag on a line, blank line between utterances: MixATIS of AGIF, xSID, CoNLL with intents",
    patterns=("*.bio", "*.conll", "*.iob", "*.txt"),
    plan=plan,
    read=read,
    example="play<TAB>O, calm<TAB>B-mood, jazz<TAB>B-genre, PlayMusic",
    recognise=recognise,
    several=True,
    writer=Writer(record, save_lines(".bio"), SCHEMES),
    loses=LOSES
    | {
        "blanks in words": "refused where one begins or ends with a blank, or holds a line end or a tab",
        "marks in text": "refused where a line would be read as a comment or as `-DOCSTART-`",
    },
)
