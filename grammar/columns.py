"""Whole columns of trees at once: which rows are trees, and which are clean beyond doubt.

Nothing here reports a finding. A row that is not certainly clean goes to `grammar.check`, which has the last word; what
is tested is that no row is called clean in which it would find something.

`valid` is the verdict of the grammar, by one expression derived from it (`regular.py`) over the Arrow column.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grammar import encoding
from grammar.label_columns import LabelColumns
from grammar.ontology import Ontology
from grammar.regular import pattern
from grammar.rules import MAX_BYTES
from grammar.syntax import lark
from grammar.word_columns import spoken_in_order

DEPTH = 16
"""Levels that the expression is unrolled to. Deeper trees are rare, and get their verdict one by one."""

# Control characters of ASCII but tab and line ends (E506).
_PLAIN = bytes(range(0x20, 0x7F)) + b"\t\n\r" + bytes(range(0x80, 0x100))
# What `encoding.is_clean` looks for, as RE2 has it: text that is UTF-8 holds no surrogates.
_SUSPECT = encoding._SINGLE.pattern.replace("\ud800-\udfff", "") + "|" + encoding._MOJIBAKE_PAIR.pattern


@cache
def expression(depth: int = DEPTH) -> str:
    return pattern(lark(), depth)


def valid(trees: pa.Array) -> pa.Array:
    """Which rows are trees of at most `DEPTH` levels; no other row is true, and null is false.

    Args:
        trees: binary or string, large or not. Bytes that are no UTF-8 are characters of words in a binary column, and
            make a row of a string column false.
    """
    return pc.fill_null(pc.match_substring_regex(trees, expression()), False)


class Clean:
    """Finds the rows that are clean beyond doubt.

    Args:
        ontology: what labels are held against; without it only their syntax counts.
        tokeniser: how utterances given as text are cut.
        aligned_once: whether a leaf that could have two places is a finding (E306); then no row with an utterance
            is certain.
    """

    def __init__(
        self, ontology: Ontology | None = None, tokeniser: str = "words-1", aligned_once: bool = False
    ) -> None:
        self.labels = LabelColumns(ontology) if ontology is not None else None
        self.tokeniser, self.aligned_once = tokeniser, aligned_once

    def __call__(self, trees: pa.Array, utterances: Sequence[str | list[str] | None] | None = None) -> np.ndarray:
        """Of each row, whether `grammar.check` certainly finds nothing; a row without a tree is not certain.

        Args:
            trees: a binary column.
            utterances: what the leaves are held against, row by row; None where a row has none.
        """
        good = to_numpy(valid(trees))
        lengths = to_numpy(pc.fill_null(pc.binary_length(trees), 0))
        if len(lengths) and lengths.max() > MAX_BYTES:
            good &= lengths <= MAX_BYTES
        self._drop(good, trees, lambda some: ~unclean(some))
        if self.labels is not None:
            self._drop(good, trees, self.labels)
        if utterances is not None and good.any():
            for i, tree in zip(np.flatnonzero(good).tolist(), trees.filter(pa.array(good)).to_pylist(), strict=True):
                spoken = utterances[i]
                if spoken is not None:
                    good[i] = not self.aligned_once and self._said(tree, spoken)
        return good

    def _said(self, tree: bytes, spoken: str | list[str]) -> bool:
        if isinstance(spoken, str) and not encoding.is_clean(spoken):
            return False
        return spoken_in_order(tree, spoken, self.tokeniser)

    @staticmethod
    def _drop(good: np.ndarray, trees: pa.Array, test: Any) -> None:
        """Narrow `good` to the rows that `test` says yes to; it sees only rows that are good so far."""
        if good.all():
            good[:] = test(trees)
        elif good.any():
            good[good] = test(trees.filter(pa.array(good)))


def unclean(texts: pa.Array) -> np.ndarray:
    """Of each row of a binary column without nulls, whether an E5 rule may have something to say of it."""
    data, starts = contents(texts)
    found = np.zeros(len(texts), bool)
    if data.translate(None, _PLAIN):
        marks = np.frombuffer(data, np.uint8)
        found[rows_of(np.flatnonzero((marks < 0x20) & ~np.isin(marks, (9, 10, 13)) | (marks == 0x7F)), starts)] = True
    if data.isascii():
        return found
    other = np.zeros(len(texts), bool)
    other[rows_of(np.flatnonzero(np.frombuffer(data, np.uint8) >= 0x80), starts)] = True
    try:
        some = texts.filter(pa.array(other)).cast(pa.string())
    except pa.ArrowInvalid:  # not UTF-8; one by one
        found[other] = [not _clean_bytes(text) for text in texts.filter(pa.array(other)).to_pylist()]
        return found
    suspect = to_numpy(pc.match_substring_regex(some, _SUSPECT))
    normal = np.array([unicodedata.is_normalized("NFC", text) for text in some.to_pylist()], bool)
    found[other] |= suspect | ~normal
    return found


def _clean_bytes(text: bytes) -> bool:
    try:
        return encoding.is_clean(text.decode())
    except UnicodeDecodeError:
        return False


def contents(column: pa.Array) -> tuple[bytes, np.ndarray]:
    """The bytes of a binary column without nulls, and where each row begins in them (one more at the end)."""
    wide = np.int64 if pa.types.is_large_binary(column.type) or pa.types.is_large_string(column.type) else np.int32
    _, offsets, data = column.buffers()
    at = np.frombuffer(offsets, wide)[column.offset : column.offset + len(column) + 1]
    if not len(column):
        return b"", np.zeros(1, np.int64)
    return memoryview(data)[int(at[0]) : int(at[-1])].tobytes(), at - at[0]


def rows_of(positions: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The row of each byte position."""
    return np.searchsorted(starts, positions, "right") - 1


def to_numpy(array: pa.Array) -> np.ndarray:
    return array.to_numpy(zero_copy_only=False)
