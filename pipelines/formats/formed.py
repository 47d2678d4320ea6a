"""What the readers and writers of logical forms share: a form becomes the tree of its utterance, and back.

Whether leaves are copied is up to the language: words of names are (`positions` None: they are found in the utterance),
symbols of a knowledge base are not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from grammar.actions import GENERATED
from grammar.tree import Tree
from pipelines.formats.features import Unwritable, has_blank, tree_of
from pipelines.formats.format import Writer
from pipelines.formats.lines import Source
from pipelines.forms import FormError
from pipelines.record import Example, Rejection, Utterance

ToTree = Callable[[str, str], Tree]
"""form, notation -> tree."""

ToForm = Callable[[Tree, str], str]
"""tree, notation -> form."""


def utterance(
    source: Source,
    number: int,
    raw: str,
    text: str,
    words: list[str],
    form: str,
    to_tree: ToTree,
    *,
    copied: bool = True,
    domain: str = "",
    locale: str = "",
) -> Utterance | Rejection:
    """The row of an utterance and its logical form, in the notation that the user asked for."""
    if not words:
        return source.reject(number, "R102", raw)
    try:
        tree = to_tree(form, source.reading.notation)
    except FormError as error:
        return source.reject(number, "R120", raw, str(error))
    return Utterance(
        corpus=source.corpus,
        file=source.file,
        line=number,
        split=source.split,
        text=text,
        words=words,
        intents=[],
        spans=[],
        tree=str(tree),
        positions=None if copied else [GENERATED] * len(tree.words()),
        domain=domain,
        locale=locale,
        raw=raw,
        made=tree,
    )  # fmt: skip


def form_of(row: Example, to_form: ToForm, notation: str) -> str:
    """The logical form of a row.

    Raises:
        Unwritable: its tree stands for none.
    """
    try:
        return to_form(tree_of(row)[0], notation)
    except FormError as error:
        raise Unwritable("odd labels", str(error)) from error


def line_of(row: Example) -> str:
    """The utterance as one line.

    Raises:
        Unwritable: it does not fit in one.
    """
    if any(map(has_blank, row.words)) or any(mark in row.utterance for mark in "\t\r\n"):
        raise Unwritable("blanks in words", repr(row.utterance))
    return row.utterance


Forms = Callable[[str], Writer]
"""notation -> how rows of a data set in that notation are written."""

LOSES = {
    "blanks in words": "refused: a question is a line of words between blanks",
    "odd labels": "refused where the tree stands for no logical form",
}
"""What no file of logical forms can say."""


def writer(record: Callable[[Example, str, str], Any], save: Any, variants: tuple[str, ...] = ("",)) -> Forms:
    """A writer for each notation, from row, variant, notation -> record."""
    return lambda notation: Writer(lambda row, variant: record(row, variant, notation), save, variants)
