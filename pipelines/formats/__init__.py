"""Readers: one file per format, one row per format in `FORMATS`.

    sources = expand(["corpora/atis"], "seq", corpus="atis")
    ranges  = [range_ for source in sources for range_ in plan(source, size=16 << 20)]
    rows    = [row for range_ in ranges for row in read(range_)]

A *format* is how to read; where a corpus comes from and what its licence is stands elsewhere. To add a format, add a
file here with `plan` and `read`, then a row to the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.formats import bio, brackets, files, massive, seq, snips, top
from pipelines.formats.lines import Range, Source
from pipelines.record import Rejection, Utterance

__all__ = ["FORMATS", "Format", "Range", "Source", "expand", "plan", "read"]


@dataclass(frozen=True, slots=True)
class Format:
    """How the files of one kind are found, cut and read.

    Attributes:
        patterns: names that a folder is searched for.
        companions: names of the parallel files beside each file.
        tokeniser: name in `grammar.words` of how the words came about; `given` is as the corpus has them.
        plan: source, bytes -> ranges of whole records.
        read: range -> rows, one for each record.
        split_of: relative path -> split, empty when it does not say.
        leave_out: whether a file that matches is none of the corpus.
    """

    name: str
    summary: str
    patterns: tuple[str, ...]
    plan: Callable[[Source, int], list[Range]]
    read: Callable[[Range], Iterator[Utterance | Rejection]]
    companions: tuple[str, ...] = ()
    tokeniser: str = "given"
    split_of: Callable[[str], str] = files.split_of
    leave_out: Callable[[Path], bool] = lambda path: False


FORMATS: dict[str, Format] = {
    row.name: row
    for row in (
        Format(
            "brackets",
            "trees of our own language: .trees, .tree, utterance<TAB>tree in .tsv, .jsonl",
            ("*.trees", "*.tree", "*.tsv", "*.jsonl"),
            brackets.plan,
            brackets.read,
            tokeniser="words-1",
        ),
        Format(
            "seq",
            "folders of seq.in, seq.out and label: SNIPS, ATIS, MixSNIPS, MixATIS",
            ("seq.in",),
            seq.plan,
            seq.read,
            companions=seq.COMPANIONS,
        ),
        Format(
            "bio",
            "a word and its tag on a line, blank line between utterances: MixATIS of AGIF, xSID, CoNLL with intents",
            ("*.bio", "*.conll", "*.iob", "*.txt"),
            bio.plan,
            bio.read,
        ),
        Format(
            "snips",
            "JSON chunks with entities: SNIPS 2017, data sets of Snips NLU",
            ("*.json",),
            snips.plan,
            snips.read,
            tokeniser="words-1",
            split_of=snips.split_of,
            leave_out=snips.leave_out,
        ),
        Format(
            "massive",
            "JSON lines with `[slot : value]` inside the text: MASSIVE",
            ("*.jsonl",),
            massive.plan,
            massive.read,
            tokeniser="words-1",
        ),
        Format("top", "trees in square brackets in a TSV: TOP, TOPv2", ("*.tsv",), top.plan, top.read),
    )
}


def expand(inputs: Sequence[str], fmt: str | Format, corpus: str = "") -> list[Source]:
    """The sources of files, folders and glob patterns.

    Raises:
        ValueError: unknown format, an input that does not exist or holds nothing of this format.
    """
    if isinstance(fmt, str):
        if fmt not in FORMATS:
            raise ValueError(f"unknown format `{fmt}`; the formats are {', '.join(FORMATS)}")
        fmt = FORMATS[fmt]
    found = files.find(inputs, fmt.patterns, fmt.companions, fmt.split_of, fmt.leave_out)
    return [source._replace(corpus=corpus, format=fmt.name) for source in found]


def plan(source: Source, size: int = 16 << 20) -> list[Range]:
    """Cut a source into ranges of about `size` bytes, each of whole records.

    Raises:
        ValueError: `size` is not positive.
        OSError: a file cannot be read.
    """
    if size < 1:
        raise ValueError(f"a range of {size} bytes holds nothing")
    return FORMATS[source.format].plan(source, size)


def read(range_: Range) -> Iterator[Utterance | Rejection]:
    """The records of a range, in their order: each is one Utterance or one Rejection."""
    return FORMATS[range_.source.format].read(range_)
