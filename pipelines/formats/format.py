"""A row of the table of formats: how the files of one kind are found, cut, read, written and told from others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipelines.formats import files
from pipelines.formats.head import Guess, Head
from pipelines.formats.lines import Range, Source, stored
from pipelines.formats.parallel import Lines
from pipelines.record import Example, Rejection, Utterance

Unit = Literal["none", "code point", "utf-16", "byte"]
"""What offsets in the files count. Checked against the surface text wherever a record has it."""


@dataclass(frozen=True, slots=True)
class Writer:
    """How rows of shards are written.

    Attributes:
        record: row, variant -> what the file holds for it; raises `features.Unwritable`.
        save: records, folder, split, variant -> the file that `expand` finds again, with their order kept.
        variants: forms that the format has, the default first; readers read them all.
        grouped: records stand by intent, so rows are sorted by it first.
        finish: what is left to do in the folder when every split is written.
    """

    record: Callable[[Example, str], Any]
    save: Callable[[Iterable[Any], Path, str, str], Path]
    variants: tuple[str, ...] = ("",)
    grouped: bool = False
    finish: Callable[[Path], None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One format.

    Attributes:
        summary: what it holds, and who has such files.
        patterns: names that a folder is searched for; compressed ones (`.gz`) match too.
        plan: source, bytes -> ranges of whole records.
        read: range -> rows, one for each record.
        example: a record, short.
        recognise: beginning of a file -> how sure it is of this format and why, or None.
        companions: names of the parallel files beside each file.
        tokeniser: name in `grammar.words` of how the words came about; `given` is as the corpus has them.
        split_of: relative path -> split, empty when it does not say.
        leave_out: whether a file that matches is none of the corpus.
        several: rows may have several intents whose slots are not told apart.
        offsets: unit of the offsets in the files.
        writer: absent when the format is only read.
        dev_share: share of train that becomes dev, for corpora that come without one.
        forms: of logical forms: how rows of a data set are written, by its notation; then there is no `writer`.
        loses: feature (see `features.FEATURES`) -> what becomes of it when rows are written.
        lines: range -> the same rows in blocks of lines of words, tags and intents, where a record is such a line; what
            is no such line comes as a row.
        stored: range -> bytes of the files as they are stored that it stands for, to tell how far a run is.
        alone: `raw` of a dead letter -> text of a file that holds this record and no other, for `retry`; of parallel
            files it is a line of each. None where `raw` does not say all of the record.
    """

    name: str
    summary: str
    patterns: tuple[str, ...]
    plan: Callable[[Source, int], list[Range]]
    read: Callable[[Range], Iterator[Utterance | Rejection]]
    example: str
    recognise: Callable[[Head], Guess | None]
    companions: tuple[str, ...] = ()
    tokeniser: str = "given"
    split_of: Callable[[str], str] = files.split_of
    leave_out: Callable[[str], bool] = lambda path: False
    several: bool = False
    offsets: Unit = "none"
    writer: Writer | None = None
    dev_share: float = 0.0
    forms: Callable[[str], Writer] | None = None
    loses: Mapping[str, str] = field(default_factory=dict)
    lines: Callable[[Range], Iterator[Lines | Utterance | Rejection]] | None = None
    stored: Callable[[Range], int] = stored
    alone: Callable[[str], str] | None = lambda raw: raw
