"""Readers and writers: one file per format, one row per format in `FORMATS`.

    sources = expand(["corpora/atis"], "seq", corpus="atis")
    ranges  = [range_ for source in sources for range_ in plan(source, size=16 << 20)]
    rows    = [row for range_ in ranges for row in read(range_)]

A *format* is how to read; where a corpus comes from and what its licence is stands elsewhere. To add a format, add a
file here that ends in its `FORMAT` (see `format.py`), then name it in the table.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from pipelines import storage
from pipelines.formats import (
    alexa,
    bio,
    brackets,
    brat,
    clu,
    dialogflow,
    doccano,
    files,
    huggingface,
    hwu,
    labelstudio,
    logic,
    luis,
    massive,
    mtop,
    nlmaps,
    overnight,
    pizza,
    rasa,
    seq,
    snips,
    top,
)
from pipelines.formats.format import Format, Writer
from pipelines.formats.lines import Range, Reading, Source
from pipelines.record import Rejection, Utterance

__all__ = ["FORMATS", "Format", "Range", "Reading", "Source", "Writer", "expand", "plan", "read"]

_AS_IT_STANDS = Reading()

FORMATS: dict[str, Format] = {
    row.name: row
    for row in (
        brackets.FORMAT,
        seq.FORMAT,
        bio.FORMAT,
        snips.FORMAT,
        massive.FORMAT,
        top.FORMAT,
        top.FORMAT_V2,
        mtop.FORMAT,
        pizza.FORMAT,
        rasa.FORMAT,
        huggingface.FORMAT,
        labelstudio.FORMAT,
        doccano.FORMAT,
        hwu.FORMAT,
        brat.FORMAT,
        alexa.FORMAT,
        dialogflow.FORMAT,
        clu.FORMAT,
        luis.FORMAT,
        overnight.FORMAT,
        logic.LAMBDA,
        logic.PROLOG,
        nlmaps.FORMAT,
    )
}


def expand(
    inputs: Sequence[str], fmt: str | Format, corpus: str = "", reading: Reading = _AS_IT_STANDS
) -> list[Source]:
    """The sources of files, folders and glob patterns, to be read as `reading` says.

    Raises:
        ValueError: unknown format, an input that does not exist or holds nothing of this format.
    """
    if isinstance(fmt, str):
        if fmt not in FORMATS:
            raise ValueError(f"unknown format `{fmt}`; the formats are {', '.join(FORMATS)}")
        fmt = FORMATS[fmt]
    found = files.find(inputs, fmt.patterns, fmt.companions, fmt.split_of, fmt.leave_out)
    return [source._replace(corpus=corpus, format=fmt.name, reading=reading) for source in found]


def plan(source: Source, size: int = 16 << 20) -> list[Range]:
    """Cut a source into ranges of about `size` bytes, each of whole records; what is packed is one range.

    Raises:
        ValueError: `size` is not positive.
        OSError: a file cannot be read.
    """
    if size < 1:
        raise ValueError(f"a range of {size} bytes holds nothing")
    # To read the middle of a packed file everything before it must be unpacked.
    return FORMATS[source.format].plan(source, sys.maxsize if storage.is_packed(source.path) else size)


def read(range_: Range) -> Iterator[Utterance | Rejection]:
    """The records of a range, in their order: each is one Utterance or one Rejection."""
    return FORMATS[range_.source.format].read(range_)
