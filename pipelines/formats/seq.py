"""Three parallel files for each split: `seq.in`, `seq.out` and `label` (SNIPS, ATIS, MixSNIPS, MixATIS).

    seq.in   play  calm jazz
    seq.out  O B-mood B-genre
    label    PlayMusic
    -> Utterance(words=["play", "calm", "jazz"], intents=["PlayMusic"],
                 spans=[SlotSpan(1, 2, "mood"), SlotSpan(2, 3, "genre")])

Words are divided by runs of blanks, since published files have double and trailing ones. Several intents are joined
by `#`, in the order of their clauses.

Refused: R101 bytes, R102 no words, R105 a line that one of the files lacks, R106 counts of words and tags differ,
R107 malformed tag, R108 empty label.
Source: Goo et al., NAACL 2018 (github MiuLab/SlotGated-SLU, `data/`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice, zip_longest
from pathlib import Path

from grammar.words import words
from pipelines.formats.columns import LOSES, tagged
from pipelines.formats.features import Unwritable
from pipelines.formats.format import Format, Writer
from pipelines.formats.head import Guess, Head
from pipelines.formats.lines import Range, Source, cuts, decode, lines, open_file, shown
from pipelines.formats.parallel import Lines, blocks
from pipelines.formats.save import create
from pipelines.formats.tags import SCHEMES, TagError, decode_tags
from pipelines.record import Example, Rejection, Utterance

_BLANK = re.compile(r"[ \t\r\n\ufeff]")
COMPANIONS = ("seq.out", "label")


def plan(source: Source, size: int) -> list[Range]:
    """Ranges of the same lines in the three files; the last one takes what any file has left over."""
    ranges: list[Range] = []
    with ExitStack() as stack:
        files = [stack.enter_context(open_file(path)) for path in source.companions]
        first, starts = 1, [0 for _ in files]
        for cut in cuts(source.path, size):
            # `starts` already counts bytes, so summing lengths is cheaper than asking each file where it is.
            stops = [at + sum(map(len, islice(file, cut.lines))) for at, file in zip(starts, files, strict=True)]
            ranges.append(Range(source, len(ranges), cut.start, cut.stop, first, tuple(starts), tuple(stops)))
            first, starts = first + cut.lines, stops
        ends = tuple(at + sum(map(len, file)) for at, file in zip(starts, files, strict=True))
    if ranges:
        ranges[-1] = ranges[-1]._replace(stops=ends)
    elif any(ends):
        ranges.append(Range(source, 0, 0, 0, 1, tuple(0 for _ in ends), ends))
    return ranges


def read(range_: Range) -> Iterator[Utterance | Rejection]:
    """One row for each line."""
    source = range_.source
    paths = (source.path, *source.companions)
    starts, stops = (range_.start, *range_.starts), (range_.stop, *range_.stops)
    columns = [lines(*bounds) for bounds in zip(paths, starts, stops, strict=True)]
    for number, row in enumerate(zip_longest(*columns), range_.first_line):
        yield utterance(source, number, row)


def lines_of(range_: Range) -> Iterator[Lines | Utterance | Rejection]:
    """The same in blocks of lines."""
    return blocks(range_, utterance)


def utterance(source: Source, number: int, row: tuple[bytes | None, ...]) -> Utterance | Rejection:
    try:
        texts = [column.decode() for column in row]  # type: ignore[union-attr]
        raw = "\n".join(texts)
    except (AttributeError, UnicodeDecodeError):
        raw = "\n".join(shown(column or b"") for column in row)
        if any(column is None for column in row):
            names = [os.path.basename(path) for path in (source.path, *source.companions)]
            missing = ", ".join(f"`{name}`" for name, column in zip(names, row, strict=True) if column is None)
            return source.reject(number, "R105", raw, f"{missing} has no line {number}")
        mended = [decode(column) for column in row if column is not None]
        texts = [text for text in mended if text is not None]
        if len(texts) < len(row):
            return source.reject(number, "R101", raw)
    text, tagged, label = (text.strip(" \t") for text in texts)
    found, tags = words(text, "given"), words(tagged, "given")
    if not found:
        return source.reject(number, "R102", raw)
    if len(found) != len(tags):
        return source.reject(number, "R106", raw, f"{len(found)} words, {len(tags)} tags")
    intents = label.split("#")
    if not all(intents):
        return source.reject(number, "R108", raw)
    try:
        spans = decode_tags(tags)
    except TagError as error:
        return source.reject(number, "R107", raw, str(error))
    return Utterance(source.corpus, source.file, number, source.split, text, found, intents, spans, raw=raw)


def record(row: Example, variant: str) -> tuple[str, str, str]:
    """A line of each file."""
    intents, tags = tagged(row, variant)
    blank = next((word for word in row.words if _BLANK.search(word)), None)
    if blank is not None:
        raise Unwritable("blanks in words", repr(blank))
    if intents.strip(" \t") != intents:
        raise Unwritable("odd labels", f"`{intents}`")
    return " ".join(row.words), " ".join(tags), intents


def save(records: Iterable[tuple[str, str, str]], folder: Path, split: str, variant: str) -> Path:
    """`<split>/seq.in` and its companions."""
    path = folder / split / "seq.in"
    files = [create(path.with_name(name)) for name in (path.name, *COMPANIONS)]
    try:
        for row in records:
            for file, line in zip(files, row, strict=True):
                file.write(f"{line}\n")
    finally:
        for file in files:
            file.close()
    return path


def recognise(head: Head) -> Guess | None:
    """A file `seq.in` beside `seq.out` and `label`."""
    if head.name == "seq.in" and head.siblings.issuperset(COMPANIONS):
        return Guess(3, "`seq.in` beside `seq.out` and `label`")
    return None


FORMAT = Format(
    name="seq",
    summary="folders of seq.in, seq.out and label: SNIPS, ATIS, MixSNIPS, MixATIS",
    patterns=("seq.in",),
    companions=COMPANIONS,
    plan=plan,
    read=read,
    lines=lines_of,
    example="play calm jazz | O B-mood B-genre | PlayMusic",
    recognise=recognise,
    several=True,
    writer=Writer(record, save, SCHEMES),
    loses=LOSES | {"blanks in words": "refused: words stand between blanks"},
)
