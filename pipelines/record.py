"""Rows: what a corpus file becomes on its way to a shard.

    one record of a file  ->  one Utterance  ->  one Example
                         \\->  one Rejection \\->  one Rejection

Nothing is dropped: every record that a reader meets comes out as exactly one row. Rows are NamedTuples with list
fields, since those cross Beam fastest and come back equal to themselves; an Utterance with its `Tree` stays in the
process that read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from grammar.tree import Tree

REASONS = {
    # Reading a file.
    "R101": "the bytes are not UTF-8",
    "R102": "the record has no words",
    "R103": "the text is not the JSON or YAML that this format expects",
    "R104": "a field is missing or has the wrong type",
    "R105": "the parallel files have different numbers of lines",
    "R106": "words and tags differ in number",
    "R107": "a tag or a line of tags is malformed",
    "R108": "the record has no intent",
    "R109": "the slot marks in the text are malformed",
    "R110": "the row is published without labels",
    "R111": "the annotated text and the utterance differ",
    "R112": "the line has the wrong number of columns",
    "R113": "a slot has no words",
    "R114": "the TOP tree is malformed",
    "R115": "an offset lies outside the text, or does not fit the surface text",
    "R116": "the annotators disagree",
    "R117": "too few of the row's judges accept it",
    "R118": "a template that cannot be filled is no utterance",
    "R119": "a slot in several pieces, or over several lines",
    "R120": "the logical form is malformed",
    # Making a tree.
    "R201": "the tree cannot be read",
    "R202": "a label cannot be written in the tree language",
    "R203": "a word cannot be written in the tree language",
    "R204": "two slots cross",
    "R205": "a slot is empty or lies outside the utterance",
    "R206": "the tree is too large: over 1,000 levels, over 1 MiB, or too long to align",
    "R207": "the actions do not rebuild the tree",
    "R208": "a copied leaf is not the word of the utterance at its position",
    "R209": "the ontology does not allow the tree",
    "R210": "the map drops its intent",
    "R211": "a person gave it up",
    # Finding the clauses of several intents.
    "R301": "no border between clauses fits the intents",
    "R302": "several borders between clauses fit the intents",
}
"""Why a record is refused: code -> reason. Codes are stable; a detail may follow the reason."""


class SlotSpan(NamedTuple):
    """A slot over the words `[start, end)`, 0-based."""

    start: int
    end: int
    label: str


class Rejection(NamedTuple):
    """A record that does not become an example.

    Attributes:
        code: one of `REASONS`.
        raw: the record as it stood.
        findings: codes of `grammar.rules`, where a tree is at fault: sorted, each once.
    """

    corpus: str
    file: str
    line: int
    code: str
    reason: str
    raw: str
    split: str = ""
    findings: Sequence[str] = ()


class Utterance(NamedTuple):
    """One utterance with its labels, whatever file it came from.

    A tagged corpus fills `intents` and `spans`; a corpus of trees fills `tree`, and `positions` when it knows them.

    Attributes:
        file: path of the file under the input that was given, with `/`.
        line: 1-based line of the record's start, or number of its element in a JSON list.
        text: the utterance in its own case and spelling.
        words: its words; spans and positions count these.
        intents: in the order of their clauses; more than one for a compound request.
        tree: the tree in brackets, or empty.
        made: the same as an object, where the reader has made one, so that its text need not be read again.
        positions: for each leaf of `tree`, left to right, the word that it copies, or -1 for a generated word.
        raw: the record as it stood, for dead letters.
        tokeniser: name in `grammar.words` of how the words came about, or empty for the one of the format.
    """

    corpus: str
    file: str
    line: int
    split: str
    text: str
    words: list[str]
    intents: list[str]
    spans: list[SlotSpan]
    tree: str = ""
    positions: list[int] | None = None
    domain: str = ""
    licence: str = ""
    locale: str = ""
    raw: str = ""
    tokeniser: str = ""
    made: Tree | None = None

    @property
    def id(self) -> str:
        """`corpus/file:line`, which no other row of a data set has."""
        return f"{self.corpus}/{self.file}:{self.line}" if self.corpus else f"{self.file}:{self.line}"

    def reject(self, code: str, detail: str = "", findings: Sequence[str] = ()) -> Rejection:
        """This utterance, refused."""
        raw = storable(self.raw or self.text)
        return Rejection(self.corpus, self.file, self.line, code, reason(code, detail), raw, self.split, findings)


class Example(NamedTuple):
    """One row of a shard: the fields are the columns `grammar.shard.ROW`, in their order."""

    id: str
    corpus: str
    domain: str
    file: str
    line: int
    split: str
    licence: str
    locale: str
    utterance: str
    words: list[str]
    tree: str
    actions: list[int]
    symbols: list[str]
    copy: list[int]
    composed: bool = False


def reason(code: str, detail: str = "") -> str:
    """The reason of a code, with what was found.

    >>> reason("R106", "3 words, 4 tags")
    'words and tags differ in number: 3 words, 4 tags'
    """
    return f"{REASONS[code]}: {storable(detail)}" if detail else REASONS[code]


def storable(text: str) -> str:
    """Text that a file can hold: a lone surrogate, which JSON escapes can bring in, becomes its own escape."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
